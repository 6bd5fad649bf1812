"""What a row of the table is, what it is measured with, and what comes of it."""

import statistics
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import torch

from gpt.data.corpus import Corpus

NOT_MEASURED, NO_TARGET = "not measured", "no target"


@dataclass(frozen=True)
class Setup:
    """What all rows share: the text and its path, the device, the seeds, and the measured rates of matrix products in FLOP/s
    by number format."""

    corpus: Corpus
    source: str
    device: torch.device
    seeds: tuple[int, ...]
    rates: dict[str, float]


@dataclass
class Result:
    """What one row found. `ours`, `peer` and `ratios` hold one number for each repetition, in the order they were taken;
    `reached` is yes, no, not measured or no target; `raw` is everything else worth keeping; `table` is printed after the table."""

    reached: str
    ours: list[float] = field(default_factory=list)
    peer: list[float] = field(default_factory=list)
    ratios: list[float] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    raw: dict[str, Any] = field(default_factory=dict)
    table: str = ""


@dataclass(frozen=True)
class Row:
    """A row before it is measured. `what` ends with the unit of ours and the peer's."""

    name: str
    what: str
    target: str
    measure: Callable[[Setup], Result]


def yes_no(reached: bool) -> str:
    return "yes" if reached else "no"


def ratios(above: Iterable[float], below: Iterable[float]) -> list[float]:
    """One ratio for each pair taken in turn: what slows the machine for a while slows both sides of a pair."""
    return [a / b for a, b in zip(above, below, strict=True)]


def at_least(target: float, found: list[float]) -> bool:
    """Whether the median reaches `target`."""
    return statistics.median(found) >= target


def say(line: str) -> None:
    """Progress: to stderr, so that stdout holds the table alone."""
    print(line, file=sys.stderr, flush=True)
