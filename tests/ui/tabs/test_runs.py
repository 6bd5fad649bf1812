"""The Runs tab: a run as a row of text, its best evaluation and its curve; what is done to the selected runs; how much room
they take."""

import json
from shutil import copytree

import gradio as gr
import pytest

import demo
from gpt.runs.cleanup import size_of
from gpt.runs.run import Run, list_runs
from gpt.runs.writer import RunWriter
from gpt.ui.charts import figures
from gpt.ui.server import model_cache, training_status
from gpt.ui.server.disk_quota import DiskQuota
from gpt.ui.server.jobs import Jobs
from gpt.ui.tabs import runs
from gpt.ui.tabs.run_table import COLUMNS, best_evaluation, evaluations, table_row
from gpt.words import size
from tests.says import says


@pytest.fixture
def run(root) -> Run:
    return Run(root / "bottles")


@pytest.fixture
def own_run(root, tmp_path) -> RunWriter:
    """A copy of a finished run, for writing."""
    return RunWriter(copytree(root / "bottles", tmp_path / "bottles"))


def evaluation(step: int, val_loss: float) -> dict:
    return {"step": step, "tokens": 32 * step, "seconds": step / 2, "val_loss": val_loss, "bits_per_byte": val_loss / 2}


def test_a_row_has_text_for_every_column(run):
    row = json.loads(json.dumps(table_row(run), allow_nan=False))
    assert all(isinstance(row[column["key"]], str) for column in COLUMNS)
    assert row["name"] == "bottles"
    assert (row["state"], row["text"], row["step"]) == ("Done", "bottles.txt", "12")
    assert row["tokenizer"] == f"char, {run.config()['tokenizer']['n_vocab']}"


def test_a_row_sorts_by_numbers(run):
    row, best = table_row(run), best_evaluation(run)
    loss, bits = best["val_loss"], best["bits_per_byte"]
    assert row["sort"]["parameters"] == run.config()["parameters"]
    assert (row["sort"]["step"], row["sort"]["val_loss"], row["sort"]["bits_per_byte"]) == (12, loss, bits)
    assert row["val_loss"] == f"{loss:.4f}"
    assert set(row["sort"]) <= {column["key"] for column in COLUMNS}


def test_the_best_evaluation_is_the_one_with_the_lowest_loss(own_run):
    (own_run.path / "metrics.jsonl").unlink()
    assert best_evaluation(own_run) == {}
    own_run.append({"step": 1, "tokens": 32, "seconds": 0.1, "loss": 0.5})
    assert best_evaluation(own_run) == {}
    for step, loss in enumerate((4.0, 2.5, 3.0)):
        own_run.append(evaluation(step, loss))
    assert (best_evaluation(own_run)["val_loss"], best_evaluation(own_run)["bits_per_byte"]) == (2.5, 1.25)
    assert [(row["seconds"], row["bits_per_byte"]) for row in evaluations(own_run)] == [(0.0, 2.0), (0.5, 1.25), (1.0, 1.5)]


def test_the_loss_by_context_is_that_of_the_best_evaluation_and_averages_to_it(run):
    best = best_evaluation(run)
    assert best["by_context"] == min((row for row in run.rows()[0] if "val_loss" in row), key=lambda row: row["val_loss"])["by_context"]
    counts, losses = figures.context_curve(best)
    assert counts == [1, 2, 3, 4, 6, 8]
    mean = sum(loss * (end - start) for loss, start, end in zip(losses, [0, *counts], counts, strict=False)) / 8
    assert mean == pytest.approx(best["bits_per_byte"], rel=0.02)  # the last window may be shorter


def test_a_run_that_was_never_evaluated_sorts_last(own_run, run):
    (own_run.path / "metrics.jsonl").unlink()
    row = table_row(own_run)
    assert (row["val_loss"], row["bits_per_byte"]) == ("", "")
    assert row["sort"]["val_loss"] > table_row(run)["sort"]["val_loss"]
    assert evaluations(own_run) == []


