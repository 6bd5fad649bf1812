"""Heads that form, as the Train tab shows them: one line a head, letters that never overlap, sentences."""

import json
import math
from itertools import pairwise
from shutil import copytree

import pytest

from gpt.interpret.forming import read_scores
from gpt.interpret.scores import SCORES
from gpt.runs.run import find_run
from gpt.ui.charts import figures
from gpt.ui.tabs.head_formation import CHOICES, STRONGEST, figure, forming, key, take_out
from tests.interpret.test_experiment import FALLING, FLAT, GROWN, LOW, heads, losses


def asked(score: str = STRONGEST, run: str = "bottles") -> dict:
    return {"run": run, "score": score}


@pytest.mark.parametrize("score", CHOICES)
def test_every_score_is_a_chart_with_a_line_a_head(library_jobs, score):
    answer = json.loads(json.dumps(forming(library_jobs, asked(score)), allow_nan=False))
    data, layout = answer["figure"]["data"], answer["figure"]["layout"]
    assert sorted(line["name"] for line in data) == [f"layer {layer} head {head}" for layer in range(2) for head in range(2)]
    assert all(line["x"] == [0, 1, 3, 12] and len(line["y"]) == 4 for line in data)
    assert layout["xaxis"]["range"] == [0, 12]
    assert answer["hint"]
    assert answer["story"] is None


def test_a_run_that_has_not_told_yet_what_it_is_has_no_story(jobs):
    """The page asks for it as soon as the run has a status."""
    (jobs.root / "new").mkdir(parents=True)
    (jobs.root / "new" / "status.json").write_text('{"state": "starting", "step": 0, "steps": 0}')
    answer = forming(jobs, asked(run="new"))
    assert (answer["figure"], answer["story"], answer["formed"]) == (None, None, [])


def test_chance_is_a_dashed_line(library_jobs):
    run = find_run(library_jobs.root, "bottles")
    chance = read_scores(run.rows()[0])[-1][1].chance
    for score, level in ((STRONGEST, 0), ("previous token", chance["previous token"]), ("distance", chance["distance"])):
        shapes = forming(library_jobs, asked(score))["figure"]["layout"]["shapes"]
        assert [shape["y0"] for shape in shapes if shape["line"]["dash"] == "dash"] == [level]


def test_lines_have_the_colours_of_roles():
    shown = figure([(0, GROWN), (9, GROWN)], [], STRONGEST, 10)
    colours = {line["name"]: line["line"]["color"] for line in shown["data"]}
    assert colours == {"layer 0 head 0": figures.MUTED, "layer 0 head 1": figures.ROLE_COLOURS["previous token"],
                       "layer 1 head 0": figures.ROLE_COLOURS["previous token"], "layer 1 head 1": figures.ROLE_COLOURS["induction"]}
    assert key(GROWN) == [("P  previous token", figures.ROLE_COLOURS["previous token"], 2),
                          ("I  induction", figures.ROLE_COLOURS["induction"], 1), ("no clear role", figures.MUTED, 1)]
    last = next(line for line in shown["data"] if line["name"] == "layer 1 head 1")
    assert last["y"][-1] == pytest.approx(0.8)
    assert last["text"] == ["induction", "induction"]
    assert "layer 1 head 1 induction 0.80 above chance" in shown["layout"]["meta"]["description"]


def test_a_single_score_shows_its_own_landmarks_alone():
    formed = [{"step": 2, "role": "induction"}, {"step": 8, "role": "previous token"}]
    for score, letters in ((STRONGEST, ["I", "P"]), ("induction", ["I"])):
        notes = figure([(0, GROWN)], formed, score, 10)["layout"]["annotations"]
        assert [note["text"] for note in notes if note.get("yref") == "paper"] == letters


def test_heads_that_matter_are_named_at_their_end_and_the_others_are_grey():
    curves = [figures.HeadCurve(0, head, [0.1, 0.6], role, None) for head, role in enumerate(("induction", "induction", "locality", None))]
    shown = figures.heads_chart([0, 9], curves, [], "induction", 0.1, 10)
    labels = [note for note in shown["layout"]["annotations"] if note.get("xref") == "paper"]
    assert [label["text"] for label in labels] == ["I 0.0", "I 0.1"]
    assert labels[0]["y"] - labels[1]["y"] >= figures.LABEL_HEIGHT  # they do not overlap, though both end at 0.6
    greys = [line for line in shown["data"] if line["line"]["color"] == figures.MUTED]
    assert [line["name"] for line in greys] == ["layer 0 head 2", "layer 0 head 3"]


