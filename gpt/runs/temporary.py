"""A temporary folder for each user: on a machine that several people use, they must not take each other's files for their own."""

import contextlib
import getpass
import os
import stat
import tempfile
from pathlib import Path

from gpt.errors import UserError

NAME = "gpt2-from-scratch"
MOST_TAKEN = 20  # names that other users may hold


def own_folder() -> Path:
    """The folder in the system's temporary folder that all processes of this user share, and that nobody else can read. Raises UserError
    if there is no place for temporary files."""
    try:
        for number in range(MOST_TAKEN):
            folder = Path(tempfile.gettempdir()) / f"{NAME}-{_user()}{f'-{number}' if number else ''}"
            with contextlib.suppress(FileExistsError):
                folder.mkdir(mode=0o700)
                if not _is_own(folder):  # on a drive that gives all files to one user
                    folder.rmdir()
                    break
            if _is_own(folder):
                return folder
    except OSError as error:
        reason = error.strerror or error
        raise UserError(f"there is no place for temporary files ({reason}): set TMPDIR to a folder that can be written") from None
    raise UserError(f"what is made in {tempfile.gettempdir()} belongs to other users: set TMPDIR to a folder of your own")


def _user() -> str:
    """What no other user of this machine has: the user's number, or on Windows the name."""
    return str(os.getuid()) if hasattr(os, "getuid") else getpass.getuser()


def _is_own(folder: Path) -> bool:
    """Whether this is a folder, and no link that leads elsewhere, which belongs to this user and which nobody else can read or write."""
    if os.name == "nt":  # every user has a temporary folder there
        return folder.is_dir()
    about = folder.lstat()
    return stat.S_ISDIR(about.st_mode) and about.st_uid == os.getuid() and not about.st_mode & 0o077
