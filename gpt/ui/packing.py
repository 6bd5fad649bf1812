"""Files to take home, made of a run: a zip of its folder, and its report.

They lie where Gradio keeps what goes through it and removes it after a while, in a folder of their own: the server hands out what
lies there (gpt/ui/guard.py), and nothing that a visitor has uploaded.
"""

import contextlib
import hashlib
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

from gpt import housekeeping
from gpt.run import Run, RunError
from gpt.ui import report

PACKED = "packed"  # the folder's name
PACKING = threading.Lock()


def zip_of(run: Run, folder: Path) -> Path:
    """The path, below Gradio's `folder`, of a zip of the run."""
    return packed_once(run, folder, "zip", housekeeping.write_zip)


def report_of(run: Run, folder: Path) -> Path:
    """The path, below Gradio's `folder`, of the run's report: one HTML page."""
    return packed_once(run, folder, "html", lambda run, file: file.write(report.report_of(run).encode()))


def packed_once(run: Run, folder: Path, kind: str, write: Callable[[Run, BinaryIO], Any]) -> Path:
    """The path of what `write` makes of the run. A run that has not changed since is not packed again, and one is packed at a time: it
    takes the disk for itself. Raises RunError if there is no room."""
    with PACKING:
        path = folder / PACKED / contents_of(run) / f"{run.name}.{kind}"
        if path.exists():
            path.touch()  # Gradio removes what is ten minutes old
            return path
        half = path.with_suffix(".half")
        with contextlib.ExitStack() as undone:
            undone.callback(shutil.rmtree, path.parent, ignore_errors=True)
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                with open(half, "wb") as file:
                    write(run, file)
                half.rename(path)
            except OSError as error:
                raise RunError(f"the {kind} of run {run.name} cannot be written ({error.strerror}): make room on the disk "
                               "that holds temporary files") from None
            undone.pop_all()
    return path


def contents_of(run: Run) -> str:
    """What tells the files of a run, as they are now, from what they were: names, sizes and times, in a word."""
    files = []
    for path in sorted(run.path.rglob("*")):
        with contextlib.suppress(FileNotFoundError):  # replaced meanwhile
            about = path.stat()
            files.append((str(path), about.st_ino, about.st_size, about.st_mtime_ns))
    return hashlib.sha256(repr(files).encode(errors="replace")).hexdigest()[:32]
