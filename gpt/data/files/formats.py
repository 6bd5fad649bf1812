"""From the text of a file to documents: plain text, rows of JSON or CSV, the words of a web page."""

import csv
import io
import itertools
import re
from collections.abc import Callable, Iterable, Iterator
from html.parser import HTMLParser
from typing import Any, NamedTuple

from gpt.data.files.errors import UnreadableFile
from gpt.data.files.json_stream import lines_of, rows_of

BLOCK = 1 << 20  # characters that are read at a time
SEPARATORS = {"files": None, "blank_lines": re.compile(r"\n(?:[ \t]*\n)+"), "endoftext": re.compile(r"\n?<\|endoftext\|>\n?")}
LONGEST_SEPARATOR = 1000  # characters that are held back, so that none is cut in two
USUAL_FIELDS = ("text", "content", "story", "body", "document", "article", "message")  # what rows most often call their text
LOOKED_AT = 100  # rows in which the field of text is looked for
WIDEST_CELL = 100_000_000  # characters
QUOTED_CELL = re.compile(r'(?:^|\t)"[^"\t\n]*(?:""[^"\t\n]*)*"(?:\t|$)', re.MULTILINE)


class Part(NamedTuple):
    """A stretch of a document, and whether the document ends with it."""

    text: str
    ends: bool


class Reading(NamedTuple):
    """How files are to be read: `documents`, a name in SEPARATORS, says where a plain text is cut into documents; `text_field` is the field
    of rows that is their text, "" for the one that is found."""

    documents: str = "files"
    text_field: str = ""


Opened = Callable[[], io.TextIOBase]  # opens the same text anew each time


def plain(opened: Opened, reading: Reading) -> Iterator[Part]:
    """One document, or those between separators."""
    separator = SEPARATORS[reading.documents]
    with opened() as text:
        if separator is None:
            yield from (Part(block, False) for block in blocks(text))
            yield Part("", True)
        else:
            yield from _separated(blocks(text), separator)


def blocks(text: io.TextIOBase) -> Iterator[str]:
    """What is left of a text, at most BLOCK characters at a time."""
    while block := text.read(BLOCK):
        yield block


def _separated(text: Iterator[str], separator: re.Pattern) -> Iterator[Part]:
    held = ""
    for block in text:
        held, begin = held + block, 0
        sure = max(len(held) - LONGEST_SEPARATOR, 0)
        for match in separator.finditer(held):
            if match.end() > sure:
                break
            yield Part(held[begin:match.start()], True)
            begin = match.end()
        if begin < sure:
            cut = next((match for match in separator.finditer(held, begin) if match.end() > sure > match.start()), None)
            is_long = cut is not None and cut.end() - cut.start() > LONGEST_SEPARATOR  # then what follows of it becomes a blank document
            yield Part(held[begin:cut.start() if cut else sure], is_long)
            begin = sure if cut is None else cut.end() if is_long else cut.start()
        held = held[begin:]
    *documents, last = separator.split(held)
    yield from (Part(document, True) for document in documents)
    yield Part(last, True)


def json_lines(opened: Opened, reading: Reading) -> Iterator[Part]:
    """One document a line. Raises UnreadableFile for a line that is no JSON."""
    with opened() as text:
        yield from documents_of_rows(lines_of(text), reading.text_field)


def json_rows(opened: Opened, reading: Reading) -> Iterator[Part]:
    """One document a row, wherever the rows of the file stand (json_stream.py). Raises UnreadableFile."""
    def has_text(row: Any) -> bool:
        def is_text(name: str) -> bool:
            return name == reading.text_field if reading.text_field else name.casefold() in USUAL_FIELDS

        return isinstance(row, dict) and any(isinstance(value, str) and is_text(key) for key, value in row.items())

    def has_any_text(row: Any) -> bool:
        return has_text(row) or (not reading.text_field and isinstance(row, dict) and any(isinstance(value, str) for value in row.values()))

    yield from documents_of_rows(rows_of(opened, has_text, has_any_text), reading.text_field)


def csv_rows(opened: Opened, reading: Reading) -> Iterator[Part]:
    """One document a row; the first row names the columns. What parts the cells is found in the beginning. Raises UnreadableFile."""
    with opened() as text:
        beginning = text.read(65536)
    try:
        dialect: Any = csv.Sniffer().sniff(beginning, ",;\t|")
    except csv.Error:
        dialect = type("Usual", (csv.excel,), {})
    dialect.doublequote = True  # which the sniffer does not look for
    csv.field_size_limit(WIDEST_CELL)
    if dialect.delimiter == "\t" and not QUOTED_CELL.search(beginning):  # a quotation mark in it is only that
        dialect.quoting = csv.QUOTE_NONE
    try:
        with opened() as text:
            rows = csv.reader(text, dialect)
            names = next(rows, [])
            yield from documents_of_rows((dict(zip(names, row, strict=False)) for row in rows if row), reading.text_field)
    except csv.Error as error:
        raise UnreadableFile(f"its cells cannot be told apart ({error})") from None


