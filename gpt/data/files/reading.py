"""A file, a folder or an archive as documents: what each file holds, and which could not be read."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from gpt.data.files.encodings import Encoding, decoded, find_encoding
from gpt.data.files.errors import UnreadableFile
from gpt.data.files.formats import FORMATS, Part, Reading, plain
from gpt.data.files.listing import Entry


class TextFile(NamedTuple):
    """A file that can be read as text, with its encoding."""

    entry: Entry
    encoding: Encoding
    reading: Reading

    def parts(self) -> Iterator[Part]:
        """Its documents, in stretches of at most a million characters or so. Raises UnreadableFile."""
        with unreadable(self.encoding):
            yield from FORMATS.get(self.entry.ending, plain)(lambda: decoded(self.entry.open(), self.encoding), self.reading)


def open_file(entry: Entry, reading: Reading) -> TextFile:
    """Read a file to find its encoding. Raises UnreadableFile."""
    with unreadable(), entry.open() as file:
        return TextFile(entry, find_encoding(file), reading)


@contextmanager
def unreadable(encoding: Encoding | None = None) -> Iterator[None]:
    """What the system or a decoder raises while a file is read -> UnreadableFile."""
    try:
        yield
    except UnicodeDecodeError as error:
        bad = error.object[error.start:error.end].hex(" ")
        raise UnreadableFile(f"it reads as {error.encoding} at first, which has no character {bad}: save it as UTF-8") from None
    except OSError as error:
        raise UnreadableFile(f"it cannot be read ({error.strerror or error})") from None
