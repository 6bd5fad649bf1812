"""Runs on texts of any kind: where they are, what becomes of them, and that nothing changes when they lie in files."""

import pytest
import torch

from gpt.data import dataset
from gpt.data.corpus import CorpusError
from gpt.errors import UserError
from gpt.runs.run import Run, RunError, load_run
from gpt.runs.session import Session
from tests.conftest import TEXT
from tests.reliability.lab import timeless
from tests.says import says
from tests.sessions import finish, stop_after

pytestmark = pytest.mark.usefixtures("short_samples")
STORIES = [f"Story {n}: {n} green bottles hanging on the wall.\nAnd if one falls, {n - 1} are left.\n" for n in range(40)]


@pytest.fixture
def folder(tmp_path):
    """A folder of short files."""
    folder = tmp_path / "texts"
    folder.mkdir()
    for n, story in enumerate(STORIES):
        (folder / f"{n}.txt").write_text(story, encoding="utf-8")
    return folder


@pytest.fixture
def on_folder(tiny, folder) -> dict:
    return {**tiny, "corpus": str(folder), "context_length": 32}


def notes(run: Run) -> str:
    return "\n".join(row["text"] for row in run.rows()[0] if row.get("kind") == "warning")


def test_a_run_knows_where_its_text_is_and_goes_on_from_another_folder(tmp_path, tiny, text_file, monkeypatch):
    monkeypatch.chdir(tmp_path)
    whole = finish(Session(tmp_path / "runs", "whole", {**tiny, "corpus": "bottles.txt"}))
    run = stop_after(Session(tmp_path / "runs", "a", {**tiny, "corpus": "bottles.txt"}), 4)
    assert run.config()["config"]["corpus"] == text_file
    monkeypatch.chdir("/")
    assert timeless(finish(Session(tmp_path / "runs", "a"))) == timeless(whole)


def test_a_text_that_has_moved_is_named_and_the_run_stays_as_it_was(tmp_path, tiny, text_file):
    run = stop_after(Session(tmp_path / "runs", "a", {**tiny, "corpus": text_file}), 4)
    moved = tmp_path / "elsewhere.txt"
    (tmp_path / "bottles.txt").rename(moved)
    with pytest.raises(CorpusError, match=says("no text", "bottles.txt", "resume with --corpus and its new place")):
        finish(Session(tmp_path / "runs", "a"))
    assert run.status()["state"] == "stopped"
    (tmp_path / "another.txt").write_text(TEXT + "!")
    with pytest.raises(RunError, match=says("another.txt", "is another text than the run began with")):
        finish(Session(tmp_path / "runs", "a", changes={"corpus": str(tmp_path / "another.txt")}))
    assert run.status()["state"] == "stopped"
    finish(Session(tmp_path / "runs", "a", changes={"corpus": str(moved)}))
    assert run.status()["state"] == "done"
    assert run.config()["config"]["corpus"] == str(moved)


def test_ones_own_text_for_validation_is_checked_too(tmp_path, tiny, text_file):
    own = tmp_path / "own.txt"
    own.write_text(TEXT[:200].replace("green", "brown").replace("b", "g"))
    run = stop_after(Session(tmp_path / "runs", "a", {**tiny, "corpus": text_file, "validation": str(own), "tokenizer": "byte"}), 4)
    assert "own.txt is for validation, 200 bytes" in notes(run)
    assert run.config()["tokenizer"]["train_tokens"] == len(TEXT)
    before = own.read_text()
    own.write_text(before + "!")
    with pytest.raises(RunError, match=says("own.txt", "has changed")):
        finish(Session(tmp_path / "runs", "a"))
    own.write_text(before)
    assert finish(Session(tmp_path / "runs", "a")).status()["state"] == "done"


def test_a_folder_is_learned_document_by_document(tmp_path, on_folder, folder):
    (folder / "picture.png").write_bytes(b"\x89PNG\0\0")
    run = finish(Session(tmp_path / "runs", "a", on_folder))
    said = notes(run)
    assert "40 files with 40 documents" in said
    assert "left out: picture.png" in said
    assert "4 documents, drawn at random, are for validation" in said
    assert "end-of-text token between" in said
    model, tokenizer = load_run(run.path)
    assert tokenizer.end == tokenizer.n_vocab - 1 == model.vocab_size - 1


@pytest.mark.parametrize("tokenizer", ["char", "byte", "bpe", "gpt2", "sentencepiece"])
def test_every_tokenizer_learns_documents(tmp_path, on_folder, tokenizer):
    run = finish(Session(tmp_path / "runs", "a", {**on_folder, "tokenizer": tokenizer, "vocab_size": 320, "max_steps": 2}))
    assert load_run(run.path)[1].end is not None


def test_each_window_can_have_a_document_of_its_own(tmp_path, on_folder):
    run = finish(Session(tmp_path / "runs", "a", {**on_folder, "pack": False}))
    assert "of all windows are empty" in notes(run)
    assert run.status()["state"] == "done"


@pytest.mark.parametrize("changes", [{}, {"pack": False}, {"tokenizer": "bpe", "vocab_size": 300}], ids=str)
def test_a_text_in_files_is_learned_to_the_bit_like_one_in_memory_also_when_resumed(tmp_path, on_folder, monkeypatch, changes):
    held = finish(Session(tmp_path / "runs", "held", {**on_folder, **changes}))
    monkeypatch.setattr(dataset, "LARGEST_IN_MEMORY", 10)
    stop_after(Session(tmp_path / "runs", "mapped", {**on_folder, **changes}), 4)
    monkeypatch.setattr("gpt.data.token_cache.write_ids", None)  # the second time nothing is tokenised
    mapped = finish(Session(tmp_path / "runs", "mapped"))
    leave_out = ("its tokens were made before",)
    assert timeless(mapped, leave_out) == timeless(held, leave_out)
    for name, weight in load_run(held.path)[0].state_dict().items():
        assert torch.equal(weight, load_run(mapped.path)[0].state_dict()[name])


def test_what_is_done_before_the_first_step_is_told(tmp_path, on_folder):
    told = []
    session = Session(tmp_path / "runs", "a", on_folder, progress=lambda sentence, share: told.append((sentence, session.writer.status())))
    run = finish(session)
    assert [sentence for sentence, _ in told][:1] == ["reading texts"]
    assert {"learning its tokens", "tokenising"} <= {sentence for sentence, _ in told}
    assert all((status["state"], status["doing"]) == ("starting", sentence) for sentence, status in told)
    assert run.status()["doing"] is None


def test_a_run_that_goes_on_from_another_keeps_how_its_text_is_read(tmp_path, on_folder):
    from gpt.exchange.starting import find_start

    finish(Session(tmp_path / "runs", "a", {**on_folder, "documents": "blank_lines"}))
    start = find_start("a", tmp_path / "runs")
    assert start.config_with({})["documents"] == "blank_lines"
    assert start.config_with({"corpus": "stories"})["documents"] == "files"


@pytest.mark.parametrize("changes", [{"documents": "pages"}, {"pack": "yes"}, {"text_field": 5}, {"validation": None}])
def test_settings_about_the_text_are_checked(tmp_path, on_folder, changes):
    with pytest.raises(UserError, match=next(iter(changes))):
        Session(tmp_path / "runs", "a", {**on_folder, **changes})