def test_the_curve_of_a_run_goes_forward_in_time(run):
    rows = evaluations(run)
    assert [(row["step"], row["tokens"]) for row in rows] == [(step, 32 * step) for step in (0, 4, 8, 12)]
    assert [row["seconds"] for row in rows] == sorted(row["seconds"] for row in rows)
    assert rows[-1]["bits_per_byte"] < rows[0]["bits_per_byte"]


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"null", b"[]", b"{}", b'{"config": 5}', b'{"config": {}}',
                                     b'{"config": {}, "corpus": null, "tokenizer": "x", "parameters": "x", "created": 1e300}'])
def test_a_run_with_a_damaged_config_says_so_and_can_be_chosen(own_run, content):
    (own_run.path / "config.json").write_bytes(content)
    row = table_row(own_run)
    assert (row["name"], row["state"]) == ("bottles", "Damaged")
    assert row["note"] == "run bottles cannot be read: files of it are damaged or missing"
    assert row["size"] == size(size_of(own_run.path))


def test_damaged_lines_of_metrics_are_passed_over(own_run):
    before = table_row(own_run) | {"size": None, "sort": None}
    with open(own_run.path / "metrics.jsonl", "ab") as file:
        file.write(b'{"a": 1}\n\0\0\0\n[]\n{"step": 9, "val_loss": 0.1}\n{"step": "x"}\n')
    assert table_row(own_run) | {"size": None, "sort": None} == before


def test_a_run_that_has_not_begun_has_no_row(tmp_path):
    with RunWriter(tmp_path / "new") as writer:
        writer.write_status(state="starting", step=0, steps=0)
        assert table_row(writer) is None


@pytest.mark.parametrize("content", [b"{", b'{"state": "done", "step": null, "steps": 3}', b'{"state": "gone", "step": 1, "steps": 3}',
                                     b'{"state": "done", "step": 1, "steps": 3, "seconds": "y"}'])
def test_a_run_with_a_damaged_status_has_failed(own_run, content):
    (own_run.path / "status.json").write_bytes(content)
    assert table_row(own_run)["state"] == "Failed"


@pytest.mark.parametrize("content", [{"format": 1}, {"format": 99, "parameters": "many"}])
def test_a_run_that_only_another_version_can_use_says_so(own_run, content):
    saved = json.loads((own_run.path / "config.json").read_text())
    (own_run.path / "config.json").write_text(json.dumps(saved | content))
    row = table_row(own_run)
    assert row["state"] == "Other version"
    assert row["note"].startswith(f"run bottles has format {content['format']}, written ")


def test_a_row_tells_its_size_and_sorts_by_it(own_run, tmp_path):
    row = table_row(own_run)
    assert (row["size"], row["sort"]["size"]) == (size(size_of(own_run.path)), size_of(own_run.path))
    (tmp_path / "linked").symlink_to(own_run.path)
    assert table_row(Run(tmp_path / "linked"))["size"] == "elsewhere"


@pytest.fixture
def own_jobs(root, tmp_path) -> Jobs:
    """Jobs over a copy of the two finished runs, `bottles` and the newer `bytes`."""
    return Jobs(copytree(root, tmp_path / "checkpoints"))


def names(jobs: Jobs) -> set[str]:
    return {run.name for run in list_runs(jobs.root)}


