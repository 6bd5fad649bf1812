"""Looking at a prompt: all heads, one head in full, and what it does in words."""

import json
import math
import re
from shutil import copytree

import numpy as np
import pytest
import torch

from gpt.interpret import inspect
from gpt.interpret.views import VIEWS
from gpt.runs.run import find_run, load_run
from gpt.runs.storage import load_tensors, save_tensors
from gpt.ui.charts import maps
from gpt.ui.inspector import heads, inspections
from gpt.ui.inspector.heads import habit_of
from gpt.ui.inspector.inspections import Inspector
from gpt.ui.server.jobs import Jobs
from tests.says import says
from tests.ui.conftest import matrix_of, unpacked

BEST = 99  # a place at the right end of the slider
PROMPT = "7 green"


def asked(shown: dict, layer: int = 0, head: int = 0, scale: str = "linear", **more) -> dict:
    return {"key": shown["key"], "layer": layer, "head": head, "scale": scale, "view": "weights", **more}


def head(inspector: Inspector, question: dict) -> dict:
    """What the page's script is answered when it asks for one head."""
    return json.loads(json.dumps(inspector.server_function(heads.head)(question), allow_nan=False))


def numbers(answer: dict) -> np.ndarray:
    return matrix_of(answer["figure"])


def labels_of(answer: dict) -> list[str]:
    return answer["figure"]["layout"]["meta"]["labels"]


def test_looking_at_a_prompt_shows_every_head(inspector):
    shown = json.loads(json.dumps(inspector.inspect("bottles", BEST, PROMPT), allow_nan=False))
    assert "error" not in shown
    assert shown["note"] == ""
    meta = shown["mosaic"]["layout"]["meta"]
    assert (meta["layers"], meta["heads"], meta["size"]) == (2, 2, len(PROMPT))


def test_the_likeliest_next_tokens_are_told(inspector, root):
    shown = inspector.inspect("bottles", BEST, PROMPT)
    model, tokenizer = load_run(root / "bottles")
    with torch.no_grad():
        expected = model(torch.tensor([tokenizer.encode(PROMPT)]))[0, -1].softmax(0).topk(5)
    assert [label for label, _ in shown["next"]] == [tokenizer.decode([i]).replace(" ", "·").replace("\n", "⏎") for i in expected.indices]
    assert [probability for _, probability in shown["next"]] == pytest.approx(expected.values.tolist(), abs=1e-5)


@pytest.mark.parametrize("scale", ["linear", "square root", "log", "row maximum"])
def test_each_head_comes_with_its_exact_weights(inspector, root, scale):
    shown = inspector.inspect("bottles", 0, PROMPT)
    found = inspect(*load_run(root / "bottles", 0), PROMPT)
    for layer in range(2):
        for which in range(2):
            answer = head(inspector, asked(shown, layer, which, scale))
            below = np.tril_indices(len(PROMPT))
            np.testing.assert_array_equal(numbers(answer)[below], found.head(layer, which)[below])
            assert labels_of(answer) == list("7·green")
            assert answer["habit"] == habit_of(found.head(layer, which), found.tokens)


def test_snapshots_differ(inspector):
    first, best = (numbers(head(inspector, asked(inspector.inspect("bottles", place, PROMPT)))) for place in (0, BEST))
    assert not np.array_equal(first, best, equal_nan=True)


def test_choosing_another_head_costs_no_forward_pass(library_jobs, monkeypatch):
    calls = []

    def counted(*arguments):
        calls.append(arguments)
        return inspect(*arguments)

    monkeypatch.setattr(inspections, "inspect", counted)
    inspector = Inspector(library_jobs)
    shown = inspector.inspect("bottles", BEST, PROMPT)
    for layer in range(2):
        head(inspector, asked(shown, layer, 1))
    assert len(calls) == 1
    inspector.inspect("bottles", BEST, PROMPT + "s")
    assert len(calls) == 2


def test_what_was_looked_at_last_is_kept_within_bounds(inspector, monkeypatch):
    one = inspector.inspect("bottles", BEST, PROMPT)
    again = {"error": "this inspection is no longer held: press Inspect again"}
    monkeypatch.setattr(inspections, "MOST_BYTES", 2.5 * (4 * 3 * 16 * len(PROMPT) + 4 * len(PROMPT) ** 2))  # streams and cells, 2.5 times
    two, three = inspector.inspect("bottles", 0, PROMPT), inspector.inspect("bottles", BEST, PROMPT[::-1])
    assert [head(inspector, asked(shown)) == again for shown in (one, two, three)] == [True, False, False]
    monkeypatch.setattr(inspections, "MOST_BYTES", 1)
    four = inspector.inspect("bottles", BEST, "7")
    assert [head(inspector, asked(shown)) == again for shown in (two, three, four)] == [True, True, False]  # the newest always


