"""A person's own texts: what is kept, what is refused and why, and what the page tells of a text."""

import re
from pathlib import Path

import pytest

from gpt.data.built_in import BUILT_IN
from gpt.data.corpus import CorpusError
from gpt.ui.server import texts
from gpt.ui.server.texts import FOLDER, Read, check_source, choices, preview, save_files, save_text
from tests.says import says


def read_as(path: Path, tokenizer: str, vocab_size: int) -> Read:
    return Read(str(path), "", "files", "", 1, tokenizer, vocab_size)


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
    assert all(character.isalnum() or character in "-." for character in path.name)
    assert [file.name for file in tmp_path.iterdir()] == [FOLDER]


@pytest.mark.parametrize(("name", "data", "told"), [
    ("a.txt", b"", "a.txt | empty"), ("a.txt", b" \n\t\r\n", "a.txt | empty"), ("book.zip", b"PK\x03\x04\0\0", "book.zip | no .zip file"),
    ("a.png", b"\x89PNG\0\0", "a.png | no text"), ("a.json", b"[1]", "a.json | no field of text"),
    ("a.txt", b"a" * 1001, "1.0 kB | up to 1.0 kB | python -m gpt.pretrain"),
], ids=["empty", "blank", "zip", "picture", "numbers", "large"])
def test_what_cannot_be_trained_on_is_refused_and_not_kept(tmp_path, monkeypatch, name, data, told):
    monkeypatch.setattr(texts, "LARGEST", 1000)
    with pytest.raises(CorpusError, match=says(told)):
        save_text(tmp_path, name, data)
    assert not list(tmp_path.iterdir())


def test_the_largest_text_is_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(texts, "LARGEST", 1000)
    assert save_text(tmp_path, "book.txt", b"a" * 1000).stat().st_size == 1000


def laid_out(folder: Path, files: dict[str, bytes]) -> dict[str, Path]:
    folder.mkdir()
    for i, data in enumerate(files.values()):
        (folder / str(i)).write_bytes(data)
    return {name: folder / str(i) for i, name in enumerate(files)}


def test_several_files_are_one_text_of_several_documents(tmp_path):
    given = {"ch1.txt": b"one", "ch2.md": b"two", ".DS_Store": b"\0", "rows.JSONL": b'{"text": "row"}', "x.png": b"\0\0", "notes": b"no"}
    path = save_files(tmp_path, laid_out(tmp_path / "given", given))
    assert (path.parent, path.is_dir()) == (tmp_path / FOLDER, True)
    assert sorted(file.name for file in path.iterdir()) == ["ch1.txt", "ch2.md", "notes", "rows.jsonl", "x.png"]
    label, source = choices(tmp_path)[-1]
    assert (label, source) == ("ch1-and-4-more", str(path))
    seen = preview(read_as(path, "byte", 256))
    assert seen["documents"] == 4
    assert any("left out: x.png" in note for note in seen["notes"])


def test_files_of_the_same_name_are_all_kept(tmp_path):
    path = save_files(tmp_path, laid_out(tmp_path / "given", {"a b.txt": b"one", "a-b.txt": b"two", "A.txt": b"three"}))
    assert sorted(file.read_bytes() for file in path.iterdir()) == [b"one", b"three", b"two"]


def test_several_files_without_text_are_refused_and_not_kept(tmp_path):
    given = laid_out(tmp_path / "given", {"a.png": b"\0", "b.png": b"\0\0"})
    with pytest.raises(CorpusError, match=says("no file that can be read", "a.png", "b.png")):
        save_files(tmp_path, given)
    assert not (tmp_path / FOLDER).exists()


@pytest.mark.parametrize(("name", "expected"), [
    ("a.TXT", ".txt"), ("a.tar.gz", ".tar.gz"), ("a.jsonl.gz", ".jsonl.gz"), ("notes", ""), ("a.v2", ".v2"), ("a.<b>", ".txt"),
    ("a.txt.", ""), ("a." + "x" * 40, ".txt")])
def test_the_ending_stays_by_which_a_file_is_read(name, expected):
    assert texts.ending(name) == expected


def test_names_in_any_script_can_be_told_apart(tmp_path):
    for name in ("诗.txt", "поэма.txt", "résumé é.txt"):
        save_text(tmp_path, name, name.encode())
    assert {label for label, _ in choices(tmp_path)} >= {"诗", "поэма", "résumé-é"}


def test_a_folder_and_a_file_are_measured_and_deleted_alike(tmp_path):
    one = save_text(tmp_path, "a.txt", b"words")
    several = save_files(tmp_path, laid_out(tmp_path / "given", {"a.txt": b"one", "b.txt": b"three"}))
    assert [texts.size_of(path) for path in (one, several)] == [5, 8]
    for path in (one, several, one):
        texts.delete(path)
    assert list((tmp_path / FOLDER).iterdir()) == []


def test_a_text_that_is_not_all_utf8_is_kept_and_told(tmp_path):
    path = save_text(tmp_path, "old.txt", "Stra\xdfe und B\xe4ume, ".encode("latin-1") * 20)
    seen = preview(read_as(path, "char", 256))
    note, = seen["notes"]
    assert re.search(says(path.name, "read as cp125"), note)
    assert seen["opening"].startswith("Stra\xdfe und ")


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
    seen = preview(read_as(path, "char", 256))
    assert (seen["characters"], seen["train_tokens"], seen["vocab_size"], seen["exact"]) == (1000, 900, 4, True)
    assert seen["bytes_per_token"] == pytest.approx(1.25)
    assert seen["opening"] == text[:280]
    assert seen["notes"] == []
    in_bytes = preview(read_as(path, "byte", 256))
    assert (in_bytes["train_tokens"], in_bytes["vocab_size"], in_bytes["bytes_per_token"]) == (1125, 256, 1)


def test_the_preview_of_a_long_text_is_an_estimate_near_the_truth(tmp_path, monkeypatch):
    monkeypatch.setattr("gpt.data.length.SAMPLE", 3000)
    path = save_text(tmp_path, "poem.txt", b"".join(b"%d green bottles hanging on the wall\n" % n for n in range(1000)))
    estimated, size = preview(read_as(path, "gpt2", 256)), path.stat().st_size
    monkeypatch.undo()
    preview.cache_clear()
    exact = preview(read_as(path, "gpt2", 256))
    assert (estimated["exact"], exact["exact"]) == (False, True)
    assert estimated["characters"] == exact["characters"] == size
    assert estimated["train_tokens"] == pytest.approx(exact["train_tokens"], rel=0.05)


def test_a_short_text_offers_fewer_tokens_than_asked_for(tmp_path):
    path = save_text(tmp_path, "short.txt", b"one two three four five six seven eight nine ten")
    assert 256 <= preview(read_as(path, "bpe", 1024))["vocab_size"] < 400
