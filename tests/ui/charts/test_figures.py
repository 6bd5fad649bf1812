"""Charts as JSON: what is drawn, and which colours it names."""

import json
import math
import re

import pytest

from gpt.ui.charts.figures import compare_runs, context_curve, describe_curves, loss_chart, losses_by_context
from tests.ui.charts.test_maps import FIGURES as MAPS
from tests.ui.conftest import named_colours, strings_of


def curves(n: int) -> list:
    return [(f"run-{i}", [{"step": step, "tokens": 32 * step, "seconds": seconds, "bits_per_byte": bits}
                          for step, seconds, bits in ((0, 0.0, 8.0), (9, 1.5, 3.0 + i))]) for i in range(n)]


BEST = {"val_loss": 2.0, "bits_per_byte": 1.5, "by_context": [[1, 4.0], [2, 2.0], [8, 1.0]]}
FIGURES = {"loss": loss_chart(500), "runs": compare_runs(curves(8)), "context": losses_by_context([("a", BEST), ("b", BEST)]), **MAPS}


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_survives_json(name):
    assert json.loads(json.dumps(FIGURES[name], allow_nan=False)) == FIGURES[name]


@pytest.mark.parametrize("name", FIGURES)
def test_colours_of_the_theme_are_named_and_not_written_out(name):
    assert not [text for text in strings_of(FIGURES[name]) if re.search(r"#[0-9a-fA-F]{3,8}\b|rgba?\(", text)]
    named = named_colours(FIGURES[name])
    assert named
    assert all(re.fullmatch(r"var\(--gpt-[a-z]+\)", text) for text in named)


def test_the_loss_chart_has_four_empty_lines_to_fill():
    figure = loss_chart(0)
    assert [trace["name"] for trace in figure["data"]] == ["training", "training, smoothed", "validation", "on the text before"]
    assert all(trace["x"] == trace["y"] == [] for trace in figure["data"])
    assert figure["data"][0]["x"] is not figure["data"][1]["x"]


@pytest.mark.parametrize(("steps", "wanted"), [(500, [0, 500]), (0, None)])
def test_the_loss_chart_leaves_room_for_all_steps_that_are_known(steps, wanted):
    assert loss_chart(steps)["layout"]["xaxis"].get("range") == wanted


def test_each_run_is_a_line_of_its_own():
    figure = compare_runs(curves(3))
    # a gap after the untrained model
    assert [(line["name"], line["x"], line["y"]) for line in figure["data"]] == [
        (f"run-{i}", [0.0, None, 1.5], [8.0, None, 3.0 + i]) for i in range(3)]
    assert figure["data"][0]["meta"] == {"seconds": [0.0, None, 1.5], "step": [0, None, 9], "tokens": [0, None, 288]}


def test_eighteen_runs_look_different():
    looks = {(line["line"]["color"], line["line"]["dash"]) for line in compare_runs(curves(18))["data"]}
    assert len(looks) == 18


def test_curves_are_told_in_words():
    assert describe_curves([*curves(2), ("new", [])]) == "run-0 ends at 3.000 bits per byte; run-1 ends at 4.000 bits per byte"
    assert compare_runs([("new", [])])["layout"]["meta"]["description"] == "no evaluation yet"


def test_losses_by_context_are_in_bits_per_byte_and_runs_without_them_are_left_out():
    assert context_curve(BEST) == ([1, 2, 8], [3.0, 1.5, 0.75])
    figure = losses_by_context([("old", {"val_loss": 2.0, "bits_per_byte": 1.5}), ("new", BEST)])
    assert [line["name"] for line in figure["data"]] == ["new"]
    assert figure["data"][0]["line"] == compare_runs(curves(2))["data"][1]["line"]  # the colour it has in the chart above
    assert figure["layout"]["meta"]["description"] == "new: 3.00 bits per byte with one token to look back on, 0.75 with 8"


@pytest.mark.parametrize("by_context", [None, [], 3, "text", [3], [[1]], [[1, "x"]], [[1, None]], [[0, 1.0]],
                                        [[1e999, 1.0]], [[1, math.nan]], [[1, 10**400]]])
def test_losses_by_context_that_cannot_be_read_are_none(by_context):
    assert losses_by_context([("a", {**BEST, "by_context": by_context})]) is None
    assert losses_by_context([("a", {**BEST, "by_context": [[1, 2.0]], "val_loss": 0.0})]) is None
