"""From a name or a path to a text."""

import errno
import gzip
import hashlib
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpt.data.built_in import BUILT_IN
from gpt.data.corpus import Corpus, CorpusError, first_words
from gpt.data.files.listing import Entry, entries
from gpt.data.sources import read_corpus
from tests.says import says


def write(path, data: bytes) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return str(path)


def documents(corpus: Corpus) -> list[str]:
    *found, rest = "".join(part.text + "\x1e" * part.ends for part in corpus.everything()).split("\x1e")
    assert rest == ""
    return found


def test_a_file_is_read_as_it_is(tmp_path):
    corpus = read_corpus(write(tmp_path / "a.txt", "Grüße\naus 東京\n".encode()))
    assert (corpus.name, documents(corpus), corpus.prompt, corpus.sentences()) == ("a.txt", ["Grüße\naus 東京\n"], "Grüße", [])


def test_a_text_in_a_code_page_says_so(tmp_path):
    """What was read as question marks before."""
    corpus = read_corpus(write(tmp_path / "book.txt", ("Съешь же ещё этих булок. " * 400).encode("cp1251")))
    assert documents(corpus) == ["Съешь же ещё этих булок. " * 400]
    assert corpus.sentences() == ["book.txt: read as cp1251"]


def test_a_damaged_file_says_how_many_bytes_were_replaced(tmp_path):
    corpus = read_corpus(write(tmp_path / "a.txt", ("größere " * 50).encode() + b"\xff\xfe"))
    assert corpus.sentences() == ["a.txt: not all UTF-8: 2 bytes could not be read and were replaced"]


@given(st.binary(min_size=1))
def test_any_file_can_be_read_or_is_refused_in_words(tmp_path_factory, data):
    source = write(tmp_path_factory.mktemp("any") / "a.txt", data)
    try:
        assert read_corpus(source).prompt
    except CorpusError as error:
        assert "cannot be trained on: it" in str(error)


def test_a_folder_of_mixed_files_is_read_in_natural_order_and_what_is_no_text_is_named(tmp_path):
    files = {
        "ch10.txt": b"ten", "ch2.TXT": b"two", "ch1.md": b"one", "rows.jsonl": b'{"text": "row 1"}\n{"text": "row 2"}',
        "rows.csv": b"n,text\n1,cell 1\n2,cell 2\n", "rows.json": b'[{"body": "item"}]', "page.html": b"<p>para</p>", "notes": b"no ending",
        "x.py": b"pass", "z.txt.gz": gzip.compress(b"packed"), "._ch1.md": b"\0\1", ".git/config": b"no", "a.png": b"\x89PNG\0\0",
        "b.json": b"[1, 2]", "empty.txt": b"", "deeper/c.txt": "größer".encode("utf-16")}
    for name, data in files.items():
        write(tmp_path / name, data)
    with zipfile.ZipFile(tmp_path / "more.zip", "w") as archive:
        archive.writestr("in/it.txt", "zipped")
    corpus = read_corpus(str(tmp_path))
    assert documents(corpus) == ["one", "two", "ten", "zipped", "no ending", "para\n", "cell 1", "cell 2", "item", "row 1", "row 2", "pass",
                                 "packed", "größer"]
    read, left_out, held_out = corpus.sentences()
    assert read.startswith("12 files with 14 documents, 73 bytes: ch1.md (3 bytes), ch2.TXT (3 bytes), ")
    assert left_out.startswith("left out: a.png (it is no text: it has zero bytes), b.json (it has no field of text")
    assert "empty.txt (it is empty)" in left_out
    assert "for validation" in held_out


def test_training_and_validation_hold_different_documents(tmp_path):
    for i in range(30):
        write(tmp_path / f"{i}.txt", b"document %d" % i)
    corpus = read_corpus(str(tmp_path), seed=4)
    train, validation = ([part.text for part in parts if part.text] for parts in (corpus.train(), corpus.validation()))
    assert sorted(train + validation) == sorted(f"document {i}" for i in range(30))
    assert corpus.characters() == (sum(map(len, train)), sum(map(len, validation)))
    assert validation != [part.text for part in read_corpus(str(tmp_path), seed=5).validation() if part.text]


