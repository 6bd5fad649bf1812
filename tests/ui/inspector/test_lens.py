"""The logit lens and the attribution as the page asks for them, and the steps of a written text looked at again."""

import json
import math
from shutil import copytree

import numpy as np
import pytest
import torch

from gpt.interpret import attention_maps
from gpt.model.sampling import Sampling
from gpt.model.writing import write
from gpt.runs.run import find_run, load_run
from gpt.runs.storage import load_tensors, save_tensors
from gpt.ui.inspector import inspections, lens
from gpt.ui.inspector.inspections import Inspector
from gpt.ui.server.jobs import Jobs
from tests.ui.conftest import unpacked

BEST = 99  # a place at the right end of the slider
PROMPT = "7 green"
COLOUR = lens.COLOURS[0]


@pytest.fixture
def ask(inspector):
    """ask(answer, run, prompt, **question) -> what the page is told about the prompt."""
    def ask(answer, run: str = "bottles", prompt: str = PROMPT, **question) -> dict:
        key = inspector.inspect(run, BEST, prompt)["key"]
        return json.loads(json.dumps(inspector.server_function(answer)({"key": key, **question}), allow_nan=False))

    return ask


def model_of(root, run: str = "bottles"):
    return load_run(root / run)


@torch.no_grad()
def test_the_lens_tells_what_every_layer_would_say(ask, root):
    answer = ask(lens.lens, query=6, most=40, colour=COLOUR)
    model, tokenizer = model_of(root)
    ids = tokenizer.encode(PROMPT)
    probabilities = model(torch.tensor([ids]))[0].softmax(dim=-1)
    assert answer["rows"] == ["embeddings", "layer 0", "layer 1"]
    assert (answer["start"], answer["following"]) == (0, list("·green"))
    assert [len(row) for row in answer["cells"]] == [len(PROMPT)] * 3
    for position, (label, probability, rank, true) in enumerate(answer["cells"][-1]):
        assert probability == pytest.approx(probabilities[position].max().item(), abs=1e-6)
        assert label == tokenizer.decode([probabilities[position].argmax()]).replace(" ", "·").replace("\n", "⏎")
        if position < 6:
            assert true == pytest.approx(probabilities[position, ids[position + 1]].item(), abs=1e-6)
            assert (rank == 1) == (true == probability)
        else:
            assert (rank, true) == (None, None)


@pytest.mark.parametrize(("query", "most", "start", "shown"), [(0, 5, 0, 5), (15, 5, 13, 5), (29, 5, 25, 5), (29, 40, 0, 30)])
def test_a_long_prompt_is_shown_around_the_selected_token(ask, query, most, start, shown):
    answer = ask(lens.lens, "bytes", "0123456789" * 3, query=query, most=most, colour=COLOUR)
    assert (answer["start"], len(answer["cells"][0])) == (start, shown)
    assert answer["figure"]["layout"]["meta"]["labels"] == list("0123456789" * 3)[start:start + shown]
    assert answer["following"] == list("0123456789" * 3)[start + 1:start + shown + 1]


def test_colours_follow_the_probability_or_the_logarithm_of_the_rank(ask):
    by_probability, by_rank = (ask(lens.lens, query=0, most=40, colour=colour) for colour in lens.COLOURS)
    cells = by_probability["cells"]
    codes = unpacked(by_probability["figure"]["data"][0]["z"])
    np.testing.assert_array_equal(codes, [[1 + round(254 * cell[1]) for cell in row] for row in cells])
    codes = unpacked(by_rank["figure"]["data"][0]["z"])
    assert (codes[:, -1] == 0).all()  # no token follows: absent, and not the colour of a bad rank
    order = sorted((rank, 255 - code) for row, line in zip(cells, codes.tolist(), strict=True)
                   for (_, _, rank, _), code in zip(row[:-1], line, strict=False))
    assert [code for _, code in order] == sorted(code for _, code in order)
    assert all((rank == 1) == (code == 0) for rank, code in order)
    assert by_rank["figure"]["data"][0]["colorbar"]["ticktext"] == ["1", "10"]


