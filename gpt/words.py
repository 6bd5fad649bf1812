"""Join words into a list for a message."""

from collections.abc import Iterable


def listed(words: Iterable[str], most: int | None = None, rest: str = "others") -> str:
    """"a", "b", "c" -> "a, b and c"; of more than `most` words, the first `most` - 1 and a count: "a, b and 3 others"."""
    words = list(words)
    if most is not None and len(words) > most:
        words = [*words[:most - 1], f"{len(words) - most + 1} {rest}"]
    *before, last = words
    return f"{', '.join(before)} and {last}" if before else last
