"""How long work tells how far it is."""

from collections.abc import Callable

Progress = Callable[[str, float], None]  # is told in words what is done now, and which share of it is done, 0 to 1


def silent(sentence: str, share: float) -> None:
    """A Progress that tells nobody."""
