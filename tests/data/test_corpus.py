"""Where text comes from, and how it is split."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpt.data.corpus import BUILT_IN, Corpus, CorpusError, read_corpus
from tests.says import says


def write(path, data: bytes) -> str:
    path.write_bytes(data)
    return str(path)


def test_a_file_is_read_as_it_is(tmp_path):
    corpus = read_corpus(write(tmp_path / "a.txt", "Grüße\naus 東京\n".encode()))
    assert (corpus.name, corpus.text, corpus.prompt, corpus.notes) == ("a.txt", "Grüße\naus 東京\n", "Grüße", [])


def test_a_byte_order_mark_and_windows_line_ends_are_left_out(tmp_path):
    assert read_corpus(write(tmp_path / "a.txt", b"\xef\xbb\xbfone\r\ntwo\r\n")).text == "one\ntwo\n"


def test_bytes_that_are_no_utf8_are_replaced_and_counted(tmp_path):
    corpus = read_corpus(write(tmp_path / "latin.txt", "café crème".encode("latin-1") + b" \xf0\x9f"))
    assert corpus.text == "caf\ufffd cr\ufffdme \ufffd"
    assert corpus.notes == ["latin.txt is not all UTF-8: 4 bytes could not be read and were replaced"]


@given(st.binary(min_size=1))
def test_any_file_can_be_read_or_is_called_empty(tmp_path_factory, data):
    source = write(tmp_path_factory.mktemp("any") / "a.txt", data)
    try:
        assert read_corpus(source).prompt
    except CorpusError as error:
        assert "is empty" in str(error) or (b"\0" in data and "it is no plain text" in str(error))


def test_a_folder_gives_all_its_txt_files_in_order(tmp_path):
    (tmp_path / "deeper").mkdir()
    for name, content in (("b.txt", b"two"), ("a.txt", b"one"), ("deeper/c.txt", b"thr\xffee"), ("d.md", b"no")):
        write(tmp_path / name, content)
    corpus = read_corpus(str(tmp_path))
    assert corpus.text == "one\n\ntwo\n\nthr\ufffdee"
    assert corpus.notes == ["c.txt is not all UTF-8: 1 bytes could not be read and were replaced"]


def test_a_folder_without_txt_files_is_told(tmp_path):
    with pytest.raises(CorpusError, match=says(".txt", "name a file")):
        read_corpus(str(tmp_path))


@pytest.mark.parametrize("data", [b"", b" \n\t\r\n ", b"\xef\xbb\xbf"])
def test_an_empty_text_is_told(tmp_path, data):
    with pytest.raises(CorpusError, match="is empty"):
        read_corpus(write(tmp_path / "a.txt", data))


@pytest.mark.parametrize("source", ["no/such/file.txt", "shakespear", "nul\0l", "pasted text " * 100])
def test_a_missing_text_is_told_with_the_names_of_the_built_in_ones(source):
    with pytest.raises(CorpusError, match=says("file", "folder", "stories, repeats, python")):
        read_corpus(source)


def test_no_name_is_no_text_and_not_this_folder(tmp_path, monkeypatch):
    write(tmp_path / "a.txt", b"not asked for")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CorpusError, match=says("stories, repeats, python")):
        read_corpus("")


@pytest.mark.parametrize("name", BUILT_IN)
def test_a_built_in_text_is_long_repeatable_and_begins_like_its_prompt(name):
    corpus = read_corpus(name, seed=3)
    assert len(corpus.text) > 1_000_000
    assert set(corpus.prompt) <= set(corpus.text)
    assert read_corpus(name, seed=3).identity() == corpus.identity()
    assert BUILT_IN[name].sentence.endswith(".")


@pytest.mark.parametrize(("text", "prompt"), [
    ("\n\n  Once upon a time there was", "Once upon a time"), ("short\nlines", "short"), ("x" * 50, "x" * 20), ("a", "a"),
    ("exactly twenty chars", "exactly twenty chars"),
])
def test_the_prompt_is_the_texts_first_words(tmp_path, text, prompt):
    assert read_corpus(write(tmp_path / "a.txt", text.encode())).prompt == prompt


@given(st.text())
def test_training_and_validation_text_never_overlap_and_lose_nothing(text):
    train, validation = Corpus("a", text, "").split()
    assert train + validation == text
    assert len(train) == int(len(text) * 0.9)


def test_identity_notices_a_change():
    first, second = Corpus("a", "text", "t").identity(), Corpus("a", "texT", "t").identity()
    assert first == {"name": "a", "bytes": 4, "sha256": hashlib.sha256(b"text").hexdigest(), "prompt": "t", "notes": []}
    assert second["sha256"] != first["sha256"]