class TestSelection:
    """What is done to the selected runs, and what is said if they are the wrong ones."""

    def test_the_newest_run_is_selected_at_first(self, own_jobs):
        table, chart, selected = runs.fill(own_jobs, DiskQuota(own_jobs, 0), "")
        assert selected == "bytes"
        assert table["selected"] == ["bytes"]
        assert {row["name"] for row in table["rows"]} == {"bottles", "bytes"}
        assert len(chart["figure"]["data"]) == 1
        assert table["room"]["taken"] == f"2 runs in checkpoints, {size(size_of(own_jobs.root))}."
        json.dumps([table, chart], allow_nan=False)

    def test_a_selection_outlives_a_new_table_as_far_as_its_runs_do(self, own_jobs):
        assert runs.fill(own_jobs, DiskQuota(own_jobs, 0), "gone\nbottles")[2] == "bottles"

    def test_an_empty_folder_has_an_empty_table(self, jobs):
        table, chart, selected = runs.fill(jobs, DiskQuota(jobs, 10**9), "")
        assert (table["rows"], selected) == ([], "")
        assert table["room"] == {"taken": "0 runs in runs, 0 bytes; the limit is 1 GB.", "removed": "", "trouble": ""}
        assert "Select runs" in chart["empty"]

    def test_what_was_ticked_is_drawn(self, own_jobs):
        selected, chart = runs.choose(own_jobs, "bottles\nbytes")
        assert selected == "bottles\nbytes"
        assert len(chart["figure"]["data"]) == 2
        assert runs.choose(own_jobs, "bottles\nbytes\nbottles")[0] == "bottles\nbytes"
        assert runs.choose(own_jobs, "") == ("", {"empty": "Select runs above to see their curves."})

    @pytest.mark.parametrize("asked", [None, 5, [], {}, [None, {}, 5, ["bottles"]], "../../etc\n\0\ngone"])
    def test_nonsense_draws_nothing(self, own_jobs, asked):
        assert "empty" in runs.choose(own_jobs, asked)[1]

    @pytest.mark.parametrize(("selected", "what"), [
        ("", "no"), (None, "no"), ("bottles\nbytes", "2"), (5, "5"), ("gone", "gone"), ("../../etc", "'../../etc'"), ({"a": 1}, "'a': 1")])
    def test_one_run_must_be_selected(self, own_jobs, tmp_path, selected, what):
        def pack(action: str) -> None:
            runs.pack_one(own_jobs, action, lambda *_: pytest.fail("it was packed"), tmp_path, selected)

        for action, act in (("resume", lambda: runs.resume_run(own_jobs, selected)), ("report", lambda: pack("report")),
                            ("rename", lambda: runs.ask_for_a_name(own_jobs, selected)), ("download", lambda: pack("download"))):
            with pytest.raises(gr.Error) as refused:
                act()
            assert what in refused.value.message
            if what in ("no", "2"):
                assert refused.value.message.endswith(action)  # the button that was pressed
        assert names(own_jobs) == {"bottles", "bytes"}

    def test_a_question_comes_before_deleting(self):
        assert runs.ask_to_delete("a\nb")[2]["value"] == "Yes, delete a, b for ever"
        assert runs.ask_to_delete("a\nb\nc\nd")[2]["value"] == "Yes, delete 4 runs for ever"
        assert runs.ask_to_delete("a\nb")[3] == "a\nb"
        with pytest.raises(gr.Error, match=says("no runs", "delete")):
            runs.ask_to_delete("")

    def test_selected_runs_are_deleted(self, own_jobs):
        runs.delete_runs(own_jobs, "bottles")
        assert names(own_jobs) == {"bytes"}
        with pytest.raises(gr.Error, match=says("no run bottles")):
            runs.delete_runs(own_jobs, "bottles")

    def test_a_run_gets_another_name(self, own_jobs):
        assert runs.ask_for_a_name(own_jobs, "bottles")[2:] == (gr.update(value="bottles"), "bottles")
        assert runs.rename_run(own_jobs, "bottles", " jars ") == "jars"
        assert names(own_jobs) == {"jars", "bytes"}
        assert runs.rename_run(own_jobs, "jars", "jars") == "jars"

    @pytest.mark.parametrize(("name", "told"), [("", "cannot name a run"), (None, "cannot name a run"), ("../up", "cannot name a run"),
                                                ("bytes", "bytes | already"), (["a"], "cannot name a run")])
    def test_a_bad_name_changes_nothing(self, own_jobs, name, told):
        with pytest.raises(gr.Error, match=says(told)):
            runs.rename_run(own_jobs, "bottles", name)
        assert names(own_jobs) == {"bottles", "bytes"}

    def test_a_run_that_is_about_to_train_keeps_its_name(self, own_jobs, monkeypatch):
        monkeypatch.setattr(Jobs, "child", lambda self: "bottles")
        with pytest.raises(gr.Error, match=says("bottles", "training")):
            runs.rename_run(own_jobs, "bottles", "new")

    @pytest.mark.parametrize("version", [1, 2])
    def test_a_run_of_another_version_is_not_resumed(self, own_jobs, monkeypatch, version):
        path = own_jobs.root / "bottles" / "config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"format": version}))
        monkeypatch.setattr(Jobs, "resume", lambda self, name: pytest.fail("it was resumed"))
        with pytest.raises(gr.Error, match=says("bottles", f"format {version}")):
            runs.resume_run(own_jobs, "bottles")


