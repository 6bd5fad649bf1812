"""Scores of heads: perfect heads score exactly 1, uniform ones what chance gives, and no trap is stepped into."""

import math

import numpy as np
import pytest
import torch

from gpt.interpret.heads import CLEAR, REQUIRED_SHARE
from gpt.interpret.probes import make_probes
from gpt.interpret.scores import ROLES, SCORES, excess, induction, measure_on_text, uniform
from tests.conftest import TEXT

N = 6  # random tokens
T = 2 * N
TWICE = torch.tensor([[3, 1, 4, 15, 9, 2, 3, 1, 4, 15, 9, 2]])  # (1, T)


def reading(read: dict[int, int]) -> torch.Tensor:
    """(1, 1, T, T): row q reads read[q] alone; rows that are not told read themselves."""
    weights = torch.eye(T)
    for q, k in read.items():
        weights[q] = torch.eye(T)[k]
    return weights[None, None]


PREVIOUS = reading({q: q - 1 for q in range(1, T)})
FIRST = reading(dict.fromkeys(range(T), 0))
CURRENT = reading({})
DUPLICATE = reading({q: q - N for q in range(N, T)})
INDUCTION = reading({q: q - N + 1 for q in range(N, T)})
UNIFORM = uniform(T)
H = [sum(1 / i for i in range(1, n + 1)) for n in range(T + 1)]  # harmonic numbers


def score(name: str, weights: torch.Tensor, ids: torch.Tensor = TWICE) -> float:
    found = SCORES[name].measure(weights, ids)
    assert found.shape == weights.shape[:2]
    return found.item()


@pytest.mark.parametrize(("name", "weights"), [
    ("previous token", PREVIOUS), ("first token", FIRST), ("current token", CURRENT), ("duplicate token", DUPLICATE),
    ("induction", INDUCTION), ("induction on text", INDUCTION), ("locality", PREVIOUS), ("locality", CURRENT), ("entropy", UNIFORM),
])
def test_a_perfect_head_scores_exactly_one(name, weights):
    assert score(name, weights) == pytest.approx(1, abs=0 if name != "entropy" else 1e-6)


@pytest.mark.parametrize(("name", "chance"), [
    ("previous token", (H[T] - 1) / (T - 1)), ("first token", (H[T] - 1) / (T - 1)), ("current token", (H[T] - 1) / (T - 1)),
    ("duplicate token", (H[T] - H[N]) / N), ("induction", (H[T] - H[N]) / N), ("induction on text", (H[T] - H[N]) / N),
    ("locality", np.mean([min(5, q + 1) / (q + 1) for q in range(T)])), ("entropy", 1), ("distance", (T - 1) / 4),
    ("entropy without first", 1), ("distance without first", (T - 2) / 4),
])
def test_chance_is_what_uniform_attention_scores(name, chance):
    assert SCORES[name].chance(TWICE).tolist() == pytest.approx([chance])
    assert score(name, UNIFORM) == pytest.approx(chance)


@pytest.mark.parametrize("name", ROLES)
def test_uniform_attention_has_no_excess(name):
    assert excess(score(name, UNIFORM), SCORES[name].chance(TWICE).item()) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("name", ["induction", "induction on text"])
def test_a_sink_head_is_no_induction_head(name):
    assert score(name, FIRST) == 0


def test_the_row_before_the_second_copy_belongs_to_no_stripe():
    assert induction(reading({N - 1: 0}), TWICE).item() == induction(CURRENT, TWICE).item() == 0


def test_a_head_that_reads_a_fixed_distance_back_is_no_induction_head(tokens):
    """It would pass for one if all sequences repeated after as many tokens as it looks back."""
    repeats = make_probes(tokens, 32, seed=1).repeats
    n = repeats.shape[1] // 2
    rows = torch.arange(2 * n)
    fixed = torch.eye(2 * n)[(rows - n + 1).clamp(min=0)].expand(len(repeats), 1, -1, -1)
    found = SCORES["induction"].measure(fixed, repeats)[:, 0]
    assert found.max() == 1  # the one that repeats after just so many
    assert (excess(found, SCORES["induction"].chance(repeats)) >= CLEAR).float().mean() < REQUIRED_SHARE


def test_sequences_that_repeat_after_different_lengths_are_measured_each_by_its_own():
    ids = torch.tensor([[1, 2, 3, 1, 2, 3, 1, 2], [1, 2, 3, 4, 1, 2, 3, 4]])
    weights = torch.eye(8).repeat(2, 1, 1, 1)
    for row, n in enumerate((3, 4)):
        for q in range(n, 2 * n):
            weights[row, 0, q] = torch.eye(8)[q - n + 1]
    assert SCORES["induction"].measure(weights, ids).flatten().tolist() == [1, 1]
    weights[0, 0, 6:] = torch.eye(8)[0]  # after the second copy nothing counts
    assert SCORES["induction"].measure(weights, ids).flatten().tolist() == [1, 1]
    assert SCORES["induction"].chance(ids).tolist() == pytest.approx([(1 / 4 + 1 / 5 + 1 / 6) / 3, (1 / 5 + 1 / 6 + 1 / 7 + 1 / 8) / 4])


def test_an_induction_head_is_measured_where_it_can_act():
    """Rows of the first copy have nothing to look back on: what they read neither helps nor harms."""
    parked = reading({q: q - N + 1 if q >= N else 0 for q in range(T)})
    assert score("induction", parked) == score("induction", INDUCTION) == 1