@pytest.mark.parametrize("against", ["mean", "nothing"])
def test_the_parts_of_a_prediction_are_told_with_their_sum(ask, root, against):
    answer = ask(lens.attribution, query=3, token="likeliest", against=against)
    model, tokenizer = model_of(root)
    with torch.no_grad():
        logits = model(torch.tensor([tokenizer.encode(PROMPT)]))[0, 3]
    assert answer["token"] == logits.argmax()
    wanted = (logits.max() - (logits.mean() if against == "mean" else 0)).item()
    assert sum(amount for _, amount, _, _ in answer["parts"]) == pytest.approx(wanted, abs=1e-4)
    assert [name for name, *_ in answer["parts"][:4]] == ["token embedding", *(["position embedding"] if model.position_embedding else []),
                                                          "layer 0 head 0", "layer 0 head 1", "layer 0 attention's bias"][:4]
    label = tokenizer.decode([answer["token"]]).replace(" ", "·")
    less = ", less the mean of all logits," if against == "mean" else ""
    assert answer["sentence"] == (f"These {len(answer['parts'])} parts sum to {wanted:.3f}; "
                                  f"the model's logit of {label}{less} is {wanted:.3f}.")
    assert [[layer, head] for *_, layer, head in answer["parts"] if head is not None] == [[0, 0], [0, 1], [1, 0], [1, 1]]


def test_the_likeliest_tokens_and_the_true_one_can_be_explained(ask, root):
    _, tokenizer = model_of(root)
    for query in range(len(PROMPT) - 1):
        answer = ask(lens.attribution, query=query, token="true", against="nothing")
        true = tokenizer.encode(PROMPT)[query + 1]
        assert answer["token"] == true
        assert [token for token, _, _, is_true in answer["tokens"] if is_true] == [true]
        assert len(answer["tokens"]) in (5, 6)
        shares = [share for _, _, share, _ in answer["tokens"]]
        assert shares[:5] == sorted(shares[:5], reverse=True)
    last = ask(lens.attribution, query=6, token="true", against="nothing")
    assert last["token"] == last["tokens"][0][0]
    second = last["tokens"][1][0]
    assert ask(lens.attribution, query=6, token=str(second), against="mean")["token"] == second
    against_it = ask(lens.attribution, query=6, token="likeliest", against=str(second))
    assert f", less that of {last['tokens'][1][1]}, is " in against_it["sentence"]


@pytest.mark.parametrize(("answer", "question"), [
    *((lens.lens, bad) for bad in ({"query": 7}, {"query": -1}, {"query": None}, {"query": 1e400}, {"most": 0}, {"most": 41}, {"most": "5"},
                                   {"colour": "pink"}, {"colour": []})),
    *((lens.attribution, bad) for bad in ({"query": 9}, {"token": 5}, {"token": "-1"}, {"token": "99"}, {"against": "all"},
                                          {"against": {}})),
])
def test_a_question_that_makes_no_sense_gets_a_sentence(inspector, answer, question):
    key = inspector.inspect("bottles", BEST, PROMPT)["key"]
    good = {"key": key, "query": 0, "most": 5, "colour": COLOUR, "token": "likeliest", "against": "mean"}
    assert "error" not in inspector.server_function(answer)(good)
    told = inspector.server_function(answer)({**good, **question})
    assert told.keys() == {"error"}
    assert told["error"]


def test_one_token_and_hostile_ones_have_a_lens_too(ask):
    answer = ask(lens.lens, "bytes", "<", query=0, most=40, colour=lens.COLOURS[1])
    assert [len(row) for row in answer["cells"]] == [1, 1, 1]
    assert answer["following"] == []
    shown = ask(lens.lens, "bytes", "<b>${1+1}`\n\u202e", query=0, most=40, colour=COLOUR)
    assert shown["figure"]["layout"]["meta"]["labels"] == ["<", "b", ">", "$", "{", "1", "+", "1", "}", "`", "⏎", "E2", "80", "AE"]


