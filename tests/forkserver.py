"""A fork server: one process that has imported PyTorch, Gradio and this project forks those that would import them anew.

`python demo.py` and `python -m gpt.pretrain` need seconds for their imports, and the tests start dozens of them. A fork of a process that
has them already begins in hundredths. It runs the same modules as `__main__`, with arguments, environment, folder and files of its own.
The few tests that are about starting itself start the real commands.

The idea is that of `multiprocessing`'s fork server. That one runs functions; this one runs commands, with a `Popen` to hold on to. It needs
Linux, whose sockets keep the bounds of messages; elsewhere every command starts by itself.
"""

import atexit
import contextlib
import importlib
import json
import os
import runpy
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import types
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn

import torch

import gpt.training.device
import gpt.ui.server.jobs

PROJECT = Path(__file__).resolve().parents[1]
ADDRESS = "GPT_TESTS_FORK_SERVER"  # a variable of the environment: the socket at which the fork server listens
GAIN = "GPT_TESTS_BFLOAT16_GAIN"  # another: what is to be taken for measured by `bfloat16_gain`, for which see replace_bfloat16_gain
SECONDS_TO_BEGIN = 120
LARGEST_REQUEST = 150_000  # bytes: a command with its environment in one packet
# What those commands import. They themselves are run, not imported; PyTorch imports torch._dynamo at a process's first optimizer step.
IMPORTED = ("torch", "torch._dynamo", "demo", "gpt.runs.session", "gpt.cli", "tqdm", "tests.reliability.faults", "tests.reliability.inputs",
            "tests.reliability.kills", "tests.reliability.report", "tests.reliability.watching", "gpt.training.data_parallel")
FORKED = (["demo.py"], ["-m", "gpt.pretrain"], ["-m", "tests.reliability"])  # beginnings of commands that are worth a fork


def replace_bfloat16_gain(gain: float | str | None) -> None:
    """Let precision=auto decide in this process as on a CPU that multiplies bfloat16 `gain` times faster than float32; None: as it is."""
    if gain is not None:
        gpt.training.device.bfloat16_gain = lambda: float(gain)


def is_forked(words: Sequence[str], env: dict[str, str] | None) -> bool:
    """Whether there is a fork server, in the environment `env` or this process's own, for the command `words`."""
    python, *command = map(str, words)
    return ADDRESS in (os.environ if env is None else env) and python == sys.executable and any(
        command[:len(known)] == known for known in FORKED)


def popen(words: Sequence[str], *rest: Any, **options: Any) -> Any:
    """subprocess.Popen, or where there is a fork server for `words`, a Popen of it."""
    return Popen(words, **options) if is_forked(words, options.get("env")) else subprocess.Popen(words, *rest, **options)


class Popen:
    """As much of subprocess.Popen as is needed here, for a process that the fork server forks. Raises OSError if there is none."""

    def __init__(self, words: Sequence[str], *, cwd: Path | str = PROJECT, env: dict[str, str] | None = None, stdin: Any = None,
                 stdout: Any = None, stderr: Any = None, start_new_session: bool = False):
        self.args, self.returncode = list(map(str, words)), None
        env = dict(os.environ if env is None else env)
        request = {"words": self.args[1:], "cwd": str(cwd), "env": env, "new_session": start_new_session}
        self._waiting = threading.Lock()
        self._connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2 * LARGEST_REQUEST)
        self._connect(env[ADDRESS])
        with contextlib.ExitStack() as files:
            out = _descriptor(stdout, 1, files)
            descriptors = [_descriptor(stdin, 0, files), out, out if stderr == subprocess.STDOUT else _descriptor(stderr, 2, files)]
            socket.send_fds(self._connection, [json.dumps(request).encode()], descriptors)
            self.pid = int(self._connection.recv(64))

    def _connect(self, address: str) -> None:
        deadline = time.monotonic() + SECONDS_TO_BEGIN
        while True:
            try:
                self._connection.connect(address)
                return
            except (FileNotFoundError, ConnectionRefusedError):  # it is still importing
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)

    def poll(self) -> int | None:
        """The exit code, as subprocess has it: -9 for SIGKILL. None while the process lives."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the exit code. Raises subprocess.TimeoutExpired."""
        with self._waiting:
            if self.returncode is None:
                self._connection.settimeout(timeout)
                try:
                    told = self._connection.recv(64)
                except (TimeoutError, BlockingIOError):
                    raise subprocess.TimeoutExpired(self.args, timeout) from None
                self.returncode = int(told) if told else -signal.SIGKILL  # nothing comes if the fork server itself has ended
                self._connection.close()
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def _descriptor(file: Any, standard: int, files: contextlib.ExitStack) -> int:
    """What a child's standard file number `standard` shall be, of what subprocess.Popen takes: None, DEVNULL, a file or its number."""
    if file is None:
        return standard
    if file == subprocess.DEVNULL:
        return files.enter_context(open(os.devnull, "r+b")).fileno()
    return file if isinstance(file, int) else file.fileno()


