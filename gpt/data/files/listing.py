"""Which files there are to read in a file, a folder, a .zip or a .gz, in the order in which people number them."""

import gzip
import io
import lzma
import os
import re
import zipfile
import zlib
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import BinaryIO, NamedTuple

from gpt.data.files.errors import UnreadableFile

MOST_BYTES = 20_000_000_000  # that are unpacked from one archive


class Entry(NamedTuple):
    """A file to read: its `name` within what was asked for, and a function that opens it anew each time. `ending` is that of its contents,
    in lower case: of book.TXT.gz it is ".txt". `bytes` is its size, packed if it is."""

    name: str
    ending: str
    open: Callable[[], BinaryIO]
    bytes: int = 0


def entries(path: Path, without: Collection[str] = ()) -> Iterator[Entry]:
    """The files of `path` in natural order: a folder's without what is hidden, and without the folders named in `without`; an archive's
    members in place of itself. Raises OSError."""
    if not path.is_dir():
        yield from _unpacked(path, path.name)
        return
    for folder, folders, names in _walked(path):
        folders[:] = sorted((name for name in folders if not is_hidden(name) and name not in without), key=natural)
        for name in sorted((name for name in names if not is_hidden(name)), key=natural):
            file = Path(folder) / name
            if file.is_file():  # a pipe would be waited for
                yield from _unpacked(file, file.relative_to(path).as_posix())


def _walked(path: Path) -> Iterator[tuple[str, list[str], list[str]]]:
    def fail(error: OSError) -> None:
        raise error

    return os.walk(path, onerror=fail)


def is_hidden(name: str) -> bool:
    """Whether a file or folder of this name is not meant for readers: .git, ._book.txt, __MACOSX."""
    return name.startswith(".") or name == "__MACOSX"


def natural(name: str) -> list[tuple[bool, int, str]]:
    """A key that sorts ch2 before ch10, whatever the case of the letters."""
    return [(not digits, int(digits or 0), letters) for digits, letters in re.findall(r"([0-9]+)|([^0-9]+)", name.casefold())]


def _unpacked(path: Path, name: str) -> Iterator[Entry]:
    ending = path.suffix.lower()
    if ending == ".zip":
        yield from _members(path, name)
    elif ending == ".gz":
        yield Entry(name, Path(path.stem).suffix.lower(), lambda: _unpacking(path.open("rb"), is_gz=True), path.stat().st_size)
    else:
        yield Entry(name, ending, lambda: path.open("rb"), path.stat().st_size)


def _members(path: Path, name: str) -> Iterator[Entry]:
    """An archive that cannot be read is one entry, which says why when it is opened."""
    def entry(member: zipfile.ZipInfo) -> Entry:
        def open_it() -> BinaryIO:
            with damage_reported(), zipfile.ZipFile(path) as archive:
                return _unpacking(archive.open(member), is_gz)  # which goes on when the archive is closed

        inner = PurePosixPath(member.filename)
        is_gz = inner.suffix.lower() == ".gz"
        ending = (PurePosixPath(inner.stem) if is_gz else inner).suffix.lower()
        return Entry(f"{name}/{member.filename}", ending, open_it, member.file_size)

    def failed(reason: str) -> Entry:
        def refuse() -> BinaryIO:
            raise UnreadableFile(reason)
        return Entry(name, "", refuse)

    try:
        with zipfile.ZipFile(path) as archive:
            members = [member for member in archive.infolist() if not member.is_dir()]
    except (OSError, zipfile.BadZipFile) as error:
        yield failed(f"it is no .zip file that can be read ({error})")
        return
    parts = [PurePosixPath(member.filename.replace("\\", "/")).parts for member in members]
    if climbing := [member.filename for member, path in zip(members, parts, strict=True) if ".." in path or path[0].startswith("/")]:
        yield failed(f"it holds a path that leads out of it, {climbing[0][:80]!r}: no honest archive does")
    elif sum(member.file_size for member in members) > MOST_BYTES:
        yield failed(f"it unpacks to {sum(member.file_size for member in members) / 1e9:,.0f} GB: the most is {MOST_BYTES / 1e9:.0f} GB")
    else:
        seen = [(path, member) for path, member in zip(parts, members, strict=True) if not any(map(is_hidden, path))]
        for _, member in sorted(seen, key=lambda pair: [*map(natural, pair[0])]):
            yield entry(member)


def _unpacking(file: BinaryIO, is_gz: bool) -> io.BufferedReader:
    return io.BufferedReader(_Unpacked(gzip.GzipFile(fileobj=file) if is_gz else file, file))


class _Unpacked(io.RawIOBase):
    """The contents of a packed file. Reading raises UnreadableFile after MOST_BYTES, and where the archive is damaged."""

    def __init__(self, file: BinaryIO, packed: BinaryIO):
        self._file, self._packed, self._left = file, packed, MOST_BYTES

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:
        with damage_reported():
            data = self._file.read(len(buffer))
        self._left -= len(data)
        if self._left < 0:
            raise UnreadableFile(f"it unpacks to more than {MOST_BYTES / 1e9:.0f} GB")
        buffer[:len(data)] = data
        return len(data)

    def close(self) -> None:
        self._file.close()
        self._packed.close()
        super().close()


@contextmanager
def damage_reported() -> Iterator[None]:
    """What unpacking raises -> UnreadableFile."""
    try:
        yield
    except (EOFError, NotImplementedError, RuntimeError, gzip.BadGzipFile, lzma.LZMAError, zipfile.BadZipFile, zlib.error) as error:
        raise UnreadableFile(f"it cannot be unpacked ({error})") from None
