"""Room on the disk: what goes first, what never goes, and what a copy holds while the run trains on."""

import io
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import zipfile
from pathlib import Path

import pytest
import torch

from gpt.model.gpt2 import GPT2
from gpt.runs import cleanup
from gpt.runs.cleanup import delete, rename, size_of, write_zip
from gpt.runs.run import Run, RunError, load_run
from gpt.runs.writer import RunWriter
from gpt.words import size
from tests.runs.fakes import fake_run, files
from tests.says import says
from tests.sessions import PROBES


@pytest.fixture
def saved(tmp_path, tiny, tokenizer) -> RunWriter:
    """A run that can be loaded and resumed."""
    with RunWriter(tmp_path / "saved") as writer:
        writer.model = GPT2({**tiny, "vocab_size": tokenizer.n_vocab})
        writer.write_config({"config": writer.model.config}, tokenizer)
        writer.write_probes(PROBES)
        writer.save_best(writer.model.state_dict(), 5, 2.0)
        writer.save_snapshot(writer.model.state_dict(), 5)
        writer.save_last(writer.model.state_dict(), {"step": 5})
        writer.append({"step": 5, "loss": 1.0})
        writer.write_status(state="stopped", step=5, steps=10)
    return writer


@pytest.mark.parametrize(("n_bytes", "told"), [(400, "400 bytes"), (12_345, "12.3 kB"),
                                               (3_700_000, "3.7 MB"), (43_000_000, "43 MB"), (16_400_000_000, "16.4 GB")])
def test_sizes_are_told_in_two_digits(n_bytes, told):
    assert size(n_bytes) == told


class TestSize:
    def test_it_is_the_sum_of_all_files(self, tmp_path):
        run = fake_run(tmp_path, "a")
        n_bytes = size_of(run.path)
        assert n_bytes == sum(path.stat().st_size for path in run.path.rglob("*") if path.is_file()) > 10_000
        assert size_of(tmp_path) == n_bytes
        assert size_of(tmp_path / "nothing") == 0

    def test_a_link_takes_no_room(self, tmp_path):
        elsewhere = fake_run(tmp_path / "elsewhere", "a")
        (tmp_path / "runs").mkdir()
        (tmp_path / "runs" / "a").symlink_to(elsewhere.path)
        assert size_of(tmp_path / "runs" / "a") == 0
        assert size_of(tmp_path / "runs") < 200  # a link holds no more than its path

    def test_files_that_go_away_meanwhile_are_not_counted(self, tmp_path, monkeypatch):
        run = fake_run(tmp_path, "a")
        before = size_of(run.path)
        real = os.lstat

        def lstat(path):
            if str(path).endswith("best.safetensors"):
                raise FileNotFoundError(path)
            return real(path)

        monkeypatch.setattr("gpt.runs.cleanup.os.lstat", lstat)
        assert size_of(run.path) == before - 2000


class TestRename:
    def test_everything_goes_along(self, saved, tmp_path):
        before = files(saved.path)
        run = rename(Run(saved.path), "better")
        assert run.name == "better"
        assert files(run.path) == before
        assert not saved.path.exists()
        assert not run.is_alive()
        load_run(run.path)
        rename(run, "saved")  # and back: the lock was let go of
        assert files(saved.path) == before

    @pytest.mark.parametrize("name", ["", "../up", "a/b", ".hidden", "x" * 65, "a b", None, 5])
    def test_a_name_must_be_a_name(self, saved, name):
        with pytest.raises(RunError, match=says("name a run")):
            rename(Run(saved.path), name)
        assert saved.path.exists()

    def test_never_onto_another(self, saved, tmp_path):
        fake_run(tmp_path, "other")
        (tmp_path / "empty").mkdir()
        (tmp_path / "file").write_text("")
        (tmp_path / "dangling").symlink_to("nowhere")
        before = files(tmp_path)
        for name in ("other", "empty", "file", "dangling", "saved"):
            with pytest.raises(RunError, match=says(name, "another name")):
                rename(Run(saved.path), name)
        assert files(tmp_path) == before

    def test_of_two_who_want_a_name_one_gets_it(self, tmp_path):
        runs = [fake_run(tmp_path, f"run-{i}") for i in range(6)]
        barrier, told = threading.Barrier(6), []

        def go(run):
            barrier.wait()
            try:
                told.append(rename(run, "wanted").name)
            except RunError as error:
                told.append(str(error))

        threads = [threading.Thread(target=go, args=(run,)) for run in runs]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert told.count("wanted") == 1
        assert sum("choose another name" in one for one in told) == 5
        assert len([run for run in runs if run.path.exists()]) == 5
        assert len(files(tmp_path / "wanted")) == 10

    def test_a_run_in_use_keeps_its_name(self, saved, monkeypatch):
        monkeypatch.setattr(cleanup, "LOCK_SECONDS", 0.05)
        with saved, pytest.raises(RunError, match=says("saved", "wait", "stop")):
            rename(Run(saved.path), "better")
        assert saved.path.exists()
        assert not saved.path.with_name("better").exists()

    def test_nobody_begins_to_train_it_meanwhile(self, saved, monkeypatch):
        alive = []

        def probed(folder, target):
            prober = threading.Thread(target=lambda: alive.append(Run(folder).is_alive()))
            prober.start()
            prober.join()

        monkeypatch.setattr(cleanup, "_move", probed)
        rename(Run(saved.path), "better")
        assert alive == [True]

    def test_a_run_that_is_gone_leaves_no_ghost(self, tmp_path):
        run = fake_run(tmp_path, "a")
        run.delete()
        with pytest.raises(RunError, match=says("run a ", "deleted", "renamed")):
            rename(run, "b")
        assert [path.name for path in tmp_path.iterdir()] == []

    def test_a_link_is_renamed_itself(self, saved, tmp_path):
        (tmp_path / "link").symlink_to(saved.path)
        run = rename(Run(tmp_path / "link"), "other-link")
        assert run.path.is_symlink()
        assert run.status()["state"] == "stopped"
        assert saved.path.exists()
        assert not (tmp_path / "link").is_symlink()

    def test_a_folder_that_cannot_be_moved_says_why(self, saved, monkeypatch):
        monkeypatch.setattr(Path, "rename", lambda self, target: (_ for _ in ()).throw(PermissionError(13, "Permission denied")))
        with pytest.raises(RunError, match=says("saved", "better", "Permission denied")):
            rename(Run(saved.path), "better")
        assert not saved.path.with_name("better").exists()


