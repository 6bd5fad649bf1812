"""Every head scored: roles, what is kept of them, and a model that is left as it was."""

import json
import math

import numpy as np
import pytest
import torch

import gpt.interpret.heads
from gpt.data.dataset import TokenizedText
from gpt.interpret import attention_maps
from gpt.interpret.heads import HeadScores, aggregate, score_heads
from gpt.interpret.probes import Probes, make_probes
from gpt.interpret.scores import ROLES, SCORES
from gpt.model.gpt2 import GPT2
from tests.model.test_gpt2 import CLASSIC, reference, twin  # noqa: F401


@pytest.fixture
def probes(tokens, tiny) -> Probes:
    return make_probes(tokens, tiny["context_length"], seed=1)


def test_every_head_gets_every_score(model, probes, tiny):
    found = score_heads(model, probes)
    assert found.shape == (tiny["n_layers"], tiny["n_heads"])
    assert set(found.values) == set(found.errors) == set(found.chance) == set(SCORES)
    assert set(found.holds) == set(ROLES)
    assert all(values.shape == found.shape for kept in (found.values, found.errors, found.holds) for values in kept.values())


def test_scores_are_means_over_the_sequences(model, probes):
    found, maps = score_heads(model, probes), attention_maps(model, probes.repeats)[0]  # (L, N, H, T, T)
    each = torch.stack([SCORES["induction"].measure(layer, probes.repeats) for layer in maps])  # (L, N, H)
    np.testing.assert_allclose(found.values["induction"], each.mean(dim=1), rtol=1e-5)
    np.testing.assert_allclose(found.errors["induction"], each.std(dim=1) / math.sqrt(len(probes.repeats)), rtol=1e-4)


def test_an_untrained_model_has_no_roles(probes, tiny):
    for seed in range(3):
        found = score_heads(GPT2({**tiny, "seed": seed}), probes)
        assert [found.role(layer, head) for layer in range(2) for head in range(2)] == [None] * 4


@pytest.mark.parametrize("training", [True, False])
def test_scoring_leaves_model_probes_and_random_state_alone(tiny, probes, training):
    model = GPT2({**tiny, "dropout_rate": 0.5}).train(training)
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    repeats, windows = probes.repeats.clone(), probes.windows.clone()
    state = torch.get_rng_state()
    first, second = score_heads(model, probes), score_heads(model, probes)
    assert first.as_row() == second.as_row()  # no dropout in it
    assert torch.equal(torch.get_rng_state(), state)
    assert model.training == training
    assert torch.equal(probes.repeats, repeats)
    assert torch.equal(probes.windows, windows)
    assert all(torch.equal(value, weights[name]) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())


@pytest.mark.parametrize("further", [0, 1])
def test_a_head_that_always_looks_so_far_back_finds_no_copies(further):
    """It reads the same distance in text that repeats nothing: only where copies are as long does it score."""
    text = TokenizedText(torch.arange(40), torch.arange(300), torch.ones(300))
    repeats = make_probes(text, 64, seed=1).repeats
    name, T = ("duplicate token", "induction")[further], repeats.shape[1]
    score = SCORES[name]
    for back in range(T):
        weights = torch.eye(T)[(torch.arange(T) - back).clamp(min=0)].expand(len(repeats), 1, T, T)
        found = aggregate({name: score.measure(weights, repeats)[None]}, {name: score.chance(repeats)})
        assert found.role(0, 0) is None, back


@pytest.mark.parametrize(("M", "n"), [(1, 1), (3, 3), (6, 5), (16, 5)])
def test_as_many_windows_are_read_as_are_said(model, monkeypatch, M, n):
    read = []
    monkeypatch.setattr(gpt.interpret.heads, "attention_by_layer", lambda _model, ids: read.append(ids) or attention_maps(model, ids)[0])
    score_heads(model, Probes(torch.zeros(0, 0, dtype=torch.long), torch.arange(M)[:, None].expand(M, 9)))
    assert len(read[0]) == len(set(read[0][:, 0].tolist())) == n
    assert (read[0][0, 0], read[0][-1, 0]) == (0, M - 1)