class TestReplay:
    """A step of a text that a run wrote."""

    @pytest.fixture
    def steps(self, root) -> list[dict]:
        """Each step of a text that the best weights of `bytes` wrote, as the page asks for it: its context is passed on the way."""
        model, tokenizer = model_of(root, "bytes")
        ids, steps = tokenizer.encode("😀 7"), []
        for piece in write(model, tokenizer, "😀 7", Sampling(40, temperature=2.0)):
            if piece.token is not None:
                told = {"wrote": piece.token, "probability": round(piece.probability, 4)}
                steps.append({"run": "bytes", "place": BEST, "ids": ids[-32:], **told})
                ids = [*ids, piece.token]
        return steps

    def test_every_heads_row_is_that_of_a_forward_pass_over_the_same_ids(self, inspector, steps, root):
        model, _ = model_of(root, "bytes")
        for step in (steps[0], steps[20], steps[39]):
            shown = json.loads(json.dumps(inspector.replay("bytes", BEST, step), allow_nan=False))
            assert shown["replayed"]
            maps, logits = attention_maps(model, torch.tensor([step["ids"]]))
            seen = inspector._cache[shown["key"]].inspection
            for layer in range(2):
                np.testing.assert_array_equal(seen.weights(layer)[:, -1], maps[layer, 0, :, -1].numpy())
            assert logits[0, -1].softmax(dim=0)[step["wrote"]].item() == pytest.approx(step["probability"], abs=1e-4)
            assert len(shown["tokens"]) == len(step["ids"])

    def test_the_note_says_which_step_it_is(self, inspector, steps):
        step = steps[3]
        note = inspector.replay("bytes", BEST, step)["note"]
        assert note.startswith("The step at which the model wrote ")
        assert note.endswith(f" ({100 * step['probability']:.1f} %), in bytes, best weights. Inspect returns to the prompt.")

    def test_other_weights_than_those_that_wrote_are_told(self, inspector, steps):
        note = inspector.replay("bytes", 0, steps[3])["note"]
        assert ", read by other weights, bytes, step 0: they give it " in note
        assert note.endswith(f"; those that wrote gave it {100 * steps[3]['probability']:.1f} %.")

    def test_weights_that_have_changed_since_are_told(self, steps, root, tmp_path):
        own = copytree(root, tmp_path / "checkpoints")
        path = find_run(own, "bytes").weights()
        save_tensors(path, {name: -2 * tensor for name, tensor in load_tensors(path)[0].items()})
        note = Inspector(Jobs(own)).replay("bytes", BEST, steps[3])["note"]
        assert "in bytes, best weights, which have changed since: they give it " in note

    def test_ids_are_read_as_they_are_and_not_as_the_text_they_make(self, inspector, root):
        _, tokenizer = model_of(root, "bytes")
        ids = [0xF0, 0x9F, 0x37]  # the beginning of a character that never ends
        shown = inspector.replay("bytes", BEST, {"ids": ids, "wrote": 7, "probability": 0.5, "place": BEST})
        assert shown["tokens"] == ["F0", "9F", "7"]
        assert tokenizer.encode(tokenizer.decode(ids)) != ids

    def test_what_is_asked_about_a_step_is_answered(self, inspector, steps):
        shown = inspector.replay("bytes", BEST, steps[5])
        asked = {"key": shown["key"], "query": len(shown["tokens"]) - 1, "token": "likeliest", "against": "mean"}
        assert inspector.server_function(lens.attribution)(asked)["parts"]

    @pytest.mark.parametrize("bad", [
        None, [], "x", {}, {"ids": []}, {"ids": "7"}, {"ids": [1.5]}, {"ids": [True]}, {"ids": [-1]}, {"ids": [256]}, {"ids": [10**400]},
        {"ids": [7] * 33}, {"ids": [7] * 10_001}, {"wrote": 256}, {"wrote": None}, {"probability": math.nan}, {"probability": "1"},
        {"probability": 2}, {"place": -1}, {"place": None}, {"place": math.inf},
    ])
    def test_a_step_that_makes_no_sense_gets_a_sentence(self, inspector, steps, bad):
        told = inspector.replay("bytes", BEST, {**steps[3], **bad} if isinstance(bad, dict) and bad else bad)
        assert told.keys() == {"error"}
        assert told["error"]

    def test_a_step_longer_than_can_be_looked_at_is_told(self, inspector, monkeypatch):
        monkeypatch.setattr(inspections, "MOST_TOKENS", 5)
        told = inspector.replay("bytes", BEST, {"ids": [7] * 6, "wrote": 7, "probability": 0.5, "place": BEST})["error"]
        assert told == "the model read 6 tokens at this step, and 5 can be inspected: choose an earlier step"

    @pytest.mark.parametrize(("run", "place"), [("cups", BEST), (None, BEST), ("../bytes", BEST), ("bytes", math.nan), ("bytes", None)])
    def test_weights_that_are_not_there_are_told(self, inspector, steps, run, place):
        assert inspector.replay(run, place, steps[3]).keys() == {"error"}
