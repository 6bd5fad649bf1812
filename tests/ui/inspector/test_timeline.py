"""One prompt over the training of its run: any snapshot of it, the film strip with its scores, and the film as a file."""

import base64
import json
import re
from functools import partial
from shutil import copytree, rmtree
from types import SimpleNamespace

import gradio as gr
import numpy as np
import pytest

from gpt.interpret.scores import ROLES
from gpt.runs.run import Run, find_run
from gpt.ui.inspector import animation, film, heads, inspections, timeline
from gpt.ui.inspector.animation import as_script
from gpt.ui.inspector.inspections import Inspector
from gpt.ui.inspector.timeline import LOG_POSITION_OF_ZERO, chart, score_lines
from gpt.ui.server.fetching import Fetching
from gpt.ui.server.jobs import Jobs
from gpt.ui.tabs.run_picker import RunPicker
from tests.says import says
from tests.serving import PROJECT
from tests.ui.conftest import unpacked

BEST = 99  # a place at the right end of the slider
PROMPT = "7 green"
HOSTILE = "</script><b>${1+1}"


def at(inspector: Inspector, shown: dict, step: int | None) -> dict:
    return inspector.server_function(partial(timeline.at, inspector))({"key": shown["key"], "step": step})


def saved(inspector: Inspector, shown: dict) -> dict:
    return inspector.server_function(partial(animation.animation, inspector))({"key": shown["key"]})


def strip(inspector: Inspector, shown: dict, layer: int = 0, head: int = 0) -> dict:
    answer = inspector.server_function(timeline.timeline)({"key": shown["key"], "layer": layer, "head": head})
    return json.loads(json.dumps(answer, allow_nan=False))


def cells(value: dict) -> np.ndarray:
    return unpacked(value["mosaic"]["data"][0]["z"])


def test_a_frame_is_what_the_slider_shows_there(inspector, root):
    steps, best = find_run(root, "bottles").snapshots(), inspector.inspect("bottles", BEST, PROMPT)
    assert best["step"] is None
    for place, step in enumerate([*steps, None]):
        there, frame = inspector.inspect("bottles", place, PROMPT), at(inspector, best, step)
        assert (frame["step"], frame["weights"], frame["tokens"], frame["next"]) == (step, there["weights"], there["tokens"], there["next"])
        assert frame["film"] == there["film"] == best["film"]
        np.testing.assert_array_equal(cells(frame), cells(there))
    assert best["film"]["steps"] == steps


def test_a_frame_can_be_asked_about_and_is_the_way_to_the_next(inspector, root):
    steps, shown = find_run(root, "bottles").snapshots(), inspector.inspect("bottles", BEST, PROMPT)
    first = at(inspector, shown, steps[0])
    second = at(inspector, first, steps[1])
    question = {"key": second["key"], "layer": 0, "head": 0, "scale": "linear", "view": "weights"}
    assert "figure" in inspector.server_function(heads.head)(question)
    assert not np.array_equal(cells(first), cells(at(inspector, second, None)))


def test_films_of_other_tokens_or_other_runs_have_other_names(inspector):
    films = (("bottles", "7 green"), ("bottles", "8 green"), ("bytes", "7 green"))
    assert len({inspector.inspect(run, BEST, prompt)["film"]["name"] for run, prompt in films}) == 3


@pytest.mark.parametrize(("step", "told"), [
    (5_000, "5000 | snapshots: 0, "), (-1, "step is -1 | whole number"),
    ("0", "step is 0 | whole number"), (True, "step is True"), ([], "step is []"),
])
def test_a_step_that_is_none_is_told(inspector, step, told):
    answer = at(inspector, inspector.inspect("bottles", BEST, PROMPT), step)
    assert answer.keys() == {"error"}
    assert re.search(says(told), answer["error"])


def test_a_run_that_has_vanished_is_told(own_root):
    inspector = Inspector(Jobs(own_root))
    shown = inspector.inspect("bottles", BEST, PROMPT)
    rmtree(own_root / "bottles")
    assert at(inspector, shown, 0)["error"].startswith("there is no run bottles in ")
    assert "error" in saved(inspector, shown)


