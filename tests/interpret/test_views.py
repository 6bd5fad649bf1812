"""Views of one head, on numbers that can be followed by hand."""

import numpy as np
import pytest
import torch

from gpt.interpret import trace
from gpt.interpret.views import SMALLEST_REST, VIEWS, mask_first_column, strongest_keys
from gpt.model.gpt2 import GPT2

IDS = torch.tensor([[3, 1, 4, 1, 5, 9, 2, 6]])
T = IDS.shape[1]


@pytest.fixture(params=["learned", "rope"])
def seen(tiny, request):
    model = GPT2({**tiny, "position": request.param, "qk_norm": request.param == "rope"}).eval()
    for parameter in model.parameters():
        parameter.data += 0.2 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(0))
    return trace(model, IDS)


def view(seen, name: str, layer: int = 1, head: int = 1) -> np.ndarray:
    return VIEWS[name].matrix(seen, layer, head)


@pytest.mark.parametrize("name", VIEWS)
def test_the_future_is_absent_in_every_view(seen, name):
    matrix = view(seen, name)
    assert matrix.shape == (T, T)
    assert np.isnan(matrix[np.triu_indices(T, 1)]).all()
    below = matrix[np.tril_indices(T)]
    assert np.isfinite(below[~np.isnan(below)]).all()


def test_weights_are_the_softmax_of_the_scores(seen):
    scores = np.where(np.isnan(view(seen, "scores before the softmax")), -np.inf, view(seen, "scores before the softmax"))
    shares = np.exp(scores - scores.max(axis=1, keepdims=True))
    np.testing.assert_allclose(shares / shares.sum(axis=1, keepdims=True), np.nan_to_num(view(seen, "weights")), atol=1e-6)


def test_scores_are_on_the_scale_that_the_model_uses(seen):
    attention = seen.model.blocks[1].attention
    query, key, _ = attention.project_qkv(seen.model.blocks[1].norm1(seen.streams[1]), 0)
    expected = (query[0, 1, 5] @ key[0, 1, 2] * attention.scale).item()
    assert view(seen, "scores before the softmax")[5, 2] == pytest.approx(expected, abs=1e-5)


def test_without_the_first_token_rows_sum_to_one_again():
    found = mask_first_column(np.array([[1, np.nan, np.nan], [0.75, 0.25, np.nan], [0.2, 0.6, 0.2]], dtype=np.float32))
    np.testing.assert_allclose(found, [[np.nan] * 3, [np.nan, 1, np.nan], [np.nan, 0.75, 0.25]])


def test_a_row_that_reads_only_the_first_token_is_left_out():
    rest = SMALLEST_REST / 2
    found = mask_first_column(np.array([[1, 0], [1 - rest, rest]], dtype=np.float32))
    assert np.isnan(found).all()


def test_value_weighted_attention_is_the_length_of_what_is_added(seen):
    """N[q, k] = || A[q, k] v_k W_O ||, by the definition, one cell at a time."""
    attended, projection = seen.attend(1), seen.model.blocks[1].attention.projection.weight
    H, D = attended.values.shape[1], attended.values.shape[3]
    for head in range(H):
        found = view(seen, "value-weighted", 1, head)
        for q, k in ((0, 0), (4, 1), (7, 7)):
            added = attended.weights[0, head, q, k] * attended.values[0, head, k] @ projection[:, head * D:(head + 1) * D].T
            assert found[q, k] == pytest.approx(added.norm().item(), rel=1e-4)


def test_a_token_with_no_value_fades(seen):
    attention = seen.model.blocks[1].attention
    C = attention.qkv.weight.shape[1]
    attention.qkv.weight.data[2 * C:] = 0
    attention.qkv.bias.data[2 * C:] = 0
    assert (np.nan_to_num(view(seen, "value-weighted")) == 0).all()
    assert np.nan_to_num(view(seen, "weights")).sum() == pytest.approx(T, rel=1e-5)


def test_rollout_rows_sum_to_one_and_follow_the_recursion(seen):
    R = np.eye(T)
    for layer in range(2):
        A = seen.attend(layer).weights[0].mean(dim=0).numpy()
        R = (A + np.eye(T)) / 2 @ R
        found = view(seen, "rollout over layers", layer)
        np.testing.assert_allclose(np.nan_to_num(found).sum(axis=1), 1, atol=1e-5)
        np.testing.assert_allclose(np.nan_to_num(found), R, atol=1e-5)


@pytest.mark.parametrize(("row", "keys"), [
    ([0.1, 0.5, 0.4], [1, 2]), ([0.7, 0.3], [0]), ([0.2, 0.2, 0.2, 0.2, 0.2], [0, 1, 2, 3]), ([1], [0]), ([np.nan, 0.9, 0.1], [1])])
def test_the_fewest_keys_that_hold_most_of_a_row(row, keys):
    assert strongest_keys(np.array(row), 0.7) == keys
