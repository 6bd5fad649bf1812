"""Room on the disk: what goes first, what never goes, and what a copy holds while the run trains on."""

import io
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from pathlib import Path

import filelock
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gpt.model.gpt2 import GPT2
from gpt.runs import cleanup
from gpt.runs.cleanup import CleanupReport, delete, make_room, rename, size, size_of, write_zip
from gpt.runs.run import Run, RunError, load_run
from gpt.runs.writer import RunWriter
from tests.says import says
from tests.sessions import PROBES

ALWAYS_KEPT = ("config.json", "tokenizer.json", "metrics.jsonl", "status.json", "log.txt", "best.safetensors")


def fake_run(root: Path, name: str, age: float = 0, state: str = "done", snapshots: int = 3,
             saves: tuple[str, ...] = ("last/step-000001",)) -> Run:
    """A folder like a run's, each snapshot of 1,000 bytes and each save of 5,000; `age` in seconds."""
    folder = root / name
    for path, n_bytes in [*((f"snapshots/step-{10 ** i:06d}.safetensors", 1000) for i in range(snapshots)),
                          *((f"{saved}.safetensors", 5000) for saved in saves), ("best.safetensors", 2000)]:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(b"w" * n_bytes)
    for file in ("tokenizer.json", "metrics.jsonl", "log.txt"):
        (folder / file).write_text("{}")
    (folder / "config.json").write_text(json.dumps({"config": {}}))
    (folder / "status.json").write_text(json.dumps({"state": state, "step": 1, "steps": 1}))
    then = time.time() - age
    os.utime(folder / "status.json", (then, then))
    return Run(folder)


def files(folder: Path) -> set[str]:
    """What lies below a folder, locks aside."""
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file() and path.name not in (".lock", ".tidying")}


@pytest.fixture
def saved(tmp_path, tiny, tokenizer) -> RunWriter:
    """A run that can be loaded and resumed."""
    with RunWriter(tmp_path / "saved") as writer:
        writer.model = GPT2({**tiny, "vocab_size": tokenizer.n_vocab})
        writer.write_config({"config": writer.model.config}, tokenizer)
        writer.write_probes(PROBES)
        writer.save_best(writer.model, 5, 2.0)
        writer.save_snapshot(writer.model, 5)
        writer.save_last(writer.model, {"step": 5})
        writer.append({"step": 5, "loss": 1.0})
        writer.write_status(state="stopped", step=5, steps=10)
    return writer


@pytest.mark.parametrize(("n_bytes", "told"), [(400, "0.0 MB"), (3_700_000, "3.7 MB"), (43_000_000, "43 MB"), (16_400_000_000, "16.4 GB")])
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
        (saved.path / "control").write_text("stop")
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
                    saved.save_last(saved.model, {"step": step})
                    saved.save_snapshot(saved.model, step)
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
        real, gone = os.open, []

        def open_and_lose(name, flags, *mode, **options):
            if name == "step-000005.safetensors" and not gone:
                gone.append(name)
                (saved.path / "snapshots" / name).unlink()
            return real(name, flags, *mode, **options)

        monkeypatch.setattr("gpt.runs.cleanup.os.open", open_and_lose)
        file = io.BytesIO()
        write_zip(Run(saved.path), file)
        names = zipfile.ZipFile(file).namelist()
        assert gone
        assert "saved/snapshots/step-000005.safetensors" not in names
        assert len(names) == len(set(names)) == 7

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


