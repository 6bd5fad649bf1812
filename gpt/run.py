"""A run is a folder. The trainer's process writes it (RunWriter); the page, the command line and the tests read it (Run).

    config.json  tokenizer.json  metrics.jsonl  status.json  control  log.txt  snapshots/  best.safetensors  last/

Every file but metrics.jsonl and log.txt is written under another name and moved into place, so that a reader never sees
half a file. The writer holds a lock on the folder while it lives; that is how a reader knows a dead run from a live one.
"""

import contextlib
import json
import os
import re
import shutil
import struct
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import filelock
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save

from gpt.errors import UserError
from gpt.model import GPT2
from gpt.tokenizer import Tokenizer, load_tokenizer

DEFAULT_ROOT = "checkpoints"
FORMAT = 2  # of the folder, and of what a model does with its weights; in 1, queries and keys with qk_norm met on another scale
COMMANDS = ("pause", "resume", "stop", "snapshot")
FINAL_STATES = ("done", "stopped", "failed")
STATES = ("starting", "running", "pausing", "paused", "stopping", *FINAL_STATES)
_PROBE = threading.Lock()


class RunError(UserError):
    """A run that is not there, is damaged, or is in a state that does not allow what was asked."""


class Run:
    """One run folder, read. Nothing is kept in memory: each call reads what the folder says now."""

    def __init__(self, path: Path | str):
        self.path = Path(path)
        self.name = self.path.name

    def config(self) -> dict[str, Any]:
        """config.json: {"format", "config": CONFIG, "corpus", "tokenizer", "parameters", "steps", "device", "precision",
        "precision_reason", "versions", "created"}."""
        saved = self._json("config.json")
        if saved is None or not isinstance(saved.get("config"), dict):
            raise RunError(f"run {self.name} has no readable config.json: it is no run, or it is damaged")
        return saved

    def check_format(self) -> None:
        """Raise RunError if another version of this project made the run: its weights would mean something else here."""
        if self.config().get("format") != FORMAT:
            raise RunError(f"run {self.name} was made by another version of this project: look at it with that one, or train it again")

    def status(self) -> dict[str, Any]:
        """status.json; a run whose process is gone and whose state is not final reads as failed."""
        status = self._json("status.json") or {}
        if not _is_status(status):
            status = {"state": "failed", "step": 0, "steps": 0, "error": "status.json cannot be read"}
        if status["state"] not in FINAL_STATES and not self.is_alive():
            status |= {"state": "failed", "eta_seconds": None, "error": f"its process ended without a word at step {status['step']}"}
        return status

    def is_alive(self) -> bool:
        """Whether a process holds the folder's lock."""
        if not (self.path / ".lock").exists():
            return False
        with _PROBE:  # one prober at a time, or two would take each other for the run's process
            try:
                filelock.FileLock(self.path / ".lock").acquire(timeout=0).lock.release()
            except filelock.Timeout:
                return True
            return False

    def rows(self, cursor: int = 0) -> tuple[list[dict[str, Any]], int]:
        """The rows of metrics.jsonl from byte `cursor` on, and the cursor to go on from. A line still being written waits.

        A cursor that is no longer the beginning of a line (a resumed run forgets rows) starts anew from the first row.
        """
        try:
            with open(self.path / "metrics.jsonl", "rb") as file:
                file.seek(max(cursor - 1, 0))
                if cursor and file.read(1) != b"\n":
                    cursor = 0
                    file.seek(0)
                data = file.read()
        except FileNotFoundError:
            return [], cursor
        whole = data[:data.rfind(b"\n") + 1]
        return [row for line in whole.splitlines() if (row := _row(line))], cursor + len(whole)

    def snapshots(self) -> list[int]:
        """Steps whose weights were kept, in order."""
        return sorted(int(path.stem.removeprefix("step-")) for path in self.path.glob("snapshots/step-*.safetensors"))

    def weights(self, step: int | None = None) -> Path:
        """The file of the best weights, or of the snapshot at `step`. Raises RunError if there is none."""
        path = self._weights_path(step)
        if not path.exists():
            steps = ", ".join(map(str, self.snapshots())) or "none yet"
            raise RunError(f"run {self.name} has no {'weights' if step is None else f'snapshot at step {step}'}; its snapshots: {steps}")
        return path

    def log(self, n_lines: int = 20) -> str:
        """The last lines of log.txt."""
        with contextlib.suppress(FileNotFoundError):
            return "\n".join((self.path / "log.txt").read_text(encoding="utf-8", errors="replace").splitlines()[-n_lines:])
        return ""

    def ask(self, command: str) -> None:
        """Ask the run's process to pause, resume, stop, or snapshot. Raises RunError if there is no process to ask."""
        if command not in COMMANDS:
            raise RunError(f"{command!r} is no command: use one of {', '.join(COMMANDS)}")
        if not self.is_alive():
            raise RunError(f"run {self.name} is not running, so it cannot {command}")
        write_atomically(self.path / "control", command.encode())

    def delete(self) -> None:
        """Remove the folder. Raises RunError if its process lives."""
        if self.is_alive():
            raise RunError(f"run {self.name} is still training: stop it first")
        shutil.rmtree(self.path)

    def check_unfinished(self) -> None:
        """Raise RunError if there is nothing left to resume."""
        if self.status()["state"] == "done":
            raise RunError(f"run {self.name} is finished: there is nothing left to resume")

    def _weights_path(self, step: int | None) -> Path:
        return self.path / ("best.safetensors" if step is None else f"snapshots/step-{step:06d}.safetensors")

    def _json(self, name: str) -> dict[str, Any] | None:
        try:
            found = json.loads((self.path / name).read_text(encoding="utf-8"))
        except (FileNotFoundError, NotADirectoryError, json.JSONDecodeError, UnicodeDecodeError):
            return None
        return found if isinstance(found, dict) else None


