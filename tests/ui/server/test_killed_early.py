"""A run whose process was killed before config.json existed: nothing that the page asks about it is a fault of the page."""

import json

import gradio as gr
import httpx
import pytest

import demo
from gpt.runs.cleanup import delete
from gpt.runs.run import Run, RunError, list_runs
from gpt.ui.server import training_status
from gpt.ui.server.fetching import CHOICE, Fetching
from gpt.ui.server.jobs import Jobs
from gpt.ui.tabs import head_formation, loss_reading
from gpt.ui.tabs.run_picker import RunPicker
from gpt.ui.tabs.run_settings import as_form
from gpt.ui.tabs.run_table import table_row
from tests.says import says


@pytest.fixture
def jobs(tmp_path) -> Jobs:
    path = tmp_path / "a"
    (path / "snapshots").mkdir(parents=True)
    (path / ".lock").touch()
    (path / "status.json").write_text(json.dumps({"state": "starting", "step": 0, "steps": 0, "error": None, "pid": 9**7, "began": 1.0}))
    return Jobs(tmp_path)


def test_training_status_says_what_happened(jobs):
    for name in ("a", None):
        shown = training_status.poll(jobs, name, 0)
        assert (shown["run"], shown["state"], shown["rows"]) == ("a", "failed", [])
        assert "before the first step" in shown["error"]


def test_the_charts_have_nothing_to_show(jobs):
    assert head_formation.forming(jobs, {"run": "a", "score": head_formation.CHOICES[0]})["figure"] is None
    assert "error" in head_formation.take_out(jobs, {"run": "a"})
    assert loss_reading.read_loss(jobs, {"run": "a"})["advice"] == ""


def test_the_table_shows_it_and_it_can_be_deleted(jobs):
    assert table_row(Run(jobs.root / "a"))["state"] == "Damaged"
    delete(Run(jobs.root / "a"))
    assert list_runs(jobs.root) == []


def test_it_cannot_be_chosen_where_weights_are_needed(jobs):
    with gr.Blocks():
        picker = RunPicker(Fetching(jobs), "x", gr.Textbox("Once"))
    assert [value for _, value in picker.offer(None, None, 1, "Once")[0]["choices"]] == [CHOICE]
    with pytest.raises(RunError, match=says("no readable config.json")):
        as_form(Run(jobs.root / "a"), jobs.root, jobs.root)


def test_its_name_is_free_again(jobs):
    jobs.check_free("a")


def test_nothing_that_the_page_asks_about_it_is_a_fault_of_the_page(jobs, caplog):
    page = demo.launch(jobs, "127.0.0.1", None)
    try:
        with httpx.Client(base_url=page.local_url) as http:
            components = http.get("/config").json()["components"]
            functions = [(one["id"], name) for one in components for name in one["props"].get("server_fns") or []]
            asked = {"run": "a", "cursor": 0, "score": head_formation.CHOICES[0], "key": json.dumps(["a", 1, "Once"])}
            answers = {name: http.post("/gradio_api/component_server", json={
                "data": asked, "component_id": component, "fn_name": name, "session_hash": "test"}) for component, name in functions}
    finally:
        page.close()
    assert answers.keys() >= {"poll", "forming", "read_loss", "take_out"}
    assert {answer.status_code for answer in answers.values()} == {200}
    assert not [record for record in caplog.records if record.levelname == "ERROR"]
