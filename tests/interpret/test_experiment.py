"""The experiment "Grow an induction head", told from made-up rows."""

import pytest
import torch

from gpt.interpret.experiment import SMOOTHING_ROWS, story_of, take_out
from gpt.interpret.heads import HeadScores, aggregate
from gpt.interpret.probes import make_probes


def losses(*values: float) -> list[dict]:
    return [{"step": step, "loss": value} for step, value in enumerate(values, 1)]


FLAT = [3.3] * 100
FALLING = [3.3 - 0.05 * i for i in range(20)]  # to 2.35
LOW = [2.3] * 40


def scores(previous: list[list[float]], induction: list[list[float]]) -> HeadScores:
    """(L, H) scores of chance 0, the same in each of four sequences."""
    found = {name: torch.tensor(values)[:, None, :].expand(-1, 4, -1)
             for name, values in (("previous token", previous), ("induction", induction))}
    return aggregate(found, {name: torch.zeros(4) for name in found})


GROWN = scores([[0.1, 0.6], [0.9, 0.0]], [[0.0, 0.0], [0.2, 0.8]])


def heads(step: int, found: HeadScores) -> list[dict]:
    formed = {"kind": "formed", "step": step - 5, "layer": 1, "head": 1, "role": "induction", "text": "layer 1 head 1 became it"}
    return [formed, {"kind": "heads", "step": step, **found.as_row()}]


def test_before_there_are_rows_there_is_nothing_to_tell():
    assert story_of([]).sentences == []
    assert "knows nothing" in story_of(losses(*FLAT[:SMOOTHING_ROWS - 1])).sentences[0]


def test_the_plateau():
    assert story_of(losses(*FLAT)).sentences == ["So far the loss stays at 3.3: each letter is as likely as any other."]
    assert story_of(losses(*FLAT)).plateau == pytest.approx(3.3)


def test_a_plateau_to_the_end_is_told_as_one():
    told = story_of(losses(*FLAT), is_over=True)
    assert told.sentences == ["To its end the loss stayed at 3.3: each letter is as likely as any other. No induction head has formed: "
                              "give the run more steps."]
    assert told.heads == []


def test_noise_is_no_drop():
    noisy = [3.3 + 0.2 * (-1) ** i for i in range(100)]
    assert len(story_of(losses(*noisy)).sentences) == 1


def test_the_drop():
    told = story_of(losses(*FLAT, *FALLING, *LOW))
    assert told.sentences[0] == "At first the loss stayed at 3.3: each letter is as likely as any other."
    assert told.sentences[1].startswith("Since step 10")
    assert told.sentences[1].endswith("it is at 2.3.")
    assert len(told.sentences) == 2
    assert story_of(losses(*FLAT, *FALLING, *LOW), is_over=True).sentences[1].endswith("it ended at 2.3.")


def test_the_two_heads():
    told = story_of([*losses(*FLAT, *FALLING, *LOW), *heads(150, GROWN)])
    assert (told.previous, told.induction, told.heads) == ((0, 1), ((1, 1),), [(0, 1), (1, 1)])
    assert told.sentences[2] == (
        "Two heads made it: layer 0 head 1 hands each token its predecessor; layer 1 head 1 looks for the place whose predecessor is the "
        "current token, and copies what stands there. It is an induction head since step 145.")


def test_more_induction_heads_than_one_are_named():
    both = scores([[0.1, 0.6], [0.0, 0.0]], [[0.0, 0.0], [0.7, 0.8]])
    told = story_of([*losses(*FLAT, *FALLING, *LOW), *heads(150, both)])
    assert told.heads == [(0, 1), (1, 1), (1, 0)]
    assert told.sentences[2].endswith(" So does layer 1 head 0.")


@pytest.mark.parametrize("found", [
    scores([[0.1, 0.6], [0.9, 0.0]], [[0.0, 0.0], [0.2, 0.2]]),
    scores([[0.9, 0.6]], [[0.9, 0.9]]),
    scores([[0.1, 0.2], [0.9, 0.0]], [[0.0, 0.0], [0.2, 0.8]]),
], ids=["none has formed", "one layer", "none below reads the previous token"])
def test_without_two_heads_there_are_two_sentences(found):
    told = story_of([*losses(*FLAT, *FALLING, *LOW), {"kind": "heads", "step": 150, **found.as_row()}])
    assert len(told.sentences) == 2
    assert told.heads == []


def test_a_damaged_row_of_scores_is_left_out():
    assert len(story_of([*losses(*FLAT, *FALLING, *LOW), *heads(150, GROWN), {"kind": "heads", "step": 160, "scores": 3}]).sentences) == 3


def test_taking_heads_out_changes_the_loss_and_not_the_model(model, tokens):
    probes = make_probes(tokens, 8, seed=1)
    for parameter in model.parameters():
        parameter.data += 0.3 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(0))
    first, second = take_out(model, probes, [(0, 1), (1, 1)]), take_out(model, probes, [(0, 1), (1, 1)])
    assert first == second
    assert first.with_heads != first.without
    assert take_out(model, probes, []).without == pytest.approx(first.with_heads)
