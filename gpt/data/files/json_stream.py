"""JSON of any length, read as a stream of rows."""

import io
import json
import re
from collections.abc import Callable, Iterator
from typing import Any

from gpt.data.files.errors import UnreadableFile

READ_AT_ONCE = 1 << 20  # characters
LONGEST_ROW = 100_000_000  # characters, also of a JSON file that is one object
BETWEEN = re.compile(r"[\s,]*")


def items_of_array(text: io.TextIOBase) -> Iterator[Any]:
    """The items of a JSON array, one after the other; `text` is to be read from behind its "[" on. Raises UnreadableFile."""
    decoder, held, place, more = json.JSONDecoder(), "", 0, READ_AT_ONCE
    problem: Any = "it ends before its array does"
    while True:
        place = BETWEEN.match(held, place).end()
        if held.startswith("]", place):
            return
        try:
            item, end = decoder.raw_decode(held, place)
            is_whole = end < len(held)  # a number may go on in what is not read yet
        except (ValueError, RecursionError) as error:
            is_whole, problem = False, error
        if is_whole:
            yield item
            place, more = end, READ_AT_ONCE
            continue
        if len(held) - place > LONGEST_ROW:
            raise UnreadableFile(f"it has a row of more than {LONGEST_ROW:,} characters, or is no JSON")
        block = text.read(more)
        if not block:
            raise UnreadableFile(no_json(problem))
        held, place, more = held[place:] + block, 0, 2 * more  # doubled, so that a long item is not tried too often


def lines_of(text: io.TextIOBase) -> Iterator[Any]:
    """The values of JSON lines. Raises UnreadableFile for a line that is none."""
    number = 0
    while line := text.readline(LONGEST_ROW):
        number += 1
        if len(line) == LONGEST_ROW:
            raise UnreadableFile(f"its line {number:,} has more than {LONGEST_ROW:,} characters")
        if line.strip():
            yield value_of(line, f"its line {number:,}")


def value_of(text: str, what: str = "it") -> Any:
    """Raises UnreadableFile."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UnreadableFile(no_json(error, what)) from None


def no_json(error: Any, what: str = "it") -> str:
    return f"{what} is no JSON ({' '.join(str(error).split())[:80]})"


def rows_of(opened: Callable[[], io.TextIOBase], has_text: Callable[[Any], bool], has_any_text: Callable[[Any], bool]) -> Iterator[Any]:
    """The rows of a JSON file: the items of its array; JSON lines; of an object the longest array of rows that `has_any_text`, or the
    object itself if it `has_text`, or its longest array of strings. Raises UnreadableFile."""
    with opened() as text:
        beginning = text.read(READ_AT_ONCE)
    first_line, line_end, rest = beginning.lstrip().partition("\n")
    with opened() as text:
        if first_line.startswith("["):
            text.read(beginning.index("[") + 1)
            yield from items_of_array(text)
        elif line_end and rest.strip() and _is_value(first_line):
            yield from lines_of(text)
        else:
            whole = text.read(LONGEST_ROW)
            if len(whole) == LONGEST_ROW:
                raise UnreadableFile(f"it is an object of more than {LONGEST_ROW:,} characters: write its rows as .jsonl, one in a line")
            yield from _rows_of_value(value_of(whole), has_text, has_any_text)


def _is_value(line: str) -> bool:
    try:
        return not isinstance(json.loads(line), list)
    except (ValueError, RecursionError):
        return False


def _rows_of_value(value: Any, has_text: Callable[[Any], bool], has_any_text: Callable[[Any], bool]) -> list[Any]:
    arrays = [array for array in value.values() if isinstance(array, list)] if isinstance(value, dict) else []
    of_objects = [array for array in arrays if any(map(has_any_text, array))]
    of_strings = [array for array in arrays if any(isinstance(row, str) for row in array)]
    if of_objects:
        return max(of_objects, key=len)
    return [value] if has_text(value) or not of_strings else max(of_strings, key=len)
