"""Training as a child process: the page starts it with the very command line it shows, and reads the run folder."""

import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import filelock

from gpt.config import CONFIG, PRESETS, as_flags, validate
from gpt.device import choose_device
from gpt.run import FINAL_STATES, RunError, check_name, find_run, list_runs
from gpt.session import machine_lock
from gpt.ui.access import Access, Caps

PROJECT = Path(__file__).resolve().parents[2]  # the folder from which `python -m gpt.pretrain` runs


def training_words(config: dict, preset: str, run: str, root: Path) -> list[str]:
    """The words after `python` that train `config` as `run`: a preset, and flags for what differs from it."""
    base = PRESETS[preset].config if preset in PRESETS else CONFIG
    words = ["-m", "gpt.pretrain"] + (["--preset", preset] if preset in PRESETS else [])
    words += as_flags({name: value for name, value in config.items() if value != base[name]})
    return [*words, "--run", run, *_root_flag(root)]


def resuming_words(run: str, root: Path) -> list[str]:
    return ["-m", "gpt.pretrain", "--run", run, "--resume", *_root_flag(root)]


def _root_flag(root: Path) -> list[str]:
    return [] if root.resolve() == PROJECT / "checkpoints" else ["--checkpoints", str(root)]


class Jobs:
    """The one training process that this page may have, below the folder `root`; `access` says who may do what there."""

    def __init__(self, root: Path | str, caps: Caps | None = None, password: str | None = None):
        self.root = Path(root).resolve()
        self.access = Access(self.root, caps, password)
        self._lock = threading.Lock()
        self._child: subprocess.Popen | None = None
        self._name: str | None = None
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the page

    def start(self, config: dict, preset: str, name: str) -> None:
        """Start a new run. Raises UserError, and starts nothing, if it cannot be trained or something trains already."""
        validate(config)
        choose_device(config["device"])
        self.check_free(name)
        self._launch(training_words(config, preset, name, self.root), name)

    def check_free(self, name: str) -> None:
        """Raise RunError if `name` cannot name a run or names one already."""
        if (self.root / check_name(name)).exists():
            raise RunError(f"there is a run {name} already: choose another name")

    def resume(self, name: str) -> None:
        """Go on with a run that was stopped. Raises UserError if it is finished, or something trains already."""
        find_run(self.root, name).check_unfinished()
        self._launch(resuming_words(name, self.root), name)

    def _launch(self, words: list[str], name: str) -> None:
        with self._lock:
            if busy := self.running():
                raise RunError(f"run {busy} is training: wait for it, or stop it first")
            try:
                machine_lock().acquire(timeout=0).lock.release()
            except filelock.Timeout:
                raise RunError("another program is training on this machine: wait for it, or stop it first") from None
            self._stderr.seek(0)
            self._stderr.truncate()
            self._child = subprocess.Popen([sys.executable, *words], cwd=PROJECT, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                           stderr=self._stderr, start_new_session=True, env=os.environ | {"PYTHONUNBUFFERED": "1"})
            self._name, self._launched = name, time.time()

    def running(self) -> str | None:
        """The name of the run that trains now, started here or elsewhere, or None."""
        if self.starting():
            return self._name
        return next((run.name for run in list_runs(self.root) if run.status()["state"] not in FINAL_STATES), None)

    def child(self) -> str | None:
        """The name of the run whose process this page has begun and still has, or None. It may not hold its folder yet."""
        return self._name if self._child is not None and self._child.poll() is None else None

    def starting(self) -> str | None:
        """The name of the run whose process has begun, but has no folder yet."""
        began = self._child is not None and self._child.poll() is None and not (self.root / self._name / "status.json").exists()
        return self._name if began else None

    def failure(self) -> tuple[str, str] | None:
        """(name, what its process said last) of a run that ended before its folder could tell, or None.

        A run that has told something since, this one or another, is news: the failure is then forgotten.
        """
        if self._child is None or not self._child.poll():
            return None
        if any((run.path / "status.json").stat().st_mtime >= self._launched for run in list_runs(self.root)):
            self._child = None
            return None
        self._stderr.seek(0)
        lines = self._stderr.read().decode(errors="replace").strip().splitlines()
        return self._name, lines[-1].removeprefix("python -m gpt.pretrain: ") if lines else "the training process ended without a word"

    def close(self, seconds: float = 20) -> None:
        """Stop the child and wait until it has saved; end it if that takes longer than `seconds`."""
        if self._child is None or self._child.poll() is not None:
            return
        self._child.terminate()
        try:
            self._child.wait(seconds)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()
        self._child = None
