import math

import pytest
import torch

from gpt.data.baselines import FREQUENCIES, GUESSING, PAIRS, baselines, follow_probabilities


def test_guessing_is_the_logarithm_of_the_vocabulary():
    assert baselines(torch.tensor([0, 1, 2]), torch.tensor([0, 1]), 50257)[GUESSING] == pytest.approx(math.log(50257))


def test_token_frequencies_by_hand():
    # counts with one more each: 4, 2, 1 of 7; the first validation token is not predicted
    found = baselines(torch.tensor([0, 0, 0, 1]), torch.tensor([2, 0, 1, 2]), 3)
    assert found[FREQUENCIES] == pytest.approx(-(math.log(4 / 7) + math.log(2 / 7) + math.log(1 / 7)) / 3)


def test_pairs_by_hand():
    # pairs 0-1 twice and 1-0 once: discount (1 + 1) / (1 + 2 + 1); frequencies with one more each: 3, 3, 1 of 7
    train, frequencies = torch.tensor([0, 1, 0, 1]), torch.tensor([3, 3, 1], dtype=torch.double) / 7
    found = follow_probabilities(train, 3, frequencies, torch.tensor([0, 0, 2]), torch.tensor([1, 2, 1]))
    assert found.tolist() == pytest.approx([(1.5 + 0.5 * 3 / 7) / 2, 0.5 * 1 / 7 / 2, 3 / 7])


@pytest.mark.parametrize("n_vocab", [2, 7, 300])
def test_what_may_follow_a_token_adds_up_to_one(n_vocab, seed):
    generator = torch.Generator().manual_seed(seed)
    train = torch.randint(n_vocab, (500,), generator=generator) // 2  # half of the vocabulary never comes
    frequencies = (torch.bincount(train, minlength=n_vocab).double() + 1) / (len(train) + n_vocab)
    for previous in (0, n_vocab - 1):
        all_tokens = torch.arange(n_vocab)
        found = follow_probabilities(train, n_vocab, frequencies, torch.full_like(all_tokens, previous), all_tokens)
        assert found.sum().item() == pytest.approx(1)
        assert found.min() > 0


def test_each_counts_for_more_where_text_has_order():
    text = torch.tensor([0, 1, 2, 3] * 200 + [0, 0, 0])
    found = baselines(text, text, 8)
    assert found[GUESSING] > found[FREQUENCIES] > found[PAIRS]
    assert found[PAIRS] < 0.2
