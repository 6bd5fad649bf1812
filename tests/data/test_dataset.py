"""Windows of tokens: what a step trains on."""

import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from gpt.data.dataset import GPTDataset, WindowSampler, kinds_of, windows_of
from gpt.data.tokenizers.letters import ByteTokenizer, CharTokenizer
from gpt.errors import UserError
from tests.says import says
from tests.texts import tokenized


@pytest.fixture
def letters() -> CharTokenizer:
    return CharTokenizer("abcdefghij")


def sampler(n_tokens: int, context_length: int = 4, batch: int = 3, seed: int = 1) -> WindowSampler:
    """On tokens that are their own positions, so that a window shows where it was cut."""
    return WindowSampler(torch.arange(n_tokens), context_length, batch, seed)


def starts(batches: WindowSampler, indices) -> list[int]:
    return [start for i in indices for start in batches(i)[0][:, 0].tolist()]


def test_windows_begin_at_each_stride_and_targets_are_one_later(letters):
    data = GPTDataset("abcdefghij", letters, context_length=4, stride=2)
    pairs = [(x.tolist(), y.tolist()) for x, y in (data[i] for i in range(len(data)))]
    assert pairs == [([0, 1, 2, 3], [1, 2, 3, 4]), ([2, 3, 4, 5], [3, 4, 5, 6]), ([4, 5, 6, 7], [5, 6, 7, 8])]


@pytest.mark.parametrize(("n", "context_length", "stride", "windows"), [
    (5, 4, 4, 1), (8, 4, 4, 1), (9, 4, 4, 2), (10, 4, 1, 6), (10, 9, 3, 1)])
def test_there_are_as_many_windows_as_fit(letters, n, context_length, stride, windows):
    data = GPTDataset("abcdefghij"[:n], letters, context_length, stride)
    assert len(data) == windows
    assert len(data[windows - 1][1]) == context_length


@pytest.mark.parametrize("i", [-1, 3, 100])
def test_a_window_that_is_not_there_is_an_index_error(letters, i):
    with pytest.raises(IndexError, match=says(f"{i} of 3")):
        GPTDataset("abcdefghij", letters, context_length=4, stride=2)[i]


def test_a_dataset_can_be_iterated_and_loaded(letters):
    data = GPTDataset("abcdefghij", letters, context_length=4, stride=2)
    assert len(list(data)) == 3
    x, y = next(iter(DataLoader(data, batch_size=3)))
    assert x.shape == y.shape == (3, 4)


def test_windows_are_views_on_one_tensor(letters):
    data = GPTDataset("abcdefghij", letters, context_length=4, stride=2)
    assert data[1][0].data_ptr() == data.tokens[2:].data_ptr()


def test_a_text_too_short_for_one_window_is_told_with_the_numbers(letters):
    with pytest.raises(UserError, match=says("4 tokens", "context_length 4", "5", "lower", "add text")):
        GPTDataset("abcd", letters, context_length=4, stride=1)
    with pytest.raises(UserError, match=says("training", "0 tokens")):
        sampler(0)


def test_a_batch_is_windows_and_the_same_one_token_later():
    inputs, targets = sampler(50)(0)
    assert inputs.shape == targets.shape == (3, 4)
    assert torch.equal(inputs - inputs[:, :1], torch.arange(4).expand(3, 4))
    assert torch.equal(targets, inputs + 1)


def test_a_batch_is_a_function_of_seed_and_index():
    forwards, backwards = sampler(50), sampler(50)
    there = [forwards(i)[0] for i in range(12)]
    back = [backwards(i)[0] for i in reversed(range(12))][::-1]
    assert all(torch.equal(a, b) for a, b in zip(there, back, strict=True))
    assert starts(sampler(50, seed=1), range(12)) != starts(sampler(50, seed=2), range(12))


def test_the_global_generator_is_neither_read_nor_moved():
    torch.manual_seed(1)
    state, first = torch.get_rng_state(), starts(sampler(50), range(12))
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(2)
    assert starts(sampler(50), range(12)) == first


