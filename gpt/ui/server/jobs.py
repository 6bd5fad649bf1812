"""Training as a child process: the page starts it with the very command line it shows, and reads the run folder."""

import contextlib
import os
import shlex
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import filelock
import psutil

from gpt.config import as_flags, validate
from gpt.runs.run import FINAL_STATES, Run, RunError, check_command, check_name, damage_as_run_error, find_run, list_runs
from gpt.runs.session import machine_lock, no_lock
from gpt.runs.temporary import own_folder
from gpt.training.device import choose_device
from gpt.training.distributed import check_processes, usual_processes
from gpt.ui.server.access import Access, Caps
from gpt.ui.server.bases import base_of

WINDOWS = os.name == "nt"
PROJECT = Path(__file__).resolve().parents[3]  # the folder from which `python -m gpt.pretrain` runs
# Ctrl+C in the page's terminal is not for the child.
OWN_GROUP = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP} if WINDOWS else {"start_new_session": True}
PREFIX = "python -m gpt.pretrain: "  # of what it says before it ends
CHILD_ENVIRONMENT = {"PYTHONUNBUFFERED": "1", "PYTHONIOENCODING": "utf-8"}  # its last words go into a file, not to a terminal


def training_arguments(config: dict, preset: str, run: str, root: Path) -> list[str]:
    """The words after `python` that train `config` as `run`: what the form starts from, and flags for what differs from it. Raises
    UserError if that is a run which is not there."""
    base = base_of(root, preset)
    changes = as_flags({name: value for name, value in config.items() if value != base.config[name]})
    return ["-m", "gpt.pretrain", *base.words, *changes, "--run", run, *_root_flag(root)]


def resuming_arguments(run: str, root: Path) -> list[str]:
    return ["-m", "gpt.pretrain", "--run", run, "--resume", *_root_flag(root)]


def with_processes(words: list[str], processes: int) -> list[str]:
    """The words after `python` that let `processes` of gpt.pretrain train together (torchrun is this module). Without "--", torchrun would
    take --run for a flag of its own."""
    if processes == 1:
        return words
    return ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(processes), "-m", "--", *words[1:]]


def command_line(words: list[str]) -> str:
    """What a person types to do the same."""
    return shlex.join(["torchrun", *words[2:]] if words[1] == "torch.distributed.run" else ["python", *words])


def _root_flag(root: Path) -> list[str]:
    return [] if root.resolve() == PROJECT / "checkpoints" else ["--checkpoints", str(root)]


def launch_lock() -> filelock.FileLock:
    """Held by a server while its training process starts. That process acquires the machine's lock itself, but only after it has
    loaded Python and PyTorch; until then this lock keeps other servers from starting one too."""
    return filelock.FileLock(own_folder() / "launch.lock", thread_local=False)