def documents_of_rows(rows: Iterable[Any], text_field: str) -> Iterator[Part]:
    """The text of each row: of its field `text_field`, or, if that is "", of the one that most likely holds the text. A row may also be the
    text itself. Rows without text are left out. Raises UnreadableFile if none of the first ones has any."""
    rows = iter(rows)
    first = list(itertools.islice(rows, LOOKED_AT))
    name = text_field or _field_of_text(first)
    if not any(_text_of(row, name) for row in first):
        fields = ", ".join(dict.fromkeys(str(key)[:40] for row in first if isinstance(row, dict) for key in row))
        wanted = f"text in a field {text_field!r}" if text_field else "field of text"
        raise UnreadableFile(f"it has no {wanted}; " + (f"its fields are {fields[:200]}: choose one with text_field" if fields
                                                        else "rows must be text, or objects with a field of text"))
    for row in itertools.chain(first, rows):
        if text := _text_of(row, name):
            yield Part(text, True)


def _text_of(row: Any, name: str) -> str:
    text = row.get(name) if isinstance(row, dict) else row
    if not isinstance(text, str):
        return ""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return text if text.isascii() else text.encode("utf-8", errors="replace").decode()  # JSON can write half a character


def _field_of_text(rows: list[Any]) -> str:
    """The field that is called as fields of text are, or else the one with the longest texts."""
    lengths: dict[str, int] = {}
    for row in rows:
        for key, value in row.items() if isinstance(row, dict) else ():
            if isinstance(value, str):
                lengths[key] = lengths.get(key, 0) + len(value)
    usual = [key for name in USUAL_FIELDS for key in lengths if key.casefold() == name and lengths[key]]
    return usual[0] if usual else max(lengths, key=lengths.get, default="")


def web_page(opened: Opened, reading: Reading) -> Iterator[Part]:
    """The words of a web page, without its scripts; a block such as a paragraph begins on a line of its own."""
    parser = _Words()
    with opened() as text:
        for block in blocks(text):
            parser.feed(block)
            yield Part(parser.words(), False)
    parser.close()
    yield Part(parser.words(), True)


LINES = set("address article aside blockquote br dd div dl dt figcaption figure footer form h1 h2 h3 h4 h5 h6 header hr li main nav ol p "
            "pre section table title tr ul".split())  # elements that begin on a line of their own
NOT_SHOWN = {"script", "style", "template", "noscript"}


class _Words(HTMLParser):
    """Collects what is shown of a web page."""

    def __init__(self):
        super().__init__()
        self._shown: list[str] = []
        self._hidden, self._pre = 0, 0  # how many such elements are open
        self._at = "\n"  # the last character: no line is empty, and none begins with a blank

    def words(self) -> str:
        """What was shown since the last call."""
        shown, self._shown = "".join(self._shown), []
        return shown

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self._hidden += tag in NOT_SHOWN
        self._pre += tag == "pre"
        if tag in LINES:
            self._break_line()
        elif tag in ("td", "th"):
            self._show(" ")

    def handle_endtag(self, tag: str) -> None:
        self._hidden -= tag in NOT_SHOWN and self._hidden > 0
        self._pre -= tag == "pre" and self._pre > 0
        if tag in LINES:
            self._break_line()

    def handle_data(self, data: str) -> None:
        self._show(data if self._pre else re.sub(r"[ \t\n\r\f]+", " ", data))

    def parse_marked_section(self, i: int, report: int = 1) -> int:
        """Skips what only old pages and Word have: <![if ...]>. The library refuses some of it."""
        end = self.rawdata.find(">", i)
        return end + 1 if end >= 0 else -1

    def _break_line(self) -> None:
        if self._at != "\n":
            self._append("\n")

    def _show(self, text: str) -> None:
        if not self._hidden:
            self._append(text if self._pre or self._at not in " \n" else text.lstrip(" "))

    def _append(self, text: str) -> None:
        if text:
            self._shown.append(text)
            self._at = text[-1]


FORMATS = {".jsonl": json_lines, ".ndjson": json_lines, ".json": json_rows, ".csv": csv_rows, ".tsv": csv_rows, ".html": web_page,
           ".htm": web_page, ".xhtml": web_page}  # by a file's ending; all others are plain text
