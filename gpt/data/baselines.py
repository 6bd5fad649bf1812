"""What a loss can be compared with: the losses of three models so simple that counting the training tokens is all their training."""

import math

import torch
from torch import Tensor

MOST_TOKENS = 2_000_000  # of the training text that are counted: about half a second, and the counts hardly change beyond

GUESSING, FREQUENCIES, PAIRS = "guessing", "token frequencies", "pairs of tokens"
PERFECT = "perfect"  # what no model can beat, where it is known (gpt/data/known.py)


def baselines(train: Tensor, validation: Tensor, n_vocab: int) -> dict[str, float]:
    """(N,) training and (M,) validation tokens -> the loss, in nats per token, of predicting each validation token but the first.

    `guessing`: every token is equally likely, so the loss is ln V. `token frequencies`: as often as in the training text, each token
    counted once more (Laplace), so that none is impossible. `pairs of tokens`: as often as it follows the token before it, backed off
    to its frequency by absolute discounting (Ney, Essen and Kneser 1994).
    """
    train, validation = train[:MOST_TOKENS].long().cpu(), validation.long().cpu()  # in float64, which some GPUs lack
    previous, targets = validation[:-1], validation[1:]
    frequencies = (torch.bincount(train, minlength=n_vocab).double() + 1) / (len(train) + n_vocab)  # (V,)
    after = follow_probabilities(train, n_vocab, frequencies, previous, targets)
    return {GUESSING: math.log(n_vocab), FREQUENCIES: -frequencies[targets].log().mean().item(), PAIRS: -after.log().mean().item()}


def follow_probabilities(train: Tensor, n_vocab: int, frequencies: Tensor, previous: Tensor, targets: Tensor) -> Tensor:
    """(M,) probability that a token of `targets` follows its token of `previous`.

    From the count of each pair a constant is taken, which is estimated from the pairs counted once and twice; what is taken goes to
    all tokens by their `frequencies`, (V,).
    """
    pairs, counts = torch.unique(train[:-1] * n_vocab + train[1:], return_counts=True)  # (P,) sorted, each pair as one number
    once, twice = int((counts == 1).sum()), int((counts == 2).sum())
    discount = (once + 1) / (once + 2 * twice + 1)  # the additional ones keep it above 0
    n_previous = torch.bincount(train[:-1], minlength=n_vocab).double()[previous]
    n_followers = torch.bincount(pairs // n_vocab, minlength=n_vocab).double()[previous]
    wanted = previous * n_vocab + targets
    place = torch.searchsorted(pairs, wanted).clamp(max=len(pairs) - 1)
    n_pair = torch.where(pairs[place] == wanted, counts[place], 0).double()
    known = ((n_pair - discount).clamp(min=0) + discount * n_followers * frequencies[targets]) / n_previous.clamp(min=1)
    return torch.where(n_previous > 0, known, frequencies[targets])