def test_what_differs_in_blanks_around_it_is_the_same_document(tmp_path):
    for i in range(40):
        write(tmp_path / f"{i}.txt", b"\n" * (i % 3) + b"document %d" % (i // 2) + b"\n" * (i % 2))
    corpus = read_corpus(str(tmp_path), seed=1)
    train, validation = ({part.text.strip() for part in parts if part.text} for parts in (corpus.train(), corpus.validation()))
    assert validation
    assert not train & validation


def test_documents_that_all_say_the_same_are_refused(tmp_path):
    for i in range(3):
        write(tmp_path / f"{i}.txt", b"the same")
    with pytest.raises(CorpusError, match=says("say the same", "add others")):
        read_corpus(str(tmp_path))


def test_the_prompt_and_the_opening_are_of_the_first_document(tmp_path):
    corpus = read_corpus(write(tmp_path / "a.jsonl", b'"cat"\n"dog"\n"bird flies"\n'))
    assert (corpus.prompt, corpus.fingerprint.opening) == ("cat", "cat")


def test_no_more_is_read_than_is_allowed(tmp_path):
    write(tmp_path / "a.txt", b"a" * 900)
    write(tmp_path / "b.txt.gz", gzip.compress(b"b" * 100_000))
    corpus = read_corpus(str(tmp_path), most_bytes=1000)
    assert documents(corpus) == ["a" * 900]
    assert "b.txt.gz (it unpacks to more than 1.0 kB)" in corpus.sentences()[0]


def test_where_only_validation_has_several_documents_they_have_ends_too(tmp_path):
    write(tmp_path / "own" / "1.txt", b"first")
    write(tmp_path / "own" / "2.txt", b"second")
    corpus = read_corpus(write(tmp_path / "train.txt", b"all of this"), validation=str(tmp_path / "own"))
    assert corpus.has_documents


def test_ones_own_file_for_validation(tmp_path):
    train = write(tmp_path / "train.txt", b"all of this is for training, " * 20)
    own = write(tmp_path / "own.txt", b"this is not")
    corpus = read_corpus(train, validation=own)
    assert corpus.strings() == ("all of this is for training, " * 20, "this is not")
    assert corpus.characters() == (580, 11)
    assert corpus.sentences() == ["own.txt is for validation, 11 bytes"]


def test_a_file_for_validation_is_not_trained_on_where_it_lies_among_the_others(tmp_path):
    for name in ("a", "b", "c"):
        write(tmp_path / f"{name}.txt", f"document {name}".encode())
    corpus = read_corpus(str(tmp_path), validation=str(tmp_path / "b.txt"))
    assert corpus.strings() == ("document adocument c", "document b")
    assert "1 documents that say the same as one of it are left out" in " ".join(corpus.sentences())
    with pytest.raises(CorpusError, match=says("nothing that is not in")):
        read_corpus(str(tmp_path / "b.txt"), validation=str(tmp_path / "b.txt"))


@pytest.mark.parametrize(("files", "said"), [
    ({}, "is a folder without files"), ({"a.png": b"\0\0"}, "cannot be trained on: a.png: it is no text"),
    ({"a.png": b"\0\0", "b.zip": b"no"}, "has no file that can be read: a.png (it is no text: it has zero bytes) and b.zip (it is no .zip"),
    ({"a.txt": b" \n"}, "a.txt: it is empty"),
])
def test_a_folder_without_text_says_why(tmp_path, files, said):
    for name, data in files.items():
        write(tmp_path / name, data)
    with pytest.raises(CorpusError, match=says(said)):
        read_corpus(str(tmp_path))


def test_a_file_that_may_not_be_read_is_named_and_left_out(tmp_path, monkeypatch):
    def refuse():
        raise PermissionError(errno.EACCES, "Permission denied")

    fine, _ = write(tmp_path / "a.txt", b"words"), write(tmp_path / "b.txt", b"more")
    monkeypatch.setattr("gpt.data.sources.entries", lambda path, **_: [Entry("b.txt", ".txt", refuse), *entries(Path(fine))])
    assert read_corpus(str(tmp_path)).sentences() == ["left out: b.txt (it cannot be read (Permission denied))"]


@pytest.mark.parametrize("data", [b"", b" \n\t\r\n ", b"\xef\xbb\xbf"])
def test_an_empty_text_says_so(tmp_path, data):
    with pytest.raises(CorpusError, match="is empty"):
        read_corpus(write(tmp_path / "a.txt", data))


@pytest.mark.parametrize("source", ["no/such/file.txt", "shakespear", "nul\0l", "pasted text " * 100, ""])
def test_a_missing_text_is_told_with_the_names_of_the_built_in_ones(source):
    with pytest.raises(CorpusError, match=says("file", "folder", "stories, repeats, python")):
        read_corpus(source)


@pytest.mark.parametrize("change", [b"words of", b"words of a text that has grown", None, b"wordsXof a text"])
def test_a_file_that_changes_while_it_is_read_ends_the_reading(tmp_path, change):
    path = tmp_path / "a.txt"
    corpus = read_corpus(write(path, b"words of a text"))
    path.unlink() if change is None else path.write_bytes(change)
    with pytest.raises(CorpusError, match=says("changed while it was read" if change else "cannot be read any more")):
        list(corpus.train())


@pytest.mark.parametrize("name", [name for name, built_in in BUILT_IN.items() if not built_in.download])
def test_a_built_in_text_is_long_repeatable_and_begins_like_its_prompt(name):
    corpus = read_corpus(name, seed=3)
    text = "".join(corpus.strings())
    assert len(text) > 1_000_000
    assert set(corpus.prompt) <= set(text)
    assert read_corpus(name, seed=3).identity() == corpus.identity()
    assert BUILT_IN[name].sentence.endswith(".")


def test_each_module_of_the_standard_library_is_a_document():
    corpus = read_corpus("python")
    assert corpus.n_documents > 200
    assert any(text.startswith('r"""HTTP/1.1 client library') for text in documents(corpus))
    assert not any("tests.txt" in sentence or "site-packages" in sentence for sentence in corpus.sentences())


@pytest.mark.parametrize(("text", "prompt"), [
    ("\n\n  Once upon a time there was", "Once upon a time"), ("short\nlines", "short"), ("x" * 50, "x" * 20), ("a", "a"),
    ("exactly twenty chars", "exactly twenty chars"),
])
def test_the_prompt_is_the_texts_first_words(tmp_path, text, prompt):
    assert first_words(text) == read_corpus(write(tmp_path / "a.txt", text.encode())).prompt == prompt


@given(st.text(min_size=1))
def test_training_and_validation_text_never_overlap_and_lose_nothing(text):
    train, validation = Corpus.of_text("a", text).strings()
    assert train + validation == text
    assert len(train) == int(len(text) * 0.9)


def test_identity_notices_a_change():
    first, second = Corpus.of_text("a", "text", "t").identity(), Corpus.of_text("a", "texT", "t").identity()
    assert first == {"name": "a", "bytes": 4, "sha256": hashlib.sha256(b"text").hexdigest(), "documents": 1, "prompt": "t", "notes": []}
    assert second["sha256"] != first["sha256"]


def test_documents_that_join_to_the_same_text_are_another_text(tmp_path):
    for name, files in (("one", ("ab", "c")), ("two", ("a", "bc"))):
        for i, text in enumerate(files):
            write(tmp_path / name / f"{i}.txt", text.encode())
    first, second = (read_corpus(str(tmp_path / name)).identity() for name in ("one", "two"))
    assert first["bytes"] == second["bytes"]
    assert first["sha256"] != second["sha256"]
