"""Documents in windows: several in one, or each alone."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gpt.data.dataset import IGNORED, TokenizedText, WindowSampler, first_tokens
from gpt.data.packing import cost_of_packing, empty_share, mixed_share

END = 0
DOCUMENTS = st.lists(st.lists(st.integers(1, 9), max_size=12), min_size=1, max_size=12)


def joined(documents: list[list[int]]) -> torch.Tensor:
    return torch.tensor([token for document in documents for token in (*document, END)])


def test_first_tokens_stand_after_ends():
    assert first_tokens(torch.tensor([5, 6, END, 7, END, END, 8]), END).tolist() == [0, 3, 5, 6]
    assert first_tokens(torch.tensor([5, 6, END]), END).tolist() == [0]
    assert first_tokens(torch.zeros(0, dtype=torch.uint16), END).tolist() == []


@given(documents=DOCUMENTS, context_length=st.integers(2, 9), seed=st.integers(0, 3))
def test_alone_no_token_is_predicted_with_another_document_in_view_and_each_is_once(documents, context_length, seed):
    documents = [*documents, [1] * context_length]
    tokens = joined(documents)
    batches = WindowSampler(tokens, context_length, 1, seed, documents=first_tokens(tokens, END), alone=True)
    predicted = []
    for i in range(batches.windows_per_epoch):
        inputs, targets = (ids[0].tolist() for ids in batches(i))
        counted = [t for t, target in enumerate(targets) if target != IGNORED]
        if counted:
            assert END not in inputs[1:counted[-1] + 1]  # only the end of the document before may stand first
            predicted += [targets[t] for t in counted]
    assert sorted(predicted) == sorted(tokens[1:].tolist())  # all but the very first, which nothing stands before


def test_packed_every_target_counts():
    tokens = joined([[1, 2, 3]] * 20)
    batches = WindowSampler(tokens, 8, 4, seed=1)
    assert all((batches(i)[1] >= 0).all() for i in range(10))


def test_both_costs_by_hand():
    tokens = joined([[1, 2, 3], [4, 5, 6]])  # 8 tokens: in a window of 7, the last 4 see the first document's end
    assert mixed_share(tokens, END, 7) == pytest.approx(4 / 7)
    assert mixed_share(tokens, END, 4) == pytest.approx(1 / 4)  # what stands at the end predicts the next document
    assert empty_share(tokens, END, 4) == 0
    assert empty_share(tokens, END, 8) == pytest.approx(1 / 2)


@pytest.mark.parametrize(("pack", "first"), [(True, "57 % of what is learned from"), (False, "43 % of all windows are empty")])
def test_the_cost_is_said(pack, first):
    tokens = joined([[1, 2, 3], [4, 5, 6]])
    text = TokenizedText(tokens, tokens, torch.ones(10, dtype=torch.long), end=END)
    sentence = cost_of_packing(text, {"context_length": 7, "pack": pack})
    assert sentence.startswith(first)
    assert "57 %" in sentence
    assert "43 %" in sentence


def test_evaluation_windows_know_the_documents():
    text = TokenizedText(joined([[1]]), joined([[1, 2], [3], [4, 5]]), torch.ones(10, dtype=torch.long), end=END)
    assert text.starts_of_validation(8) == [0, 3, 5]
    assert text.starts_of_validation(4) == [0, 3]