@pytest.mark.parametrize("n_tokens", [5, 7, 8, 9, 50, 53])
def test_an_epoch_visits_each_window_once_and_none_overlap(n_tokens):
    batches = sampler(n_tokens, batch=1)
    for epoch in range(5):
        first = epoch * batches.windows_per_epoch
        cut = sorted(starts(batches, range(first, first + batches.windows_per_epoch)))
        assert len(set(cut)) == batches.windows_per_epoch
        assert all(after - before == 4 for before, after in itertools.pairwise(cut))
        assert cut[0] >= 0
        assert cut[-1] + 4 <= n_tokens - 1  # the last target is a token of the text


def test_each_epoch_has_its_own_order_and_cuts_at_its_own_place():
    batches = sampler(103, batch=1)
    n = batches.windows_per_epoch
    epochs = [starts(batches, range(i * n, (i + 1) * n)) for i in range(6)]
    assert len({tuple(epoch) for epoch in epochs}) == 6
    assert len({epoch[0] % 4 for epoch in epochs}) > 1


def test_every_token_but_the_first_gets_to_be_predicted():
    batches = sampler(50)
    assert set(torch.cat([batches(i)[1].flatten() for i in range(200)]).tolist()) == set(range(1, 50))


@pytest.mark.parametrize("batch", [3, 5, 11, 40])
def test_batches_of_any_size_are_the_same_stream_across_epochs(batch):
    single = starts(sampler(50, batch=1), range(120))
    assert starts(sampler(50, batch=batch), range(120 // batch)) == single[:120 // batch * batch]


def test_a_batch_may_be_larger_than_an_epoch():
    batches = sampler(9, batch=20)
    assert batches.windows_per_epoch == 1
    assert batches(3)[0].shape == (20, 4)


def test_windows_begin_before_documents_and_go_on_through_long_ones():
    documents = torch.tensor([0, 3, 6, 16, 17])
    assert windows_of(documents, n_tokens=23, context_length=4).tolist() == [0, 2, 5, 9, 13, 15, 16, 18]  # the last ends with the text
    batches = WindowSampler(torch.arange(23), 4, 1, 1, documents=documents)
    assert batches.windows_per_epoch == 8
    epochs = [starts(batches, range(epoch * 8, epoch * 8 + 8)) for epoch in range(4)]
    assert all(sorted(epoch) == [0, 2, 5, 9, 13, 15, 16, 18] for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 4


@given(st.lists(st.integers(1, 12), min_size=1, max_size=20), st.integers(1, 9))
def test_windows_of_documents_predict_every_token_but_the_first(lengths, context_length):
    n_tokens = sum(lengths) + context_length + 1
    documents = torch.tensor([0, *itertools.accumulate(lengths)])
    begins = windows_of(documents, n_tokens, context_length)
    predicted = {place for begin in begins.tolist() for place in range(begin + 1, begin + context_length + 1)}
    assert predicted == set(range(1, n_tokens))


def test_an_encoded_text_knows_how_long_its_tokens_are():
    data = tokenized("aé", "é日", CharTokenizer("aé日"))
    assert data.train.tolist() == [0, 1]
    assert data.validation.tolist() == [1, 2]
    assert data.byte_lengths.tolist() == [1, 2, 3]


def test_a_text_too_short_to_train_on_or_to_evaluate_with_is_told():
    with pytest.raises(UserError, match=says("training", "3 tokens", "context_length 4", "5")):
        tokenized("abc", "abcdef", ByteTokenizer()).check(4)
    with pytest.raises(UserError, match=says("validation", "1 token")):
        tokenized("abcdef", "a", ByteTokenizer()).check(4)
    assert tokenized("abcde", "ab", ByteTokenizer()).check(4) is None


@given(st.lists(st.integers(0, 131_071), max_size=50))
def test_each_kind_of_token_is_named_once(ids):
    assert kinds_of(torch.tensor(ids, dtype=torch.long)).tolist() == sorted(set(ids))
