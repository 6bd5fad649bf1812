"""Keeps the logs of a run as far as its folder is, while it trains or afterwards."""

import contextlib
import importlib.util
import math
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gpt.errors import UserError
from gpt.interpret import inspect_ids
from gpt.interpret.mosaic import picture
from gpt.interpret.passage import LONGEST, candidates_of
from gpt.logs.log import Log, Position, numbers_and_texts
from gpt.logs.tensorboard import TensorBoardLog
from gpt.logs.trackio import TrackioLog
from gpt.runs.run import DEFAULT_ROOT, Run, RunError, load_run

LOGS: dict[str, type[Log]] = {log.name: log for log in (TensorBoardLog, TrackioLog)}


def known_logs(names: str) -> list[type[Log]]:
    """The logs that `names` lists, separated by commas. Raises UserError for one that does not exist, or whose package is not installed."""
    chosen = list(dict.fromkeys(name.strip() for name in names.split(",") if name.strip()))
    if unknown := [name for name in chosen if name not in LOGS]:
        raise UserError(f"there is no log {unknown[0][:40]!r}: choose {' or '.join(LOGS)}, or both with a comma between them")
    for name in chosen:
        if importlib.util.find_spec(LOGS[name].package) is None:
            raise UserError(f"the log {name} needs a package that is not installed: pip install {LOGS[name].package}")
    return [LOGS[name] for name in chosen]


def copy_run(run: Run, log: type[Log]) -> list[str]:
    """Write the log of a run that does not train now. Returns sentences about it. Raises UserError if that is not possible."""
    if run.is_alive():
        raise RunError(f"run {run.name} trains, and only its own process writes its logs: wait until it has ended")
    try:
        copy = LogCopy(run, log)
        try:
            notes = copy.update()
        finally:
            copy.close()
    except UserError:
        raise
    except Exception as error:  # of a package that is not ours
        raise RunError(f"the log {log.name} of run {run.name} cannot be written ({reason_of(error)})") from error
    return [*notes, f"the log {log.name} of run {run.name} is complete, {copy.count:,} rows: {log.shown_by(run.path.parent)}"]


class LogCopy:
    """One log of one run: `update` writes what is new in the run's folder.

    What the log holds is compared with the run: it is continued after the last of its rows, or written anew where it holds others (a run
    that was killed repeats the steps since its last save) or another CONFIG (a run may become longer).
    """

    def __init__(self, run: Run, log: type[Log]):
        about = run.config()
        self.run, self._config = run, about["config"]
        self.log = log(run.path, float(about.get("created", 0)))
        self._cursor = 0
        self._last: Position | None = None  # of the rows that are written
        self.count = 0  # of them
        self._held = self.log.rows()
        self._pictured = self.log.pictures()

    def update(self) -> list[str]:
        """Write what is new. Returns a sentence about each snapshot that cannot be shown. Raises what the log raises."""
        begins = self._cursor == 0
        rows, self._cursor = self.run.rows(self._cursor)
        rows = [row for row in rows if any(numbers_and_texts(row))]
        if begins:
            rows = self._begin(rows)
        for row in rows:
            self._last = _position(row)
            self.log.write_row(self._last, *numbers_and_texts(row))
            self.count += 1
        return self._write_pictures()

    def _begin(self, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """The rows that the log does not hold yet."""
        held = len(self._held)
        same = held <= len(rows) and all(step == row["step"] and math.isclose(seconds, row["seconds"], abs_tol=1e-4)
                                         for (step, seconds), row in zip(self._held, rows, strict=False))
        if anew := not (held and same and self.log.config() == self._config):
            if held or self._pictured:
                self.log.clear()
            held, self._pictured = 0, set()
        else:
            self._last, self.count = _position(rows[held - 1]), held
        self.log.begin(self._config, anew)
        return rows[held:]

    def _write_pictures(self) -> list[str]:
        """Write the heads of the snapshots up to the last row."""
        notes = []
        for step in self.run.snapshots():
            if self._last and step not in self._pictured and step <= self._last[0]:
                self._pictured.add(step)
                try:
                    picture = attention_picture(self.run, step)
                except UserError as error:  # damaged, or removed meanwhile to free disk space
                    notes.append(f"the log {self.log.name} has no picture of step {step}: {error}")
                else:
                    self.log.write_picture((step, self._last[1]), picture)
        return notes

    def close(self) -> None:
        self.log.close()


class Logs:
    """The logs of a run that trains. None of them ever ends the run: where one fails, that is reported once, and it is left alone."""

    def __init__(self, run: Run, logs: Sequence[type[Log]]):
        self.run, self._waiting = run, list(logs)
        self._copies: list[LogCopy] = []

    def update(self) -> list[str]:
        """Write what is new. Returns a sentence about each log that is begun, each that has failed, and what is missing in one."""
        waiting, self._waiting = self._waiting, []
        sentences = [sentence for log in waiting for sentence in self._begin(log)]
        return sentences + [sentence for copy in list(self._copies) for sentence in self._attempt(copy, copy.update)]

    def close(self) -> list[str]:
        """Write the rest, if the run has begun. Returns sentences as `update` does."""
        sentences = [sentence for copy in list(self._copies) for sentence in self._attempt(copy, copy.update)]
        return sentences + [sentence for copy in list(self._copies) for sentence in self._attempt(copy, copy.close)]

    def _begin(self, log: type[Log]) -> list[str]:
        try:
            self._copies.append(LogCopy(self.run, log))
        except Exception as error:  # of a package that is not ours: whatever it is, it is reported, and training goes on
            return [failure(log.name, self.run, error)]
        return [f"the log {log.name} is shown by `{log.shown_by(self.run.path.parent)}`"]

    def _attempt(self, copy: LogCopy, act: Callable[[], list[str] | None]) -> list[str]:
        try:
            return act() or []
        except Exception as error:  # the same
            self._copies.remove(copy)
            with contextlib.suppress(Exception):
                copy.close()
            return [failure(copy.log.name, self.run, error)]


def failure(name: str, run: Run, error: Exception) -> str:
    """What is said about a log that has failed."""
    root = run.path.parent
    where = [] if root == Path(DEFAULT_ROOT) else ["--checkpoints", str(root)]
    completing = shlex.join(["python", "-m", "gpt.control", "log", "--run", run.name, "--to", name, *where])
    return f"the log {name} is not whole ({reason_of(error)}): training is not affected, and later `{completing}` completes the log"


def reason_of(error: Exception) -> str:
    """An error in a few words."""
    reason = error.strerror if isinstance(error, OSError) and error.strerror else f"{type(error).__name__}: {error}"
    return " ".join(reason.split())[:300]


def attention_picture(run: Run, step: int) -> np.ndarray:
    """All heads of a snapshot on the beginning of the run's validation text, after the end of a sentence: (height, width, 3) bytes. Raises
    UserError if it cannot be read."""
    model, tokenizer = load_run(run.path, step)
    ids = candidates_of(tokenizer, run.probes().windows, min(LONGEST, model.context_length))[0].tolist()
    return picture(inspect_ids(model, tokenizer, ids))


def _position(row: dict[str, Any]) -> Position:
    return row["step"], row["seconds"]