class TestDiskQuota:
    """The page keeps the folder within its limit, and says so."""

    def test_old_snapshots_make_way_and_it_is_told(self, own_jobs):
        quota = DiskQuota(own_jobs, size_of(own_jobs.root) - 1)
        quota.enforce()
        told = quota.report(2)
        assert "the page removed 1 snapshot of bottles (" in told["removed"]
        assert told["trouble"] == ""
        assert f"; the limit is {quota.limit / 1e9:g} GB." in told["taken"]
        quota.enforce()
        assert quota.report(2)["removed"] == told["removed"]  # until something else is removed

    def test_without_a_limit_nothing_goes(self, own_jobs):
        before = size_of(own_jobs.root)
        DiskQuota(own_jobs, 0).enforce()
        assert size_of(own_jobs.root) == before

    def test_a_limit_that_cannot_be_kept_is_told(self, own_jobs):
        quota = DiskQuota(own_jobs, 1)
        quota.enforce()
        assert "delete runs, or begin the page with a higher --limit-gb" in quota.report(2)["trouble"]
        assert model_cache.load(own_jobs.root, "bottles", 99)

    def test_runs_that_somebody_looks_at_are_left_alone(self, own_jobs, monkeypatch):
        """`bytes` is watched, since it is the newest; `bottles` was loaded."""
        quota, before = DiskQuota(own_jobs, 1), size_of(own_jobs.root)
        assert quota.in_use() == {"bytes"}
        model_cache.load(own_jobs.root, "bottles", 99)
        assert quota.in_use() == {"bytes", "bottles"}
        quota.enforce()
        assert size_of(own_jobs.root) - (own_jobs.root / ".tidying").stat().st_size == before
        monkeypatch.setattr(model_cache, "IN_USE_SECONDS", -1)
        quota.enforce()
        assert "snapshots of bottles and saves for extending bottles" in quota.report(2)["removed"]

    def test_the_run_that_comes_with_the_project_is_left_alone(self, own_jobs, monkeypatch):
        assert training_status.SHIPPED not in DiskQuota(own_jobs, 1).in_use()  # in another folder it is a run like others
        monkeypatch.setattr(training_status, "PROJECT", own_jobs.root.parent)
        assert training_status.SHIPPED in DiskQuota(own_jobs, 1).in_use()

    def test_a_run_whose_process_has_just_begun_is_left_alone(self, own_jobs, monkeypatch):
        monkeypatch.setattr(Jobs, "child", lambda self: "bottles")
        assert "bottles" in DiskQuota(own_jobs, 1).in_use()

    def test_a_folder_that_cannot_be_listed_is_told_and_tried_again(self, own_jobs, monkeypatch):
        quota = DiskQuota(own_jobs, 1)
        with monkeypatch.context() as patch:
            patch.setattr(training_status, "list_runs", lambda root: (_ for _ in ()).throw(FileNotFoundError(2, "No such file")))
            quota.enforce()
        assert quota.report(2)["trouble"] == "Room cannot be made now (No such file)."
        quota.enforce()
        assert "the page removed" in quota.report(2)["removed"]

    def test_the_tab_makes_room_when_it_is_shown(self, own_jobs):
        table, *_ = runs.fill(own_jobs, DiskQuota(own_jobs, size_of(own_jobs.root) - 1), "bytes")
        assert "the page removed 1 snapshot of bottles" in table["room"]["removed"]

    @pytest.mark.parametrize("value", ["-1", "nan", "inf", "1e9"])
    def test_a_limit_that_is_none_is_told(self, capsys, value):
        with pytest.raises(SystemExit) as caught:
            demo.main(["--limit-gb", value])
        assert caught.value.code == 2
        assert "choose a number from 0, which is no limit, to 1,000,000" in capsys.readouterr().err
