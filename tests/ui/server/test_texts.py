"""A person's own texts: what is kept, what is refused and why, and what the page tells of a text."""

import re

import pytest

from gpt.data.corpus import BUILT_IN, CorpusError
from gpt.ui.server.texts import FOLDER, LARGEST, check_source, choices, preview, save_text
from tests.says import says


def test_a_text_is_kept_as_it_is_under_its_own_name(tmp_path):
    path = save_text(tmp_path, "My Poems.txt", "Größe\r\n".encode())
    assert path.read_bytes() == "Größe\r\n".encode()
    assert path.parent == tmp_path / FOLDER
    assert path.name.startswith("My-Poems-")
    assert path.suffix == ".txt"


def test_the_same_text_is_kept_once(tmp_path):
    first, again = (save_text(tmp_path, "poem.txt", b"tiger tiger") for _ in range(2))
    assert first == again
    assert len(list((tmp_path / FOLDER).iterdir())) == 1


def test_another_text_of_the_same_name_is_another_text(tmp_path):
    first, second = save_text(tmp_path, "poem.txt", b"tiger"), save_text(tmp_path, "poem.txt", b"lamb")
    assert first != second
    assert [first.read_bytes(), second.read_bytes()] == [b"tiger", b"lamb"]


@pytest.mark.parametrize("name", [
    "../../etc/passwd", "/etc/passwd", "..", ".", "", "\0", "a/b\\c:d.txt", "--corpus.txt", "x" * 5000, "诗.txt", "<script>.txt",
    "a\nb.txt", "con.txt", "${HOME}.txt"])
def test_a_hostile_name_stays_in_the_folder(tmp_path, name):
    path = save_text(tmp_path, name, b"text")
    assert path.parent == tmp_path / FOLDER
    assert path.exists()
    assert len(path.name) < 60
    assert path.stem[0].isalnum()
    assert set(path.name) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-.")
    assert [file.name for file in tmp_path.iterdir()] == [FOLDER]


@pytest.mark.parametrize(("data", "told"), [
    (b"", "text | empty"), (b" \n\t\r\n", "text | empty"),
    (b"PK\x03\x04\0\0", "book.zip | plain text"),
    (b"a" * (LARGEST + 1), "20.0 MB | 20 MB | python -m gpt.pretrain"),
], ids=["empty", "blank", "binary", "large"])
def test_what_cannot_be_trained_on_is_refused_and_not_kept(tmp_path, data, told):
    with pytest.raises(CorpusError, match=says(told)):
        save_text(tmp_path, "book.zip", data)
    assert not list(tmp_path.iterdir())


def test_the_largest_text_is_kept(tmp_path):
    assert save_text(tmp_path, "book.txt", b"a" * LARGEST).stat().st_size == LARGEST


def test_a_text_that_is_not_all_utf8_is_kept_and_told(tmp_path):
    path = save_text(tmp_path, "old.txt", "Stra\xdfe und B\xe4ume, ".encode("latin-1") * 20)
    seen = preview(str(path), "char", 256, 1)
    note, = seen["notes"]
    assert re.search(says(path.name, "UTF-8", "40 bytes"), note)
    assert seen["opening"].startswith("Stra\N{REPLACEMENT CHARACTER}e und ")


def test_choices_are_the_built_in_texts_and_then_ones_own(tmp_path):
    assert choices(tmp_path) == [(name, name) for name in BUILT_IN]
    path = save_text(tmp_path, "My own book.txt", b"text")
    assert choices(tmp_path)[len(BUILT_IN):] == [("My-own-book", str(path))]


def test_what_can_be_chosen_is_allowed(tmp_path):
    save_text(tmp_path, "poem.txt", b"text")
    for _, source in choices(tmp_path):
        assert check_source(tmp_path, source) == source


@pytest.mark.parametrize("source", [
    "/etc/passwd", "../poem.txt", "poem.txt", "", ".", "/", "stories/", "STORIES", None, 5, ["stories"], {}])
def test_no_other_source_is_read(tmp_path, source):
    save_text(tmp_path, "poem.txt", b"text")
    with pytest.raises(CorpusError, match=says("text", "this page")):
        check_source(tmp_path, source)


@pytest.mark.parametrize("around", [
    "{folder}/../{folder_name}/{name}", "{folder}/./{name}", "{folder}//{name}", "{folder}/../../outside.txt", "{folder}/{name}/",
    "{name}", "{folder}"])
def test_a_path_is_not_allowed_in_other_words(tmp_path, around):
    root = tmp_path / "runs"
    path = save_text(root, "poem.txt", b"text")
    (tmp_path / "outside.txt").write_text("secret")
    with pytest.raises(CorpusError):
        check_source(root, around.format(folder=path.parent, folder_name=FOLDER, name=path.name))


def test_the_preview_counts(tmp_path):
    text = "äbc " * 250  # 1,000 characters, 1,250 bytes
    path = save_text(tmp_path, "poem.txt", text.encode())
    seen = preview(str(path), "char", 256, 1)
    assert (seen["characters"], seen["train_tokens"], seen["vocab_size"], seen["exact"]) == (1000, 900, 4, True)
    assert seen["bytes_per_token"] == pytest.approx(1.25)
    assert seen["opening"] == text[:280]
    assert seen["notes"] == []
    in_bytes = preview(str(path), "byte", 256, 1)
    assert (in_bytes["train_tokens"], in_bytes["vocab_size"], in_bytes["bytes_per_token"]) == (1125, 256, 1)


def test_the_preview_of_a_long_text_is_an_estimate_near_the_truth(tmp_path, monkeypatch):
    monkeypatch.setattr("gpt.data.length.SAMPLE", 3000)
    path = save_text(tmp_path, "poem.txt", b"".join(b"%d green bottles hanging on the wall\n" % n for n in range(1000)))
    estimated, size = preview(str(path), "gpt2", 256, 1), path.stat().st_size
    monkeypatch.undo()
    preview.cache_clear()
    exact = preview(str(path), "gpt2", 256, 1)
    assert (estimated["exact"], exact["exact"]) == (False, True)
    assert estimated["characters"] == exact["characters"] == size
    assert estimated["train_tokens"] == pytest.approx(exact["train_tokens"], rel=0.05)


def test_a_short_text_offers_fewer_tokens_than_asked_for(tmp_path):
    path = save_text(tmp_path, "short.txt", b"one two three four five six seven eight nine ten")
    assert 256 <= preview(str(path), "bpe", 1024, 1)["vocab_size"] < 400