class RunWriter(Run):
    """The same folder, in the hands of the one process that trains. A context manager that holds the folder's lock."""

    def __init__(self, path: Path | str):
        super().__init__(path)
        self._lock = filelock.FileLock(self.path / ".lock")
        self._status: dict[str, Any] = {}

    def __enter__(self) -> "RunWriter":
        try:
            (self.path / "snapshots").mkdir(parents=True, exist_ok=True)
            self._lock.acquire(timeout=1)
        except filelock.Timeout:
            raise RunError(f"run {self.name} is already training in another process") from None
        except OSError as error:
            raise RunError(f"the folder {self.path} cannot be written ({error.strerror}): choose another with --checkpoints") from None
        (self.path / "control").unlink(missing_ok=True)
        self._status = self._json("status.json") or {}
        return self

    def __exit__(self, *exc) -> None:
        self._lock.release()

    def discard(self) -> None:
        """Remove the folder of a run that never began."""
        shutil.rmtree(self.path)

    def write_config(self, config: dict[str, Any], tokenizer: Tokenizer) -> None:
        """What the run is. Written once, before step 1."""
        tokenizer.save(self.path / "tokenizer.json.new")
        os.replace(self.path / "tokenizer.json.new", self.path / "tokenizer.json")
        write_atomically(self.path / "config.json", json.dumps({"format": FORMAT, **config}, indent=1, ensure_ascii=False).encode())

    def write_status(self, **changes: Any) -> None:
        self._status |= {"pid": os.getpid(), **changes}
        write_atomically(self.path / "status.json", json.dumps(self._status).encode())

    def append(self, row: dict[str, Any]) -> None:
        """Add one row to metrics.jsonl."""
        with open(self.path / "metrics.jsonl", "ab") as file:
            file.write(json.dumps(row, ensure_ascii=False, allow_nan=False).encode() + b"\n")

    def cut_rows_after(self, step: int) -> None:
        """Forget rows past `step`: work that was lost when the process died and will be done again."""
        kept = [row for row in self.rows()[0] if row["step"] <= step]
        write_atomically(self.path / "metrics.jsonl", b"".join(json.dumps(row, ensure_ascii=False).encode() + b"\n" for row in kept))

    def append_log(self, text: str) -> None:
        with open(self.path / "log.txt", "a", encoding="utf-8") as file:
            file.write(text.rstrip("\n") + "\n")

    def command(self) -> str | None:
        """What a reader asked for since the last call, or None."""
        try:
            command = (self.path / "control").read_text()
            (self.path / "control").unlink()
        except FileNotFoundError:
            return None
        return command if command in COMMANDS else None

    def save_weights(self, model: GPT2, step: int | None = None) -> None:
        """best.safetensors, or a snapshot. Snapshots are for looking, so half precision is enough: it halves their size."""
        state = model.state_dict()
        if step is not None:
            state = {name: tensor.half() for name, tensor in state.items()}
        _save_tensors(self._weights_path(step), state)

    def save_last(self, model: GPT2, trainer_state: dict[str, Any]) -> None:
        """last/: model, optimizers, generators and position, enough to go on bit for bit."""
        new, last, old = (self.path / name for name in ("last.new", "last", "last.old"))
        for folder in (new, old):
            shutil.rmtree(folder, ignore_errors=True)
        new.mkdir()
        _save_tensors(new / "model.safetensors", model.state_dict())
        tensors: dict[str, torch.Tensor] = {}
        plain = _split_tensors(trainer_state, "", tensors)
        _save_tensors(new / "trainer.safetensors", tensors)
        write_atomically(new / "trainer.json", json.dumps(plain).encode())
        if last.exists():
            last.rename(old)
        new.rename(last)
        shutil.rmtree(old, ignore_errors=True)

    def load_last(self) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
        """(weights, trainer state) of the last save. Raises RunError if there is none or it is damaged."""
        last = next((folder for name in ("last", "last.old") if (folder := self.path / name).exists()), None)
        if last is None:
            raise RunError(f"run {self.name} was never saved while training, so it cannot be resumed: start a new one")
        with damage_is_told(last):
            weights = load_file(last / "model.safetensors")
            plain = json.loads((last / "trainer.json").read_text())
            return weights, _join_tensors(plain, load_file(last / "trainer.safetensors"))


