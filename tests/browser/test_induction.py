"""The experiment in a real browser: begun with one click, told as it happens, and undone."""

import json
import shutil

import torch

from gpt.interpret.heads import summed_up
from gpt.run import Run
from tests.sessions import wait_until


def grown_rows(run: Run) -> list[dict]:
    """Rows that go on with those of a run of three layers of four heads, as if it had grown an induction head."""
    step = run.rows()[0][-1]["step"]
    position = {"tokens": 1, "seconds": 1.0}
    falling = [{"step": step + i, **position, "loss": max(2.2, 3.3 - 0.05 * i)} for i in range(1, 41)]
    found = {name: torch.zeros(3, 4, 4) for name in ("previous token", "induction")}  # (L, N, H)
    found["previous token"][0, :, 2], found["induction"][2, :, 1] = 0.6, 0.8
    scores = summed_up(found, {name: torch.zeros(4) for name in found})
    formed = {"step": step + 40, **position, "kind": "formed", "layer": 2, "head": 1, "role": "induction", "excess": 0.8,
              "text": f"layer 2 head 1 became an induction head at step {step + 40}"}
    return [*falling, {"step": step + 40, **position, "kind": "heads", **scores.as_row()}, formed]


def test_an_induction_head_grows_and_is_taken_out(open_page, root):
    page = open_page()
    page.get_by_role("button", name="Grow an induction head").click()
    page.wait_for_selector(".gpt-story li")
    story = page.locator(".gpt-story li")
    page.get_by_text("So far the loss stays at 3.").wait_for(timeout=120_000)
    assert page.locator("#preset input").input_value() == "induction"
    chart = page.get_by_role("img", name="strongest role of 12 heads")
    chart.wait_for()
    page.get_by_role("button", name="Stop", exact=True).click()
    run = next(Run(path) for path in root.iterdir() if path.name.startswith("repeats"))
    try:
        wait_until(lambda: run.status()["state"] == "stopped")
        with open(run.path / "metrics.jsonl", "a") as file:
            file.writelines(json.dumps(row) + "\n" for row in grown_rows(run))
        page.wait_for_function("document.querySelectorAll('.gpt-story li').length === 3")
        assert "layer 0 head 2 hands each token its predecessor; layer 2 head 1 looks for" in story.nth(2).inner_text()
        assert page.locator(".gpt-told li").first.inner_text().startswith("Layer 2 head 1 became an induction head at step ")
        page.get_by_role("button", name="Take these heads out").click()
        page.get_by_text("without both").wait_for()
        assert page.locator("#monitor .annotation-text", has_text="without these heads").count() == 1
        page.locator(".gpt-title select").select_option("entropy")
        page.get_by_role("img", name="entropy of 12 heads").wait_for()
    finally:
        shutil.rmtree(run.path)
