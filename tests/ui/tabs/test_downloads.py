"""Files to take home of a run: its zip and its report."""

import os
import time
import zipfile

import pytest

from gpt.errors import UserError
from gpt.runs.run import Run, RunError, find_run
from gpt.runs.session import Session
from gpt.ui.server.guard import PACKED
from gpt.ui.tabs.downloads import KEPT_SECONDS, export_of, report_of, zip_of
from tests.conftest import TINY
from tests.says import says
from tests.sessions import finish


@pytest.fixture
def run(own_root) -> Run:
    return find_run(own_root, "bottles")


def test_a_zip_holds_the_run(run, tmp_path):
    path = zip_of(run, tmp_path)
    assert path.name == "bottles.zip"
    with zipfile.ZipFile(path) as archive:
        assert archive.read("bottles/best.safetensors") == (run.path / "best.safetensors").read_bytes()


def test_a_report_is_a_page_and_lies_beside_the_zip_in_the_folder_that_is_handed_out(run, tmp_path):
    path = report_of(run, tmp_path)
    assert path.name == "bottles.html"
    assert path.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert path.parent == zip_of(run, tmp_path).parent
    assert path.is_relative_to(tmp_path / PACKED)


def test_an_export_is_a_zip_of_a_folder_for_transformers(tmp_path, text_file):
    classic = {**TINY, "corpus": text_file, "position": "learned", "activation": "gelu", "qk_norm": False, "max_steps": 2}
    path = export_of(finish(Session(tmp_path, "classic", classic)), tmp_path / "packed")
    assert path.name == "classic.transformers.zip"
    with zipfile.ZipFile(path) as archive:
        assert "classic/model.safetensors" in archive.namelist()
        assert archive.testzip() is None


def test_what_cannot_be_exported_is_refused_and_leaves_nothing(run, tmp_path):
    with pytest.raises(UserError, match=says("bottles cannot be exported", "rope", "gpt2-classic")):
        export_of(run, tmp_path)
    assert [path for path in tmp_path.rglob("*") if path.is_file() and PACKED in path.parts] == []
    kept = zip_of(run, tmp_path)
    with pytest.raises(UserError):
        export_of(run, tmp_path)
    assert kept.exists()  # what was handed out before stays


def test_a_run_is_packed_again_only_if_it_has_changed(run, tmp_path):
    first = zip_of(run, tmp_path)
    packed = first.stat().st_ino
    assert zip_of(run, tmp_path) == first
    assert first.stat().st_ino == packed
    with open(run.path / "log.txt", "a") as file:
        file.write("one more line")
    again = zip_of(run, tmp_path)
    assert again != first
    with zipfile.ZipFile(again) as archive:
        assert archive.read("bottles/log.txt").endswith(b"one more line")


def test_what_nobody_asked_for_in_a_while_is_removed_when_the_next_is_made(run, tmp_path):
    old, other = zip_of(run, tmp_path), report_of(run, tmp_path)
    (run.path / "log.txt").write_text("changed")
    for path in (old, other):
        os.utime(path, (time.time() - KEPT_SECONDS - 1,) * 2)
    new = zip_of(run, tmp_path)
    assert [path for path in (tmp_path / PACKED).rglob("*") if path.is_file()] == [new]
    assert not old.parent.exists()


def test_a_zip_that_finds_no_room_leaves_nothing_behind(run, tmp_path, monkeypatch):
    def write_half(run, file):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("gpt.runs.cleanup.write_zip", write_half)
    with pytest.raises(RunError) as refused:
        zip_of(run, tmp_path / "zips")
    assert all(fact in str(refused.value) for fact in ("bottles", "No space left on device", "make room"))
    assert [path for path in (tmp_path / "zips").rglob("*") if path.is_file()] == []
