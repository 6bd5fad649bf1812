"""A machine that several people use, and folders on drives of all kinds."""

import contextlib
import errno
import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from gpt.errors import UserError
from gpt.runs.cleanup import delete, rename
from gpt.runs.run import Run, RunError, list_runs, load_run
from gpt.runs.session import Session, machine_lock
from gpt.runs.temporary import own_folder
from gpt.ui.server.jobs import launch_lock
from tests.forkserver import PROJECT
from tests.says import says
from tests.sessions import finish, until

NOBODY = 65534
is_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may become another user")


@contextlib.contextmanager
def another_user() -> Iterator[None]:
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def temporary(monkeypatch) -> Iterator[Path]:
    """A temporary folder that everybody may write into, as /tmp. It is not below pytest's, which other users may not enter."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        os.chmod(folder, 0o1777)
        monkeypatch.setattr(tempfile, "tempdir", folder)
        yield Path(folder)
        monkeypatch.undo()


def test_locks_lie_in_a_folder_that_only_this_user_can_read(temporary):
    assert own_folder().parent == temporary
    assert own_folder().stat().st_mode & 0o777 == 0o700
    for lock in (machine_lock(), launch_lock()):
        assert Path(lock.lock_file).parent == own_folder()


HOLDING = """
import os, sys
from gpt.runs.session import machine_lock
os.setuid(int(sys.argv[1]))  # who may not be allowed to read this project
with machine_lock().acquire(timeout=0):
    print("training", flush=True)
    sys.stdin.read()
"""


@is_root
@pytest.mark.parametrize("took_our_name", [False, True])
def test_two_users_train_at_the_same_time(temporary, tmp_path, config, took_our_name):
    if took_our_name:
        os.chown(own_folder(), NOBODY, NOBODY)
        assert own_folder().name.endswith("-1")
    environment = os.environ | {"TMPDIR": str(temporary), "PYTHONPATH": str(PROJECT)}
    other = subprocess.Popen([sys.executable, "-c", HOLDING, str(NOBODY)], cwd=PROJECT, env=environment, stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE)
    assert other.stdout.readline() == b"training\n"
    assert finish(Session(tmp_path / "runs", "a", config)).status()["state"] == "done"
    assert other.poll() is None
    other.communicate(timeout=60)


@pytest.mark.skipif(os.name == "nt", reason="every user has a temporary folder there")
def test_a_folder_that_others_could_read_or_that_is_never_ours_is_not_taken(temporary, monkeypatch):
    own_folder().chmod(0o755)
    assert own_folder().name.endswith("-1")
    monkeypatch.setattr(os, "getuid", lambda: 12345)
    with pytest.raises(UserError, match=says("other users", "TMPDIR")):
        own_folder()
    assert len(list(temporary.iterdir())) == 2


@pytest.mark.parametrize("what", ["file", "link"])
def test_a_name_that_is_taken_is_left_alone(temporary, tmp_path, config, what):
    taken = own_folder()
    taken.rmdir()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    taken.touch() if what == "file" else taken.symlink_to(elsewhere)
    assert own_folder() != taken
    assert own_folder() == own_folder()
    assert finish(Session(tmp_path / "runs", "a", config)).status()["state"] == "done"
    assert list(elsewhere.iterdir()) == []


def test_a_temporary_folder_that_cannot_be_written_is_told_with_its_remedy(monkeypatch, tmp_path, config):
    monkeypatch.setattr(tempfile, "tempdir", "/proc/nowhere")
    with pytest.raises(UserError, match=says("temporary files", "TMPDIR")):
        finish(Session(tmp_path / "runs", "a", config))


@pytest.mark.parametrize("umask", [0o022, 0o002, 0o077])
def test_what_a_run_writes_may_be_read_as_the_umask_says(tmp_path, config, umask):
    before = os.umask(umask)
    try:
        run = finish(Session(tmp_path / "runs", "a", config))
    finally:
        os.umask(before)
    modes = {path.name: path.stat().st_mode & 0o777 for path in run.path.rglob("*") if path.is_file() and path.name != ".lock"}
    assert set(modes.values()) == {0o666 & ~umask}, modes


@is_root
def test_a_run_of_another_user_that_may_not_be_read_is_reported_and_hides_no_other(config):
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:  # pytest's own may be read by their user alone
        os.chmod(folder, 0o755)
        root = Path(folder) / "runs"
        for name in ("open", "closed", "weights"):
            finish(Session(root, name, config))
        (root / "closed").chmod(0o700)
        (root / "weights" / "best.safetensors").chmod(0o600)
        with another_user():
            assert {run.name for run in list_runs(root)} == {"open", "weights"}
            assert {run.status()["state"] for run in list_runs(root)} == {"done"}
            assert load_run(root / "open")
            with pytest.raises(RunError, match=says("best.safetensors", "cannot be read", "Permission denied")):
                load_run(root / "weights")
            for change in (lambda run: rename(run, "other"), delete):
                with pytest.raises(RunError, match=says("open", "Permission denied")):
                    change(Run(root / "open"))


def without_locks(monkeypatch, number: int) -> None:
    def refusing(*_) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refusing)


def test_a_drive_whose_files_cannot_be_locked_works(temporary, tmp_path, tiny, text_file, monkeypatch):
    without_locks(monkeypatch, errno.ENOSYS)
    warnings.simplefilter("ignore")
    session = Session(tmp_path / "runs", "a", {**tiny, "corpus": text_file, "max_steps": 10**6, "eval_every": 10**6})
    thread = threading.Thread(target=finish, args=[session])
    thread.start()
    run = Run(tmp_path / "runs" / "a")
    until(lambda: (run.path / "status.json").exists() and run.status()["step"] > 0)
    assert run.status()["state"] == "running"
    with pytest.raises(RunError, match=says("in use")):
        rename(run, "b")
    run.request("stop")
    thread.join(60)
    assert run.status()["state"] == "stopped"
    assert not run.is_alive()
    renamed = rename(rename(run, "b"), "c")
    assert renamed.status()["state"] == "stopped"
    assert not renamed.is_alive()
    delete(renamed)


def test_a_run_copied_to_a_drive_without_locks_is_not_taken_for_one_that_trains(temporary, trained, tmp_path, monkeypatch):
    copied = Run(shutil.copytree(trained, tmp_path / "a"))
    assert (copied.path / ".lock").exists()
    without_locks(monkeypatch, errno.ENOSYS)
    assert not copied.is_alive()
    assert copied.status()["state"] == "done"
    delete(copied)


@pytest.mark.parametrize("number", [errno.EOPNOTSUPP, errno.ENOLCK, errno.EINVAL])
def test_a_drive_that_refuses_locks_in_another_way_is_told_in_one_sentence(tmp_path, trained, config, monkeypatch, number):
    without_locks(monkeypatch, number)
    with pytest.raises(RunError, match=says("cannot be locked", os.strerror(number), "TMPDIR")):
        finish(Session(tmp_path / "runs", "a", config))
    assert Run(trained).status()["state"] == "done"
    assert not Run(trained).is_alive()
