"""A run is a folder. The trainer's process writes it (gpt/runs/writer.py); the page, the command line and the tests read it (Run).

    config.json  tokenizer.json  probes.safetensors  metrics.jsonl  status.json  control  log.txt  snapshots/  best.safetensors  last/

Every file but metrics.jsonl and log.txt is written under another name and moved into place, so that a reader never sees
half a file. The writer holds a lock on the folder as long as it is alive; so a reader can tell a dead run from a live one.
"""

import contextlib
import json
import os
import platform
import re
import shutil
import struct
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
from torch import Tensor

from gpt.config import with_missing_defaults
from gpt.data.tokenizers.base import Tokenizer
from gpt.data.tokenizers.table import load_tokenizer
from gpt.errors import UserError
from gpt.interpret.probes import Probes
from gpt.model.gpt2 import GPT2
from gpt.runs.locks import is_held, same_process, start_time
from gpt.runs.storage import load_tensors, replace, write_atomically
from gpt.training.device import enough_memory, ran_out_of_memory
from gpt.training.distributed import lost_contact

DEFAULT_ROOT = "checkpoints"
FORMAT = 3  # of the folder, and of what a model does with its weights
FILES_BEFORE_CONFIG = {".lock", "snapshots", "status.json", "tokenizer.json", "probes.safetensors", "log.txt"}
COMMANDS = ("pause", "resume", "stop", "snapshot")  # and "extend N"
CONTROL_FILES = ("stop", "control")  # in which they come: a stop has its own, so that no other command can take its place
FINAL_STATES = ("done", "stopped", "failed")
STATES = ("starting", "running", "pausing", "paused", "stopping", *FINAL_STATES)


class RunError(UserError):
    """A run that is not there, is damaged, or is in a state that does not allow what was requested."""


