"""In which encoding a file is."""

import io
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpt.data.files.encodings import Encoding, decoded, find_encoding
from gpt.data.files.errors import UnreadableFile

RUSSIAN = "Съешь же ещё этих булок. "  # a line of a typographer's pangram
GERMAN = "Zwölf Boxkämpfer jagen Viktor quer über den großen Sylter Deich. "


def read(data: bytes) -> tuple[Encoding, str]:
    encoding = find_encoding(io.BytesIO(data))
    return encoding, decoded(io.BytesIO(data), encoding).read()


@pytest.mark.parametrize("name", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("text", ["a", "plain words\n" * 50, RUSSIAN * 40, "漢字かな交じり文。" * 30, "🙂" * 1000])
def test_unicode_is_read_as_it_is_and_nothing_is_said(name, text):
    encoding, found = read(text.encode(name))
    assert (found, encoding.remark) == (text, "")


@pytest.mark.parametrize("name", ["utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("text", ["plain words\n" * 50, RUSSIAN * 40])
def test_utf_16_without_a_mark_is_known_by_its_zero_bytes(name, text):
    encoding, found = read(text.encode(name))
    assert (found, encoding.remark) == (text, f"read as {name}")


@pytest.mark.parametrize(("text", "written", "read_as"), [
    (RUSSIAN * 400, "cp1251", "cp1251"), (RUSSIAN * 40, "koi8-r", "koi8_r"), (GERMAN * 20, "latin-1", None),
   ("Źrebię szło przez łąkę, a słońce świeciło. " * 30, "cp1250", "cp1250"),
    ("これは日本語のテキストです。\n" * 30, "shift_jis", "cp932"), ("これは日本語のテキストです。\n" * 30, "euc_jp", "euc_jp"),
    ("春天来了，花开了。\n" * 30, "gbk", "gb18030"), ("안녕하세요. 날씨가 좋습니다.\n" * 30, "euc_kr", "cp949"),
    ("Un café crème, s'il vous plaît, à côté de l'hôtel. " * 10, "cp1252", "cp1252"),
])
def test_a_code_page_that_fits_is_found_and_said(text, written, read_as):
    encoding, found = read(text.encode(written))
    assert found == text
    assert encoding.remark == f"read as {encoding.name}"
    assert read_as in (None, encoding.name)


def test_a_code_page_that_begins_after_a_megabyte_of_ascii_is_found():
    text = "plain words, and more of them.\n" * 80_000 + RUSSIAN * 40
    assert read(text.encode("cp1251")) == (Encoding("cp1251"), text)


@pytest.mark.parametrize("damage", [b"\xff", b"\xc3\x28", b"\xf0\x9f\x98"])
def test_a_few_broken_bytes_in_utf_8_are_replaced_and_counted(damage):
    encoding, found = read((GERMAN * 20).encode() + damage + GERMAN.encode())
    broken = sum(byte >= 128 for byte in damage)
    assert encoding == Encoding("utf-8", broken)
    assert found.startswith(GERMAN * 20 + "\ufffd")
    assert f"{broken} bytes could not be read and were replaced" in encoding.remark


@pytest.mark.parametrize("cut", [2, 3])
def test_a_character_cut_off_at_the_end_does_not_make_a_code_page_of_utf_8(cut):
    encoding, found = read(b"plain words " * 20 + "🙂".encode()[:cut])
    assert encoding == Encoding("utf-8", cut)
    assert found == "plain words " * 20 + "\ufffd"


@pytest.mark.parametrize(("text", "name"), [("これは日本語のテキストです。", "shift_jis"), ("これは日本語のテキストです。", "euc_jp"),
                                            ("春天来了，花开了。", "gbk")])
@pytest.mark.parametrize("before", ["", "a", "ab", "abc"])
def test_a_long_text_in_two_bytes_a_character_is_found_wherever_the_sample_ends(text, name, before):
    text = before + text * 9000
    assert read(text.encode(name))[1] == text


def test_a_text_with_a_mark_and_a_few_broken_bytes_is_read_all_the_same():
    encoding, found = read("\ufeffgrößer ".encode() + b"\xff und mehr")
    assert (encoding, found) == (Encoding("utf-8-sig", 1), "größer \ufffd und mehr")


@pytest.mark.parametrize("at", [2**20 - 3, 2**20 - 2, 2**20 - 1, 2**20])
def test_a_character_that_two_blocks_share_is_whole(at):
    text = "a" * at + "🙂" + "é" * 10
    assert read(text.encode()) == (Encoding("utf-8"), text)


@pytest.mark.parametrize(("data", "said"), [
    (random.Random(1).randbytes(20_000), "no text"), (bytes(range(1, 256)) * 20, "no text"), (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "no text"),
    (b"PK\x03\x04\x14\0\0\0\x08\0" * 30, "no text"), (b"\x7fELF" + b"\0" * 60, "no text"), (b"%PDF-1.4 words of a page", "PDF"),
    (b"\xff\xfeh\0\0\xdce\0", "UTF-16"), (b"\0" * 100, "no text"),
], ids=["random", "all bytes", "picture", "zip", "program", "pdf", "broken utf-16", "zeros"])
def test_what_is_no_text_is_refused_with_the_reason(data, said):
    with pytest.raises(UnreadableFile, match=said):
        read(data)


@pytest.mark.parametrize("name", ["utf-8", "utf-16", "cp1251"])
def test_all_line_ends_become_line_feeds(name):
    _, found = read((RUSSIAN * 40 + "\rодин\r\nдва\nтри\r").encode(name))
    assert found == RUSSIAN * 40 + "\nодин\nдва\nтри\n"


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1))
def test_any_text_in_utf_8_is_read_as_it_is(text):
    encoding, found = read(text.encode())
    assert (found, encoding.remark) == (text.removeprefix("\ufeff"), "")


@given(st.binary())
def test_any_bytes_are_read_or_refused(data):
    try:
        encoding, found = read(data)
    except UnreadableFile as error:
        assert str(error).startswith("it ")
    except UnicodeDecodeError as error:  # for which gpt/data/files/reading.py has words
        assert error.encoding
    else:
        assert len(found) <= len(data)
        assert encoding.name
