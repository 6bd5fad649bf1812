"""One look through all files before anything is learned from them: what can be read, how long it is, and its hash."""

import hashlib
from array import array
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from gpt.data.files.errors import UnreadableFile
from gpt.data.files.formats import Part, Reading
from gpt.data.files.listing import MOST_BYTES, Entry
from gpt.data.files.reading import TextFile, open_file
from gpt.words import listed, size

OPENING = 1000  # characters
MOST_BLANKS = 1_000_000  # characters of white space that are held back
EMPTY = "it is empty"
MOST_NAMED = 8  # files in a sentence


class DocumentHash:
    """A hash, of 64 bits, of a document that comes in parts: of its words, so that blanks and line ends around it do not matter."""

    def __init__(self):
        self._hash, self._has_begun, self._blanks = hashlib.blake2b(digest_size=8), False, ""

    def update(self, text: str) -> None:
        text = self._blanks + text if self._has_begun else text.lstrip()
        words = text.rstrip()
        self._has_begun, self._blanks = self._has_begun or words != "", text[len(words):][-MOST_BLANKS:]
        self._hash.update(words.encode("utf-8"))

    def value(self) -> int:
        return int.from_bytes(self._hash.digest(), "little")


class Fingerprint:
    """Of a text that comes in parts: the length of each document in characters, a hash of each, the `bytes` of all in UTF-8, their SHA-256,
    with a zero byte between two documents, and the first characters of the first one, `opening`."""

    def __init__(self):
        self.lengths, self.hashes = array("q"), array("Q")
        self.bytes, self.opening = 0, ""
        self._all, self._document, self._length = hashlib.sha256(), DocumentHash(), 0

    def add(self, part: Part) -> None:
        data = part.text.encode("utf-8")
        if not self.lengths and len(self.opening) < OPENING:
            self.opening += part.text[:OPENING]
        if self.lengths and not self._length:
            self._all.update(b"\0")
        self._all.update(data)
        self._document.update(part.text)
        self.bytes += len(data)
        self._length += len(part.text)
        if part.ends:
            self.lengths.append(self._length)
            self.hashes.append(self._document.value())
            self._document, self._length = DocumentHash(), 0

    @property
    def sha256(self) -> str:
        return self._all.hexdigest()

    def mark(self) -> tuple:
        """A place between two documents that `go_back` can go back to."""
        return len(self.lengths), self.bytes, self.opening, self._all.copy()

    def go_back(self, mark: tuple) -> None:
        """Forget what came after `mark`."""
        n_documents, self.bytes, self.opening, self._all = mark
        del self.lengths[n_documents:], self.hashes[n_documents:]
        self._document, self._length = DocumentHash(), 0


@dataclass
class Survey:
    """Of some files: those that can be read, each with its bytes, and why the others cannot."""

    files: list[tuple[TextFile, int]] = field(default_factory=list)
    unreadable: list[tuple[str, str]] = field(default_factory=list)
    text: Fingerprint = field(default_factory=Fingerprint)

    def documents(self) -> Iterator[Part]:
        """All documents that are not blank. Raises UnreadableFile if a file cannot be read any more."""
        for file, _ in self.files:
            yield from without_blank(file.parts())

    def sentences(self) -> list[str]:
        """What was read, with sizes, in which encodings, and what was left out."""
        said = []
        if len(self.files) > 1:
            names = [f"{file.entry.name} ({size(n_bytes)})" for file, n_bytes in self.files]
            said.append(f"{len(self.files):,} files with {len(self.text.lengths):,} documents, {size(sum(n for _, n in self.files))}: "
                        + listed(names, MOST_NAMED))
        by_remark: dict[str, list[str]] = {}
        for file, _ in self.files:
            if file.encoding.remark:
                by_remark.setdefault(file.encoding.remark, []).append(file.entry.name)
        said += [f"{listed(names, MOST_NAMED)}: {remark}" for remark, names in by_remark.items()]
        if self.unreadable:
            said.append(f"left out: {listed([f'{name} ({reason})' for name, reason in self.unreadable], MOST_NAMED)}")
        return said


def survey(entries: Iterable[Entry], reading: Reading, progress: Callable[[int], None], most_bytes: int = MOST_BYTES) -> Survey:
    """Read all files once; `progress` is told the bytes read so far. A file that cannot be read is left out, with its reason; so is one
    with which the text would have more than `most_bytes`."""
    found = Survey()
    for entry in entries:
        before, bytes_before = found.text.mark(), found.text.bytes
        try:
            file = open_file(entry, reading)
            for part in without_blank(file.parts()):
                found.text.add(part)
                progress(found.text.bytes)
                if found.text.bytes > most_bytes:
                    raise UnreadableFile(f"with it the text has more than {size(most_bytes)}")
        except UnreadableFile as error:
            found.text.go_back(before)
            found.unreadable.append((entry.name, str(error)))
            continue
        if n_bytes := found.text.bytes - bytes_before:
            found.files.append((file, n_bytes))
        else:
            found.unreadable.append((entry.name, EMPTY))
    return found


def without_blank(parts: Iterator[Part]) -> Iterator[Part]:
    """The same without documents of nothing but white space, if they come in a single part or begin with one."""
    held, has_begun = "", False  # white space with which a document begins; whether it has words already
    for part in parts:
        text = held + part.text
        has_begun = has_begun or len(text) > MOST_BLANKS or not (text.isspace() or text == "")
        if has_begun:
            yield Part(text, part.ends)
        held = "" if has_begun or part.ends else text
        has_begun = has_begun and not part.ends
