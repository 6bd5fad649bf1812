"""The losses of an evaluation: every token once, sums by hand, and the groups of positions."""

import math

import pytest
import torch
from torch.nn import functional as F

from gpt.data.dataset import TokenizedText
from gpt.model.gpt2 import GPT2
from gpt.training.evaluation import Losses, add_up, evaluation_batches, group_ends
from gpt.training.trainer import Trainer


@pytest.mark.parametrize(("n", "context_length", "at_once"), [(23, 8, 2), (17, 8, 5), (25, 8, 1), (5, 8, 2), (2, 8, 2)])
def test_an_evaluation_predicts_every_token_but_the_first_once(n, context_length, at_once):
    batches = list(evaluation_batches(torch.arange(n), context_length, at_once))
    assert torch.cat([targets.flatten() for _, targets in batches]).tolist() == list(range(1, n))
    assert all(torch.equal(ids + 1, targets) for ids, targets in batches)
    assert all(len(ids) <= at_once and ids.shape[1] <= context_length for ids, _ in batches)


@pytest.mark.parametrize(("context_length", "ends"), [
    (2, [1, 2]), (4, [1, 2, 3, 4]), (5, [1, 2, 3, 4, 5]),
    (32, [1, 2, 3, 4, 6, 8, 11, 16, 23, 32]), (40, [1, 2, 3, 4, 6, 8, 11, 16, 23, 32, 40]),
])
def test_the_first_positions_stand_alone_and_later_ones_in_groups(context_length, ends):
    assert group_ends(context_length) == ends


@pytest.mark.parametrize("context_length", [17, 63, 64, 100, 1024, 4096])
def test_groups_cover_every_position_once(context_length):
    ends = group_ends(context_length)
    assert ends == sorted(set(ends))
    assert (ends[0], ends[-1]) == (1, context_length)
    assert len(ends) <= 4 + 2 * math.ceil(math.log2(context_length / 4)) + 1


def test_losses_are_added_by_position_and_a_short_window_counts_where_it_has_tokens():
    losses = [torch.tensor([[1.0, 2.0, 3.0], [3.0, 4.0, 5.0]]), torch.tensor([[5.0, 6.0]])]
    targets = [torch.tensor([[0, 1, 0], [1, 1, 1]]), torch.tensor([[0, 0]])]
    added = add_up(losses, targets, torch.tensor([1, 10]), context_length=3)
    assert added == Losses([9.0, 12.0, 8.0], [3.0, 3.0, 2.0], 44.0)
    assert added.val_loss == 29 / 8
    assert added.bits_per_byte == 29 / math.log(2) / 44
    assert added.by_context() == [(1, 3.0), (2, 4.0), (3, 4.0)]


def test_a_position_that_no_window_reaches_has_no_loss():
    assert Losses([4.0, 0.0, 0.0], [2.0, 0.0, 0.0], 9.0).by_context() == [(1, 2.0)]
    shorter = Losses([1.0] * 29 + [0.0] * 3, [1.0] * 29 + [0.0] * 3, 9.0)
    assert shorter.by_context()[-2:] == [(23, 1.0), (29, 1.0)]  # the tokens after the last whole group are in one of their own


def test_the_trainers_losses_by_context_are_those_of_the_model(tiny):
    tokens = torch.randint(tiny["vocab_size"], (100,), generator=torch.Generator().manual_seed(1))
    text = TokenizedText(tokens, tokens[:83], torch.ones(tiny["vocab_size"], dtype=torch.long))
    trainer = Trainer(tiny, GPT2(tiny), text)
    row = trainer.evaluation().row
    T, model = tiny["context_length"], trainer.model.eval()
    for count, loss in row["by_context"][:3]:  # which stand alone
        windows = [text.validation[start:start + T + 1] for start in range(0, 82, T)]
        expected = [F.cross_entropy(model(window[None, :count])[0, -1:], window[count:count + 1]).item() for window in windows
                    if len(window) > count]
        assert loss == pytest.approx(sum(expected) / len(expected), abs=1e-4)