@contextlib.contextmanager
def fork_server() -> Iterator[None]:
    """While this lasts, there is a fork server; its address lies in the environment. It is not waited for: who asks it for a process first
    may have to wait until it has imported everything. At the end it ends all that it has forked."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ[ADDRESS] = str(Path(folder) / "fork-server")
        server = subprocess.Popen([sys.executable, "-m", "tests.forkserver"], cwd=PROJECT, stdin=subprocess.PIPE)
        try:
            yield
        finally:
            os.environ.pop(ADDRESS)
            server.stdin.close()  # which tells it that nobody needs it any more
            server.wait(60)


class Server:
    """The other side: forks what is asked for, and tells each that asked when its process has ended, and how."""

    def __init__(self, address: str):
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2 * LARGEST_REQUEST)
        self.listener.bind(address)
        self.listener.listen(64)
        self.children: dict[int, socket.socket] = {}
        woken, waker = os.pipe()
        os.set_blocking(woken, False)
        os.set_blocking(waker, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
        self.woken = woken

    def serve(self) -> None:
        """Until the standard input ends."""
        with selectors.DefaultSelector() as selector:
            for file in (sys.stdin.fileno(), self.listener, self.woken):
                selector.register(file, selectors.EVENT_READ)
            while True:
                ready = [key.fileobj for key, _ in selector.select()]
                if self.woken in ready:
                    os.read(self.woken, 4096)
                    self.reap()
                if self.listener in ready:
                    self.fork()
                if sys.stdin.fileno() in ready:
                    break
        for pid in self.children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def reap(self) -> None:
        """Tell of every child that has ended."""
        while self.children:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if not pid:
                return
            connection = self.children.pop(pid)
            with contextlib.suppress(OSError):  # whoever asked for it may have ended before
                connection.send(str(os.waitstatus_to_exitcode(status)).encode())
            connection.close()

    def fork(self) -> None:
        connection, _ = self.listener.accept()
        data, descriptors, _, _ = socket.recv_fds(connection, LARGEST_REQUEST, 3)
        if not data:  # whoever asked has ended already
            connection.close()
            return
        pid = os.fork()
        if not pid:
            connection.close()
            self.become(json.loads(data), descriptors)
        for descriptor in descriptors:
            os.close(descriptor)
        self.children[pid] = connection
        with contextlib.suppress(OSError):
            connection.send(str(pid).encode())

    def become(self, request: dict[str, Any], descriptors: list[int]) -> NoReturn:
        """The process that was asked for, from its beginning to its end."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        self.listener.close()
        for connection in self.children.values():
            connection.close()
        if request["new_session"]:
            os.setsid()
        for standard, descriptor in enumerate(descriptors):
            os.dup2(descriptor, standard)
        os.environ.clear()
        os.environ.update(request["env"])
        os.chdir(request["cwd"])
        tempfile.tempdir = None
        for file in (sys.stdout, sys.stderr):
            file.reconfigure(line_buffering=True)
        code = 1
        try:
            run(request["words"])
            code = 0
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else int(end.code is not None)
        except BaseException:
            traceback.print_exc()
        with contextlib.suppress(BaseException):
            threading._shutdown()  # as at the end of every Python process: wait for its threads, then say goodbye
            atexit._run_exitfuncs()
            sys.stdout.flush()
        os._exit(code)


def forking_subprocess() -> types.SimpleNamespace:
    """The module subprocess, with a Popen that forks what is worth it."""
    return types.SimpleNamespace(**{**vars(subprocess), "Popen": popen})


def run(words: list[str]) -> None:
    """What `python` with these words does; what it starts itself is forked too."""
    if "OMP_NUM_THREADS" in os.environ:  # read by PyTorch when it was imported, by the fork server
        torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    gpt.ui.server.jobs.subprocess = forking_subprocess()
    if words[0] == "-m":
        sys.argv = words[1:]
        runpy.run_module(words[1], run_name="__main__", alter_sys=True)
    else:
        sys.argv = words
        runpy.run_path(words[0], run_name="__main__")


def main() -> None:
    for name in IMPORTED:
        importlib.import_module(name)
    torch.set_num_threads(1)
    replace_bfloat16_gain(os.environ.get(GAIN))
    importlib.import_module("gpt.estimate.price").machine_speed("cpu")  # which every page measures once, to tell the price of a CONFIG
    if threading.active_count() > 1:
        raise RuntimeError(f"a process with threads cannot fork safely: {threading.enumerate()}")
    Server(os.environ[ADDRESS]).serve()


if __name__ == "__main__":
    main()
