"""The losses of an evaluation: every token once, sums by hand, and the groups of positions."""

import itertools
import math

import pytest
import torch
from torch.nn import functional as F

from gpt.data.dataset import TokenizedText
from gpt.data.known import Floor
from gpt.data.sources import read_corpus
from gpt.data.tokenizers.table import make_tokenizer
from gpt.model.gpt2 import GPT2
from gpt.training.evaluation import Batch, Losses, add_up, evaluation_batches, group_ends
from gpt.training.trainer import Trainer


@pytest.mark.parametrize(("n", "context_length", "at_once"), [(23, 8, 2), (17, 8, 5), (25, 8, 1), (5, 8, 2), (2, 8, 2)])
def test_an_evaluation_predicts_every_token_but_the_first_once(n, context_length, at_once):
    batches = list(evaluation_batches(torch.arange(n), context_length, at_once))
    assert torch.cat([batch.targets[batch.counts] for batch in batches]).tolist() == list(range(1, n))
    assert all(torch.equal(batch.ids + 1, batch.targets) and torch.equal(batch.targets, batch.places) for batch in batches)
    assert all(len(batch.ids) <= at_once and batch.ids.shape[1] <= context_length for batch in batches)


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
    text = torch.tensor([1, 0, 1, 0, 1, 1, 1, 0, 0])
    batches = list(evaluation_batches(text, 3, 2))
    losses = [torch.tensor([[1.0, 2.0, 3.0], [3.0, 4.0, 5.0]]), torch.tensor([[5.0, 6.0]])]
    floor = Floor(torch.zeros(9), text, torch.tensor([0, 4, 7]), ("question", "answer", "none"))
    added = add_up(losses, batches, torch.tensor([1, 10]), 3, floor)
    assert all(isinstance(batch, Batch) for batch in batches)
    assert added == Losses([9.0, 12.0, 8.0], [3.0, 3.0, 2.0], 44.0, [15.0, 14.0, 0.0], answers=2, right=0)
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


@pytest.mark.parametrize("starts", [(0, 5, 9, 12), (0, 3, 20), (4, 6, 8), (0,), (0, 1, 2, 3)])
@pytest.mark.parametrize(("n", "context_length", "at_once"), [(23, 8, 2), (23, 3, 5), (24, 30, 1)])
def test_windows_of_documents_predict_every_token_once_and_whole_documents_where_they_fit(n, context_length, at_once, starts):
    batches = list(evaluation_batches(torch.arange(n), context_length, at_once, starts))
    assert torch.cat([batch.targets[batch.counts] for batch in batches]).tolist() == list(range(1, n))
    assert all(batch.ids.shape[1] <= context_length and len(batch.ids) <= at_once for batch in batches)
    ends = {*starts, n}
    for batch in batches:
        for targets, counts in zip(batch.targets, batch.counts, strict=True):
            first, last = int(targets[counts][0]), int(targets[counts][-1])
            assert last + 1 in ends or last + 1 - first == context_length  # no document is cut that fits


def test_losses_above_perfect_add_up_to_the_loss(tiny):
    corpus = read_corpus("repeats", seed=1)
    tokenizer = make_tokenizer("char", corpus.to_learn(), 0)
    text = TokenizedText.encode(corpus, tokenizer)
    row = Trainer({**tiny, "vocab_size": tokenizer.n_vocab, "context_length": 64, "eval_tokens": 1000},
                  GPT2({**tiny, "vocab_size": tokenizer.n_vocab, "context_length": 64}), text).evaluation().row
    assert set(row["above_perfect"]) == {"first copy", "second copy", "end of line"}
    assert sum(row["above_perfect"].values()) == pytest.approx(row["val_loss"] - row["perfect"], abs=2e-4)
    assert row["above_perfect"]["second copy"] > 1  # it knows nothing yet
    assert 1.3 < row["perfect"] < 1.6


@pytest.mark.parametrize(("context_length", "warned"), [(64, False), (32, True)])
def test_where_documents_do_not_fit_into_the_context_a_warning_says_what_perfect_means(tiny, context_length, warned):
    corpus = read_corpus("repeats", seed=1)
    tokenizer = make_tokenizer("char", corpus.to_learn(), 0)
    config = {**tiny, "vocab_size": tokenizer.n_vocab, "context_length": context_length, "eval_tokens": 500}
    text = TokenizedText.encode(corpus, tokenizer)
    events = Trainer(config, GPT2(config), text).events()
    texts = [event.row["text"] for event in itertools.takewhile(lambda event: event.kind == "warning", events)]
    assert any("longer than context_length" in text for text in texts) == warned
