"""The Generate tab: text that grows on the page, its probabilities, and what is told instead when it cannot be written."""

import itertools
import json
import math
import re

import pytest

import gpt.model.sampling
from gpt.escape import escaped
from gpt.model.sampling import Sampling
from gpt.model.writing import write
from gpt.runs.run import load_run
from gpt.ui.tabs import generate
from gpt.ui.tabs.generate import written_together
from tests.says import says

BEST = 99  # a place at the right end of the slider
PROMPT = "7 green"


def settings(**changes) -> dict:
    return {**Sampling(max_new_tokens=12).__dict__, **changes}


@pytest.fixture
def ask(library_jobs):
    """ask(prompt, run, place, **settings) -> everything the view shows of one text, one after the other."""
    def ask(prompt: str = PROMPT, run: str = "bottles", place: float = BEST, **changes) -> list[dict]:
        views = written_together(library_jobs, [(run, place)], prompt, settings(**changes), 1)
        return [json.loads(json.dumps(shown))["writings"][0] for shown in views]

    return ask


def pieces_of(shown: dict) -> list[dict]:
    return [json.loads(line) for line in shown["pieces"].splitlines()]


def text_of(shown: dict) -> str:
    return "".join(piece["text"] for piece in pieces_of(shown))


def test_pieces_come_one_after_the_other(ask, monkeypatch):
    monkeypatch.setattr(generate, "REDRAW_SECONDS", -1)
    shown = ask()
    assert [len(pieces_of(view)) for view in shown] == [*range(1, 13), 12]
    assert [view["note"] for view in shown[:2]] == ["Writing, 1 tokens.", "Writing, 2 tokens."]
    assert all(text_of(after).startswith(text_of(before)) for before, after in itertools.pairwise(shown))
    assert [view.get("done", False) for view in shown] == [False] * 12 + [True]


def test_the_view_is_not_redrawn_more_often_than_a_person_can_see(ask, monkeypatch):
    monkeypatch.setattr(generate, "REDRAW_SECONDS", math.inf)
    shown = ask()
    assert [len(pieces_of(view)) for view in shown] == [12]


def test_what_is_shown_is_what_the_model_writes(ask, root):
    model, tokenizer = load_run(root / "bottles")
    wanted = "".join(piece.text for piece in write(model, tokenizer, PROMPT, Sampling(max_new_tokens=12)))
    assert text_of(ask()[-1]) == wanted
    assert ask()[-1]["prompt"] == PROMPT
    assert text_of(ask(seed=2)[-1]) != wanted


def test_the_end_says_how_fast_and_with_which_weights(ask):
    assert ask()[-1]["note"].startswith("12 tokens, ")
    assert ask()[-1]["note"].endswith(" per second (bottles, best weights).")
    assert ask(place=0)[-1]["note"].endswith(" per second (bottles, step 0).")


def test_each_piece_tells_what_the_model_expected_there(ask):
    for piece in pieces_of(ask(temperature=5, top_k=4)[-1]):
        expected = piece["likeliest"][:6]
        for stage in (1, 2, 3):
            shares = [row[stage] for row in expected]
            assert shares == sorted(shares, reverse=True)
            assert 0 < sum(shares) <= 1.001
        assert expected[0][1] > expected[0][2] < expected[0][3]  # temperature 5 makes the likeliest less likely, and cuts more
        assert [row[3] > 0 for row in expected] == [True] * 4 + [False] * 2
        chosen, = (row for row in piece["likeliest"] if row[4])
        assert chosen[1] == piece["probability"]
        assert piece["surprisal"] == pytest.approx(-math.log(piece["probability"]), abs=0.01)


def test_greedy_writing_always_takes_the_likeliest(ask):
    pieces = pieces_of(ask(temperature=0)[-1])
    assert [[row[4] for row in piece["likeliest"]].index(True) for piece in pieces] == [0] * 12
    assert [piece["likeliest"][0][2:4] for piece in pieces] == [[1, 1]] * 12


@pytest.mark.parametrize(("run", "prompt", "settings"), [
    ("bottles", PROMPT, {}), ("bottles", "12 green bottles", {"temperature": 3}),
    ("bytes", "\U0001f600 7", {"max_new_tokens": 40, "top_k": 50})])
def test_what_the_model_read_at_each_step_can_be_told_from_what_is_shown(ask, monkeypatch, run, prompt, settings):
    read, next_logits = [], gpt.model.sampling.next_logits

    def noted(model, ids, caches, context_length):
        read.append(ids[0, -context_length:].tolist())
        return next_logits(model, ids, caches, context_length)

    monkeypatch.setattr(gpt.model.sampling, "next_logits", noted)
    shown = ask(prompt, run, **settings)[-1]
    tokens = [piece["token"] for piece in pieces_of(shown) if piece["token"] is not None]
    assert [(shown["read"] + tokens[:i])[-shown["most"]:] for i in range(len(tokens))] == read
    assert (shown["run"], shown["place"]) == (run, BEST)


def test_a_stop_text_ends_the_writing_and_is_left_out(ask):
    free = text_of(ask(temperature=0)[-1])
    stop = free[3:5]
    assert text_of(ask(temperature=0, stop=stop)[-1]) == free[:free.index(stop)]


