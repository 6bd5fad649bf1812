"""Old snapshots and saves are removed when the runs take too much room, and nothing that somebody needs."""

import tempfile
import threading
from pathlib import Path

import filelock
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpt.runs import cleanup
from gpt.runs.cleanup import CleanupReport, make_room, size_of
from gpt.runs.run import Run
from gpt.runs.writer import RunWriter
from tests.runs.fakes import ALWAYS_KEPT, fake_run, files


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
