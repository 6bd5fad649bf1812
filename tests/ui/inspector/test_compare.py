"""What is looked at against other weights: in words, piece by piece, one head's maps, and the scores of all heads."""

import json
import re
from functools import partial
from shutil import rmtree

import numpy as np
import pytest

from gpt.interpret.heads import score_heads
from gpt.runs.run import find_run, load_run
from gpt.ui.charts import maps
from gpt.ui.inspector import compare
from gpt.ui.inspector.inspections import Inspector
from gpt.ui.server.jobs import Jobs
from tests.says import says
from tests.ui.conftest import matrix_of

BEST = 99  # a place at the right end of the slider
PROMPT = "7 green"


def ask(inspector: Inspector, answer, shown: dict, **question) -> dict:
    asked = {"key": shown["key"], **question}
    return json.loads(json.dumps(inspector.server_function(partial(answer, inspector))(asked), allow_nan=False))


def snapshot(step: int | None, run: str = "bottles") -> dict:
    return {"with": "weights", "run": run, "step": step}


@pytest.fixture
def shown(inspector) -> dict:
    return inspector.inspect("bottles", BEST, PROMPT)


def test_every_run_can_be_compared_with(inspector, shown, root):
    runs = ask(inspector, compare.rivals, shown)["runs"]
    assert {run["name"]: run["steps"] for run in runs} == {name: find_run(root, name).snapshots() for name in ("bottles", "bytes")}


def test_against_another_snapshot_each_token_has_two_losses(inspector, shown, root):
    step = find_run(root, "bottles").snapshots()[0]
    answer = ask(inspector, compare.compare, shown, **snapshot(step))
    assert (answer["a"], answer["b"]) == ("bottles, best weights", f"bottles, step {step}")
    assert (answer["piece"], answer["notes"], answer["unscored"]) == ("token", [], "")
    assert [label for label, _, _ in answer["pieces"]] == list("·green")
    a, b = (np.mean([piece[i] for piece in answer["pieces"]]) for i in (1, 2))
    ahead = "A" if a < b else "B"
    assert answer["sentence"].startswith(
        f"On this text A expects the next token with {a:.2f} nats on average, B with {b:.2f}: {ahead} is better by ")


def test_a_model_against_itself_is_alike(inspector, shown):
    answer = ask(inspector, compare.compare, shown, **snapshot(None))
    assert answer["sentence"].endswith(": they are alike.")
    one = ask(inspector, compare.compare_head, shown, **snapshot(None), layer=0, head=1)
    assert one["sentence"] == "Layer 0 head 1: A and B read alike."
    assert one["maps"]["difference"]["data"][0]["colorbar"]["ticktext"] == ["-0.01", "0", "0.01"]


def test_maps_share_colours_and_their_difference_is_signed(inspector, shown, root):
    step = find_run(root, "bottles").snapshots()[0]
    answer = ask(inspector, compare.compare_head, shown, **snapshot(step), layer=1, head=0)
    a, b, difference = (answer["maps"][name] for name in ("a", "b", "difference"))
    below = np.tril_indices(len(PROMPT))
    np.testing.assert_allclose(matrix_of(difference)[below], (matrix_of(a) - matrix_of(b))[below], atol=1e-6)
    assert np.abs(matrix_of(difference)[below]).max() > 0
    for part in ("colorscale", "colorbar", "zmin", "zmax"):
        assert a["data"][0][part] == b["data"][0][part]
    assert a["data"][0]["colorscale"] == maps.colour_scale()
    assert difference["data"][0]["colorscale"] == maps.colour_scale(maps.DIVERGING)
    lowest, middle, highest = map(float, difference["data"][0]["colorbar"]["ticktext"])
    assert (lowest, middle) == (-highest, 0)
    assert highest == pytest.approx(np.abs(matrix_of(difference)[below]).max(), rel=0.01)
    assert a["layout"]["meta"]["labels"] == difference["layout"]["meta"]["labels"] == list("7·green")


def test_the_same_comparison_is_computed_once_for_all_heads(inspector, shown, monkeypatch):
    computed, compare_models = [], compare.compare_models
    monkeypatch.setattr(compare, "compare_models", lambda *models: computed.append(models) or compare_models(*models))
    without = {"with": "without", "heads": [[0, 0]]}
    for question in (snapshot(0), without | {"zero": True}, without, snapshot(0)):
        before = len(computed)
        for layer, head in ((0, 0), (0, 1), (1, 0)):
            assert "maps" in ask(inspector, compare.compare_head, shown, **question, layer=layer, head=head)
        assert len(computed) == before + 1


def test_another_tokenizer_is_compared_by_the_byte_and_its_maps_are_not(inspector, shown):
    answer = ask(inspector, compare.compare, shown, **snapshot(None, "bytes"))
    assert re.match(r"On this text A needs \d+\.\d\d bits a byte, B \d+\.\d\d: [AB] is better by ", answer["sentence"])
    assert answer["piece"] == "piece"
    assert answer["notes"][0] == "The two have different tokenizers: the text is compared in the 6 pieces into which both cut it."
    one = ask(inspector, compare.compare_head, shown, **snapshot(None, "bytes"), layer=0, head=0)
    assert one == {"none": "The two cut the text into different tokens, so a row or a column of one map is no row or column of the other: "
                           "their attention cannot be laid on each other."}