class Run:
    """Reads one run folder. Nothing is cached: each call reads the files as they are now."""

    def __init__(self, path: Path | str):
        self.path = Path(path)
        self.name = self.path.name

    def config(self) -> dict[str, Any]:
        """config.json: {"format", "config": CONFIG, "corpus", "tokenizer", "parameters", "steps", "device", "precision",
        "precision_reason", "versions", "created", "table_version"}. A setting that did not exist when it was written has its default; one
        that is missing for another reason stays missing, and the check of the CONFIG reports it."""
        saved = self._json("config.json")
        if saved is None or not isinstance(saved.get("config"), dict):
            raise RunError(f"run {self.name} has no readable config.json: it is no run, or it is damaged")
        version = saved.get("table_version", 1)
        return {**saved, "config": with_missing_defaults(saved["config"], version if isinstance(version, int) else 1)}

    def never_began(self) -> bool:
        """Whether the training process ended before it wrote config.json. False if the folder contains any unexpected file."""
        names = {path.name for path in self.path.glob("*") if path.suffix != ".new"}
        return self.path.is_dir() and names <= FILES_BEFORE_CONFIG and not self.is_alive()

    def check_format(self) -> None:
        """Raise RunError if another version of this project wrote the run, in a format that this one cannot read."""
        version = self.config().get("format")
        if version != FORMAT:
            author = "another version of this project" if isinstance(version, int) else "something else"
            raise RunError(f"run {self.name} has format {version}, written by {author}; this version reads format {FORMAT}: "
                           "inspect it with that version, or train it again")

    def status(self) -> dict[str, Any]:
        """status.json; a run whose process is gone and whose state is not final reads as failed."""
        status = self._json("status.json") or self._json("status.json") or {}  # on a full disk it is overwritten where it lies
        if not _is_status(status):
            status = {"state": "failed", "step": 0, "steps": 0, "error": "status.json cannot be read"}
        if status["state"] not in FINAL_STATES and not self.is_alive():
            last = self._json("status.json") or {}  # it may have ended after we read, and before we checked the lock
            if _is_status(last) and last["state"] in FINAL_STATES:
                return last
            status |= {"state": "failed", "eta_seconds": None, "error": self._sudden_end(status["step"])}
        return status

    def _sudden_end(self, step: int) -> str:
        """Why a process may have ended that could not write it itself."""
        if not (self.path / "config.json").exists():
            return ("its process ended before the first step: it was killed, the machine went down, or memory ran out; begin it again, in "
                    "the last case with a shorter text, or a lower batch or n_layers")
        resuming = f"goes on from step {self.saved_step()}" if self.saves() else "begins again, since nothing was saved yet"
        return (f"its process ended without a word at step {step}: it was killed, the machine went down, or memory ran out (then start a "
                f"new run with a lower batch or context_length); resuming it {resuming}")

    def is_alive(self) -> bool:
        """Whether a process holds the folder's lock."""
        return is_held(self.path / ".lock")

    def rows(self, cursor: int = 0) -> tuple[list[dict[str, Any]], int]:
        """The rows of metrics.jsonl from byte `cursor` on, and the cursor for the next call. An incomplete last line is left for that call.

        If the cursor is no longer the start of a line (a resumed run removes rows), reading starts again at the first row.
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
        return sorted(step_of(path) for path in self.path.glob("snapshots/step-*.safetensors"))

    def saves(self) -> list[Path]:
        """Files with all that is needed to train on, newest first."""
        return sorted(self.path.glob("last/step-*.safetensors"), key=step_of, reverse=True)

    def saved_step(self) -> int:
        """The step from which the run goes on when it is resumed: that of its newest save, or 0, the beginning."""
        return next(map(step_of, self.saves()), 0)

    def weights(self, step: int | None = None) -> Path:
        """The file of the best weights, or of the snapshot at `step`. Raises RunError if there is none."""
        path = self._weights_path(step)
        if not path.exists():
            steps = ", ".join(map(str, self.snapshots())) or "none yet"
            raise RunError(f"run {self.name} has no {'weights' if step is None else f'snapshot at step {step}'}; its snapshots: {steps}")
        return path

    def probes(self) -> Probes:
        """The sequences on which its heads are tried. Raises RunError if there are none, or damaged ones."""
        path = self.path / "probes.safetensors"
        if not path.exists():
            raise RunError(f"run {self.name} was trained before heads were scored and keeps no text to try them on: train it again")
        with damage_as_run_error(path):
            tensors, about = load_tensors(path)
            return Probes.from_tensors(tensors, about and about["kinds"])

    def log(self, n_lines: int = 20) -> str:
        """The last lines of log.txt."""
        with contextlib.suppress(FileNotFoundError):
            return "\n".join((self.path / "log.txt").read_text(encoding="utf-8", errors="replace").splitlines()[-n_lines:])
        return ""

    def request(self, command: str) -> None:
        """Request pause, resume, stop, snapshot or extend N (steps) of the run's process. Raises RunError if none is alive."""
        check_command(command)
        if not self.is_alive():
            raise RunError(f"run {self.name} is not running, so it cannot {command}")
        try:
            write_atomically(self.path / ("stop" if command == "stop" else "control"), command.encode())
        except OSError as error:
            raise RunError(f"run {self.name} cannot be asked to {command}, since its folder cannot be written ({error.strerror}): "
                           "make room there, or end it with Ctrl+C or stop-now") from error

    def stop_now(self) -> None:
        """End the process at once; what it learned since its last save is lost. Raises RunError if it does not run on this machine."""
        status = self._json("status.json") or {}
        if status.get("state") in FINAL_STATES or not self.is_alive():
            raise RunError(f"run {self.name} is not running, so it cannot be stopped")
        if status.get("host") != platform.node() or not isinstance(status.get("pid"), int):
            raise RunError(f"run {self.name} trains on another machine ({status.get('host')}): stop it there")
        pid = status["pid"]
        if not same_process((pid, status.get("began")), (pid, start_time(pid))):
            raise RunError(f"run {self.name} is just starting: try again in a moment")
        with contextlib.suppress(psutil.NoSuchProcess):
            psutil.Process(pid).kill()
        deadline = time.monotonic() + 10
        while self.is_alive():
            if time.monotonic() > deadline:
                raise RunError(f"run {self.name} does not end: its process is {status['pid']}")
            time.sleep(0.01)
        status |= {"state": "stopped", "eta_seconds": None,
                   "error": f"stopped at once at step {status.get('step', 0)}; it goes on from step {self.saved_step()}"}
        with contextlib.suppress(OSError):  # without it, the run reads as one that has failed
            write_atomically(self.path / "status.json", json.dumps(status).encode())

    def delete(self) -> None:
        """Remove the folder. Raises RunError if its process is alive, FileNotFoundError if somebody else has just removed it."""
        if self.is_alive():
            raise RunError(f"run {self.name} is still training: stop it first")
        aside = self.path.with_name(f".{self.name}.{os.getpid()}-{threading.get_ident()}.deleted")
        replace(self.path, aside)  # one atomic step: a process that starts to train it finds no folder, never half of one
        try:
            shutil.rmtree(aside)
        except OSError:
            replace(aside, self.path)
            raise

    def check_unfinished(self) -> None:
        """Raise RunError if there is nothing left to resume."""
        if self.status()["state"] == "done":
            raise RunError(f"run {self.name} is finished: extend it, with --max_steps above {self.status()['steps']}, or start a new one")

    def _weights_path(self, step: int | None) -> Path:
        return self.path / ("best.safetensors" if step is None else f"snapshots/step-{step:06d}.safetensors")

    def _json(self, name: str) -> dict[str, Any] | None:
        try:
            value = json.loads((self.path / name).read_text(encoding="utf-8"))
        except (FileNotFoundError, NotADirectoryError, PermissionError, json.JSONDecodeError, UnicodeDecodeError):
            return None
        return value if isinstance(value, dict) else None


