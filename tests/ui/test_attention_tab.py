"""The Attention tab: all heads of a prompt, one head in full, and what it does in words."""

import json
import math
from shutil import copytree

import numpy as np
import pytest
import torch

from gpt.interpret import inspect
from gpt.run import find_run, load_run
from gpt.storage import load_tensors, save_tensors
from gpt.ui import attention
from gpt.ui.attention import Looks, in_words
from gpt.ui.jobs import Jobs
from tests.ui.conftest import unpacked

BEST = 99  # a place at the right end of the slider
PROMPT = "7 green"


@pytest.fixture
def looks(library_jobs) -> Looks:
    return Looks(library_jobs)


def asked(shown: dict, layer: int = 0, head: int = 0, scale: str = "linear") -> dict:
    return {"key": shown["key"], "layer": layer, "head": head, "scale": scale}


def weights_of(answer: dict) -> np.ndarray:
    return unpacked(answer["figure"]["layout"]["meta"]["weights"])


def labels_of(answer: dict) -> list[str]:
    return answer["figure"]["layout"]["meta"]["labels"]


def test_looking_at_a_prompt_shows_every_head(looks):
    shown = json.loads(json.dumps(looks.look("bottles", BEST, PROMPT), allow_nan=False))
    assert "error" not in shown
    assert shown["note"] == ""
    meta = shown["mosaic"]["layout"]["meta"]
    assert (meta["layers"], meta["heads"], meta["size"]) == (2, 2, len(PROMPT))


def test_the_likeliest_next_tokens_are_told(looks, root):
    shown = looks.look("bottles", BEST, PROMPT)
    model, tokenizer = load_run(root / "bottles")
    with torch.no_grad():
        expected = model(torch.tensor([tokenizer.encode(PROMPT)]))[0, -1].softmax(0).topk(5)
    assert [label for label, _ in shown["next"]] == [tokenizer.decode([i]).replace(" ", "·").replace("\n", "⏎") for i in expected.indices]
    assert [probability for _, probability in shown["next"]] == pytest.approx(expected.values.tolist(), abs=1e-5)


@pytest.mark.parametrize("scale", ["linear", "square root", "log", "row maximum"])
def test_each_head_comes_with_its_exact_weights(looks, root, scale):
    shown = looks.look("bottles", 0, PROMPT)
    maps = inspect(*load_run(root / "bottles", 0), PROMPT).maps
    for layer in range(2):
        for head in range(2):
            answer = looks.head(asked(shown, layer, head, scale))
            below = np.tril_indices(len(PROMPT))
            np.testing.assert_array_equal(weights_of(answer)[below], maps[layer, head][below])
            assert labels_of(answer) == list("7·green")
            assert answer["sentence"].startswith(f"Layer {layer} head {head} ")


def test_snapshots_differ(looks):
    first, best = (weights_of(looks.head(asked(looks.look("bottles", place, PROMPT)))) for place in (0, BEST))
    assert not np.array_equal(first, best, equal_nan=True)


def test_choosing_another_head_costs_no_forward_pass(library_jobs, monkeypatch):
    calls = []

    def counted(*arguments):
        calls.append(arguments)
        return inspect(*arguments)

    monkeypatch.setattr(attention, "inspect", counted)
    looks = Looks(library_jobs)
    shown = looks.look("bottles", BEST, PROMPT)
    for layer in range(2):
        looks.head(asked(shown, layer, 1))
    assert len(calls) == 1
    looks.look("bottles", BEST, PROMPT + "s")
    assert len(calls) == 2


def test_what_was_looked_at_last_is_kept_within_bounds(looks, monkeypatch):
    one = looks.look("bottles", BEST, PROMPT)
    again = {"error": "that head is not at hand any more: press Look again"}
    monkeypatch.setattr(attention, "MOST_BYTES", 2.5 * 4 * 4 * len(PROMPT) ** 2)  # two and a half times four heads in float32
    two, three = looks.look("bottles", 0, PROMPT), looks.look("bottles", BEST, PROMPT[::-1])
    assert [looks.head(asked(shown)) == again for shown in (one, two, three)] == [True, False, False]
    monkeypatch.setattr(attention, "MOST_BYTES", 1)
    four = looks.look("bottles", BEST, "7")
    assert [looks.head(asked(shown)) == again for shown in (two, three, four)] == [True, True, False]  # the newest always


def test_weights_that_have_changed_are_looked_at_anew(root, tmp_path):
    own = copytree(root, tmp_path / "checkpoints")
    looks = Looks(Jobs(own))
    before = looks.look("bottles", BEST, PROMPT)
    old = weights_of(looks.head(asked(before)))
    path = find_run(own, "bottles").weights()
    save_tensors(path, {name: -2 * tensor for name, tensor in load_tensors(path)[0].items()})
    after = looks.look("bottles", BEST, PROMPT)
    assert after["next"] != before["next"]
    assert not np.array_equal(weights_of(looks.head(asked(after))), old, equal_nan=True)


@pytest.mark.parametrize(("run", "place", "prompt", "told"), [
    ("bottles", BEST, "", "the prompt is empty: write at least one character"),
    ("bottles", BEST, None, "the prompt is empty"),
    ("bottles", BEST, "7 grün", "never saw 'ü' in its text: leave them out"),
    ("cups", BEST, PROMPT, "there is no run cups in "),
    (None, BEST, PROMPT, "choose a run"),
    ("../bottles", BEST, PROMPT, "cannot name a run"),
    ("bottles", math.nan, PROMPT, "there are no weights at place nan"),
    ("bottles", -1, PROMPT, "there are no weights at place -1"),
])
def test_what_cannot_be_looked_at_is_told_in_a_sentence(looks, run, place, prompt, told):
    shown = looks.look(run, place, prompt)
    assert shown.keys() == {"error"}
    assert told in shown["error"]


