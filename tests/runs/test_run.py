"""The run folder: what the writer writes, the reader reads, also while it is being written and after an accident."""

import json
import math
import os
import platform
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import gpt.config
from gpt.config import CONFIG, FIELDS, Field, table_version, validate
from gpt.runs.locks import start_time
from gpt.runs.run import Run, RunError, check_name, find_run, list_runs, load_run, new_name
from gpt.runs.storage import write_atomically
from gpt.runs.writer import RunWriter
from tests.says import says


def test_rows_are_read_from_a_cursor(writer):
    writer.append({"step": 1, "loss": 2.5})
    rows, cursor = writer.rows()
    assert rows == [{"step": 1, "loss": 2.5}]
    assert writer.rows(cursor) == ([], cursor)
    writer.append({"step": 2, "text": "größer\n😀\u2028"})
    rows, cursor = writer.rows(cursor)
    assert rows == [{"step": 2, "text": "größer\n😀\u2028"}]
    assert cursor == (writer.path / "metrics.jsonl").stat().st_size


def test_half_a_line_waits_until_it_is_whole(writer):
    writer.append({"step": 1})
    with open(writer.path / "metrics.jsonl", "ab") as file:
        file.write(b'{"step": 2, "lo')
    rows, cursor = writer.rows()
    assert rows == [{"step": 1}]
    with open(writer.path / "metrics.jsonl", "ab") as file:
        file.write(b'ss": 1.5}\n')
    assert writer.rows(cursor)[0] == [{"step": 2, "loss": 1.5}]


def test_there_are_no_rows_before_the_first(tmp_path):
    assert Run(tmp_path).rows() == ([], 0)


def test_a_row_that_is_no_json_number_is_refused(writer):
    with pytest.raises(ValueError, match="JSON"):
        writer.append({"loss": math.nan})
    assert writer.rows() == ([], 0)


def test_rows_past_a_step_are_forgotten(writer):
    for step in (1, 2, 2, 3):
        writer.append({"step": step, "text": "é"})
    before = (writer.path / "metrics.jsonl").read_bytes()
    writer.cut_rows_after(2)
    assert [row["step"] for row in writer.rows()[0]] == [1, 2, 2]
    assert before.startswith((writer.path / "metrics.jsonl").read_bytes())


@pytest.mark.parametrize("text", ["short", "as long as the row before"])
def test_a_cursor_that_no_longer_fits_starts_anew(writer, text):
    for step in (1, 2, 3):
        writer.append({"step": step, "text": "x"})
    _, cursor = writer.rows()
    writer.cut_rows_after(1)
    writer.append({"step": 2, "text": text * 3})
    assert [row["step"] for row in writer.rows(cursor)[0]] == [1, 2]


def test_a_live_run_reads_as_what_it_says(writer):
    assert Run(writer.path).is_alive()
    assert Run(writer.path).status() == {"state": "running", "step": 3, "steps": 10, "pid": os.getpid(), "host": platform.node(),
                                         "began": start_time(os.getpid())}


def test_a_run_whose_process_is_gone_reads_as_failed(tmp_path):
    with RunWriter(tmp_path / "gone") as writer:
        writer.write_status(state="running", step=3, steps=10, eta_seconds=5.0)
    assert Run(tmp_path / "gone").never_began()
    assert Run(tmp_path / "gone").status()["error"].endswith("a lower batch or n_layers")
    (tmp_path / "gone" / "config.json").write_text("{}")
    status = Run(tmp_path / "gone").status()
    assert not Run(tmp_path / "gone").is_alive()
    assert (status["state"], status["step"], status["eta_seconds"]) == ("failed", 3, None)
    assert status["error"].startswith("its process ended without a word at step 3: it was killed, the machine went down, or")
    assert status["error"].endswith("resuming it begins again, since nothing was saved yet")


def test_a_killed_process_lets_go_of_its_run(tmp_path):
    code = (f"import sys\nfrom gpt.runs.writer import RunWriter\nwith RunWriter({str(tmp_path / 'killed')!r}) as writer:\n"
            "    writer.write_status(state='running', step=1, steps=2)\n    print('ready', flush=True)\n    sys.stdin.read()")
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"ready\n"
        assert Run(tmp_path / "killed").status()["state"] == "running"
        process.send_signal(signal.SIGKILL)
        process.wait(20)
    assert Run(tmp_path / "killed").status()["state"] == "failed"