def test_letters_that_would_overlap_become_one():
    formed = [{"step": step, "role": role} for step, role in (
        (1, "locality"), (2, "locality"), (3, "previous token"), (300, "induction"), (301, "induction"), (600, "induction"))]
    marks = figures.landmarks(formed, 700)
    assert [(mark.step, mark.text, mark.role) for mark in marks] == [(1, "L2 P", None), (300, "I2", "induction"), (600, "I", "induction")]


def test_letters_never_overlap_however_many_there_are():
    roles = [name for name, score in SCORES.items() if score.is_role]
    formed = [{"step": step, "role": roles[step % len(roles)]} for step in range(0, 500, 3)]
    marks = figures.landmarks(formed, 500)
    for one, other in pairwise(marks):
        assert other.step >= one.step + 500 / figures.LETTERS_ACROSS * len(one.text)
    assert figures.landmarks([], 500) == []


def test_a_run_of_unknown_length_has_an_open_axis():
    assert "range" not in figure([(0, GROWN), (9, GROWN)], [], STRONGEST, 0)["layout"]["xaxis"]


def test_unknown_numbers_leave_gaps():
    curve = figures.HeadCurve(0, 0, [math.nan, 2.0], None, None)
    shown = figures.heads_chart([0, 5], [curve], [], "distance without first", None, 10)
    assert shown["data"][0]["y"] == [None, 2.0]
    assert shown["layout"]["yaxis"]["range"][1] > 2
    assert not shown["layout"]["shapes"]


def test_a_run_without_scores_shows_none(jobs, own_run_without_scores):
    answer = forming(jobs, asked(run=own_run_without_scores))
    assert (answer["figure"], answer["key"], answer["formed"]) == (None, [], [])


@pytest.fixture
def own_run_without_scores(jobs, library_jobs) -> str:
    copytree(library_jobs.root / "bottles", jobs.root / "plain")
    path = jobs.root / "plain" / "metrics.jsonl"
    path.write_text("".join(line + "\n" for line in path.read_text().splitlines() if '"heads"' not in line and '"formed"' not in line))
    return "plain"


@pytest.fixture
def grown(jobs, own_run_without_scores) -> str:
    """A run whose rows say that it has grown an induction head on letters written twice."""
    path = jobs.root / "plain"
    rows = [*losses(*FLAT, *FALLING, *LOW), *heads(150, GROWN)]
    (path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    saved = json.loads((path / "config.json").read_text())
    saved["config"]["corpus"] = "repeats"
    (path / "config.json").write_text(json.dumps(saved))
    return "plain"


def test_the_experiment_is_told_under_the_chart(jobs, grown):
    story = forming(jobs, asked(run=grown))["story"]
    assert len(story["sentences"]) == 3
    assert (story["over"], story["can_take_out"]) == (True, True)


def test_heads_are_taken_out(jobs, grown):
    answer = take_out(jobs, {"run": grown})
    assert answer["sentence"].startswith("Loss on the plateau 3.3")
    assert "without both" in answer["sentence"]
    (loss, words), = answer["lines"]
    assert words == f"without these heads {loss:.2f}"


def test_a_run_that_grew_nothing_says_so(jobs, own_run_without_scores):
    assert "has grown no induction head" in take_out(jobs, {"run": own_run_without_scores})["error"]


@pytest.mark.parametrize("question", [None, {}, {"run": 3}, {"run": "../x", "score": STRONGEST}, {"run": "gone", "score": STRONGEST},
                                      {"run": "bottles", "score": "beauty"}])
def test_nonsense_is_answered_in_a_sentence(library_jobs, question):
    assert forming(library_jobs, question)["error"]
    assert take_out(library_jobs, question)["error"]


def test_the_sentences_of_who_formed(jobs, grown):
    path = jobs.root / grown / "metrics.jsonl"
    path.write_text(path.read_text() + json.dumps({"kind": "formed", "step": 160, "layer": 0, "head": 1, "role": "previous token",
                                                   "text": "layer 0 head 1 became a previous-token head at step 160"}) + "\n")
    assert forming(jobs, asked(run=grown))["formed"][0] == "Layer 0 head 1 became a previous-token head at step 160."
