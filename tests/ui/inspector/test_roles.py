"""Roles on the page: every head's scores, the untrained model's beside them, and what they say in words."""

import json
from shutil import copytree

import numpy as np
import pytest

from gpt.interpret.heads import HeadScores, score_heads
from gpt.runs.run import Run, load_run
from gpt.runs.writer import RunWriter
from gpt.ui.inspector import roles
from gpt.ui.inspector.inspections import Inspector
from gpt.ui.server.jobs import Jobs
from tests.ui.conftest import unpacked

PROMPT = "7 green"


@pytest.fixture
def own(root, tmp_path) -> Inspector:
    return Inspector(Jobs(copytree(root, tmp_path / "checkpoints")))


def ask(inspector: Inspector, run: str = "bottles", **question) -> dict:
    question["key"] = inspector.inspect(run, 99, PROMPT)["key"]
    return json.loads(json.dumps(inspector.server_function(roles.roles)(question), allow_nan=False))


def scores(induction: float, holds: float = 1.0, **others: float) -> HeadScores:
    """One layer of one head with these scores, chance 0.1 each."""
    values = {"induction": induction, "entropy": 0.5, **{name.replace("_", " "): value for name, value in others.items()}}
    arrays = {name: np.array([[value]]) for name, value in values.items()}
    return HeadScores(dict.fromkeys(values, 0.1), arrays, {name: np.array([[0.02]]) for name in values},
                      {name: np.array([[holds]]) for name in values if name != "entropy"})


def test_the_head_to_look_at_first_has_the_most_interesting_role():
    def two_layers(**values):
        arrays = {name.replace("_", " "): np.array(value) for name, value in values.items()}
        return HeadScores(dict.fromkeys(arrays, 0.1), arrays, {name: np.zeros((2, 2)) for name in arrays},
                          {name: np.ones((2, 2)) for name in arrays})

    previous = [[0.9, 0.1], [0.1, 0.1]]
    assert roles.clearest(two_layers(previous_token=previous, induction=[[0, 0], [0, 0.5]])) == [1, 1]
    assert roles.clearest(two_layers(previous_token=previous, induction=[[0.4, 0.5], [0, 0.6]])) == [1, 1]
    assert roles.clearest(two_layers(previous_token=previous, locality=[[1, 1], [1, 1]])) == [0, 0]
    assert roles.clearest(two_layers(previous_token=[[0, 0], [0, 0]])) is None


def test_every_head_is_told_with_its_scores(own):
    answer = ask(own)
    model, _ = load_run(own.jobs.root / "bottles")
    expected = score_heads(model, Run(own.jobs.root / "bottles").probes())
    assert [(one["layer"], one["head"]) for one in answer["heads"]] == [(0, 0), (0, 1), (1, 0), (1, 1)]
    assert answer["names"] == list(expected.values)
    for one in answer["heads"]:
        for name in ("previous token", "entropy"):
            assert one["scores"][name] == pytest.approx(expected.values[name][one["layer"], one["head"]], abs=1e-4)
    assert answer["chance"]["first token"] == pytest.approx(expected.chance["first token"], abs=1e-4)
    assert answer["about"].keys() == answer["chance"].keys() == set(answer["names"])


def test_the_untrained_scores_are_those_of_the_run_before_its_first_step(own):
    run = Run(own.jobs.root / "bottles")
    with RunWriter(run.path) as writer:
        rows = [row for row in writer.rows()[0] if row.get("kind") != "heads"]
        (run.path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        assert ask(own)["heads"][0]["untrained"] == {}
        untrained, _ = load_run(run.path, step=0)
        writer.append({"step": 0, "tokens": 0, "seconds": 0.0, "kind": "heads", **score_heads(untrained, run.probes()).as_row()})
    told = ask(own)["heads"][3]["untrained"]
    assert told["previous token"] == pytest.approx(float(score_heads(untrained, run.probes()).values["previous token"][1, 1]), abs=1e-4)


def test_a_run_without_probes_says_so(own):
    (own.jobs.root / "bottles" / "probes.safetensors").unlink()
    assert ask(own) == {"error": "run bottles was trained before heads were scored and keeps no text to try them on: train it again"}


def test_a_damaged_row_is_told(own):
    with open(own.jobs.root / "bottles" / "metrics.jsonl", "r+") as file:
        rows = [line for line in file if '"heads"' not in line]
        file.seek(0)
        file.truncate()
        file.writelines([*rows, json.dumps({"step": 0, "kind": "heads", "chance": 5}) + "\n"])
    assert "metrics.jsonl is damaged" in ask(own)["error"]


def test_a_role_is_told_beside_chance_and_the_untrained_model():
    assert roles.sentence_about(scores(0.64), scores(0.12), 0, 0) == (
        "Layer 0 head 0 is an induction head: in the second copy of random tokens written twice it puts 64 ± 2.0 % of its attention on "
        "the token after an earlier copy (chance 10 %, untrained 12 %).")
    assert roles.sentence_about(scores(0.64, previous_token=0.5), None, 0, 0).endswith("(chance 10 %). Next to that comes previous token.")


def test_where_there_is_no_clear_role_this_is_said():
    nothing = roles.sentence_about(scores(0.28), None, 0, 0)
    assert nothing == "Layer 0 head 0 has no clear role: the most it does is induction, 0.20 above chance."
    assert roles.sentence_about(scores(0.9, holds=0.5), None, 0, 0).endswith(
        "has no clear role: the most it does is induction, 0.89 above chance, but 0.3 or more in only 50 % of the sequences.")


def test_heads_are_laid_out_in_the_order_asked_for(own):
    key = own.inspect("bottles", 99, PROMPT)["key"]
    arrange = own.server_function(roles.mosaic)
    by_layer, turned = (arrange({"key": key, "order": order})["mosaic"]
                        for order in ([[0, 0], [0, 1], [1, 0], [1, 1]], [[1, 1], [1, 0], [0, 1], [0, 0]]))
    assert (by_layer["layout"]["meta"]["ordered"], turned["layout"]["meta"]["ordered"]) == (False, True)
    assert turned["layout"]["meta"]["places"] == [[1, 1], [1, 0], [0, 1], [0, 0]]
    size = by_layer["layout"]["meta"]["size"]
    first, last = (unpacked(figure["data"][0]["z"]) for figure in (by_layer, turned))
    pitch = by_layer["layout"]["meta"]["pitch"]
    np.testing.assert_array_equal(first[:size, :size], last[pitch:pitch + size, pitch:pitch + size])


@pytest.mark.parametrize("order", [
    None, "role", [[0, 0]], [[0, 0], [0, 0], [1, 0], [1, 1]], [[0, 0], [0, 1], [1, 0], [2, 1]], [[0], [1]], [0, 1, 2, 3]])
def test_an_order_that_is_none_is_refused(own, order):
    key = own.inspect("bottles", 99, PROMPT)["key"]
    assert own.server_function(roles.mosaic)({"key": key, "order": order}).keys() == {"error"}
