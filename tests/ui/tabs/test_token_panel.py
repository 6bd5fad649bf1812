"""The panel Tokens: what it says of a text and of each token."""

import pytest

from gpt.config import CONFIG, PRESETS, TOKENIZERS
from gpt.model.flops import count_parameters
from gpt.ui.tabs import token_panel

TINY = {**CONFIG, "corpus": "repeats", "tokenizer": "bpe", "vocab_size": 300, "emb_dim": 32, "n_layers": 1}


def shown(jobs, text="", beside="", size=1024, preset="quick", **changes):
    return token_panel.show(jobs, text, beside, size, preset, *{**TINY, **changes}.values(), "")


def test_a_text_is_shown_as_its_tokens(jobs):
    side, = shown(jobs, "the é\n", tokenizer="gpt2")["sides"]
    labels = [side["kinds"][str(token)]["label"] for token in side["ids"]]
    assert labels == ["the", "·é", "⏎"]
    the = {"label": "the", "bytes": "74 68 65", "part": False, "steps": [["t", "h", "e"], ["t", "he"], ["the"]]}
    assert side["kinds"][str(side["ids"][0])] == the


def test_a_part_of_a_character_is_shown_as_such(jobs):
    side, = shown(jobs, "é", tokenizer="byte")["sides"]
    assert [side["kinds"][str(token)]["part"] for token in side["ids"]] == [True, True]
    assert [side["kinds"][str(token)]["label"] for token in side["ids"]] == ["C3", "A9"]


def test_without_a_text_the_beginning_of_the_chosen_one_is_shown(jobs):
    side, = shown(jobs, tokenizer="char")["sides"]
    assert len(side["ids"]) == token_panel.LONGEST
    assert side["name"] == "char"


def test_the_cost_is_that_of_this_model(jobs):
    side, = shown(jobs, tokenizer="byte")["sides"]
    facts = {label: number for number, label in side["facts"]}
    parameters = count_parameters({**TINY, "vocab_size": 256})
    share = 100 * (parameters["embedding"] + parameters["head"]) / sum(parameters.values())
    assert facts["tokens in the vocabulary"] == "256"
    assert facts["bytes per token of this text"] == "1.00"
    assert any(f"{share:.0f} % of the model" in label for label in facts)


@pytest.mark.parametrize("beside", TOKENIZERS)
def test_two_tokenizers_stand_beside_each_other(jobs, beside):
    first, second = shown(jobs, "the cat" if beside != "char" else "", beside, 300)["sides"]
    assert (first["name"], second["name"]) == ("bpe", beside)
    assert second["ids"]
    assert second["frequent"]


@pytest.mark.parametrize(("more", "said"), [
    ({"beside": "words"}, "no tokenizer"), ({"beside": 5}, "must be text"), ({"text": 5}, "must be text"),
    ({"beside": "bpe", "size": 10}, "256 to 65536"), ({"beside": "bpe", "size": None}, "vocab_size is missing"),
    ({"beside": "bpe", "size": float("nan")}, "vocab_size is nan"), ({"beside": "bpe", "size": float("inf")}, "vocab_size is inf"),
    ({"beside": "bpe", "size": True}, "vocab_size is True"), ({"corpus": "/etc/passwd"}, "not on this page"),
    ({"preset": "none"}, "no preset"), ({"text": "é", "tokenizer": "char"}, "never saw"), ({"corpus": "shakespeare"}, "not here yet"),
])
def test_what_cannot_be_shown_is_a_sentence(jobs, tmp_path, monkeypatch, more, said):
    monkeypatch.setenv("GPT2_FROM_SCRATCH_CACHE", str(tmp_path / "cache" / "tokens"))
    assert said in shown(jobs, **more)["error"]


def test_settings_that_are_no_good_count_as_the_defaults(jobs):
    assert shown(jobs, "a", emb_dim=-1, tokenizer=None)["sides"][0]["name"] == PRESETS["quick"].config["tokenizer"]


def test_the_shown_text_has_a_limit(jobs):
    side, = shown(jobs, "a" * 10_000, tokenizer="byte")["sides"]
    assert len(side["ids"]) == token_panel.LONGEST


def test_control_characters_are_escaped(jobs):
    side, = shown(jobs, "\x1b\u202e", tokenizer="gpt2")["sides"]
    assert all("\x1b" not in kind["label"] and "\u202e" not in kind["label"] for kind in side["kinds"].values())
