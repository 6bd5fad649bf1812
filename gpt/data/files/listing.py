"""Which files there are to read in a file, a folder, a .zip or a .gz, in the order in which people number them."""

import gzip
import io
import lzma
import os
import re
import struct
import zipfile
import zlib
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import BinaryIO, NamedTuple

from gpt.data.files.errors import UnreadableFile
from gpt.words import size

MOST_BYTES = 20_000_000_000  # that are unpacked from one archive
DAMAGE = (EOFError, NotImplementedError, RuntimeError, ValueError, lzma.LZMAError, struct.error, zipfile.BadZipFile, zlib.error)


class Entry(NamedTuple):
    """A file to read: its `name` within what was asked for, and a function that opens it anew each time. `ending` is that of its contents,
    in lower case: of book.TXT.gz it is ".txt". `bytes` is its size, packed if it is."""

    name: str
    ending: str
    open: Callable[[], BinaryIO]
    bytes: int = 0


def entries(path: Path, without: Collection[str] = (), most_bytes: int = MOST_BYTES) -> Iterator[Entry]:
    """The files of `path` in natural order: a folder's without what is hidden, and without the folders named in `without`; an archive's
    members in place of itself. No more than `most_bytes` are unpacked from one file. Raises OSError."""
    if not path.is_dir():
        yield from _unpacked(path, path.name, most_bytes)
        return
    for folder, folders, names in _walked(path):
        folders[:] = sorted((name for name in folders if not is_hidden(name) and name not in without), key=natural)
        for name in sorted((name for name in names if not is_hidden(name)), key=natural):
            file = Path(folder) / name
            if file.is_file():  # a pipe would be waited for
                yield from _unpacked(file, file.relative_to(path).as_posix(), most_bytes)


def _walked(path: Path) -> Iterator[tuple[str, list[str], list[str]]]:
    def fail(error: OSError) -> None:
        raise error

    return os.walk(path, onerror=fail)


def is_hidden(name: str) -> bool:
    """Whether a file or folder of this name is not meant for readers: .git, ._book.txt, __MACOSX."""
    return name.startswith(".") or name == "__MACOSX"


def natural(name: str) -> list[tuple[bool, int, str]]:
    """A key that sorts ch2 before ch10, whatever the case of the letters."""
    pairs = re.findall(r"0*([0-9]+)|([^0-9]+)", name.casefold())
    return [(not digits, len(digits), digits or letters) for digits, letters in pairs]  # of two numbers the longer is the larger


def _unpacked(path: Path, name: str, most_bytes: int) -> Iterator[Entry]:
    ending = path.suffix.lower()
    if ending == ".zip":
        yield from _members(path, name, most_bytes)
    elif ending == ".gz":
        yield Entry(name, Path(path.stem).suffix.lower(), lambda: _unpacking(path.open("rb"), True, most_bytes), path.stat().st_size)
    else:
        yield Entry(name, ending, lambda: path.open("rb"), path.stat().st_size)


def _members(path: Path, name: str, most_bytes: int) -> Iterator[Entry]:
    """An archive that cannot be read is one entry, which says why when it is opened. It stays open as long as somebody has its entries: to
    open it anew for each would read its list of members each time."""
    def entry(member: zipfile.ZipInfo) -> Entry:
        def open_it() -> BinaryIO:
            with damage_reported():
                return _unpacking(archive.open(member), is_gz, most_bytes)

        inner = PurePosixPath(member.filename)
        is_gz = inner.suffix.lower() == ".gz"
        ending = (PurePosixPath(inner.stem) if is_gz else inner).suffix.lower()
        return Entry(f"{name}/{member.filename}", ending, open_it, member.file_size)

    def failed(reason: str) -> Entry:
        def refuse() -> BinaryIO:
            raise UnreadableFile(reason)
        return Entry(name, "", refuse)

    try:
        archive = zipfile.ZipFile(path)
    except (OSError, *DAMAGE) as error:
        yield failed(f"it is no .zip file that can be read ({str(error)[:80]})")
        return
    members = [member for member in archive.infolist() if not member.is_dir()]
    parts = [PurePosixPath(member.filename.replace("\\", "/")).parts for member in members]
    if climbing := [member.filename for member, path in zip(members, parts, strict=True) if ".." in path or path[:1] == ("/",)]:
        yield failed(f"it holds a path that leads out of it, {climbing[0][:80]!r}: no honest archive does")
    elif (n_bytes := sum(member.file_size for member in members)) > most_bytes:
        yield failed(f"it unpacks to {size(n_bytes)}: the most is {size(most_bytes)}")
    elif not members:
        yield failed("it holds no files")
    else:
        visible = [(path, member) for path, member in zip(parts, members, strict=True) if not any(map(is_hidden, path))]
        for _, member in sorted(visible, key=lambda pair: [*map(natural, pair[0])]):
            yield entry(member)


def _unpacking(file: BinaryIO, is_gz: bool, most_bytes: int) -> io.BufferedReader:
    return io.BufferedReader(_Unpacked(gzip.GzipFile(fileobj=file) if is_gz else file, file, most_bytes))


class _Unpacked(io.RawIOBase):
    """The contents of a packed file. Reading raises UnreadableFile after so many bytes, and where the archive is damaged."""

    def __init__(self, file: BinaryIO, packed: BinaryIO, most_bytes: int):
        self._file, self._packed, self._most, self._left = file, packed, most_bytes, most_bytes

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:
        with damage_reported():
            data = self._file.read(len(buffer))
        self._left -= len(data)
        if self._left < 0:
            raise UnreadableFile(f"it unpacks to more than {size(self._most)}")
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
    except (gzip.BadGzipFile, *DAMAGE) as error:
        raise UnreadableFile(f"it cannot be unpacked ({str(error)[:200]})") from None
