"""RunWriter: the run folder, written by the one process that trains.

A failed write (disk full, read-only) does not end the run: it is reported to the recorder and retried, so that training waits
and no work is lost.
"""

import contextlib
import functools
import json
import os
import platform
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import filelock
from torch import Tensor

from gpt.config import table_version
from gpt.data.tokenizers.base import Tokenizer
from gpt.interpret.probes import Probes
from gpt.runs.locks import start_time
from gpt.runs.run import CONTROL_FILES, FORMAT, Run, RunError, check_command, damage_as_run_error
from gpt.runs.storage import (
    DamagedFile,
    append_line,
    bring_to_disk,
    join_tensors,
    load_tensors,
    moved_into_place,
    save_tensors,
    split_tensors,
    write_atomically,
)

N_SAVES = 2  # full saves that are kept: should the newest be damaged, the one before is used


def retried(write: Callable) -> Callable:
    """Decorator for a method that writes: a failed write is reported to `self.on_write_failure`, which waits or raises, then retried."""
    @functools.wraps(write)
    def retrying(self: "RunWriter", *args, **options) -> Any:
        waited = False
        while True:
            try:
                result = write(self, *args, **options)
            except OSError as error:
                if not self.path.exists():
                    raise RunError(f"the folder {self.path} vanished while the run trained: what it held is lost") from error
                self.on_write_failure(error)
                waited = True
            else:
                if waited:
                    self.on_write_failure(None)
                return result
    return retrying