def test_without_repeats_there_is_no_induction_to_score(model, probes):
    found = score_heads(model, Probes(torch.zeros(0, 0, dtype=torch.long), probes.windows))
    assert set(SCORES) - set(found.values) == {"duplicate token", "induction"}


def test_a_row_keeps_it_all(model, probes):
    found = score_heads(model, probes)
    row = json.loads(json.dumps(found.as_row(), allow_nan=False))
    again = HeadScores.from_row(row)
    assert again.as_row() == row
    for name, values in found.values.items():
        np.testing.assert_allclose(again.values[name], values, atol=1e-4)


def test_what_is_unknown_stays_unknown_in_a_row():
    sink = {"distance without first": torch.full((1, 3, 1), math.nan)}
    found = aggregate(sink, {"distance without first": torch.full((3,), 2.0)})
    assert found.as_row()["scores"] == {"distance without first": [[None]]}
    assert math.isnan(HeadScores.from_row(found.as_row()).values["distance without first"][0, 0])


def test_a_model_of_one_layer_is_told_why_it_has_no_induction_head(tiny, probes):
    assert "one layer cannot form an induction head" in score_heads(GPT2({**tiny, "n_layers": 1}), probes).note
    assert score_heads(GPT2(tiny), probes).note == ""


def scored(n: int = 10, **each: float | list[float]) -> HeadScores:
    """One head with these scores, of chance 0, in each of `n` sequences."""
    named = {name.replace("_", " "): torch.tensor(value if isinstance(value, list) else [value] * n)[None, :, None]
             for name, value in each.items()}
    return aggregate(named, {name: torch.zeros(n) for name in named})


def test_the_role_is_the_score_with_the_largest_excess():
    role = scored(previous_token=0.5, induction=0.7, first_token=0.1).role(0, 0)
    assert (role.name, role.letter, role.runner_up) == ("induction", "I", "previous token")
    assert (role.value, role.excess, role.runner_up_excess) == pytest.approx((0.7, 0.7, 0.5))


def test_a_head_without_a_clear_score_has_no_role():
    assert scored(previous_token=0.29, induction=0.2).role(0, 0) is None
    assert scored(previous_token=0.31).role(0, 0).runner_up is None


@pytest.mark.parametrize(("n_clear", "name"), [(8, "induction"), (7, None)])
def test_a_role_must_hold_in_most_sequences(n_clear, name):
    role = scored(induction=[0.9] * n_clear + [0.0] * (10 - n_clear)).role(0, 0)
    assert (role and role.name) == name


def test_locality_is_a_role_only_where_nothing_narrower_is():
    assert scored(locality=0.95, previous_token=0.6).role(0, 0).name == "previous token"
    assert scored(locality=0.95, current_token=0.6).role(0, 0).name == "current token"
    vague = scored(locality=0.95, current_token=0.2, previous_token=0.25).role(0, 0)
    assert (vague.name, vague.runner_up) == ("locality", "previous token")


def test_excess_is_measured_from_the_chance_of_each_sequence():
    found = aggregate({"induction on text": torch.tensor([[[0.6], [0.6]]])}, {"induction on text": torch.tensor([0.5, 0.0])})
    assert found.holds["induction on text"][0, 0] == 0.5
    assert found.excess("induction on text")[0, 0] == pytest.approx((0.6 - 0.25) / 0.75)


def test_maps_equal_those_of_transformers(twin, reference):  # noqa: F811
    ids = torch.randint(97, (3, 16), generator=torch.Generator().manual_seed(2))
    reference.set_attn_implementation("eager")
    with torch.no_grad():
        theirs = torch.stack(reference(ids, output_attentions=True).attentions)
    torch.testing.assert_close(attention_maps(twin, ids)[0], theirs, rtol=0, atol=1e-5)