def test_weights_that_have_changed_are_looked_at_anew(root, tmp_path):
    own = copytree(root, tmp_path / "checkpoints")
    inspector = Inspector(Jobs(own))
    before = inspector.inspect("bottles", BEST, PROMPT)
    old = numbers(head(inspector, asked(before)))
    path = find_run(own, "bottles").weights()
    save_tensors(path, {name: -2 * tensor for name, tensor in load_tensors(path)[0].items()})
    after = inspector.inspect("bottles", BEST, PROMPT)
    assert after["next"] != before["next"]
    assert not np.array_equal(numbers(head(inspector, asked(after))), old, equal_nan=True)


@pytest.mark.parametrize(("run", "place", "prompt", "told"), [
    ("bottles", BEST, "", "prompt | empty | at least one"),
    ("bottles", BEST, None, "prompt | empty"),
    ("bottles", BEST, "7 grün", "'ü' | leave"),
    ("cups", BEST, PROMPT, "no run cups"),
    (None, BEST, PROMPT, "choose a run"),
    ("../bottles", BEST, PROMPT, "cannot name a run"),
    ("bottles", math.nan, PROMPT, "weights | nan"),
    ("bottles", -1, PROMPT, "weights | -1"),
])
def test_what_cannot_be_looked_at_is_told_in_a_sentence(inspector, run, place, prompt, told):
    shown = inspector.inspect(run, place, prompt)
    assert shown.keys() == {"error"}
    assert re.search(says(told), shown["error"])


GOOD = json.dumps(["bottles", BEST, PROMPT])
SOUND = {"key": GOOD, "layer": 0, "head": 0, "scale": "linear", "view": "weights"}


@pytest.mark.parametrize("bad", [
    None, [], {}, "x", 5, {"key": GOOD}, {"key": GOOD, "layer": 0, "head": 0},
    *({**SOUND, "key": key} for key in (None, 5, "", "{", "[]", json.dumps(["bottles", BEST]), json.dumps(["cups", BEST, PROMPT]))),
    *({**SOUND, "layer": layer} for layer in (-1, 2, None, "a", 0.0, True, math.inf, math.nan, 10**400, [0])),
    *({**SOUND, "head": head} for head in (-1, 2, {})),
    *({**SOUND, "scale": scale} for scale in ("pink", None, ["linear"])), *({**SOUND, "view": view} for view in ("lines", None, {})),
])
def test_a_question_that_makes_no_sense_gets_a_sentence(inspector, bad):
    assert inspector.inspect("bottles", BEST, PROMPT)["key"] == GOOD
    answer = head(inspector, bad)
    assert answer.keys() == {"error"}
    assert isinstance(answer["error"], str)
    assert answer["error"]


@pytest.mark.parametrize("view", VIEWS)
def test_every_view_of_a_head_can_be_drawn(inspector, root, view):
    shown = inspector.inspect("bottles", BEST, PROMPT)
    found = inspect(*load_run(root / "bottles"), PROMPT)
    answer = head(inspector, asked(shown, 1, 0, view=view))
    np.testing.assert_array_equal(numbers(answer), VIEWS[view].matrix(found.trace, 1, 0))
    assert answer["figure"]["layout"]["meta"]["unit"] == VIEWS[view].unit
    assert answer["about"] == VIEWS[view].sentence


def test_lines_go_to_the_keys_that_hold_most_of_a_row(inspector, root):
    shown = inspector.inspect("bottles", BEST, PROMPT)
    row = inspect(*load_run(root / "bottles"), PROMPT).head(1, 1)[5]
    keys = inspector.server_function(heads.lines)({"key": shown["key"], "layer": 1, "head": 1, "query": 5})["keys"]
    assert keys == sorted(([k, pytest.approx(row[k])] for k, _ in keys), key=lambda key: -row[key[0]])
    held = [row[k] for k, _ in keys]
    assert sum(held) >= 0.7 > sum(held[:-1])
    assert "error" in inspector.server_function(heads.lines)({"key": shown["key"], "layer": 1, "head": 1, "query": len(PROMPT)})


@pytest.mark.parametrize("which", [0, 1, None])
def test_what_every_token_reads_in_one_head_or_in_all_of_a_layer(inspector, root, which):
    shown = inspector.inspect("bottles", BEST, PROMPT)
    weights = inspect(*load_run(root / "bottles"), PROMPT).weights(1)
    rows = unpacked(inspector.server_function(heads.reads)({"key": shown["key"], "layer": 1, "head": which})["weights"])
    expected = weights.mean(axis=0) if which is None else weights[which]
    np.testing.assert_allclose(rows / 255, expected[np.tril_indices(len(PROMPT))], atol=0.5 / 255 + 1e-6)