class TestMakeRoom:
    def test_within_the_limit_nothing_happens(self, tmp_path):
        fake_run(tmp_path, "a")
        before, n_bytes = files(tmp_path), size_of(tmp_path)
        assert make_room(tmp_path, n_bytes) == CleanupReport(n_bytes, n_bytes)
        assert files(tmp_path) == before
        assert not (tmp_path / ".tidying").exists()

    def test_the_oldest_runs_latest_snapshot_goes_first(self, tmp_path):
        fake_run(tmp_path, "new"), fake_run(tmp_path, "old", age=100)
        before, n_bytes = files(tmp_path), size_of(tmp_path)
        report = make_room(tmp_path, n_bytes - 1)
        assert before - files(tmp_path) == {"old/snapshots/step-000100.safetensors"}
        assert (report.snapshots, report.saves, report.freed, report.left) == ({"old": 1}, [], 1000, n_bytes - 1000)

    def test_saves_go_only_when_all_snapshots_are_gone_and_the_newest_last(self, tmp_path):
        fake_run(tmp_path, "new"), fake_run(tmp_path, "old", age=100, saves=("last/step-000990", "last/step-001000"))
        n_bytes = size_of(tmp_path)
        report = make_room(tmp_path, n_bytes - 6001)
        assert (report.snapshots, report.saves) == ({"old": 3, "new": 3}, ["old"])
        assert not any("snapshots/" in name for name in files(tmp_path))
        assert [path.name for path in Run(tmp_path / "old").saves()] == ["step-001000.safetensors"]
        report = make_room(tmp_path, 0)
        assert report.saves == ["old", "new"]
        assert {name for name in files(tmp_path) if name.startswith("old/")} == {f"old/{name}" for name in ALWAYS_KEPT}
        assert report.left == size_of(tmp_path) - (tmp_path / ".tidying").stat().st_size > 0
        assert "begin the page with a higher --limit-gb" in report.trouble()

    @pytest.mark.parametrize("state", ["stopped", "failed", "running"])
    def test_a_run_that_could_go_on_keeps_its_saves(self, tmp_path, state):
        run = fake_run(tmp_path, "a", state=state, saves=("last/step-000001", "last/step-000002"))
        assert make_room(tmp_path, 0).saves == []
        assert len(run.saves()) == 2

    def test_leftovers_of_a_save_go_too(self, tmp_path):
        run = fake_run(tmp_path, "a", saves=("last/step-000001",))
        (run.path / "last" / "step-000002.safetensors.new").write_bytes(b"half")
        (run.path / "snapshots" / "step-000005.safetensors.new").write_bytes(b"half")
        make_room(tmp_path, 0)
        assert files(run.path) == set(ALWAYS_KEPT)

    def test_a_run_that_trains_and_one_to_keep_stay_whole(self, tmp_path, monkeypatch):
        monkeypatch.setattr(cleanup, "LOCK_SECONDS", 0.05)
        for name in ("a", "b", "c"):
            fake_run(tmp_path, name)
        with RunWriter(tmp_path / "a"):
            before = files(tmp_path)
            report = make_room(tmp_path, 0, keep={"b"})
        assert before - files(tmp_path) == {name for name in before if name.startswith(("c/snapshots", "c/last"))}
        assert (report.snapshots, report.saves) == ({"c": 3}, ["c"])

    def test_what_is_no_run_or_lies_elsewhere_stays(self, tmp_path):
        root = tmp_path / "runs"
        fake_run(tmp_path / "elsewhere", "linked")
        other = fake_run(root, "other-things")
        (other.path / "config.json").write_text("no config of ours")
        (root / "linked").symlink_to(tmp_path / "elsewhere" / "linked")
        inner = fake_run(root, "inner")
        (tmp_path / "elsewhere" / "snapshots").mkdir()
        (tmp_path / "elsewhere" / "snapshots" / "step-000001.safetensors").write_bytes(b"w" * 1000)
        for path in inner.path.glob("snapshots/*"):
            path.unlink()
        (inner.path / "snapshots").rmdir()
        (inner.path / "snapshots").symlink_to(tmp_path / "elsewhere" / "snapshots")
        (root / "texts").mkdir()
        (root / "texts" / "mine.txt").write_text("text")
        before = files(tmp_path)
        make_room(root, 0)
        assert before - files(tmp_path) == {"runs/inner/last/step-000001.safetensors"}

    def test_a_folder_that_is_a_link_is_kept_within_its_limit_too(self, tmp_path):
        fake_run(tmp_path / "disk", "a")
        (tmp_path / "checkpoints").symlink_to(tmp_path / "disk")
        assert make_room(tmp_path / "checkpoints", 0).snapshots == {"a": 3}

    def test_what_may_not_be_removed_is_told(self, tmp_path, monkeypatch):
        fake_run(tmp_path, "a", age=100), fake_run(tmp_path, "b")
        real = Path.unlink

        def unlink(self, missing_ok=False):
            if self.parent.parent.name == "a":
                raise PermissionError(13, "Permission denied")
            real(self, missing_ok)

        monkeypatch.setattr(Path, "unlink", unlink)
        report = make_room(tmp_path, size_of(tmp_path) - 1)
        assert report.snapshots == {"b": 1}
        assert report.trouble() == "Not everything was removed: a (Permission denied)."

    def test_while_another_makes_room_nothing_happens(self, tmp_path):
        fake_run(tmp_path, "a")
        before = files(tmp_path)
        with filelock.FileLock(tmp_path / ".tidying"):
            answers = []
            thread = threading.Thread(target=lambda: answers.append(make_room(tmp_path, 0)))
            thread.start()
            thread.join()
        assert answers[0].freed == 0
        assert answers[0].trouble().startswith("Not everything was removed: another page makes room just now. The folder takes ")
        assert files(tmp_path) == before

    def test_many_at_once_remove_no_more_than_is_needed(self, tmp_path):
        for i in range(8):
            fake_run(tmp_path, f"run-{i}", age=i)
        limit = size_of(tmp_path) - 4500
        barrier, answers = threading.Barrier(6), []

        def go():
            barrier.wait()
            answers.append(make_room(tmp_path, limit))

        threads = [threading.Thread(target=go) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sum(report.freed for report in answers) == 5000
        assert limit - 1000 < size_of(tmp_path) <= limit

    def test_it_is_told_in_a_sentence(self):
        report = CleanupReport(20_000_000_000, 19_000_000_000, 3_000_000_000, {"a": 2, "b": 1}, ["c"])
        assert report.removed() == ("to keep the runs within 20.0 GB, the page removed 3 snapshots of a and b and saves for extending "
                                    "c (3.0 GB); best weights, curves and samples stay.")
        assert report.trouble() == ""
        many = CleanupReport(1, 1, 1, dict.fromkeys("abcdef", 1))
        assert "6 snapshots of a, b, c and 3 other runs (" in many.removed()
        assert CleanupReport(1, 1).removed() == ""


runs = st.fixed_dictionaries({
    "state": st.sampled_from(["done", "stopped", "failed"]), "snapshots": st.integers(0, 4),
    "in_use": st.sampled_from([None, "kept", "trains"]),
    "saves": st.lists(st.sampled_from(["last/step-000001", "last/step-000002"]), unique=True).map(tuple)})


@given(described=st.lists(runs, max_size=6), share=st.floats(0, 1.1))
def test_weights_and_runs_in_use_stay_and_no_more_goes_than_is_needed(described, share):
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(cleanup, "LOCK_SECONDS", 0)
        root, kept = Path(folder), {}
        for i, how in enumerate(described):
            kept[f"run-{i}"] = how["in_use"]
            fake_run(root, f"run-{i}", age=i, state=how["state"], snapshots=how["snapshots"], saves=how["saves"])
        before, limit = files(root), int(share * size_of(root))
        sizes = {name: (root / name).stat().st_size for name in before}
        locks = [RunWriter(root / name) for name, use in kept.items() if use == "trains"]
        for lock in locks:
            lock.__enter__()
        report = make_room(root, limit, {name for name, use in kept.items() if use == "kept"})
        for lock in locks:
            lock.__exit__()
        gone = before - files(root)
        for name in gone:
            run, *inside = name.split("/")
            assert kept[run] is None
            assert inside[0] not in ALWAYS_KEPT
            assert inside[0] == "snapshots" or described[int(run.removeprefix("run-"))]["state"] == "done"
        assert report.freed == sum(sizes[name] for name in gone)
        assert report.left == sum(sizes[name] for name in before - gone)
        assert not gone or report.left + max(sizes[name] for name in gone) > limit, "the last one need not have gone"
        free = [how for how in described if how["in_use"] is None]
        assert report.left <= limit or not any(
            (root / name).exists() for name in before if kept[name.split("/")[0]] is None and "/snapshots/" in name)
        if any("/snapshots/" not in name for name in gone):
            assert sum("/snapshots/" in name for name in gone) == sum(how["snapshots"] for how in free)
