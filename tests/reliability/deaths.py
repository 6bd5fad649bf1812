"""How a process kills itself where it hurts most: before its n-th file operation, or in the middle of its n-th write."""

import builtins
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import gpt.runs.storage

OPERATIONS = ("open", "os.rename", "os.remove", "os.mkdir", "os.truncate")  # as Python's audit hooks call them


def die_before_operation(n: int, folder: Path) -> None:
    """Die before the `n`-th operation on a file below `folder`, counted from now."""
    is_due = _countdown(n)

    def heard(event: str, arguments: tuple) -> None:
        if event in OPERATIONS and str(folder) in str(arguments[0]) and is_due():
            _die()

    sys.addaudithook(heard)


def die_in_write(n: int) -> None:
    """Die when half of the `n`-th thing that gpt.runs.storage writes from now on is written."""
    is_due, save_whole = _countdown(n), gpt.runs.storage.save_file

    class Torn:
        """A file of which one write ends half-way."""

        def __init__(self, file):
            self.file = file

        def write(self, data: bytes) -> int:
            if is_due():
                self.file.write(data[:len(data) // 2])
                self.file.flush()
                _die()
            return self.file.write(data)

        def __enter__(self):
            return self

        def __exit__(self, *exc):
            self.file.close()

        def __getattr__(self, name):
            return getattr(self.file, name)

    def save_half(tensors: dict, path: Path, metadata: dict) -> None:
        save_whole(tensors, path, metadata)
        if is_due():
            os.truncate(path, path.stat().st_size // 2)
            _die()

    gpt.runs.storage.open = lambda *args, **options: Torn(builtins.open(*args, **options))  # noqa: SIM115 - it closes itself
    gpt.runs.storage.save_file = save_half


def _countdown(n: int) -> Callable[[], bool]:
    """A function that is True when it is called for the `n`-th time."""
    left = iter(range(n - 1, -1, -1))
    return lambda: next(left, None) == 0


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)
