"""What the Train tab shows of a run while it is written, from one poll to the next."""

import json
import os

import pytest

from gpt.runs.run import find_run
from gpt.runs.writer import RunWriter
from gpt.ui.charts.figures import loss_chart
from gpt.ui.server import training_status
from gpt.ui.server.access import Caps, process_identity
from gpt.ui.server.jobs import Jobs
from gpt.ui.server.training_status import MOST_ROWS, MOST_SAMPLES, current_run, duration, facts, poll, sentence, thinned

STEP = {"step": 1, "tokens": 32, "seconds": 0.5, "loss": 3.5}


@pytest.fixture
def writer(jobs) -> RunWriter:
    """A run called `a` that is being trained."""
    with RunWriter(jobs.root / "a") as writer:
        writer.write_status(state="running", step=0, steps=100, progress=0.0)
        yield writer


def words(answer: dict) -> dict[str, str]:
    return {fact["label"]: fact["value"] for fact in answer["facts"]}


def test_before_the_first_run_the_person_is_told_what_to_press(jobs):
    answer = poll(jobs, None, 0)
    assert words(answer) == {"Press Train: the loss will appear here.": "Nothing yet"}
    assert (answer["run"], answer["active"], answer["rows"], answer["chart"], answer["error"]) == (None, False, [], None, None)


def test_a_process_without_a_folder_is_starting(jobs, monkeypatch):
    monkeypatch.setattr(Jobs, "starting", lambda self: "a")
    answer = poll(jobs, None, 0)
    assert (answer["run"], answer["state"], answer["active"]) == ("a", "starting", True)


