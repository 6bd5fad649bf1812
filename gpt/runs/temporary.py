"""A temporary folder of one's own: on a machine with many users, a name that everybody can guess belongs to whoever came first."""

import getpass
import itertools
import os
import tempfile
from pathlib import Path

from gpt.errors import UserError

NAME = "gpt2-from-scratch"


def own_folder() -> Path:
    """The folder in the system's temporary folder that all processes of this user share, and that nobody else can read. Raises UserError
    if there is no place for temporary files."""
    try:
        for number in itertools.count():  # somebody else may hold the first names
            folder = Path(tempfile.gettempdir()) / f"{NAME}-{_user()}{f'-{number}' if number else ''}"
            if not os.path.lexists(folder):
                folder.mkdir(mode=0o700, exist_ok=True)
            if _is_own(folder):
                return folder
    except OSError as error:
        reason = error.strerror or error
        raise UserError(f"there is no place for temporary files ({reason}): set TMPDIR to a folder that can be written") from None


def _user() -> str:
    """What no other user of this machine has: the user's number, or on Windows the name."""
    return str(os.getuid()) if hasattr(os, "getuid") else getpass.getuser()


def _is_own(folder: Path) -> bool:
    """Whether a folder belongs to this user, and is no link that leads elsewhere."""
    about = folder.lstat()
    return folder.is_dir() and not folder.is_symlink() and (not hasattr(os, "getuid") or about.st_uid == os.getuid())
