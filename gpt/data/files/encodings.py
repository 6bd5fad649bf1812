"""From bytes to text: in which encoding a file is, and its text with plain line feeds."""

import codecs
import io
from typing import BinaryIO, NamedTuple

from charset_normalizer import CharsetMatch, from_bytes

from gpt.data.files.errors import UnreadableFile

BLOCK = 1 << 20  # bytes that are read at a time
MARKS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF32_LE: "utf-32", codecs.BOM_UTF32_BE: "utf-32",
         codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}  # one of UTF-32 begins like one of UTF-16, and so comes first
UNICODE = ("utf-8", *MARKS.values())
COMMON = ("cp1252", "cp1250", "cp1251", "cp1253", "cp1254", "cp1255", "cp1256", "cp1257", "koi8_r", "cp932", "euc_jp", "gb18030", "big5",
          "cp949")  # code pages that are tried before all others; of some that fit equally well, the first
SAMPLE = 100_000  # bytes that a code page is guessed from
DAMAGED = 0.1  # of its characters that are not ASCII, at most so many may be broken in a text that still counts as UTF-8
CONTROLS = bytes({*range(32), 127} - set(b"\a\b\t\n\v\f\r\x1a\x1b"))  # what no text has many of
NOT_ASCII = bytes(range(128, 256))
MOST_CONTROLS = 0.02  # of the first bytes of a text


class Encoding(NamedTuple):
    """The name of a Python codec, and how many bytes are no characters of it: they are read as U+FFFD."""

    name: str
    damaged: int = 0

    @property
    def remark(self) -> str:
        """What a reader should know about it, "" for sound Unicode: "read as cp1251"."""
        if self.damaged:
            return f"not all UTF-8: {self.damaged:,} bytes could not be read and were replaced"
        return "" if self.name in UNICODE else f"read as {self.name}"


def find_encoding(file: BinaryIO) -> Encoding:
    """The encoding of a file that is read from here to its end: UTF-8, -16 or -32 by its byte order mark, UTF-16 by the zero bytes of its
    characters, UTF-8 if the bytes are, or else the code page that charset-normalizer finds to fit. Raises UnreadableFile."""
    beginning = file.read(BLOCK)
    for mark, name in MARKS.items():
        if beginning.startswith(mark) and name != "utf-8-sig":
            return _checked(name, beginning)
    if b"\0" in beginning[:8192]:
        return _checked(_half_zeros(beginning), beginning)
    if beginning.startswith(b"%PDF"):
        raise UnreadableFile("it is a PDF: save its text as a .txt file")
    _check_controls(beginning[:8192])
    count, sample, rest = _Utf8(), b"", beginning
    while rest:
        count.add(rest)
        if count.broken and len(sample) < SAMPLE:
            sample += rest[count.first_broken:count.first_broken + SAMPLE] if not sample else rest[:SAMPLE]
        rest = file.read(BLOCK)
    count.end()
    has_mark = beginning.startswith(codecs.BOM_UTF8)
    if has_mark or count.broken <= DAMAGED * count.characters or count.is_cut_off:
        return Encoding("utf-8-sig" if has_mark else "utf-8", count.broken)
    return Encoding(_code_page(sample or beginning[-SAMPLE:]))


class _Utf8:
    """Counts, over blocks of bytes, the `characters` of UTF-8 that are not ASCII, and the `broken` bytes, which are no part of any."""

    def __init__(self):
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="ignore")
        self.characters = self.broken = self.first_broken = 0
        self._held = 0  # bytes of a character that goes on in the next block
        self.is_cut_off = False  # whether all that is broken is a character begun at the end

    def add(self, block: bytes) -> None:
        if block.isascii() and not self._held:
            return
        before, held = self.broken, self._held
        text = self._decoder.decode(block)
        sound = text.encode()
        self._held = len(self._decoder.getstate()[0])
        self.broken += held + len(block) - self._held - len(sound)
        self.characters += len(text) - len(sound.translate(None, NOT_ASCII))
        if self.broken and not before:
            self.first_broken = _first_broken(block)

    def end(self) -> None:
        self.is_cut_off = not self.broken and self._held > 1  # a single byte may as well be the only letter of a code page
        self.broken += self._held


def _first_broken(block: bytes) -> int:
    """Where the first byte of a block stands that is no UTF-8, a little before it."""
    try:
        block.decode()
    except UnicodeDecodeError as error:
        return max(error.start - 1000, 0)
    return 0


def _checked(name: str, beginning: bytes) -> Encoding:
    """Raises UnreadableFile if the beginning of a file is no text in this encoding."""
    try:
        text = codecs.getincrementaldecoder(name)().decode(beginning)
    except UnicodeDecodeError:
        raise UnreadableFile(f"it begins like {name.upper()}, and is no text of it") from None
    _check_controls(text[:8192].encode("utf-8", errors="replace"))
    return Encoding(name)


def _check_controls(data: bytes) -> None:
    n_text = len(data.translate(None, CONTROLS))
    if len(data) - n_text > MOST_CONTROLS * len(data):
        raise UnreadableFile("it is no text: its bytes are those of a program, a picture or the like")


def _half_zeros(beginning: bytes) -> str:
    """The kind of UTF-16 whose bytes these may be: of a character that most alphabets have, one byte is zero, always the same of the two.
    Raises UnreadableFile."""
    data = beginning[:8192]
    even, odd = data[::2].count(0), data[1::2].count(0)
    if len(data) >= 4 and min(even, odd) * 50 <= max(even, odd) and max(even, odd) * 20 >= len(data):
        return "utf-16-le" if odd > even else "utf-16-be"
    raise UnreadableFile("it is no text: it has zero bytes")


def _code_page(sample: bytes) -> str:
    """The code page in which bytes read best. Raises UnreadableFile."""
    whole_lines = sample[sample.find(b"\n") + 1:sample.rfind(b"\n") + 1]
    parts = [whole_lines, *(sample[i:len(sample) - j] for i in range(4) for j in range(4))]  # it may begin and end within a character
    parts = [part for part in parts if len(part) > len(sample) // 2 and not part.isascii()]
    for pages in (COMMON, None):
        for part in parts:
            matches = from_bytes(part, cp_isolation=list(pages) if pages else None, enable_fallback=False)
            if matches:
                return min(matches, key=_rank).encoding
    raise UnreadableFile("it is no text in UTF-8, in UTF-16 or in a code page that fits: save it as UTF-8")


def _rank(match: CharsetMatch) -> tuple[float, float, int]:
    return round(match.chaos, 2), -round(match.coherence, 1), COMMON.index(match.encoding) if match.encoding in COMMON else len(COMMON)


def decoded(file: BinaryIO, encoding: Encoding) -> io.TextIOWrapper:
    """The text of a file, to be read from here on: line ends are plain line feeds, also where they were CRLF or CR. Reading it raises
    UnicodeDecodeError if a byte is no character of a code page that was guessed from other ones."""
    return io.TextIOWrapper(file, encoding=encoding.name, errors="replace" if encoding.name.startswith("utf-8") else "strict", newline=None)
