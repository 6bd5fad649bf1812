"""What a log of another program is to us: a copy of what a run's folder holds, in that program's format.

The folder stays the original. So a log has no memory of its own beside what was written into it: it says itself which rows it holds,
and is written anew where these are not the rows of the run any more.
"""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

Position = tuple[int, float]  # step and seconds of a row: what tells it from the same row of a step that was repeated


class Log(ABC):
    """The log of one run. It is made when the run has begun, since it is named after what config.json holds, and raises what its
    package or the disk raises: OSError, mostly."""

    name: ClassVar[str]
    package: ClassVar[str]  # to be installed, and imported by nothing but this log

    @staticmethod
    @abstractmethod
    def shown_by(root: Path) -> str:
        """The command that shows the logs of the runs in `root`."""

    @abstractmethod
    def config(self) -> dict[str, Any]:
        """The CONFIG that the log holds; of none, nothing."""

    @abstractmethod
    def rows(self) -> list[Position]:
        """The rows that the log holds, in order; of a row that a dying process has half written, nothing."""

    @abstractmethod
    def pictures(self) -> set[int]:
        """The steps of which it holds a picture."""

    @abstractmethod
    def clear(self) -> None:
        """Remove all that it holds."""

    @abstractmethod
    def begin(self, config: dict[str, Any], anew: bool) -> None:
        """Get ready to write rows: if `anew`, CONFIG first, as what the program calls hyperparameters."""

    @abstractmethod
    def write_row(self, at: Position, numbers: dict[str, float], texts: dict[str, str]) -> None:
        """Write one row."""

    @abstractmethod
    def write_picture(self, at: Position, picture: np.ndarray) -> None:
        """Write the attention of all heads at a step, (height, width, 3) bytes."""

    @abstractmethod
    def close(self) -> None:
        """Bring everything to where it belongs."""


def numbers_and_texts(row: dict[str, Any]) -> tuple[dict[str, float], dict[str, str]]:
    """What a row of metrics.jsonl holds: its numbers by name, with "baselines/guessing" or "heads/induction/1.0" for those of these kinds,
    and its text, under the name of its kind."""
    kind = row.get("kind")
    if kind == "heads":
        return {f"heads/{score}/{layer}.{head}": value for score, layers in row["scores"].items()
                for layer, values in enumerate(layers) for head, value in enumerate(values) if value is not None}, {}
    texts = {kind: row.get("prompt", "") + row["text"]} if kind and "text" in row else {}
    prefix = "baselines/" if kind == "baselines" else ""
    numbers = {prefix + name: value for name, value in row.items()
               if name not in ("step", "layer", "head", "excess") and isinstance(value, (int, float)) and not isinstance(value, bool)}
    return ({} if texts else numbers), texts


def as_code(text: str) -> str:
    """A text as Markdown that shows it letter by letter: what a model writes is no markup."""
    return "\n".join(f"    {line}" for line in text.split("\n"))