class Jobs:
    """The one training process that this page may have, below the folder `root`; `access` says who may do what there."""

    def __init__(self, root: Path | str, caps: Caps | None = None, password: str | None = None):
        self.root = Path(root).resolve()
        self.access = Access(self.root, caps, password)
        self._lock = threading.Lock()
        self._closed = False
        self._child: subprocess.Popen | None = None
        self._name: str | None = None
        self._at_launch: dict[str, tuple] = {}  # what each run's status.json was when the process was started
        self._ended: dict[str, tuple] = {}  # the same of runs that have ended: a file that is still the same need not be read again
        self._stderr = tempfile.TemporaryFile(dir=own_folder())  # noqa: SIM115 - lives as long as the page

    def start(self, config: dict, preset: str, name: str, processes: int = 1) -> None:
        """Start a new run, trained by so many processes together. Raises UserError, and starts nothing, if it cannot be trained or
        something trains already."""
        validate(config)
        check_processes(processes, config["batch"], choose_device(config["device"]))
        self.check_idle()  # first: of two people who begin a run at once, both without a name, the second must not hear of a name
        self.check_free(name)
        self._launch(with_processes(training_arguments(config, preset, name, self.root), processes), name)

    def check_idle(self) -> None:
        """Raise RunError if something trains already."""
        if busy := self.running():
            raise RunError(f"run {busy} is training: wait for it, or stop it first")

    def check_free(self, name: str) -> None:
        """Raise RunError if `name` cannot name a run or names one already."""
        run = Run(self.root / check_name(name))
        if run.path.exists() and not run.never_began():
            raise RunError(f"there is a run {name} already: choose another name")

    def resume(self, name: str) -> None:
        """Go on with a run that was stopped. Raises UserError if it is finished, or something trains already."""
        run = find_run(self.root, name)
        run.check_unfinished()
        self._launch(with_processes(resuming_arguments(name, self.root), self._usual_for(run)), name)

    def extend(self, name: str, steps: int) -> None:
        """Train a run for `steps` more: the one that trains now, or one that has ended. Raises UserError if that cannot be."""
        run = find_run(self.root, name)
        status, command = run.status(), check_command(f"extend {steps}")
        if status["state"] not in FINAL_STATES:
            run.request(command)
            return
        run.check_format()
        if not run.saves():
            raise RunError(f"run {name} holds no save to go on from: it can be looked at, but not extended")
        words = [*resuming_arguments(name, self.root), "--max_steps", str(max(status["step"], status["steps"]) + steps)]
        self._launch(with_processes(words, self._usual_for(run)), name)

    def usual_processes(self, config: dict) -> int:
        """How many processes train `config` where nobody chooses: one where visitors train."""
        return 1 if self.access.caps else usual_processes(choose_device(config["device"]), config["batch"])

    def _usual_for(self, run: Run) -> int:
        """The same for a run that is resumed. If its CONFIG cannot be read, one process is enough to say so."""
        with contextlib.suppress(RunError), damage_as_run_error(run.path / "config.json"):
            return self.usual_processes(run.config()["config"])
        return 1

    def _launch(self, words: list[str], name: str) -> None:
        with self._lock:
            if self._closed:
                raise RunError("this page is ending: start it again with python demo.py")
            self.check_idle()
            lock = launch_lock()
            try:
                lock.acquire(timeout=1)  # of a process of ours that has just ended, it comes free in a moment
                machine_lock().acquire(timeout=0).lock.release()
            except filelock.Timeout:
                lock.release()
                raise RunError("another program is training on this machine: wait for it, or stop it first") from None
            except OSError as error:
                raise no_lock(error) from None
            try:
                self._stderr.seek(0)
                self._stderr.truncate()
                self._at_launch = {run.name: _fingerprint(run) for run in list_runs(self.root)}
                self._child = subprocess.Popen([sys.executable, *words], cwd=PROJECT, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                               stderr=self._stderr, **OWN_GROUP, env=os.environ | self._environment())
            except OSError as error:
                lock.release()
                raise RunError(f"the training process cannot be started ({error.strerror}): make room in memory and on the disk") from error
            self._name = name
            threading.Thread(target=self._release_when_begun, args=(lock,), daemon=True).start()

    def _environment(self) -> dict[str, str]:
        """What the child's environment has beside ours. For visitors, nothing is downloaded: a run that they name may be gone by then, and
        a published GPT-2 have the same name."""
        return CHILD_ENVIRONMENT | ({"HF_HUB_OFFLINE": "1"} if self.access.caps else {})

    def _release_when_begun(self, lock: filelock.BaseFileLock) -> None:
        while self.starting():
            time.sleep(0.05)
        lock.release()

    def running(self) -> str | None:
        """The name of the run that trains now, started here or elsewhere, or None."""
        if starting := self.starting():
            return starting
        return next((run.name for run in list_runs(self.root) if self.trains(run)), None)

    def trains(self, run: Run) -> bool:
        """Whether a process trains `run` now. A folder may hold hundreds of runs that have ended: only what changes is read again."""
        mark = _fingerprint(run)
        if self._ended.get(run.name) == mark:
            return False
        if trains := run.status()["state"] not in FINAL_STATES:
            self._ended.pop(run.name, None)
        else:
            self._ended[run.name] = mark
        return trains

    def child(self) -> str | None:
        """The name of the run whose process this page started and which is still alive, or None. It may not hold its folder's lock yet."""
        return self._name if self._child is not None and self._child.poll() is None else None

    def process(self) -> int | None:
        """The number of the process that this page has begun and still has, or None."""
        return self._child.pid if self.child() else None

    def starting(self) -> str | None:
        """The name of the run whose process lives, but has written nothing into its folder yet."""
        child = self._child
        if child is None or child.poll() is not None:
            return None
        has_written_status = _fingerprint(Run(self.root / self._name)) != self._at_launch.get(self._name, ())
        return None if has_written_status else self._name

    def failure(self) -> tuple[str, str] | None:
        """(name, last line of stderr) of a run whose process failed before it wrote its status, or None.

        The failure is forgotten as soon as the status.json of any run changes.
        """
        if self._child is None or not self._child.poll():
            return None
        if any(_fingerprint(run) != self._at_launch.get(run.name) for run in list_runs(self.root)):
            self._child = None
            return None
        self._stderr.seek(0)
        lines = self._stderr.read().decode(errors="replace").strip().splitlines()
        ours = [line.removeprefix(PREFIX) for line in lines if line.startswith(PREFIX)]  # torchrun adds a report of its own
        return self._name, (ours or lines or ["the training process ended without a word"])[-1]

    def close(self) -> None:
        """Let nothing be started any more, and end the child."""
        with self._lock:
            self._closed = True
        self.end_child()

    def detach(self) -> None:
        """Let nothing be started any more; the child trains on, and is found by the next page over this folder."""
        with self._lock:
            self._closed = True

    def end_child(self, seconds: float = 20) -> None:
        """Stop the child and wait until it has saved; end it at once if that takes longer than `seconds`."""
        if self._child is None or self._child.poll() is not None:
            return
        if WINDOWS and not self.starting():  # where terminate() would not let it save
            with contextlib.suppress(RunError):
                Run(self.root / self._name).request("stop")
        else:
            self._child.terminate()
        try:
            self._child.wait(seconds)
        except subprocess.TimeoutExpired:
            left = psutil.Process(self._child.pid).children(recursive=True)  # of torchrun, which passes no SIGKILL on
            self._child.kill()
            self._child.wait()
            for process in left:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
        self._child = None


def _fingerprint(run: Run) -> tuple:
    """A fingerprint of a run's status.json that changes with every write, even if the clock is set back. Empty if it was deleted."""
    try:
        about = (run.path / "status.json").stat()
    except FileNotFoundError:
        return ()
    return about.st_ino, about.st_mtime_ns, about.st_size