@pytest.mark.parametrize("zero", [True, False])
def test_a_model_against_itself_without_heads(inspector, shown, zero):
    question = {"with": "without", "heads": [[0, 1], [0, 0]], "zero": zero}
    answer = ask(inspector, compare.compare, shown, **question)
    assert answer["b"] == "bottles, best weights, without layer 0 head 0, layer 0 head 1"
    assert answer["notes"] == [compare.TAKEN_OUT]
    assert any(a != b for _, a, b in answer["pieces"])
    below, above = (ask(inspector, compare.compare_head, shown, **question, layer=layer, head=0) for layer in (0, 1))
    assert below["sentence"].endswith("read alike.")  # nothing before it has changed
    assert np.abs(np.nan_to_num(matrix_of(above["maps"]["difference"]))).max() > 0


def test_its_mean_says_something_else_than_nothing(inspector, shown):
    question = {"with": "without", "heads": [[0, 0]]}
    zero, mean = (ask(inspector, compare.compare, shown, **question, zero=zero)["pieces"] for zero in (True, False))
    assert [b for _, _, b in zero] != [b for _, _, b in mean]


def test_scores_of_all_heads_lie_against_each_other(inspector, shown, root):
    step = find_run(root, "bottles").snapshots()[0]
    alike, *scores = ask(inspector, compare.compare, shown, **snapshot(step))["scatter"]["data"]
    assert (alike["x"], alike["y"]) == ([0, 1], [0, 1])
    a, b = (score_heads(load_run(root / "bottles", which)[0], find_run(root, "bottles").probes()) for which in (None, step))
    first = next(trace for trace in scores if trace["name"] == "first token")
    assert first["customdata"] == [[0, 0], [0, 1], [1, 0], [1, 1]]
    np.testing.assert_allclose(first["y"], a.values["first token"].ravel(), rtol=1e-5)
    np.testing.assert_allclose(first["x"], b.values["first token"].ravel(), rtol=1e-5)
    assert "distance" not in [trace["name"] for trace in scores]


def test_without_probes_all_but_the_scores_is_compared(own_root):
    (own_root / "bottles" / "probes.safetensors").unlink()
    inspector = Inspector(Jobs(own_root))
    shown = inspector.inspect("bottles", BEST, PROMPT)
    answer = ask(inspector, compare.compare, shown, **snapshot(0))
    assert answer["scatter"] is None
    assert answer["unscored"].startswith("Their heads cannot be scored: run bottles was trained before heads were scored")
    assert len(answer["pieces"]) == 6
    without = {"with": "without", "heads": [[0, 0]]}
    assert "train it again" in ask(inspector, compare.compare, shown, **without)["error"]  # there is no text to take a mean of
    assert len(ask(inspector, compare.compare, shown, **without, zero=True)["pieces"]) == 6


def test_a_run_or_a_snapshot_that_has_vanished_is_told(own_root):
    inspector = Inspector(Jobs(own_root))
    shown = inspector.inspect("bottles", BEST, PROMPT)
    rmtree(own_root / "bytes")
    assert ask(inspector, compare.compare, shown, **snapshot(None, "bytes"))["error"].startswith("there is no run bytes in ")
    (own_root / "bottles" / "snapshots" / "step-000000.safetensors").unlink()
    assert "has no snapshot at step 0" in ask(inspector, compare.compare, shown, **snapshot(0))["error"]


@pytest.mark.parametrize(("question", "told"), [
    ({}, "with is 'None' | weights, without"), ({"with": "weights"}, "no run"),
    ({"with": "weights", "run": "../bottles", "step": None}, "cannot name a run"), ({**snapshot(None), "step": "0"}, "step is 0"),
    ({"with": "without"}, "heads is no list"), ({"with": "without", "heads": []}, "no head | add"),
    ({"with": "without", "heads": [[0, 7]]}, "head is 7 | 0 to 1"),
])
def test_a_question_that_makes_no_sense_gets_a_sentence(inspector, shown, question, told):
    for answer in (compare.compare, partial(compare.compare_head)):
        found = ask(inspector, answer, shown, **question, layer=0, head=0)
        assert found.keys() == {"error"}
        assert re.search(says(told), found["error"])


def test_one_token_leaves_nothing_to_compare(inspector):
    shown = inspector.inspect("bottles", BEST, "7")
    assert "text of one token" in ask(inspector, compare.compare, shown, **snapshot(0))["error"]


def test_hostile_text_shows_letter_by_letter(inspector):
    shown = inspector.inspect("bytes", BEST, "<b>\0\u202e")
    answer = ask(inspector, compare.compare, shown, **snapshot(0, "bytes"))
    assert [label for label, _, _ in answer["pieces"]] == ["b", ">", "U+0000", "E2", "80", "AE"]



def test_long_texts_become_maps_of_bounded_size():
    T = 300
    weights = np.tril(np.ones((T, T), dtype=np.float32)) / np.arange(1, T + 1)[:, None]
    found = compare.figures(weights, weights, [str(i) for i in range(T)])
    sizes = {figure["data"][0]["z"]["shape"] for figure in found.values()}
    assert sizes == {"75, 75"}
    assert {len(figure["layout"]["meta"]["labels"]) for figure in found.values()} == {75}