def test_copies_may_differ_in_length_from_sequence_to_sequence():
    ids = torch.stack([TWICE[0], TWICE[0, :4].repeat(3)])  # 6 tokens twice; 4 tokens twice and once more, which does not count
    short = reading({q: q - 3 for q in range(4, 8)})
    for weights in (torch.cat([INDUCTION, short]), torch.cat([INDUCTION, 0.5 * short + 0.5 * FIRST])):
        assert SCORES["induction"].measure(weights, ids)[:, 0].tolist() == [1, 1 if weights[1, 0, 4, 1] == 1 else 0.5]
    assert SCORES["duplicate token"].measure(torch.cat([DUPLICATE, reading({q: q - 4 for q in range(4, 8)})]), ids)[:, 0].tolist() == [1, 1]
    assert SCORES["induction"].chance(ids).tolist() == pytest.approx([(H[12] - H[6]) / 6, (H[8] - H[4]) / 4])


def test_a_uniform_head_is_not_focused_whatever_the_length():
    """Divided by log T instead of log(q + 1), it would look so."""
    for length in (2, 5, 64):
        assert SCORES["entropy"].measure(uniform(length), None).item() == pytest.approx(1)


def test_a_head_with_one_token_in_view_has_no_entropy():
    assert score("entropy", PREVIOUS) == 0


def test_distances_by_hand():
    assert score("distance", CURRENT) == 0
    assert score("distance", PREVIOUS) == pytest.approx((T - 1) / T)  # the first row has only itself
    assert score("distance", FIRST) == pytest.approx((T - 1) / 2)


def test_a_sink_looks_long_range_only_with_its_sink():
    mostly = 0.9 * FIRST + 0.1 * PREVIOUS
    assert score("distance", mostly) > 4
    assert score("distance without first", mostly) == pytest.approx(1)  # row 1 has nothing left, and is skipped
    assert score("entropy without first", mostly) == pytest.approx(0, abs=1e-6)


def test_rows_that_keep_next_to_nothing_beside_the_sink_are_skipped():
    assert math.isnan(score("distance without first", FIRST))
    assert math.isnan(score("entropy without first", FIRST))
    faint = 0.9995 * FIRST + 0.0005 * PREVIOUS
    assert math.isnan(score("distance without first", faint[..., :8, :8], TWICE[:, :8]))


def test_induction_on_text_counts_all_that_followed_earlier_copies():
    ids = torch.tensor([[7, 5, 7, 6, 7]])
    weights = uniform(5).clone()
    weights[0, 0, 2] = torch.tensor([0, 0.5, 0.25, 0, 0])  # at the second 7: 5 followed the first
    weights[0, 0, 4] = torch.tensor([0, 0.25, 0.125, 0.5, 0])  # at the third: 5 and 6 did
    assert score("induction on text", weights, ids) == pytest.approx((0.5 + 0.75) / 2)
    assert SCORES["induction on text"].chance(ids).item() == pytest.approx((1 / 3 + 2 / 5) / 2)


def test_scores_are_of_each_sequence_and_head():
    weights = torch.cat([torch.cat([PREVIOUS, FIRST], dim=1), torch.cat([UNIFORM, CURRENT], dim=1)])  # (2, 2, T, T)
    found = SCORES["previous token"].measure(weights, TWICE.expand(2, -1))
    assert found[:, 0].tolist() == pytest.approx([1, (H[T] - 1) / (T - 1)])
    assert found[:, 1].tolist() == pytest.approx([1 / (T - 1), 0])  # the second token's previous one is the first


def test_scoring_changes_none_of_what_it_reads():
    weights, ids = UNIFORM.clone(), TWICE.clone()
    for kind in SCORES.values():
        kind.measure(weights, ids)
        kind.chance(ids)
    assert torch.equal(weights, UNIFORM)
    assert torch.equal(ids, TWICE)


def test_probe_tokens_are_those_of_the_training_text(tokens, tokenizer):
    """The embedding of any other was never trained: a head would score 0 whatever it does."""
    tokens.validation = torch.tensor(tokenizer.encode(TEXT[-100:]))
    unseen = tokens.train[0].item()
    tokens.train = tokens.train[tokens.train != unseen]
    probes = make_probes(tokens, 8, seed=1)
    assert set(probes.repeats.unique().tolist()) <= set(tokens.train.tolist())
    assert unseen not in probes.repeats


def test_probe_tokens_break_no_line(tokens, tokenizer):
    """After a line break a head is right not to look for what stood before it."""
    line_end = tokenizer.encode("\n")[0]
    assert any(line_end in make_probes(tokens, 8, seed).repeats for seed in range(9))
    assert not any(line_end in make_probes(tokens, 8, seed, line_ends=[line_end]).repeats for seed in range(9))


def test_every_role_has_its_own_letter():
    letters = [kind.letter for kind in ROLES.values()]
    assert len(set(letters)) == len(letters) == 7
    assert all(kind.sentence.endswith(".") for kind in SCORES.values())


def test_a_short_text_has_the_scores_it_can_have():
    assert measure_on_text(np.ones((1, 1)), [b"a"]) == {}
    two = measure_on_text(np.array([[1, 0], [0.2, 0.8]]), [b"a", b"b"])
    assert {name: one.value for name, one in two.items()} == pytest.approx(
        {"previous token": 0.2, "first token": 0.2, "current token": 0.8})
    assert "induction on text" in measure_on_text(np.eye(3), [b"a", b"b", b"a"])