def test_a_run_without_snapshots_says_so_and_has_no_film(own_root):
    rmtree(own_root / "bottles" / "snapshots")
    inspector = Inspector(Jobs(own_root))
    shown = inspector.inspect("bottles", BEST, PROMPT)
    sentence = "Run bottles kept no snapshots, so there is nothing to play: train with snapshots above 0 to watch its heads form."
    assert shown["film"]["steps"] == []
    assert shown["film"]["note"] == sentence
    assert saved(inspector, shown) == {"error": sentence}
    assert strip(inspector, shown)["steps"] == [None]


def test_a_run_that_still_trains_says_how_many_snapshots_there_are(inspector, monkeypatch):
    whole = Run.status
    monkeypatch.setattr(Run, "status", lambda run: {**whole(run), "state": "running"})
    shown = inspector.inspect("bottles", BEST, PROMPT)
    assert re.fullmatch(r"Run bottles still trains; \d snapshots so far\. Press Inspect to see those that come\.", shown["film"]["note"])


def test_models_are_let_go_when_a_run_is_played(inspector, root, monkeypatch):
    steps, shown = find_run(root, "bottles").snapshots(), inspector.inspect("bottles", BEST, PROMPT)
    monkeypatch.setattr(inspections, "MOST_MODEL_BYTES", 1)
    frame = at(inspector, shown, steps[0])
    assert at(inspector, shown, steps[1]) == {"error": "this inspection is no longer held: press Inspect again"}
    assert at(inspector, frame, steps[1])["step"] == steps[1]  # the newest always stays


def test_a_strip_has_at_most_twelve_pictures_from_the_first_to_the_best():
    few, many = [0, 5, 50, None], [*range(40), None]
    assert film.evenly_spaced(few) == few
    chosen = film.evenly_spaced(many)
    assert len(chosen) == len(set(chosen)) == 12
    assert (chosen[0], chosen[-1]) == (0, None)
    assert [many.index(step) for step in chosen] == sorted(many.index(step) for step in chosen)


def rows() -> list[dict]:
    return [{"kind": "heads", "step": step, "chance": {"induction": 0.1, "distance": 3.0},
             "scores": {"induction": [[0.1, step / 100], [0.2, None]], "distance": [[9.0, 9.0], [9.0, 9.0]]}} for step in (0, 10, 100)]


def test_the_scores_of_a_head_become_lines():
    assert score_lines(rows(), 0, 1) == {"induction": [(0, 0.0), (10, 0.1), (100, 1.0)]}
    assert score_lines(rows(), 1, 1) == score_lines(rows(), 2, 0) == {}


def test_damaged_rows_are_passed_over():
    damaged = [{"step": 1}, {"step": 2, "scores": 5}, {"step": 3, "scores": {"induction": "x"}},
               {"step": 4, "scores": {"induction": [[float("nan")]]}}]
    assert score_lines([*damaged, *rows()], 0, 0) == {"induction": [(0, 0.1), (10, 0.1), (100, 0.1)]}


def test_the_axis_of_steps_is_one_of_logarithms_with_a_place_for_0():
    figure = chart({"induction": [(0, 0.0), (10, 0.1), (100, 1.0)]}, {"induction": 0.1}, 0, 1)
    scores, chance = figure["data"]
    axis = figure["layout"]["xaxis"]
    assert (scores["x"], scores["y"], scores["customdata"]) == ([LOG_POSITION_OF_ZERO, 10, 100], [0.0, 0.1, 1.0], [0, 10, 100])
    assert (chance["x"], chance["y"], chance["line"]["dash"]) == ([LOG_POSITION_OF_ZERO, 100], [0.1, 0.1], "dot")
    assert (axis["type"], axis["tickvals"], axis["ticktext"]) == ("log", [LOG_POSITION_OF_ZERO, 1, 10, 100], ["0", "1", "10", "100"])
    assert figure["layout"]["meta"]["description"] == "scores of layer 0 head 1 over training, at step 100: induction 1.00"


