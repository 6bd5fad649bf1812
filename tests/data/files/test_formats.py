"""Documents in the text of a file."""

import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpt.data.files import formats
from gpt.data.files.errors import UnreadableFile
from gpt.data.files.formats import FORMATS, Part, Reading, plain
from gpt.data.files.json_stream import items_of_array

AS_FILES, BLANK_LINES, END_OF_TEXT = (Reading(documents=name) for name in formats.SEPARATORS)


def documents(text: str, ending: str = ".txt", reading: Reading = AS_FILES) -> list[str]:
    found, text_so_far = [], ""
    for part in FORMATS.get(ending, plain)(lambda: io.StringIO(text), reading):
        text_so_far += part.text
        if part.ends:
            found.append(text_so_far)
            text_so_far = ""
    assert text_so_far == ""  # the last part ends its document
    return found


def test_a_plain_file_is_one_document():
    assert documents("one\n\ntwo\n\n\n<|endoftext|>\n") == ["one\n\ntwo\n\n\n<|endoftext|>\n"]


@pytest.mark.parametrize(("reading", "text", "expected"), [
    (BLANK_LINES, "one\nmore\n\ntwo\n \t\n\nthree", ["one\nmore", "two", "three"]),
    (BLANK_LINES, "no blank line\n", ["no blank line\n"]),
    (END_OF_TEXT, "one\n\nmore\n<|endoftext|>\ntwo<|endoftext|>three\n", ["one\n\nmore", "two", "three\n"]),
])
def test_a_separator_parts_documents(reading, text, expected):
    assert documents(text, reading=reading) == expected


@given(st.text("ab \n", max_size=60), st.integers(1, 12))
def test_separators_are_found_wherever_blocks_end(text, block):
    whole = documents(text, reading=BLANK_LINES)
    before = formats.BLOCK, formats.LONGEST_SEPARATOR
    formats.BLOCK, formats.LONGEST_SEPARATOR = block, 70
    try:
        assert documents(text, reading=BLANK_LINES) == whole
    finally:
        formats.BLOCK, formats.LONGEST_SEPARATOR = before


def test_separators_come_one_after_the_other_without_holding_the_text_back():
    text = "words of a story\n\n" * 200_000
    parts = list(plain(lambda: io.StringIO(text), BLANK_LINES))
    assert len([part for part in parts if part.ends]) == 200_001
    assert max(len(part.text) for part in parts) < 30


def test_a_long_plain_text_comes_in_blocks():
    parts = list(plain(lambda: io.StringIO("a" * 2_500_000), AS_FILES))
    assert [len(part.text) for part in parts] == [formats.BLOCK, formats.BLOCK, 2_500_000 - 2 * formats.BLOCK, 0]
    assert [part.ends for part in parts] == [False, False, False, True]


ROWS = [{"id": 1, "text": "one\r\nline", "title": "a rather long title"}, {"id": 2, "text": "two"}, {"id": 3, "text": ""},
        {"id": 4}, {"id": 5, "text": None}, {"id": 6, "text": "six ✓ \ud800"}]
TEXTS = ["one\nline", "two", "six ✓ ?"]


@pytest.mark.parametrize(("ending", "text"), [
    (".jsonl", "\n".join(map(json.dumps, ROWS)) + "\n\n"), (".ndjson", "\n".join(map(json.dumps, ROWS))),
    (".json", json.dumps(ROWS, indent=1)), (".json", json.dumps({"version": 1, "meta": {"by": "x"}, "data": ROWS, "more": [1]})),
])
def test_rows_of_json_are_documents(ending, text):
    assert documents(text, ending) == TEXTS


def test_rows_may_be_texts_and_a_file_one_row():
    assert documents('["one", "two", 3]', ".json") == documents('"one"\n"two"\n3\n', ".jsonl") == ["one", "two"]
    assert documents('{"text": "only", "n": 1}', ".json") == ["only"]


@pytest.mark.parametrize(("rows", "field", "expected"), [
    ([{"a": "short", "b": "the longer one"}], "", ["the longer one"]),
    ([{"a": "short", "b": "the longer one"}], "a", ["short"]), ({"Body": "short", "b": ["x", "y"]}, "Body", ["short"]),
    ([{"summary": "a long summary of it", "Content": "it"}], "", ["it"]),
    ([{"text": "", "b": "words"}], "", ["words"]),
])
def test_the_field_of_text_is_found_or_chosen(rows, field, expected):
    assert documents(json.dumps(rows), ".json", Reading(text_field=field)) == expected


