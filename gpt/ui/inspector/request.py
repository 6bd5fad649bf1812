"""Inspection requests of the page's scripts, checked: anyone who reaches the port may send anything."""

from collections.abc import Collection
from typing import Any

from gpt.errors import UserError


class InspectionRequest:
    """A request as it was sent, a mapping of names to anything. Its methods raise UserError for a value that makes no sense."""

    def __init__(self, sent: Any):
        self._sent = sent if isinstance(sent, dict) else {}

    def text(self, name: str, longest: int = 10_000) -> str:
        value = self._sent.get(name)
        if not isinstance(value, str) or len(value) > longest:
            raise UserError(f"the request has no {name}: reload the page and try again")
        return value

    def integer(self, name: str, lowest: int, highest: int) -> int:
        value = self._sent.get(name)
        if isinstance(value, bool) or not isinstance(value, int) or not lowest <= value <= highest:
            raise UserError(f"{name} is {str(value)[:40]}: choose a whole number from {lowest} to {highest}")
        return value

    def step(self, name: str) -> int | None:
        """A training step, or None: the best weights."""
        return self.index_or_none(name, 10**9 + 1)

    def index_or_none(self, name: str, n: int) -> int | None:
        """A whole number below `n`, or None."""
        return None if self._sent.get(name) is None else self.integer(name, 0, n - 1)

    def number(self, name: str, lowest: float, highest: float) -> float:
        value = self._sent.get(name)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not lowest <= value <= highest:
            raise UserError(f"{name} is {str(value)[:40]}: choose a number from {lowest:g} to {highest:g}")
        return float(value)

    def choice(self, name: str, choices: Collection[str]) -> str:
        value = self._sent.get(name)
        if not isinstance(value, str) or value not in choices:
            raise UserError(f"{name} is {str(value)[:40]!r}: choose one of {', '.join(choices)}")
        return value

    def flag(self, name: str) -> bool:
        return self._sent.get(name) is True

    def integers(self, name: str, lowest: int, highest: int, most: int) -> list[int]:
        """At most `most` whole numbers."""
        values = self._sent.get(name)
        if not isinstance(values, list) or len(values) > most:
            raise UserError(f"{name} is no list of at most {most} numbers: reload the page and try again")
        return [InspectionRequest({name: value}).integer(name, lowest, highest) for value in values]

    def heads(self, name: str, L: int, H: int) -> list[tuple[int, int]]:
        """Pairs (layer, head) of a model with L layers of H heads."""
        pairs = self._sent.get(name)
        if not isinstance(pairs, list) or len(pairs) > L * H or not all(isinstance(pair, list) and len(pair) == 2 for pair in pairs):
            raise UserError(f"{name} is no list of layers and heads, such as [[0, 1], [2, 0]]: reload the page and try again")
        requests = [InspectionRequest({"layer": layer, "head": head}) for layer, head in pairs]
        return [(request.integer("layer", 0, L - 1), request.integer("head", 0, H - 1)) for request in requests]
