"""Downloads of a run: a zip of its folder, its report, and a folder for other programs.

They are stored in a separate folder of Gradio's file cache: the server serves the files of this folder
(gpt/ui/server/guard.py), and no uploads. Files that were not requested for KEPT_SECONDS are removed while a page is
served.
"""

import contextlib
import hashlib
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

from gpt.exchange import huggingface
from gpt.runs import cleanup
from gpt.runs.run import Run, RunError
from gpt.ui.inspector import report
from gpt.ui.server.guard import PACKED

KEPT_SECONDS = 600
PACKING = threading.Lock()


def zip_of(run: Run, folder: Path) -> Path:
    """The path, below Gradio's `folder`, of a zip of the run."""
    return packed_once(run, folder, "zip", cleanup.write_zip)


def report_of(run: Run, folder: Path) -> Path:
    """The path, below Gradio's `folder`, of the run's report: one HTML page."""
    return packed_once(run, folder, "html", lambda run, file: file.write(report.report_of(run).encode()))


def export_of(run: Run, folder: Path) -> Path:
    """The path, below Gradio's `folder`, of a zip of the run as a folder that `transformers` loads. Raises UserError if GPT-2's format
    cannot hold it."""
    return packed_once(run, folder, "transformers.zip", huggingface.write_zip)


def packed_once(run: Run, folder: Path, kind: str, write: Callable[[Run, BinaryIO], Any]) -> Path:
    """The path of what `write` makes of the run. A run that has not changed since is not packed again, and one is packed at a time: it
    takes the disk for itself. Raises RunError if there is no room."""
    with PACKING:
        path = folder / PACKED / fingerprint(run) / f"{run.name}.{kind}"
        remove_old(folder / PACKED)
        if path.exists():
            path.touch()
            return path
        half = path.with_suffix(".half")
        with contextlib.ExitStack() as undone:
            undone.callback(remove, half)
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


def remove(path: Path) -> None:
    """Remove a file, if it is there, and its folder, if nothing else of the same run lies in it."""
    with contextlib.suppress(OSError):
        path.unlink(missing_ok=True)
        path.parent.rmdir()


def remove_old(packed: Path) -> None:
    """Remove the files below `packed` that were made, or asked for again, more than KEPT_SECONDS ago."""
    for path in packed.glob("*/*"):
        with contextlib.suppress(OSError):  # another page over the same folder removes them too
            if path.stat().st_mtime < time.time() - KEPT_SECONDS:
                remove(path)


def fingerprint(run: Run) -> str:
    """A hash over the names, sizes and times of a run's files: it changes when a file changes."""
    files = []
    for path in sorted(run.path.rglob("*")):
        with contextlib.suppress(FileNotFoundError):  # replaced meanwhile
            about = path.stat()
            files.append((str(path), about.st_ino, about.st_size, about.st_mtime_ns))
    return hashlib.sha256(repr(files).encode(errors="replace")).hexdigest()[:32]
