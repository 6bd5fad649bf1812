"""Which process is alive: it holds a file lock as long as it is, since its number alone may be another process's by now."""

import os
import threading
from pathlib import Path

import filelock

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

_PROBE = threading.Lock()


def is_held(path: Path) -> bool:
    """Whether a process holds the lock file `path` for itself. Asking disturbs nobody who asks too, and needs no right to write."""
    if fcntl is None:
        return _is_held_without_fcntl(path)
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _is_held_without_fcntl(path: Path) -> bool:
    if not path.exists():
        return False
    with _PROBE:  # one prober at a time, or two would take each other for the holder
        try:
            filelock.FileLock(path).acquire(timeout=0).lock.release()
        except filelock.Timeout:
            return True
        return False


def began(pid: int) -> str:
    """When a process began, as Linux counts: with it, a process number means one process only. "" where that is not known."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()[19]  # field 22, after the name
    except (OSError, IndexError, ValueError):
        return ""