def list_runs(root: Path | str) -> list[Run]:
    """All runs below `root`, newest first."""
    modified = {}
    for path in Path(root).glob("*/status.json"):
        with contextlib.suppress(FileNotFoundError, PermissionError):  # deleted meanwhile, or another user's
            if not path.parent.name.startswith("."):
                modified[path.parent] = path.stat().st_mtime
    return [Run(path) for path in sorted(modified, key=modified.get, reverse=True)]


def check_name(name: str) -> str:
    """Return `name` if it can name a run on any system: letters, digits, dot, dash, underscore; no path, and none of the names that
    Windows keeps for devices or cannot keep (a dot at the end). Raises RunError."""
    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,63}", name):
        raise RunError(f"{str(name)[:64]!r} cannot name a run: use up to 64 letters, digits, dots, dashes and underscores, no path")
    if name.endswith(".") or re.fullmatch(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", name, re.IGNORECASE):
        raise RunError(f"{name!r} cannot name a run: Windows could not keep a folder of that name, choose another")
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

    Raises RunError if there are none or they are damaged, UserError if they do not fit into memory.
    """
    run = Run(path)
    run.check_format()
    with enough_memory("close other programs, or look at a smaller run"):
        weights = load_weights(run, step)
        with damage_as_run_error(run.weights(step)):
            model = GPT2(run.config()["config"])
            model.load_state_dict(weights)
    return model.to(device).float().eval(), load_matching_tokenizer(run, model.vocab_size)


def load_weights(run: Run, step: int | None = None) -> dict[str, Tensor]:
    """The best weights, or those of the snapshot at `step`, by parameter. Raises RunError if there are none or they are damaged."""
    path = run.weights(step)
    with damage_as_run_error(path):
        return load_tensors(path)[0]


def load_best(run: Run) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The best weights by parameter, and {"step", "val_loss"}: whose they are. Raises RunError if there are none, or damaged ones."""
    path = run.weights()
    with damage_as_run_error(path):
        weights, about = load_tensors(path)
        return weights, {"step": about["step"], "val_loss": about["val_loss"]}


def load_matching_tokenizer(run: Run, vocab_size: int) -> Tokenizer:
    """The tokenizer of a run. Raises RunError if it has not the number of tokens that the run's model has."""
    tokenizer = load_tokenizer(run.path / "tokenizer.json")
    if tokenizer.n_vocab != vocab_size:
        raise RunError(f"the tokenizer.json of run {run.name} has {tokenizer.n_vocab} tokens and its model {vocab_size}: "
                       "one of them belongs to another run")
    return tokenizer


def check_command(command: str) -> str:
    """Return `command` if a run understands it. Raises RunError."""
    if command in COMMANDS or (isinstance(command, str) and re.fullmatch(r"extend [1-9][0-9]{0,8}", command)):
        return command
    raise RunError(f"{str(command)[:40]!r} is no command: use one of {', '.join(COMMANDS)}, extend N")


def step_of(path: Path) -> int:
    """The step in the name of a snapshot or a save."""
    return int(path.stem.removeprefix("step-"))


def _row(line: bytes) -> dict[str, Any] | None:
    """The row that a line of metrics.jsonl holds, or None for a line that a power cut or a hand has damaged."""
    try:
        row = json.loads(line)
    except ValueError:
        return None
    return row if isinstance(row, dict) and isinstance(row.get("step"), int) else None


def _is_status(status: dict[str, Any]) -> bool:
    """Whether what status.json holds can be shown: a state that exists, whole steps, and numbers or nothing for the rest."""
    rest = ("progress", "seconds", "eta_seconds", "loss", "val_loss", "bits_per_byte", "best_val_loss", "tokens_per_second", "to_perfect",
            "accuracy")
    return (status.get("state") in STATES and all(isinstance(status.get(name), int) for name in ("step", "steps"))
            and all(isinstance(status.get(name), (int, float, type(None))) for name in rest))


@contextlib.contextmanager
def damage_as_run_error(path: Path) -> Iterator[None]:
    """Turn an error while `path` is read into a RunError that says what is wrong: it may not be read, or it is damaged."""
    try:
        yield
    except OSError as error:
        raise RunError(f"{path} cannot be read ({error.strerror or error})") from error
    except (LookupError, RuntimeError, TypeError, ValueError, struct.error) as error:
        if ran_out_of_memory(error) or lost_contact(error):
            raise
        raise RunError(f"{path} is damaged or belongs to another CONFIG ({type(error).__name__}): "
                       f"{' '.join(str(error).split())[:200]}") from error