class RunWriter(Run):
    """The folder of a run. A context manager that holds the folder's lock.

    `on_write_failure` is called with the OSError of each write that failed, before it is tried again, and with None when a retry has
    succeeded. By default it raises RunError.
    """

    def __init__(self, path: Path | str):
        super().__init__(path)
        self.on_write_failure: Callable[[OSError | None], None] = self._give_up
        self._lock = filelock.FileLock(self.path / ".lock")
        self._status: dict[str, Any] = {}

    def __enter__(self) -> "RunWriter":
        try:
            (self.path / "snapshots").mkdir(parents=True, exist_ok=True)
            self._lock.acquire(timeout=1)
            for left in (*CONTROL_FILES, "*.new", "*/*.new"):  # by a process that was killed, or that asked one that was
                for path in self.path.glob(left):
                    path.unlink()
        except filelock.Timeout:
            raise RunError(f"run {self.name} is already training in another process") from None
        except OSError as error:
            self._give_up(error)
        self._status = self._json("status.json") or {}
        return self

    def __exit__(self, *exc) -> None:
        self._lock.release()

    def discard(self) -> None:
        """Remove the folder of a run that never began."""
        shutil.rmtree(self.path, ignore_errors=True)

    def _give_up(self, error: OSError | None) -> None:
        raise RunError(f"the folder {self.path} cannot be written ({error.strerror}): make room there, allow writing, or choose another "
                       "with --checkpoints") from error

    # What the run is, and how it goes

    @retried
    def write_probes(self, probes: Probes) -> None:
        save_tensors(self.path / "probes.safetensors", probes.tensors(), {"kinds": probes.names} if probes.names else None)

    @retried
    def write_config(self, config: dict[str, Any], tokenizer: Tokenizer) -> None:
        """What the run is. Written before step 1."""
        with moved_into_place(self.path / "tokenizer.json") as new:
            tokenizer.save(new)
        self._put_config(config)

    @retried
    def change_config(self, config: dict[str, Any], steps: int) -> None:
        """Another CONFIG and number of steps, for a run that was extended or is resumed with changed settings."""
        self._put_config({**self.config(), "config": config, "steps": steps})

    def _put_config(self, config: dict[str, Any]) -> None:
        config = {**config, "format": FORMAT, "table_version": table_version()}
        write_atomically(self.path / "config.json", json.dumps(config, indent=1, ensure_ascii=False).encode())

    @retried
    def write_status(self, **changes: Any) -> None:
        self._put_status(changes)

    def try_to_write_status(self, **changes: Any) -> None:
        """write_status where the disk may refuse it, which then changes nothing."""
        with contextlib.suppress(OSError):
            self._put_status(changes)

    def _put_status(self, changes: dict[str, Any]) -> None:
        self._status |= {"pid": os.getpid(), "began": start_time(os.getpid()), "host": platform.node(), **changes}
        data, path = json.dumps(self._status).encode(), self.path / "status.json"
        try:
            write_atomically(path, data, durable=False)
        except OSError:  # on a full disk, a file may still be overwritten where it lies
            with open(path, "r+b") as file:
                file.write(data)
                file.truncate()

    @retried
    def append(self, row: dict[str, Any]) -> None:
        """Add one row to metrics.jsonl."""
        append_line(self.path / "metrics.jsonl", json.dumps(row, ensure_ascii=False, allow_nan=False).encode())

    @retried
    def cut_rows_after(self, step: int) -> None:
        """Forget rows past `step`: work that was lost when the process died and will be done again."""
        rows = [row for row in self.rows()[0] if row["step"] <= step]
        write_atomically(self.path / "metrics.jsonl", b"".join(json.dumps(row, ensure_ascii=False).encode() + b"\n" for row in rows))

    @retried
    def append_log(self, text: str) -> None:
        append_line(self.path / "log.txt", text.rstrip("\n").encode("utf-8", errors="replace"))

    def command(self) -> str | None:
        """The command that a reader gave since the last call, or None. A stop comes before any other."""
        aside = self.path / "control.taken.new"
        for name in CONTROL_FILES:
            with contextlib.suppress(OSError, RunError):
                os.replace(self.path / name, aside)  # what comes from now on is another command
                return check_command(aside.read_text())
        return None

    # What it has learned

    @retried
    def save_best(self, weights: dict[str, Tensor], step: int, val_loss: float) -> None:
        """best.safetensors, with the step and the loss that made them the best."""
        save_tensors(self._weights_path(None), weights, {"step": step, "val_loss": val_loss})

    @retried
    def save_snapshot(self, weights: dict[str, Tensor], step: int) -> None:
        """Snapshots are for inspection, so half precision is enough: it halves their size."""
        save_tensors(self._weights_path(step), {name: tensor.half() for name, tensor in weights.items()})

    def forget_snapshots_after(self, step: int) -> None:
        """Remove snapshots past `step`, of work that will be done again."""
        for later in self.snapshots():
            if later > step:
                self._weights_path(later).unlink()

    @retried
    def save_last(self, weights: dict[str, Tensor], trainer_state: dict[str, Any]) -> None:
        """last/: model, optimizers and position, enough to go on bit for bit. The save before is kept."""
        tensors: dict[str, Tensor] = {}
        state = split_tensors({"model": weights, "trainer": trainer_state}, "saved", tensors)
        (self.path / "last").mkdir(exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            bring_to_disk(self.path / "metrics.jsonl")  # a save must not reach the disk before the rows that led to it
        save_tensors(self.path / "last" / f"step-{trainer_state['step']:06d}.safetensors", tensors, state)
        for old in self.saves()[N_SAVES:]:
            old.unlink()

    def load_last(self) -> tuple[dict[str, Tensor], dict[str, Any], list[str]] | None:
        """(weights, trainer state, notes) of the newest save that is whole, or None if nothing was saved yet.

        Damaged saves newer than it are removed, with a note about each. Raises RunError if all are damaged.
        """
        notes, damaged = [], []
        for path in self.saves():
            try:
                tensors, state = load_tensors(path)
            except OSError as error:  # nothing says that it is damaged
                raise RunError(f"the save {path} cannot be read ({error.strerror or error}): allow reading it") from error
            except DamagedFile as error:
                damaged.append(path)
                notes.append(f"the save {path.name} is damaged ({error}): the one before it is used")
                continue
            with damage_as_run_error(path):
                saved = join_tensors(state, tensors)
                weights, trainer_state = saved["model"], saved["trainer"]
            for bad in damaged:
                bad.unlink()
            return weights, trainer_state, notes
        if damaged:
            raise RunError(f"all saves of run {self.name} are damaged: its best weights and snapshots can still be looked at, "
                           "but to train on, start a new run")
        return None
