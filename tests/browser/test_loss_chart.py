"""The loss chart: what it draws of a run's rows, over which axes, and what it says under them."""

import csv
import io
import math
import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from gpt.runs.run import find_run

CHART = "document.querySelector('#monitor .js-plotly-plot')"
HEADS = "document.querySelectorAll('#monitor .js-plotly-plot')[1]"


@pytest.fixture
def page(open_page) -> Page:
    page = open_page()
    page.wait_for_function(f"{CHART}?.data?.[2].x.length > 2")
    expect(page.locator("#monitor .gpt-sentence", has_text=re.compile("better than"))).to_be_visible()  # the loss has been read
    return page


def smoothed(page: Page, values: list[float]) -> list[float]:
    return page.evaluate("(values) => gpt.smoothed(values)", values)


def option(page: Page, label: str):
    return page.locator("#monitor .gpt-option", has_text=re.compile(f"^ ?{label}")).locator("input, select")


def test_a_straight_line_is_its_own_smoothed_line(page):
    line = [5 - 0.01 * i for i in range(200)]
    assert smoothed(page, line) == pytest.approx(line)
    assert smoothed(page, [1.0]) == [1.0]
    assert smoothed(page, []) == []


def test_the_smoothed_line_does_not_lag_behind_a_falling_loss(page):
    falling = [1 + 5 * math.exp(-i / 60) for i in range(400)]
    noise = [0.2 * (-1) ** i for i in range(400)]
    found = smoothed(page, [a + b for a, b in zip(falling, noise, strict=True)])
    errors = [a - b for a, b in zip(found, falling, strict=True)]
    assert max(map(abs, errors[20:])) < 0.08  # a moving average over twelve rows would be 0.5 above it
    assert abs(sum(errors[20:200]) / 180) < 0.05


def test_no_line_leads_from_the_untrained_model_to_the_first_evaluation(page):
    steps = page.evaluate(f"{CHART}.data[2].x")
    assert steps[:3] == [0, None, 20]


def test_over_tokens_on_logarithmic_axes_and_the_heads_beside_it_follow(page, root):
    option(page, "over").select_option("tokens")
    rows, _ = find_run(root, "hostile").rows()
    tokens = [row["tokens"] for row in rows if "loss" in row]
    assert page.evaluate(f"{CHART}.data[0].x") == tokens
    option(page, "log x").check()
    option(page, "log y").check()
    for axis in (f"{CHART}.layout.xaxis", f"{CHART}.layout.yaxis", f"{HEADS}.layout.xaxis"):
        page.wait_for_function(f"{axis}.type === 'log'")
    assert [10 ** end for end in page.evaluate(f"{CHART}.layout.xaxis.range")] == pytest.approx([tokens[0], tokens[-1]])
    option(page, "log x").uncheck()
    page.wait_for_function(f"{HEADS}.layout.xaxis.type === 'linear'")


def test_lines_say_what_a_loss_means(page, root):
    texts = " ".join(note["text"] for note in page.evaluate(f"{CHART}.layout.annotations"))
    heights = page.evaluate(f"{CHART}.layout.shapes.map(({{ y0 }}) => y0)")
    row = next(row for row in find_run(root, "hostile").rows()[0] if row.get("kind") == "baselines")
    assert "guessing" in texts
    assert max(heights) == pytest.approx(row["guessing"])


def test_the_numbers_are_saved_as_csv(page, root):
    page.locator("#monitor .gpt-chart").first.hover()
    with page.expect_download() as download:
        page.locator("#monitor .gpt-save button", has_text="CSV").click()
    saved = list(csv.DictReader(io.StringIO(Path(download.value.path()).read_text())))
    rows = [row for row in find_run(root, "hostile").rows()[0] if "loss" in row or "val_loss" in row]
    assert [(int(line["step"]), line["val_loss"] != "") for line in saved] == [(row["step"], "val_loss" in row) for row in rows]
    assert [float(line["loss"]) for line in saved if line["loss"]] == pytest.approx([row["loss"] for row in rows if "loss" in row])
