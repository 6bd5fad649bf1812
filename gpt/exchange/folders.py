"""A new folder for what is exported: whole, or not there."""

import contextlib
import os
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

from gpt.errors import UserError


class NotWritten(UserError):
    """A folder that cannot be written, and the `reason`."""

    def __init__(self, to: Path, reason: str):
        super().__init__(f"{to} cannot be written ({reason}): make room, or name a folder where you may write")
        self.reason = reason


@contextlib.contextmanager
def new_folder(to: Path) -> Iterator[Path]:
    """A folder to write into, which becomes `to` when the block has ended. Raises UserError, and leaves nothing behind, if `to` is not
    empty or cannot be written."""
    to = to.absolute()
    if not to.name or (to.exists() and (not to.is_dir() or any(to.iterdir()))):
        raise UserError(f"{to} is there already and not empty: name another folder")
    aside = to.with_name(f".{to.name}.{os.getpid()}-{threading.get_ident()}.new")
    try:
        aside.mkdir(parents=True)
        yield aside
        if to.exists():
            to.rmdir()
        aside.rename(to)
    except BaseException as error:
        shutil.rmtree(aside, ignore_errors=True)
        if isinstance(error, OSError) or "No space left" in str(error):  # safetensors has an error of its own
            raise NotWritten(to, getattr(error, "strerror", None) or "No space left on device") from error
        raise