def test_a_page_that_saw_the_run_starting_gets_its_chart(jobs, writer, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(Jobs, "starting", lambda self: "a")
        before = poll(jobs, None, 0)
    writer.append(STEP)
    answer = poll(jobs, before["run"], before["cursor"])
    assert (answer["chart"], answer["rows"]) == (loss_chart(100), [STEP])


def test_a_process_that_died_without_a_folder_says_why(jobs, monkeypatch):
    monkeypatch.setattr(Jobs, "failure", lambda self: ("a", "the text is empty"))
    answer = poll(jobs, None, 0)
    assert (answer["run"], answer["state"], answer["active"]) == ("a", "failed", False)
    assert words(answer) == {"the text is empty": "Failed"}


def test_every_answer_has_the_same_keys(jobs, monkeypatch, library_jobs):
    nothing = poll(jobs, None, 0)
    done = poll(library_jobs, None, 0)
    assert nothing.keys() == done.keys()
    for fact in (*nothing["facts"], *done["facts"]):
        assert fact.keys() == {"value", "label", "hint"}
    json.dumps([nothing, done], allow_nan=False)


def test_rows_come_once_each(jobs, writer):
    nothing = poll(jobs, None, 0)
    assert (nothing["rows"], nothing["chart"], nothing["active"]) == ([], loss_chart(100), True)
    writer.append(STEP)
    first = poll(jobs, "a", nothing["cursor"])
    assert first["rows"] == [STEP]
    second = poll(jobs, "a", first["cursor"])
    assert (second["rows"], second["chart"], second["cursor"]) == ([], None, first["cursor"])
    writer.append({**STEP, "step": 2})
    writer.append({**STEP, "step": 3})
    third = poll(jobs, "a", second["cursor"])
    assert ([row["step"] for row in third["rows"]], third["chart"]) == ([2, 3], None)
    assert third["cursor"] == (writer.path / "metrics.jsonl").stat().st_size


def test_a_page_that_comes_later_gets_everything(jobs, writer):
    writer.append(STEP)
    writer.append({**STEP, "step": 2})
    answer = poll(jobs, None, 0)
    assert [row["step"] for row in answer["rows"]] == [1, 2]
    assert answer["chart"] == loss_chart(100)


def test_another_run_begins_anew_whatever_the_cursor_says(jobs, writer):
    writer.append(STEP)
    answer = poll(jobs, "the-one-before", 10**6)
    assert (answer["run"], answer["rows"], answer["chart"]) == ("a", [STEP], loss_chart(100))


def test_a_resumed_run_that_has_forgotten_rows_begins_anew(jobs, writer):
    for step in range(1, 9):
        writer.append({**STEP, "step": step})
    cursor = poll(jobs, None, 0)["cursor"]
    writer.cut_rows_after(3)
    answer = poll(jobs, "a", cursor)
    assert [row["step"] for row in answer["rows"]] == [1, 2, 3]
    assert answer["chart"] == loss_chart(100)


def test_a_failed_run_shows_its_error_and_the_end_of_its_log(jobs):
    with RunWriter(jobs.root / "a") as writer:
        writer.append_log("\n".join(f"line {i}" for i in range(50)))
        writer.write_status(state="failed", step=7, steps=100, error="the loss stopped being a number by step 7")
    answer = poll(jobs, None, 0)
    assert (answer["state"], answer["active"]) == ("failed", False)
    assert answer["error"] == "the loss stopped being a number by step 7"
    assert answer["log"].splitlines() == [f"line {i}" for i in range(30, 50)]
    assert poll(Jobs(jobs.root, Caps()), None, 0)["log"] == ""  # a public page tells nobody of this machine's files


def test_a_run_whose_process_is_gone_has_failed(jobs):
    with RunWriter(jobs.root / "a") as writer:
        writer.write_status(state="running", step=7, steps=100)
    (jobs.root / "a" / "config.json").write_text("{}")
    answer = poll(jobs, None, 0)
    assert answer["state"] == "failed"
    assert answer["error"].startswith("its process ended without a word at step 7")


def test_a_run_that_went_well_shows_no_log(library_jobs):
    answer = poll(library_jobs, None, 0)
    assert (answer["run"], answer["state"], answer["progress"], answer["log"], answer["error"]) == ("bytes", "done", 1, "", None)
    assert {row.get("kind", "row") for row in answer["rows"]} >= {"sample", "row"}


def test_the_run_that_trains_is_watched_before_newer_ones(jobs, writer):
    with RunWriter(jobs.root / "b") as newer:
        newer.write_status(state="done", step=1, steps=1)
    assert current_run(jobs).name == "a"


def test_without_a_run_that_trains_the_newest_is_watched(library_jobs):
    assert current_run(library_jobs).name == "bytes"


def test_facts_are_words_a_person_reads():
    status = {"state": "running", "step": 1200, "steps": 5000, "eta_seconds": 75, "seconds": 20, "loss": 3.456, "val_loss": 3.6,
              "bits_per_byte": 1.987, "tokens_per_second": 12345}
    told = facts(status)
    assert [(fact["value"], fact["label"]) for fact in told] == [
        ("Running", "step 1,200 of 5,000"), ("1 min 15 s", "left"), ("3.46", "loss"), ("3.60", "validation loss"),
        ("1.99", "bits per byte"), ("12.3 k", "tokens per second")]
    assert [fact["label"] for fact in told if fact["hint"]] == ["loss", "validation loss", "bits per byte", "tokens per second"]


@pytest.mark.parametrize(("status", "wanted"), [
    ({"state": "starting", "step": 0, "steps": 0, "val_loss": None, "bits_per_byte": None}, [("Starting", "step 0")]),
    ({"state": "done", "step": 10, "steps": 10, "eta_seconds": None, "seconds": 3661.2},
     [("Done", "step 10 of 10"), ("1 h 1 min", "of work")]),
    ({"state": "done", "step": 9, "steps": 9, "to_perfect": 0.786}, [("Done", "step 9 of 9"), ("79 %", "of the way to perfect")]),
    ({"state": "running", "step": 0, "steps": 9, "to_perfect": -0.2}, [("Running", "step 0 of 9")]),
    ({"state": "paused", "step": 3, "steps": 0, "seconds": 5.4, "loss": 0.0},
     [("Paused", "step 3"), ("5 s", "of work"), ("0.00", "loss")]),
])
def test_facts_that_are_not_known_are_left_out(status, wanted):
    assert [(fact["value"], fact["label"]) for fact in facts(status)] == wanted


@pytest.mark.parametrize(("seconds", "told"), [
    (0, "0 s"), (0.4, "0 s"), (59.4, "59 s"), (59.6, "1 min 0 s"), (75, "1 min 15 s"), (3599.6, "1 h 0 min"), (7384, "2 h 3 min"),
    (400_000, "111 h 6 min"),
])
def test_a_duration_is_told_in_two_units(seconds, told):
    assert duration(seconds) == told


class TestSentence:
    """The line under the chart."""

    def of(self, jobs: Jobs, name: str) -> str:
        run = find_run(jobs.root, name)
        return sentence(jobs, run, run.status())

    def test_a_run_says_where_it_trains_and_in_which_number_format(self, library_jobs):
        told = self.of(library_jobs, "bottles")
        assert told.startswith("Run bottles, on CPU, 1 thread")  # and what a container allows, if it allows less than there is
        assert told.endswith(", float32: asked for.")

    def test_a_run_without_a_config_reads_its_text(self, jobs, writer):
        assert self.of(jobs, "a") == "Run a: reading the text and learning its tokens."

    @pytest.mark.parametrize(("saved", "lost"), [(None, "so far"), (1200, "since step 1,200")])
    def test_a_run_that_stops_says_what_stopping_it_at_once_would_cost(self, jobs, writer, saved, lost):
        writer.write_status(state="stopping", saved_step=saved)
        assert self.of(jobs, "a") == ("Run a stops, and saves, after the step in progress. "
                                      f"Stop now ends it at once: what it has learned {lost} is lost.")

    @pytest.mark.parametrize("state", ["stopped", "failed"])
    def test_a_run_that_was_saved_can_go_on(self, jobs, writer, state):
        writer.write_status(state=state)
        assert "can go on" not in self.of(jobs, "a")
        (writer.path / "last").mkdir()
        (writer.path / "last" / "step-000009.safetensors").touch()
        assert self.of(jobs, "a") == "Run a can go on from where it stopped: select it under Runs."

    def test_the_run_that_comes_with_the_project_says_so(self, tmp_path, monkeypatch):
        jobs = Jobs(tmp_path / "checkpoints", Caps())
        with RunWriter(jobs.root / "stories") as writer:
            writer.write_status(state="done", step=1, steps=1)
        assert "comes with the project" not in self.of(jobs, "stories")
        monkeypatch.setattr(training_status, "PROJECT", tmp_path)
        assert "comes with the project" in self.of(jobs, "stories")
        jobs.access.register("anna" * 8, "stories", process_identity(os.getpid()))
        assert "comes with the project" not in self.of(jobs, "stories")


def test_a_run_that_was_asked_to_stop_is_stopping_before_it_hears_that(jobs, writer):
    run = find_run(jobs.root, "a")
    assert poll(jobs, None, 0)["state"] == "running"
    run.request("stop")
    answer = poll(jobs, None, 0)
    assert (answer["state"], answer["active"]) == ("stopping", True)
    assert "Stop now" in answer["sentence"]
    assert writer.command() == "stop"


@pytest.mark.parametrize(("state", "snapshot", "extend"), [
    ("starting", False, False), ("running", True, True), ("paused", True, True), ("stopping", False, False), ("stopped", False, True),
    ("done", False, True), ("failed", False, True),
])
def test_what_can_be_asked_of_a_run_depends_on_its_state(jobs, writer, state, snapshot, extend):
    (writer.path / "last").mkdir()
    (writer.path / "last" / "step-000009.safetensors").touch()
    writer.write_status(state=state)
    answer = poll(jobs, None, 0)
    assert (answer["snapshot"], answer["extend"]) == (snapshot, extend)


def test_a_run_without_a_save_cannot_be_extended(library_jobs, jobs):
    with RunWriter(jobs.root / "a") as writer:
        writer.write_status(state="done", step=1, steps=1)
    assert poll(jobs, None, 0)["extend"] is False


class TestThinned:
    def test_a_few_rows_stay_as_they_are(self):
        rows = [{"step": step, "loss": 1.0} for step in range(MOST_ROWS)] + [{"step": MOST_ROWS, "val_loss": 1.0}]
        assert thinned(rows) == rows

    @pytest.mark.parametrize("n", [MOST_ROWS + 1, 2 * MOST_ROWS, 10 * MOST_ROWS + 7])
    def test_of_many_rows_some_stay_in_order_among_them_the_last(self, n):
        rows = thinned([{"step": step, "loss": 1.0} for step in range(n)])
        steps = [row["step"] for row in rows]
        assert MOST_ROWS / 2 < len(rows) <= MOST_ROWS
        assert steps == sorted(steps)
        assert steps[-1] == n - 1

    def test_the_newest_samples_every_evaluation_and_every_warning_stay(self):
        rows = []
        for step in range(3 * MOST_ROWS):
            rows.append({"step": step, "loss": 1.0})
            if step % 30 == 0:
                rows += [{"step": step, "val_loss": 1.0}, {"step": step, "kind": "sample", "text": str(step)}]
            if step == 7:
                rows.append({"step": step, "kind": "warning", "text": "look"})
        found = thinned(rows)
        assert [row["step"] for row in found if row.get("kind") == "sample"] == list(range(0, 3 * MOST_ROWS, 30))[-MOST_SAMPLES:]
        assert len([row for row in found if "val_loss" in row]) == 100
        assert [row["step"] for row in found if row.get("kind") == "warning"] == [7]


def test_before_the_first_step_the_state_line_says_what_is_done_with_the_text():
    status = {"state": "starting", "step": 0, "steps": 0, "doing": "tokenising", "progress": 0.425}
    assert training_status.facts(status)[0] == {"value": "Starting", "label": "tokenising, 42 %", "hint": ""}
    assert training_status.facts({**status, "doing": None})[0]["label"] == "step 0"
    assert training_status.facts({**status, "state": "running"})[0]["label"] == "step 0"