@pytest.mark.parametrize(("ending", "text", "field", "said"), [
    (".json", '[{"a": 1, "b": 2}]', "", "no field of text; its fields are a, b: choose one"),
    (".json", '[{"a": "x"}]', "c", "no text in a field 'c'; its fields are a"),
    (".json", "[1, 2]", "", "rows must be text, or objects with a field of text"), (".json", "[]", "", "no field of text"),
    (".jsonl", '{"text": "x"}\nnot json\n', "", "line 2 is no JSON"), (".json", "[1, 2", "", "no JSON"), (".json", "", "", "no JSON"),
    (".json", "not json", "", "no JSON"), (".csv", "", "", "no field of text"), (".csv", "only,a,header\n", "", "no field of text"),
])
def test_rows_without_text_say_what_they_have(ending, text, field, said):
    with pytest.raises(UnreadableFile, match=said):
        documents(text, ending, Reading(text_field=field))


@pytest.mark.parametrize(("ending", "text"), [
    (".csv", 'id,text\n1,"one, and ""more"""\n2,"two\nlines"\n\n3,\n4\n'), (".csv", 'id;text\n1;"one, and ""more"""\n2;"two\nlines"\n'),
    (".tsv", 'id\ttext\n1\t"one, and ""more"""\n2\t"two\nlines"\n')])
def test_rows_of_a_table_are_documents(ending, text):
    assert documents(text, ending) == ['one, and "more"', "two\nlines"]


@pytest.mark.parametrize(("value", "expected"), [
    ({"title": "T", "text": "A long story", "tags": ["x", "yy"]}, ["A long story"]),
    ({"licenses": ["MIT"], "data": [{"text": "one"}, {"text": "two"}]}, ["one", "two"]),
    ({"errors": [], "data": [{"body": "one"}]}, ["one"]), ({"words": ["one", "two"], "n": 2}, ["one", "two"]),
    ({"id": 18446744073709551615, "text": "large numbers are numbers"}, ["large numbers are numbers"]),
])
def test_the_rows_of_an_object_are_those_with_text(value, expected):
    assert documents(json.dumps(value), ".json") == documents(json.dumps(value, indent=1), ".json") == expected


def test_json_lines_may_be_called_json():
    assert documents('{"text": "one"}\n{"text": "two"}\n', ".json") == ["one", "two"]


@pytest.mark.parametrize("text", ['[{"text": "a", "n": ' + "9" * 5000 + "}]", "[" * 100_000 + '"a"' + "]" * 100_000, "[1, 2", '["a" ',
                                  "[" + "9" * 5000], ids=["long number", "deep", "cut off", "cut off behind an item", "cut long number"])
def test_json_that_no_reader_can_read_is_refused(text):
    with pytest.raises(UnreadableFile, match=r"no JSON|no field of text"):
        documents(text, ".json")


@given(st.lists(st.text("ab\\\"é, []{}\n", max_size=12), max_size=6), st.integers(1, 40))
def test_the_items_of_an_array_are_found_wherever_blocks_end(items, block):
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr("gpt.data.files.json_stream.READ_AT_ONCE", block)
        for indent in (None, 1):
            text = io.StringIO(json.dumps(items, indent=indent)[1:])
            assert list(items_of_array(text)) == items


def test_a_quotation_mark_in_a_table_of_tabs_is_only_that():
    assert documents('n\ttext\n1\t"Hello, said he\n2\ttwo\n3\tthree\n', ".tsv") == ['"Hello, said he', "two", "three"]


@pytest.mark.parametrize("text", ["<p>a<![if mso]>b<![endif]>c", "<![foo[ bar", "<![ bar", "a<svg>b", "<!-- a", "a<!DOCTYPE [ <!x"])
def test_odd_pages_are_read(text):
    assert len(documents(text, ".html")) == 1


def test_a_million_line_ends_part_two_documents():
    parts = list(plain(lambda: io.StringIO("one" + "\n" * 3_000_000 + "two"), BLANK_LINES))
    assert [part.text for part in parts if part.text.strip()] == ["one", "two"]
    assert max(len(part.text) for part in parts) <= formats.BLOCK + formats.LONGEST_SEPARATOR


def test_a_column_alone_needs_no_sign_between_cells():
    assert documents("text\nfirst row\nsecond row\n", ".csv") == ["first row", "second row"]


def test_the_words_of_a_web_page_without_what_is_not_shown():
    page = """<!DOCTYPE html><html><head><title>A  page</title><style>p { color: red }</style><script>if (a < b) { x() }</script></head>
        <body><h1>Tom &amp; Anna</h1><p>One   <b>bold</b> word,<br>a line.<p>Two&nbsp;words &#x2713;
        <ul><li>first<li>second</ul><table><tr><td>a</td><td>b</td></tr></table><pre>  kept
    as it is</pre><noscript>no</noscript></body></html>"""
    assert documents(page, ".html") == ["A page\nTom & Anna\nOne bold word,\na line.\nTwo\u00a0words ✓ \nfirst\nsecond\na b\n  kept\n"
                                        "    as it is\n"]


@given(st.text("<>/ap!-&;#\"'= \n", max_size=200))
def test_any_text_can_be_read_as_a_web_page(text):
    assert len(documents(text, ".htm")) == 1


def test_parts_are_pairs():
    assert Part("text", True) == ("text", True)