@pytest.mark.parametrize("asked", [{"layer": 2, "head": 0}, {"layer": 0, "head": 2}, {"layer": 0, "head": "0"}, {"head": 0}])
def test_what_is_read_in_a_head_that_is_none_is_told(inspector, asked):
    shown = inspector.inspect("bottles", BEST, PROMPT)
    assert "error" in inspector.server_function(heads.reads)({"key": shown["key"], **asked})


def test_a_long_head_is_shrunk_until_all_of_it_is_asked_for(inspector, monkeypatch):
    monkeypatch.setattr(maps, "LARGEST_MAP", 4)
    shown = inspector.inspect("bottles", BEST, PROMPT)
    small, whole = (head(inspector, asked(shown, full=full)) for full in (False, True))
    assert (small["pooled"], whole["pooled"]) == (True, False)
    assert small["about"].endswith("Each cell is the largest of 2 x 2.")
    assert labels_of(small) == ["7", "g", "e", "n"]
    assert numbers(small)[1, 0] == np.nanmax(numbers(whole)[2:4, :2])


def test_hostile_prompts_are_shown_letter_by_letter(inspector):
    prompt = "<b>${1+1}`\n\n\0\u202e"
    answer = head(inspector, asked(inspector.inspect("bytes", BEST, prompt)))
    assert labels_of(answer) == ["<", "b", ">", "$", "{", "1", "+", "1", "}", "`", "⏎", "⏎", "U+0000", "E2", "80", "AE"]


def test_a_prompt_of_one_token_has_one_cell(inspector):
    answer = head(inspector, asked(inspector.inspect("bottles", BEST, "7")))
    assert numbers(answer).tolist() == [[1]]
    assert answer["habit"] == "can only read itself, since there is one token."


def test_of_a_prompt_longer_than_the_context_the_end_is_read_and_this_is_said(inspector):
    shown = inspector.inspect("bottles", BEST, "12 green bottles")
    assert shown["note"] == "The prompt is longer than what is shown: its last 8 tokens are read."
    assert labels_of(head(inspector, asked(shown))) == list("·bottles")


def test_of_a_prompt_longer_than_a_figure_may_be_the_end_is_read(inspector, monkeypatch):
    monkeypatch.setattr(inspections, "MOST_TOKENS", 5)
    shown = inspector.inspect("bytes", BEST, "7 green")
    assert shown["note"].endswith("its last 5 tokens are read.")
    assert labels_of(head(inspector, asked(shown))) == list("green")


T = 12
DIFFERENT = [bytes([65 + i]) for i in range(T)]  # tokens of which none occurs twice
UNIFORM = np.tril(np.ones((T, T))) / np.arange(1, T + 1)[:, None]


@pytest.mark.parametrize(("weights", "name"), [
    (np.eye(T)[[0, *range(T - 1)]], "previous token"), (np.eye(T), "current token"), (np.eye(T)[[0] * T], "first token"),
], ids=["previous", "current", "first"])
def test_a_head_with_a_habit_is_told_in_words(weights, name):
    chance = round(100 * float(np.mean(1 / np.arange(2, T + 1))))
    assert habit_of(weights, DIFFERENT) == f"puts 100 % of its attention on the {name} (chance {chance} %)."


def test_a_head_that_reads_everything_alike_has_no_habit():
    shares = "; ".join(f"{name} 19 %, chance 19 %" for name in ("previous token", "first token", "current token"))
    assert habit_of(UNIFORM, DIFFERENT) == f"has no clear habit ({shares})."


def test_a_weak_habit_is_not_told_as_one():
    mostly = 0.2 * np.eye(T) + 0.8 * UNIFORM
    assert "no clear habit" in habit_of(mostly, DIFFERENT)
    assert "on the current token" in habit_of(0.4 * np.eye(T) + 0.6 * UNIFORM, DIFFERENT)


def test_an_induction_head_is_told_in_words():
    weights = np.eye(T)
    weights[T - 1] = np.eye(T)[1]  # the last token is the first one again, and it reads what followed
    weights[1:T - 1] = np.tril(np.ones((T, T)))[1:T - 1] / np.arange(2, T)[:, None]
    assert habit_of(weights, [*DIFFERENT[:-1], DIFFERENT[0]]) == (
        f"puts 100 % of its attention on the token after an earlier copy, where a token occurs again (chance {100 / T:.0f} %).")


def test_of_many_questions_at_once_only_some_wait(inspector, monkeypatch):
    monkeypatch.setattr(inspections, "PATIENCE", 0.0)
    shown = inspector.inspect("bottles", BEST, PROMPT)
    places = [inspector._places.acquire(blocking=False) for _ in range(inspections.MOST_WAITING)]
    assert all(places)
    assert "requests wait for an answer already" in head(inspector, asked(shown))["error"]
    inspector._places.release()
    assert "error" not in head(inspector, asked(shown))
    with inspector._lock:
        assert "others inspect a large model" in head(inspector, asked(shown))["error"]
    assert "error" not in head(inspector, asked(shown))  # who was sent away leaves its place to others