def list_runs(root: Path | str) -> list[Run]:
    """All runs below `root`, newest first."""
    runs = [Run(path.parent) for path in Path(root).glob("*/status.json")]
    return sorted(runs, key=lambda run: (run.path / "status.json").stat().st_mtime, reverse=True)


def check_name(name: str) -> str:
    """Return `name` if it can name a run: letters, digits, dot, dash, underscore; no path. Raises RunError."""
    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,63}", name):
        raise RunError(f"{str(name)[:64]!r} cannot name a run: use up to 64 letters, digits, dots, dashes and underscores, no path")
    return name


def find_run(root: Path | str, name: str) -> Run:
    """The run `name` below `root`. Raises RunError if the name is none or there is no such run."""
    run = Run(Path(root) / check_name(name))
    if not (run.path / "status.json").exists():
        names = ", ".join(sorted(other.name for other in list_runs(root))[:10]) or "none yet"
        raise RunError(f"there is no run {name} in {root}; there are: {names}")
    return run


def new_name(root: Path | str, corpus: str) -> str:
    """The first of stem-1, stem-2, ... that no run has, with the stem of the text's name."""
    stem = re.sub(r"[^A-Za-z0-9._-]+", "-", Path(corpus).stem).strip("-.")[:48] or "run"
    return next(name for i in range(1, 10**6) if not (Path(root) / (name := f"{stem}-{i}")).exists())


def load_run(path: Path | str, step: int | None = None, device: str = "cpu") -> tuple[GPT2, Tokenizer]:
    """The model (in evaluation mode) and tokenizer of a run: its best weights, or those of the snapshot at `step`.

    Raises RunError if there are none or they are damaged.
    """
    run = Run(path)
    saved = run.config()
    run.check_format()
    weights = run.weights(step)
    with damage_is_told(weights):
        model = GPT2(saved["config"])
        model.load_state_dict(load_file(weights, device=device))
    return model.to(device).float().eval(), load_matching_tokenizer(run, model.vocab_size)


def load_matching_tokenizer(run: Run, vocab_size: int) -> Tokenizer:
    """The tokenizer of a run. Raises RunError if it has not the number of tokens that the run's model has."""
    tokenizer = load_tokenizer(run.path / "tokenizer.json")
    if tokenizer.n_vocab != vocab_size:
        raise RunError(f"the tokenizer.json of run {run.name} has {tokenizer.n_vocab} tokens and its model {vocab_size}: "
                       "one of them belongs to another run")
    return tokenizer


def write_atomically(path: Path, data: bytes) -> None:
    """Write under another name, then move into place: a reader sees the old file or the new one, never half of one."""
    new = path.with_name(path.name + ".new")
    new.write_bytes(data)
    os.replace(new, path)


def _row(line: bytes) -> dict[str, Any] | None:
    """The row that a line of metrics.jsonl holds, or None for a line that a power cut or a hand has damaged."""
    try:
        row = json.loads(line)
    except ValueError:
        return None
    return row if isinstance(row, dict) and isinstance(row.get("step"), int) else None


def _is_status(status: dict[str, Any]) -> bool:
    """Whether what status.json holds can be shown: a state that exists, whole steps, and numbers or nothing for the rest."""
    rest = ("progress", "seconds", "eta_seconds", "loss", "val_loss", "bits_per_byte", "best_val_loss", "tokens_per_second")
    return (status.get("state") in STATES and all(isinstance(status.get(name), int) for name in ("step", "steps"))
            and all(isinstance(status.get(name), (int, float, type(None))) for name in rest))


@contextlib.contextmanager
def damage_is_told(path: Path) -> Iterator[None]:
    """What goes wrong inside while `path` is read becomes a RunError that says it is damaged."""
    try:
        yield
    except (SafetensorError, OSError, LookupError, RuntimeError, TypeError, ValueError, struct.error) as error:
        raise RunError(f"{path} is damaged or belongs to another CONFIG ({type(error).__name__}): "
                       f"{' '.join(str(error).split())[:200]}") from error


def _save_tensors(path: Path, tensors: dict[str, torch.Tensor]) -> None:
    write_atomically(path, save({name: tensor.contiguous() for name, tensor in tensors.items()}))


def _split_tensors(value: Any, name: str, tensors: dict[str, torch.Tensor]) -> Any:
    """Copy a nested state, moving each tensor into `tensors` and leaving {"tensor": its name} in its place."""
    if isinstance(value, torch.Tensor):
        tensors[name] = value
        return {"tensor": name}
    if isinstance(value, dict):
        return {"items": [[key, _split_tensors(item, f"{name}.{key}", tensors)] for key, item in value.items()]}
    if isinstance(value, (list, tuple)):
        return [_split_tensors(item, f"{name}.{i}", tensors) for i, item in enumerate(value)]
    return value


def _join_tensors(value: Any, tensors: dict[str, torch.Tensor]) -> Any:
    """The inverse of _split_tensors."""
    if isinstance(value, dict):
        if "tensor" in value:
            return tensors[value["tensor"]]
        return {key: _join_tensors(item, tensors) for key, item in value["items"]}
    return [_join_tensors(item, tensors) for item in value] if isinstance(value, list) else value
