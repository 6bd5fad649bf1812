"""Windows, played on Linux: what it refuses is refused here too. Nothing of this was run on Windows itself."""

import errno
import fcntl
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import psutil
import pytest

from gpt.control import main as control
from gpt.runs import cleanup, storage
from gpt.runs.run import Run, RunError, load_run
from gpt.runs.session import Session
from gpt.ui.server import jobs
from tests.forkserver import PROJECT
from tests.sessions import until


@pytest.fixture
def config(tiny, tmp_path, text) -> dict:
    path = tmp_path / "text.txt"
    path.write_text(text, encoding="utf-8")
    return {**tiny, "corpus": str(path)}


def states_of(session: Session) -> list[str]:
    return [event.kind for event in session.events()]


def test_a_run_is_saved_where_a_reader_may_not_bring_a_file_to_the_disk(tmp_path, config, monkeypatch):
    fsync, brought = os.fsync, []

    def refusing(descriptor: int) -> None:
        if fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY:
            raise OSError(errno.EBADF, "Bad file descriptor")
        brought.append(descriptor)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", refusing)
    states_of(Session(tmp_path / "runs", "a", config))
    run = Run(tmp_path / "runs" / "a")
    assert run.status()["state"] == "done"
    assert brought
    assert load_run(run.path)


def test_a_file_that_somebody_has_open_is_replaced_a_moment_later(tmp_path, config, monkeypatch):
    replaced, calls = os.replace, []

    def refusing(source: Path, target: Path) -> None:
        calls.append(target)
        if len(calls) % 3 == 0:
            raise PermissionError(errno.EACCES, "used by another process", str(target))
        replaced(source, target)

    monkeypatch.setattr(os, "replace", refusing)
    monkeypatch.setattr(storage, "REPLACE_SECONDS", 3)
    monkeypatch.setattr(storage, "REPLACE_PAUSE", 0)
    kinds = states_of(Session(tmp_path / "runs", "a", config))
    run = Run(tmp_path / "runs" / "a")
    assert (run.status()["state"], run.status()["step"]) == ("done", config["max_steps"])
    assert len(calls) > 10
    assert not [row for row in run.rows()[0] if row.get("kind") == "warning"]
    assert "waiting" not in kinds


def test_a_file_that_stays_open_is_told_in_the_end(tmp_path, monkeypatch):
    def refusing(source: Path, target: Path) -> None:
        raise PermissionError(errno.EACCES, "used by another process", str(target))

    monkeypatch.setattr(os, "replace", refusing)
    monkeypatch.setattr(storage, "REPLACE_SECONDS", 0.05)
    with pytest.raises(PermissionError, match="used by another process"):
        storage.write_atomically(tmp_path / "file", b"content")
    assert list(tmp_path.iterdir()) == []


def test_a_run_is_ended_at_once_where_there_is_no_sigkill(tmp_path, config, monkeypatch, capsys):
    flags = [text for name, value in config.items() for text in (f"--{name}", str(value))]
    flags += ["--max_steps", "100000", "--run", "a", "--checkpoints", str(tmp_path / "runs")]
    process = subprocess.Popen([sys.executable, "-m", "gpt.pretrain", *flags], cwd=PROJECT, stdout=subprocess.DEVNULL)
    try:
        run = Run(tmp_path / "runs" / "a")
        until(lambda: (run.path / "status.json").exists() and run.status()["step"] > 0)
        with monkeypatch.context() as patched:
            patched.setattr(psutil.Process, "kill", lambda process: os.kill(process.pid, 9))  # there it has a way of its own
            patched.delattr(signal, "SIGKILL")
            control(["stop-now", "--run", "a", "--checkpoints", str(tmp_path / "runs")])
        assert process.wait(timeout=60) != 0
        assert run.status()["state"] == "stopped"
        assert capsys.readouterr().out == "run a has ended\n"
    finally:
        process.kill()


@pytest.fixture
def open_files_hold_folders(monkeypatch):
    """Refuse to rename a folder in which this process has a file open, and to rename onto what exists, as Windows does."""
    renamed = os.replace

    def refusing(source: Path, target: Path) -> None:
        held = [os.readlink(f"/proc/self/fd/{name}") for name in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{name}")]
        if os.path.isdir(source) and (os.path.exists(target) or any(path.startswith(f"{source}/") for path in held)):
            raise PermissionError(errno.EACCES, "Access is denied", str(source))
        renamed(source, target)

    monkeypatch.setattr(os, "replace", refusing)
    monkeypatch.setattr(Path, "rename", refusing)
    monkeypatch.setattr(cleanup, "WINDOWS", True)
    monkeypatch.setattr(storage, "REPLACE_SECONDS", 3)


@pytest.mark.usefixtures("open_files_hold_folders")
def test_a_folder_is_renamed_and_deleted_though_its_lock_lies_in_it(tmp_path, config):
    states_of(Session(tmp_path, "a", config))
    renamed = cleanup.rename(Run(tmp_path / "a"), "b")
    assert renamed.status()["state"] == "done"
    assert not (tmp_path / "a").exists()
    with pytest.raises(RunError, match="choose another name"):
        states_of(Session(tmp_path, "a", config))
        cleanup.rename(Run(tmp_path / "a"), "b")
    cleanup.delete(renamed)
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == ["a"]


@pytest.mark.usefixtures("open_files_hold_folders")
def test_a_folder_that_somebody_reads_is_deleted_a_moment_later_or_it_is_told(tmp_path, config, monkeypatch):
    states_of(Session(tmp_path, "a", config))
    with open(tmp_path / "a" / "metrics.jsonl", "rb") as reading:
        threading.Timer(0.3, reading.close).start()
        cleanup.delete(Run(tmp_path / "a"))
    assert not (tmp_path / "a").exists()
    states_of(Session(tmp_path, "a", config))
    monkeypatch.setattr(storage, "REPLACE_SECONDS", 0.1)
    with open(tmp_path / "a" / "metrics.jsonl", "rb"), pytest.raises(RunError, match="cannot be deleted"):
        cleanup.delete(Run(tmp_path / "a"))
    assert Run(tmp_path / "a").status()["state"] == "done"


def test_a_page_that_ends_lets_its_run_save_where_terminating_would_not(tmp_path, config, monkeypatch):
    monkeypatch.setattr(jobs, "WINDOWS", True)
    page = jobs.Jobs(tmp_path / "runs")
    page.start({**config, "max_steps": 10**6, "eval_every": 10**6}, "", "a")
    run = Run(tmp_path / "runs" / "a")
    until(lambda: (run.path / "status.json").exists() and run.status()["step"] > 0)
    monkeypatch.setattr(subprocess.Popen, "terminate", None)
    page.end_child(60)
    assert run.status()["state"] == "stopped"
    assert run.saves()