def test_a_prompt_longer_than_the_context_is_told(ask):
    prompt = "12 green bottles hanging"
    shown = ask(prompt)
    assert shown[-1]["note"].endswith(f" The prompt has {len(prompt)} tokens: the model reads the last 8.")
    assert shown[-1]["prompt"] == prompt
    assert "The prompt has" not in ask("12 green")[-1]["note"]


@pytest.mark.parametrize(("asked", "told"), [
    ({"prompt": ""}, "prompt | empty | at least one"),
    ({"prompt": "7 grün <b>"}, "'ü', '<', '>' | leave"),
    ({"run": "cups"}, "no run cups"), ({"run": None}, "choose a run"), ({"run": "../bottles"}, "cannot name a run"),
    ({"place": math.nan}, "weights | nan"), ({"place": None}, "weights | None"),
    ({"temperature": math.nan}, "temperature is nan | 0 to 5"),
    ({"max_new_tokens": None}, "max_new_tokens | missing | 1 to 2000"),
])
def test_what_cannot_be_written_is_told_in_a_sentence(ask, asked, told):
    shown, = ask(**asked)
    assert re.search(says(told), shown["error"])
    assert shown["pieces"] == ""
    assert "done" not in shown


def test_all_settings_out_of_range_are_told_together(ask):
    shown, = ask(max_new_tokens=0, temperature=-1, top_k=-1, top_p=2, min_p=1.5, repetition_penalty=0, seed=-1, stop=5)
    assert shown["error"].count(": set it to ") == 8
    for name in settings():
        assert f"{name} is " in shown["error"]


@pytest.mark.parametrize("prompt", ["<script>alert(1)</script>", "${1+1}`", "\n\n\t", "😀שלום", "\ud800", "\0"])
def test_a_model_of_bytes_goes_on_with_any_prompt(ask, prompt):
    shown = ask(prompt, "bytes")[-1]
    assert shown["done"]
    assert shown["prompt"] == escaped(prompt)


def test_text_held_back_until_the_end_is_no_token(ask):
    tokens = 5
    shown = next(view for seed in range(1000) if len(pieces_of(view := ask(run="bytes", max_new_tokens=tokens, seed=seed)[-1])) > tokens)
    assert pieces_of(shown)[-1]["likeliest"] == []
    assert shown["note"].startswith(f"{tokens} tokens, ")


class TestSeveralTexts:
    """From one prompt: with seeds that follow each other, and beside those of another run or snapshot."""

    @pytest.fixture
    def together(self, library_jobs):
        def together(places, samples, **changes) -> list[dict]:
            return list(written_together(library_jobs, places, PROMPT, settings(**changes), samples))

        return together

    def test_they_are_those_that_each_seed_writes_alone(self, together, ask):
        last = together([("bottles", BEST)], 3, seed=5)[-1]
        assert [writing["seed"] for writing in last["writings"]] == [5, 6, 7]
        assert [text_of(writing) for writing in last["writings"]] == [text_of(ask(seed=seed)[-1]) for seed in (5, 6, 7)]
        assert last["columns"] == 1

    def test_two_places_write_beside_each_other_with_the_same_seeds(self, together, ask):
        last = together([("bottles", BEST), ("bottles", 0)], 2)[-1]
        assert last["columns"] == 2
        assert [(writing["weights"], writing["seed"]) for writing in last["writings"]] == [
            ("bottles, best weights", 1), ("bottles, step 0", 1), ("bottles, best weights", 2), ("bottles, step 0", 2)]
        assert text_of(last["writings"][3]) == text_of(ask(place=0, seed=2)[-1])

    def test_all_grow_at_once(self, together, monkeypatch):
        monkeypatch.setattr(generate, "REDRAW_SECONDS", -1)
        lengths = [[len(pieces_of(writing)) for writing in view["writings"]] for view in together([("bottles", BEST), ("bytes", BEST)], 1)]
        assert lengths[:12] == [[n, n] for n in range(1, 13)]

    def test_one_that_cannot_be_written_leaves_the_other_alone(self, together):
        good, bad = together([("bottles", BEST), ("cups", BEST)], 1)[-1]["writings"]
        assert good["done"]
        assert re.search(says("no run cups"), bad["error"])

    def test_the_last_seed_is_followed_by_the_first(self, together):
        last = together([("bytes", BEST)], 2, seed=2**31 - 1, max_new_tokens=1)[-1]
        assert [writing["seed"] for writing in last["writings"]] == [2**31 - 1, 0]

    @pytest.mark.parametrize("samples", [0, 9, -1, 1.5, "2", None, True, math.nan, [2]])
    def test_a_number_of_texts_that_is_none_is_told(self, together, samples):
        view, = together([("bottles", BEST)], samples)
        assert re.search(says("samples is | from 1 to 8"), view["writings"][0]["error"])

    def test_what_is_wrong_with_the_settings_is_told_once(self, together):
        view, = together([("bottles", BEST)], 3, seed=-1)
        assert len(view["writings"]) == 1
