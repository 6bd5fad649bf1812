"""The experiment in a real browser, for real: begun with one click, trained to its end, told as it happens, and undone."""

import re
import shutil

import pytest
from playwright.sync_api import expect

from gpt.runs.run import Run
from tests.browser.test_page import PATIENT, state
from tests.sessions import while_it_moves


@pytest.fixture
def new_runs(root):
    """new_runs() -> the runs that have begun since; they are gone after the test."""
    before = set(root.iterdir())

    def begun() -> list[Run]:
        return [Run(path) for path in root.iterdir() if path not in before and path.name.startswith("repeats")]

    yield begun
    for run in begun():
        if run.is_alive():
            run.stop_now()
        shutil.rmtree(run.path)


def test_an_induction_head_grows_and_is_taken_out(open_page, new_runs):
    page = open_page()
    page.get_by_role("button", name="Grow an induction head").click()
    story = page.locator(".gpt-story li")
    expect(story.first).to_contain_text("the loss", timeout=PATIENT)
    assert page.locator("#preset input").input_value() == "induction"
    run, = new_runs()
    while_it_moves(lambda: run.status()["state"] == "done", lambda: run.status()["step"])  # 8 to 18 s on two idle cores, or many minutes
    expect(state(page)).to_have_text("Done", timeout=PATIENT)
    page.get_by_role("img", name="of 12 heads").wait_for()

    assert run.config()["config"] | {"corpus": "repeats", "max_steps": 400} == run.config()["config"]
    losses = [row["loss"] for row in run.rows()[0] if "loss" in row]
    assert min(losses[:10]) > 3  # 26 letters, each as likely as any other: ln 26 = 3.26
    assert max(losses[-3:]) < 2.5
    formed = [row for row in run.rows()[0] if row.get("kind") == "formed" and row["role"] == "induction"]
    assert formed

    expect(story).to_have_count(3)
    head = f"layer {formed[0]['layer']} head {formed[0]['head']}"
    expect(story.nth(2)).to_contain_text(re.compile(r"layer \d head \d hands each token its predecessor; layer \d head \d looks for"))
    became = re.compile(f"{head} became an induction head", re.IGNORECASE)
    expect(page.locator(".gpt-formed li").filter(has_text=became)).not_to_have_count(0)

    page.get_by_role("button", name="Take these heads out").click()
    outcome = page.locator(".gpt-sentence", has_text="on the plateau")
    expect(outcome).to_contain_text("without", timeout=PATIENT)
    plateau, whole, without = map(float, re.findall(r"\d\.\d\d", outcome.inner_text())[:3])
    assert whole < 2.6
    assert without - whole > 0.5 * (plateau - whole)  # most of the drop is undone
    expect(page.locator("#monitor .annotation-text", has_text="without these heads")).to_have_count(1)

    page.locator(".gpt-title select").select_option("entropy")
    page.get_by_role("img", name="entropy of 12 heads").wait_for()