GOOD = json.dumps(["bottles", BEST, PROMPT])


@pytest.mark.parametrize("bad", [
    None, [], {}, "x", 5, {"key": GOOD}, {"key": GOOD, "layer": 0, "head": 0},
    *({"key": key, "layer": 0, "head": 0, "scale": "linear"} for key in (
        None, 5, "", "{", "[]", "null", "[" * 100_000, json.dumps(["bottles", BEST]), json.dumps(["bottles", BEST, PROMPT, 1]),
        json.dumps(["bottles", [1], PROMPT]), json.dumps([{}, BEST, PROMPT]), json.dumps(["cups", BEST, PROMPT]),
        json.dumps(["../bottles", BEST, PROMPT]), '["bottles", NaN, "7"]', '["bottles", 1e999, "7"]', json.dumps(["bottles", BEST, ""]))),
    *({"key": GOOD, "layer": layer, "head": head, "scale": scale} for layer, head, scale in (
        (-1, 0, "linear"), (2, 0, "linear"), (0, 2, "linear"), (None, 0, "linear"), ("a", 0, "linear"), (math.inf, 0, "linear"),
        (math.nan, 0, "linear"), (10**400, 0, "linear"), (0, {}, "linear"), (0, 0, "pink"), (0, 0, None), (0, 0, ["linear"]))),
])
def test_a_question_that_makes_no_sense_gets_a_sentence(looks, bad):
    assert looks.look("bottles", BEST, PROMPT)["key"] == GOOD
    answer = looks.head(bad)
    assert answer.keys() == {"error"}
    assert isinstance(answer["error"], str)
    assert answer["error"]


def test_hostile_prompts_are_shown_letter_by_letter(looks):
    prompt = "<b>${1+1}`\n\n\0\u202e"
    answer = looks.head(asked(looks.look("bytes", BEST, prompt)))
    assert labels_of(answer) == ["<", "b", ">", "$", "{", "1", "+", "1", "}", "`", "⏎", "⏎", "U+0000", "E2", "80", "AE"]


def test_a_prompt_of_one_token_has_one_cell(looks):
    answer = looks.head(asked(looks.look("bottles", BEST, "7")))
    assert weights_of(answer).tolist() == [[1]]
    assert answer["sentence"] == "Layer 0 head 0: one token can only read itself."


def test_of_a_prompt_longer_than_the_context_the_end_is_read_and_this_is_said(looks):
    shown = looks.look("bottles", BEST, "12 green bottles")
    assert shown["note"] == "The prompt is longer than what is shown: its last 8 tokens are read."
    assert labels_of(looks.head(asked(shown))) == list("·bottles")


def test_of_a_prompt_longer_than_a_figure_may_be_the_end_is_read(looks, monkeypatch):
    monkeypatch.setattr(attention, "MOST_TOKENS", 5)
    shown = looks.look("bytes", BEST, "7 green")
    assert shown["note"].endswith("its last 5 tokens are read.")
    assert labels_of(looks.head(asked(shown))) == list("green")


T = 12
DIFFERENT = [bytes([65 + i]) for i in range(T)]  # tokens of which none occurs twice
UNIFORM = np.tril(np.ones((T, T))) / np.arange(1, T + 1)[:, None]


@pytest.mark.parametrize(("weights", "name"), [
    (np.eye(T)[[0, *range(T - 1)]], "previous token"), (np.eye(T), "current token"), (np.eye(T)[[0] * T], "first token"),
], ids=["previous", "current", "first"])
def test_a_head_with_a_habit_is_told_in_words(weights, name):
    chance = round(100 * float(np.mean(1 / np.arange(2, T + 1))))
    assert in_words(2, 1, weights, DIFFERENT) == f"Layer 2 head 1 puts 100 % of its attention on the {name} (chance {chance} %)."


def test_a_head_that_reads_everything_alike_has_no_habit():
    sentence = in_words(0, 3, UNIFORM, DIFFERENT)
    assert sentence == ("Layer 0 head 3 has no clear habit on this prompt (previous token 19 %; first token 19 %; current token 19 %; "
                        "chance 19 %).")


def test_a_weak_habit_is_not_told_as_one():
    mostly = 0.2 * np.eye(T) + 0.8 * UNIFORM
    assert "no clear habit" in in_words(0, 0, mostly, DIFFERENT)
    assert "on the current token" in in_words(0, 0, 0.4 * np.eye(T) + 0.6 * UNIFORM, DIFFERENT)


def test_an_induction_head_is_told_in_words():
    weights = np.eye(T)
    weights[T - 1] = np.eye(T)[1]  # the last token is the first one again, and it reads what followed
    weights[1:T - 1] = np.tril(np.ones((T, T)))[1:T - 1] / np.arange(2, T)[:, None]
    assert in_words(1, 0, weights, [*DIFFERENT[:-1], DIFFERENT[0]]) == (
        "Layer 1 head 0, where a token occurs again, puts 100 % of its attention on the token after an earlier copy "
        f"(chance {100 / T:.0f} %).")