def test_the_strip_of_a_run_shows_the_scores_of_its_own_heads(own_root):
    path = own_root / "bottles" / "metrics.jsonl"
    path.write_text("".join(line for line in path.read_text().splitlines(keepends=True) if '"heads"' not in line))
    inspector = Inspector(Jobs(own_root))
    shown = inspector.inspect("bottles", BEST, PROMPT)
    before = strip(inspector, shown)
    assert before["figure"] is None
    assert before["note"].startswith("Run bottles was trained before heads were scored while they form")
    with path.open("a") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows())
    after = strip(inspector, shown, 0, 1)
    assert after["note"] == ""
    assert after["steps"] == [*shown["film"]["steps"], None]
    assert [trace["name"] for trace in after["figure"]["data"]] == ["induction", "induction, chance"]
    assert set(ROLES) >= {"induction"}


def data_of(html: str) -> dict:
    """What the file's player reads."""
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', html, re.DOTALL)[1])


def test_the_film_as_a_file_holds_every_frame(inspector, root):
    shown = inspector.inspect("bottles", BEST, PROMPT)
    answer = saved(inspector, shown)
    assert answer["name"] == "bottles-heads.html"
    data = data_of(answer["html"])
    assert [frame["step"] for frame in data["frames"]] == [*find_run(root, "bottles").snapshots(), None]
    for frame in data["frames"]:
        assert base64.b64decode(frame["cells"]["bdata"]) == cells(at(inspector, shown, frame["step"])).tobytes()
    assert (data["run"], data["layers"], data["heads"], data["tokens"]) == ("bottles", 2, 2, list("7·green"))
    assert data["config"].startswith("2 layers of 2 heads, width 16, context 8, char with ")


def test_the_file_needs_nothing_from_elsewhere(inspector):
    html = saved(inspector, inspector.inspect("bottles", BEST, PROMPT))["html"]
    assert not re.findall(r"""https?://|src=|<link|import\s|\burl\(|{{""", html)
    assert "default-src 'none'" in html
    assert len(html) < 2_000_000


def test_the_shipped_runs_file_is_small(tmp_path):
    copytree(PROJECT / "checkpoints" / "stories", tmp_path / "stories")
    inspector = Inspector(Jobs(tmp_path))
    assert len(saved(inspector, inspector.inspect("stories", BEST, "Once there was a wolf named Vobil. " * 3))["html"]) < 2_000_000


def test_no_text_can_end_the_script_it_stands_in(inspector):
    assert "<" not in as_script({"text": HOSTILE + "<!--"})
    assert json.loads(as_script({"text": HOSTILE + "<!--"})) == {"text": HOSTILE + "<!--"}
    html = saved(inspector, inspector.inspect("bytes", BEST, HOSTILE))["html"]
    assert data_of(html)["tokens"] == list(HOSTILE)


@pytest.fixture
def chooser(root) -> RunPicker:
    with gr.Blocks(analytics_enabled=False):
        return RunPicker(Fetching(Jobs(root)), "test", gr.Textbox())


def test_the_slider_follows_to_the_place_of_a_step(chooser, root):
    steps = find_run(root, "bottles").snapshots()
    for place, step in enumerate([*steps, None]):
        moved = chooser.moved_to("bottles", SimpleNamespace(_data={"run": "bottles", "step": step}))
        assert (moved["value"], moved["maximum"]) == (place, len(steps))


@pytest.mark.parametrize(("run", "event"), [
    (None, {"run": None, "step": 0}), ("bottles", {"run": "bytes", "step": 0}), ("bottles", {}),
    ("bottles", {"run": "bottles", "step": []}), ("bottles", None), ("bottles", 5), ("bottles", []),
])
def test_the_slider_stays_at_its_end_or_where_it_is_for_anything_else(chooser, root, run, event):
    moved = chooser.moved_to(run, SimpleNamespace(_data=event))
    assert moved.get("value", len(find_run(root, "bottles").snapshots())) == len(find_run(root, "bottles").snapshots())
