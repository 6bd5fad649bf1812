"""Whether a process is alive: it holds a file lock until it ends. A process id alone proves nothing, since the system reuses ids."""

import errno
import os
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import filelock
import psutil

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

CLOCK_SECONDS = 2.0  # by which two readings of one start time may differ
_CHECK_LOCK = threading.Lock()


def is_held(path: Path) -> bool:
    """Whether a process holds the exclusive lock on `path`. Simultaneous checks do not disturb each other, and need no write access.
    False where the file may not be read, or its file system has no locks at all. Some network drives and Windows have others than flock:
    there the check takes the lock for a moment."""
    if fcntl is None:
        return _is_held_without_fcntl(path)
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except (FileNotFoundError, PermissionError):
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError as error:  # some network drives
        return error.errno == errno.ENOSYS and _is_held_without_fcntl(path)
    finally:
        os.close(descriptor)
    return False


def _is_held_without_fcntl(path: Path) -> bool:
    """By trying to take the lock. Without flock, filelock makes do with a file that exists as long as the lock is held and names its
    holder; an empty one was left by a system that has flock."""
    if not path.exists() or (fcntl is not None and not path.stat().st_size):
        return False
    with _CHECK_LOCK:  # one prober at a time, or two would take each other for the holder
        try:
            filelock.FileLock(path).acquire(timeout=0).lock.release()
        except filelock.Timeout:
            return True
        return False


def start_time(pid: int) -> float | None:
    """When the process `pid` began, in seconds since the epoch; None if there is none."""
    try:
        return psutil.Process(pid).create_time()
    except (psutil.Error, ValueError, OverflowError):  # what a damaged file calls a process number
        return None


def same_process(one: Any, other: Any) -> bool:
    """Whether two pairs (process id, start time) mean the same process. Ids are reused; a start time is only accurate to about a
    second, since the system's clock may have been set meanwhile. False if a pair is unknown."""
    def known(process: Any) -> bool:
        return isinstance(process, Sequence) and len(process) == 2 and isinstance(process[0], int) and isinstance(process[1], int | float)

    return known(one) and known(other) and one[0] == other[0] and abs(one[1] - other[1]) < CLOCK_SECONDS