class TestDelete:
    def test_it_is_gone(self, tmp_path):
        delete(fake_run(tmp_path, "a"))
        assert not (tmp_path / "a").exists()

    def test_of_a_link_only_the_link_goes(self, tmp_path):
        run = fake_run(tmp_path / "elsewhere", "a")
        (tmp_path / "a").symlink_to(run.path)
        delete(Run(tmp_path / "a"))
        assert not (tmp_path / "a").is_symlink()
        assert len(files(run.path)) == 10

    def test_a_run_that_trains_stays(self, saved):
        with saved, pytest.raises(RunError, match="still training"):
            delete(Run(saved.path))
        assert len(files(saved.path)) > 5

    def test_many_at_once_delete_all_of_it(self, tmp_path):
        for i in range(20):
            run, errors = fake_run(tmp_path, f"run-{i}", snapshots=6), []

            def go(run=run, errors=errors):
                try:
                    delete(run)
                except Exception as error:
                    errors.append(error)

            threads = [threading.Thread(target=go) for _ in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert errors == []
            assert not run.path.exists()

    def test_what_may_not_be_deleted_says_why(self, tmp_path, monkeypatch):
        run = fake_run(tmp_path, "a")
        monkeypatch.setattr("gpt.runs.run.shutil.rmtree", lambda path: (_ for _ in ()).throw(PermissionError(13, "Permission denied")))
        with pytest.raises(RunError, match=says("run a ", "deleted", "Permission denied")):
            delete(run)


class TestZip:
    def test_it_holds_the_run_and_can_be_used(self, saved, tmp_path):
        saved.path.joinpath("control").write_text("pause")
        saved.path.joinpath("stop").write_text("stop")
        (saved.path / "best.safetensors.new").write_bytes(b"half")
        (saved.path / "last" / "step-000006.safetensors.new").write_bytes(b"half")
        (saved.path / "linked").symlink_to("/etc/passwd")
        os.mkfifo(saved.path / "pipe")
        file = io.BytesIO()
        write_zip(Run(saved.path), file)
        with zipfile.ZipFile(file) as archive:
            assert archive.testzip() is None
            assert {info.compress_type for info in archive.infolist()} == {zipfile.ZIP_STORED}
            names = set(archive.namelist())
            archive.extractall(tmp_path / "unpacked")
        assert names == {f"saved/{name}" for name in (
            "config.json", "tokenizer.json", "probes.safetensors", "status.json", "metrics.jsonl", "best.safetensors",
            "snapshots/step-000005.safetensors", "last/step-000005.safetensors")}
        for name in names:
            assert (tmp_path / "unpacked" / name).read_bytes() == (tmp_path / name).read_bytes()
        load_run(tmp_path / "unpacked" / "saved")
        assert RunWriter(tmp_path / "unpacked" / "saved").load_last()[1] == {"step": 5}

    def test_while_the_run_trains_on_model_and_state_are_of_one_step(self, saved):
        ended, step, name = threading.Event(), 0, next(iter(saved.model.state_dict()))

        def train():
            nonlocal step
            with saved:
                while not ended.is_set():
                    step += 1
                    with torch.no_grad():
                        saved.model.state_dict()[name].fill_(step)
                    saved.save_last(saved.model.state_dict(), {"step": step})
                    saved.save_snapshot(saved.model.state_dict(), step)
                    (saved.path / f"snapshots/step-{step:06d}.safetensors").unlink()
                    saved.append({"step": step, "loss": 0.0})

        thread = threading.Thread(target=train)
        thread.start()
        try:
            found = set()
            for _ in range(20):
                file = io.BytesIO()
                write_zip(Run(saved.path), file)
                with zipfile.ZipFile(file) as archive, tempfile.TemporaryDirectory() as folder:
                    assert archive.testzip() is None
                    archive.extractall(folder)
                    weights, state, notes = RunWriter(Path(folder) / "saved").load_last()
                assert notes == []
                assert weights[name].flatten()[0] == state["step"] or state["step"] == 5
                found.add(state["step"])
        finally:
            ended.set()
            thread.join()
        assert len(found) > 1

    def test_a_file_that_vanishes_while_it_is_opened_is_left_out(self, saved, monkeypatch):
        real, gone = Path.open, []

        def open_and_lose(path, *given, **options):
            if path.parent.name == "snapshots" and not gone:
                gone.append(path.name)
                path.unlink()
            return real(path, *given, **options)

        monkeypatch.setattr(Path, "open", open_and_lose)
        file = io.BytesIO()
        write_zip(Run(saved.path), file)
        names = zipfile.ZipFile(file).namelist()
        assert gone
        assert "saved/snapshots/step-000005.safetensors" not in names
        assert len(names) == len(set(names)) == 7

    def test_files_of_two_runs_are_never_mixed(self, saved, monkeypatch):
        real, moved = Path.open, []

        def open_and_swap(path, *given, **options):
            opened = real(path, *given, **options)
            if not moved:  # after the first file the run is renamed, and another one gets its name
                moved.append(path.name)
                other = shutil.copytree(saved.path, saved.path.with_name("other"))
                (other / path.name).write_bytes(b"of the other run")
                saved.path.rename(saved.path.with_name("aside"))
                other.rename(saved.path)
            return opened

        monkeypatch.setattr(Path, "open", open_and_swap)
        file = io.BytesIO()
        write_zip(Run(saved.path), file)
        assert zipfile.ZipFile(file).read(f"saved/{moved[0]}") == b"of the other run"

    def test_a_log_that_grows_is_cut_where_it_was(self, saved, monkeypatch):
        real = cleanup._open_consistently

        def picture(run, opened):
            taken = real(run, opened)
            with open(saved.path / "metrics.jsonl", "ab") as file:
                file.write(b'{"step": 6}\n')
            return taken

        monkeypatch.setattr(cleanup, "_open_consistently", picture)
        file = io.BytesIO()
        write_zip(Run(saved.path), file)
        assert zipfile.ZipFile(file).read("saved/metrics.jsonl") == b'{"step": 5, "loss": 1.0}\n'

    def test_a_run_that_is_gone_says_so(self, tmp_path):
        with pytest.raises(RunError, match=says("deleted", "renamed")):
            write_zip(Run(tmp_path / "a"), io.BytesIO())

    def test_a_run_that_never_holds_still_says_so(self, saved, monkeypatch):
        monkeypatch.setattr(cleanup, "SETTLED_SECONDS", 0.05)
        monkeypatch.setattr(cleanup, "_open_all", lambda top, opened: (_ for _ in ()).throw(FileNotFoundError()))
        with pytest.raises(RunError, match=says("too quickly")):
            write_zip(Run(saved.path), io.BytesIO())

    def test_a_large_run_is_not_held_in_memory(self, tmp_path):
        """In a process of its own, that may take 64 MB more than it does at the start."""
        run = fake_run(tmp_path, "a")
        with open(run.path / "best.safetensors", "wb") as file:
            file.truncate(150_000_000)
        code = ("import resource, sys; from gpt.runs.cleanup import write_zip; from gpt.runs.run import Run; "
                "used = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize(); "
                "resource.setrlimit(resource.RLIMIT_AS, (used + 64_000_000,) * 2); "
                "write_zip(Run(sys.argv[1]), open(sys.argv[2], 'wb'))")
        subprocess.run([sys.executable, "-c", code, str(run.path), str(tmp_path / "a.zip")], check=True,
                       cwd=Path(cleanup.__file__).parents[2])
        with zipfile.ZipFile(tmp_path / "a.zip") as archive:
            assert archive.getinfo("a/best.safetensors").file_size == 150_000_000