@pytest.mark.parametrize("state", ["done", "stopped", "failed"])
def test_a_final_state_stays(tmp_path, state):
    with RunWriter(tmp_path / "a") as writer:
        writer.write_status(state=state, step=3, steps=10)
    assert Run(tmp_path / "a").status()["state"] == state


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b"[]", b"null", b"{}", b'{"state": "running"}'])
def test_a_damaged_status_reads_as_failed(tmp_path, content):
    (tmp_path / "status.json").write_bytes(content)
    status = Run(tmp_path).status()
    assert (status["state"], status["step"], status["steps"]) == ("failed", 0, 0)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b"[]", b"null", b"{}", b'{"config": 5}'])
def test_a_damaged_config_is_told(tmp_path, content):
    (tmp_path / "config.json").write_bytes(content)
    with pytest.raises(RunError, match=says("config.json")):
        Run(tmp_path).config()


def test_two_processes_cannot_write_one_run(writer):
    with pytest.raises(RunError, match=says("another process")), RunWriter(writer.path):
        pass
    assert Run(writer.path).is_alive()


def test_the_status_keeps_what_a_change_leaves_out(writer):
    writer.write_status(val_loss=2.0)
    writer.write_status(step=4)
    assert {"state": "running", "step": 4, "val_loss": 2.0}.items() <= writer.status().items()


def test_a_writer_that_comes_back_knows_the_status(tmp_path):
    with RunWriter(tmp_path / "a") as writer:
        writer.write_status(state="stopped", step=4, steps=9, val_loss=2.0)
    with RunWriter(tmp_path / "a") as writer:
        writer.write_status(state="running")
        assert {"state": "running", "step": 4, "val_loss": 2.0}.items() <= writer.status().items()


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "status.json"
    write_atomically(path, b"old")

    def no_room(*_):
        raise OSError("no room")

    monkeypatch.setattr(os, "replace", no_room)
    with pytest.raises(OSError, match="no room"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    monkeypatch.undo()
    write_atomically(path, b"new")
    assert path.read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["status.json"]


def test_no_temporary_names_are_left(saved):
    names = {str(path.relative_to(saved.path)) for path in saved.path.rglob("*") if path.is_file()}
    assert names == {".lock", "config.json", "tokenizer.json", "probes.safetensors", "status.json", "best.safetensors",
                     "snapshots/step-000005.safetensors", "last/step-000005.safetensors"}


@pytest.mark.parametrize("name", ["a", "A-run_1.2", "_x", "0", "a" * 64, "con-1", "console", "com10"])
def test_a_plain_name_is_a_name(name):
    assert check_name(name) == name


@pytest.mark.parametrize("name", [
    "", ".", "..", "a/b", "../a", "/a", "a\\b", ".hidden", "-a", "a b", "a\n", "ü", "a\0", "a" * 65, None, 5,
    "CON", "nul", "aux.txt", "Com1", "LPT9.a.b", "a."])  # the last cannot be kept by Windows
def test_a_name_with_a_path_or_anything_odd_is_refused(name, tmp_path):
    with pytest.raises(RunError, match=says("name a run")):
        check_name(name)
    with pytest.raises(RunError, match=says("name a run")):
        find_run(tmp_path, name)


def test_an_unknown_run_is_told_with_the_known_ones(saved):
    root = saved.path.parent
    assert find_run(root, "saved").path == saved.path
    with pytest.raises(RunError, match=says("no run other", "saved")):
        find_run(root, "other")
    with pytest.raises(RunError, match=says("none yet")):
        find_run(root / "nowhere", "other")


def test_runs_are_listed_newest_first(tmp_path):
    for age, name in enumerate(["new", "middle", "old"]):
        with RunWriter(tmp_path / name) as writer:
            writer.write_status(state="done", step=0, steps=0)
        os.utime(tmp_path / name / "status.json", (1000 - age, 1000 - age))
    (tmp_path / "no-run").mkdir()
    assert [run.name for run in list_runs(tmp_path)] == ["new", "middle", "old"]
    assert list_runs(tmp_path / "nowhere") == []


def test_a_new_name_is_one_that_no_run_has(tmp_path):
    (tmp_path / "text-1").mkdir()
    assert new_name(tmp_path, "text") == "text-2"
    assert new_name(tmp_path, "mein Text (2)") == "mein-Text-2-1"
    assert new_name(tmp_path, "本") == new_name(tmp_path, "") == "run-1"
    assert check_name(new_name(tmp_path, "../.." + "x" * 200))


def test_a_run_is_deleted_only_when_its_process_is_gone(tmp_path):
    with RunWriter(tmp_path / "a") as writer:
        with pytest.raises(RunError, match=says("training", "stop")):
            Run(writer.path).delete()
        assert writer.path.exists()
    Run(tmp_path / "a").delete()
    assert not (tmp_path / "a").exists()


def test_what_is_asked_reaches_the_writer_once(writer):
    reader = Run(writer.path)
    assert writer.command() is None
    for command in ("pause", "resume", "stop", "snapshot"):
        reader.request(command)
        assert writer.command() == command
        assert writer.command() is None


def test_a_wish_to_stop_outlives_later_wishes(writer):
    run = Run(writer.path)
    run.request("snapshot")
    run.request("stop")
    run.request("pause")
    assert writer.command() == "stop"
    assert writer.command() == "pause"
    run.request("extend 20")
    assert writer.command() == "extend 20"


def test_an_unknown_command_is_refused_on_both_sides(writer):
    with pytest.raises(RunError, match=says("'explode'", "pause, resume, stop, snapshot")):
        Run(writer.path).request("explode")
    (writer.path / "control").write_text("explode")
    assert writer.command() is None


def test_a_run_without_a_process_cannot_be_asked(saved):
    with pytest.raises(RunError, match=says("saved", "not running", "stop")):
        saved.request("stop")


def test_an_old_command_is_forgotten_when_a_process_takes_over(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "stop").write_text("stop")
    (tmp_path / "a" / "control").write_text("snapshot")
    with RunWriter(tmp_path / "a") as writer:
        assert writer.command() is None


def test_the_log_gives_its_last_lines(writer):
    assert writer.log() == ""
    for i in range(30):
        writer.append_log(f"line {i}\n")
    assert writer.log(2) == "line 28\nline 29"


class TestYoungerFields:
    """A setting that is younger than a run."""

    SHIPPED = Path(gpt.config.__file__).resolve().parents[1] / "checkpoints" / "stories"

    @pytest.fixture
    def younger(self, monkeypatch) -> Field:
        """A setting of the next version of the table, in a copy of it."""
        field = Field("gates", 7, "Gates of each head.", "model", 0, 9, 1, since=table_version() + 1)
        monkeypatch.setattr(gpt.config, "FIELDS", (*FIELDS, field))
        return field

    def test_the_shipped_run_is_read_as_if_it_had_its_default(self, younger):
        config = validate(Run(self.SHIPPED).config()["config"])
        assert config["gates"] == 7
        assert config["emb_dim"] == 112
        model, _ = load_run(self.SHIPPED)
        assert model.config["gates"] == 7

    def test_a_setting_that_should_be_there_stays_missing(self, saved, younger):
        about = json.loads((saved.path / "config.json").read_text())
        del about["config"]["n_heads"]
        about["table_version"] = younger.since
        (saved.path / "config.json").write_text(json.dumps(about))
        assert {"n_heads", "gates"}.isdisjoint(saved.config()["config"])

    def test_a_run_notes_the_version_of_the_table(self, saved):
        assert saved.config()["table_version"] == table_version() == max(field.since for field in FIELDS)

    @pytest.mark.parametrize("version", ["2", None, [], 10**400])
    def test_a_version_that_is_none_reads_as_the_first_or_the_last(self, saved, version):
        about = json.loads((saved.path / "config.json").read_text())
        (saved.path / "config.json").write_text(json.dumps(about | {"table_version": version}))
        assert saved.config()["config"].keys() <= CONFIG.keys()


def test_a_run_killed_before_its_config_was_written_is_shown_everywhere(tmp_path):
    """The folder as a process leaves it that was killed while it read its text."""
    path = tmp_path / "a"
    (path / "snapshots").mkdir(parents=True)
    (path / ".lock").touch()
    (path / "status.json").write_text(json.dumps({"state": "starting", "step": 0, "steps": 0, "error": None, "pid": 9**7, "began": 1.0}))
    run = Run(path)
    assert run.status()["state"] == "failed"
    assert re.search(says("before the first step", "begin it again", "lower batch"), run.status()["error"])
    assert run.never_began()
    assert (run.rows(), run.snapshots(), run.saves(), run.log()) == (([], 0), [], [], "")
    with pytest.raises(RunError, match=says("no readable config.json")):
        run.config()
