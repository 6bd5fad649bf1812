"""The ladder: one head, one causal head, many heads in one product, by two ways that give the same numbers."""

import itertools
import math

import pytest
import torch
from torch.nn import functional as F

from gpt.model.attention import CausalAttention, KVCache, MultiHeadAttention, SelfAttention, rotate, rotation
from tests.says import says


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def side_by_side(many: MultiHeadAttention, context_length: int, emb_dim: int) -> list[CausalAttention]:
    """CausalAttention heads that hold the slices of `many`'s product."""
    heads, D = [], many.head_dim
    for h in range(many.n_heads):
        head = CausalAttention(emb_dim, D, context_length, qkv_bias=many.qkv.bias is not None)
        for i, layer in enumerate((head.query, head.key, head.value)):
            rows = slice(i * emb_dim + h * D, i * emb_dim + (h + 1) * D)
            layer.weight.data = many.qkv.weight.data[rows]
            if layer.bias is not None:
                layer.bias.data = many.qkv.bias.data[rows]
        heads.append(head)
    return heads


def test_one_head_is_softmax_of_scaled_products():
    head = SelfAttention(emb_dim=2, head_dim=2)
    for layer in (head.query, head.key, head.value):
        layer.weight.data = torch.eye(2)
    x = torch.tensor([[[1.0, 0.0], [0.0, 2.0]]])
    first, second = math.exp(1 / math.sqrt(2)), math.exp(4 / math.sqrt(2))  # against exp(0) = 1 for the other token
    expected = torch.tensor([[[first / (first + 1), 1 / (first + 1)], [1 / (second + 1), second / (second + 1)]]])
    torch.testing.assert_close(head.weights(x), expected)
    torch.testing.assert_close(head(x), expected @ x)


def test_without_a_mask_every_token_looks_at_every_token():
    weights = SelfAttention(emb_dim=4, head_dim=3).weights(torch.randn(2, 5, 4))
    assert (weights > 0).all()
    torch.testing.assert_close(weights.sum(dim=-1), torch.ones(2, 5))


def test_a_causal_head_gives_the_future_no_weight():
    weights = CausalAttention(emb_dim=4, head_dim=3, context_length=6).weights(torch.randn(2, 5, 4))
    assert (weights.triu(diagonal=1) == 0).all()
    torch.testing.assert_close(weights.sum(dim=-1), torch.ones(2, 5))


def test_a_causal_head_drops_weights_in_training_only():
    head, x = CausalAttention(emb_dim=4, head_dim=3, context_length=6, dropout_rate=0.5), torch.randn(1, 6, 4)
    assert (head.train().weights(x).tril() == 0).sum() > (head.eval().weights(x).tril() == 0).sum()


def test_constants_stay_out_of_saved_weights(tiny):
    assert set(CausalAttention(4, 2, context_length=6).state_dict()) == {"query.weight", "key.weight", "value.weight"}
    saved = set(MultiHeadAttention({**tiny, "position": "rope"}).state_dict())
    assert saved == {"qkv.weight", "qkv.bias", "projection.weight", "projection.bias"}


@pytest.mark.parametrize("qkv_bias", [False, True])
def test_many_heads_equal_single_heads_side_by_side(tiny, qkv_bias):
    many = MultiHeadAttention({**tiny, "position": "learned", "qk_norm": False, "qkv_bias": qkv_bias}).eval()
    heads = side_by_side(many, tiny["context_length"], tiny["emb_dim"])
    x = torch.randn(3, 7, tiny["emb_dim"])
    expected = many.projection(torch.cat([head(x) for head in heads], dim=-1))
    torch.testing.assert_close(many(x), expected)
    torch.testing.assert_close(many.explicit(x)[1], torch.stack([head.weights(x) for head in heads], dim=1))


@pytest.mark.parametrize(("position", "qk_norm", "qkv_bias"),
                         list(itertools.product(["learned", "rope"], [False, True], [False, True])))
def test_fused_equals_explicit(tiny, position, qk_norm, qkv_bias):
    attention = MultiHeadAttention({**tiny, "position": position, "qk_norm": qk_norm, "qkv_bias": qkv_bias}).eval()
    x = torch.randn(3, 8, tiny["emb_dim"])
    torch.testing.assert_close(attention(x), attention.explicit(x)[0])


@pytest.mark.parametrize("position", ["learned", "rope"])
def test_a_later_token_never_changes_an_earlier_output(tiny, position):
    attention = MultiHeadAttention({**tiny, "position": position}).eval()
    x = torch.randn(1, 8, tiny["emb_dim"])
    changed = x.clone()
    changed[:, 5:] = torch.randn(1, 3, tiny["emb_dim"])
    for before, after in ((attention(x), attention(changed)), (attention.explicit(x)[0], attention.explicit(changed)[0])):
        torch.testing.assert_close(before[:, :5], after[:, :5], rtol=0, atol=0)
        assert not torch.allclose(before[:, 5:], after[:, 5:])


def test_explicit_refuses_training_mode(tiny):
    with pytest.raises(RuntimeError, match=r"call model\.eval\(\) first"):
        MultiHeadAttention(tiny).train().explicit(torch.randn(1, 3, tiny["emb_dim"]))


def test_an_edit_of_one_head_takes_its_part_out_of_the_output(tiny):
    attention = MultiHeadAttention(tiny).eval()
    x, D = torch.randn(1, 6, tiny["emb_dim"]), attention.head_dim
    kept = []

    def silence_head_0(heads):
        kept.append(heads[:, 0])
        return heads * torch.tensor([0.0, 1.0]).view(1, 2, 1, 1)

    silenced = attention.explicit(x, silence_head_0)[0]
    part = kept[0] @ attention.projection.weight[:, :D].T  # (B, T, D) @ (D, C)
    torch.testing.assert_close(silenced, attention.explicit(x)[0] - part)


def test_rotation_by_hand():
    cos, sin = rotation(context_length=3, head_dim=4)
    angles = torch.tensor([[0.0, 0.0], [1.0, 0.01], [2.0, 0.02]])
    torch.testing.assert_close(cos, torch.cat((angles.cos(), angles.cos()), dim=1))
    torch.testing.assert_close(sin, torch.cat((-angles.sin(), angles.sin()), dim=1))
    turned = rotate(torch.tensor([3.0, 0.0, 0.0, 5.0]), cos[2], sin[2])  # pairs (3, 0) and (0, 5)
    expected = [3 * math.cos(2), -5 * math.sin(0.02), 3 * math.sin(2), 5 * math.cos(0.02)]
    torch.testing.assert_close(turned, torch.tensor(expected))


def test_products_of_rotated_vectors_depend_on_the_distance_only():
    cos, sin = (table.double() for table in rotation(context_length=20, head_dim=8))
    query, key = torch.randn(2, 8, dtype=torch.double)

    def product(i, j):
        return rotate(query, cos[i], sin[i]) @ rotate(key, cos[j], sin[j])

    torch.testing.assert_close(product(3, 1), product(19, 17))
    torch.testing.assert_close(product(2, 9), product(12, 19))
    assert not torch.isclose(product(3, 1), product(3, 2))


def test_normalised_queries_and_keys_ignore_the_size_of_what_made_them(tiny):
    attention = MultiHeadAttention({**tiny, "qk_norm": True, "qkv_bias": False}).eval()
    x, C = torch.randn(1, 6, tiny["emb_dim"]), tiny["emb_dim"]
    before = attention.explicit(x)[1]
    attention.qkv.weight.data[:2 * C] *= 10
    torch.testing.assert_close(attention.explicit(x)[1], before, rtol=1e-4, atol=1e-5)


def test_a_cache_holds_all_that_was_appended():
    cache, rows = KVCache(6), torch.randn(1, 2, 5, 3)
    cache.append(rows[:, :, :2], -rows[:, :, :2])
    key, value = cache.append(rows[:, :, 2:], -rows[:, :, 2:])
    assert cache.length == 5
    assert torch.equal(key, rows)
    assert torch.equal(value, -rows)


def test_a_cache_allocates_its_memory_once_and_takes_no_more_than_fits():
    cache, row = KVCache(3), torch.ones(1, 2, 1, 3)
    places = {cache.append(row, row)[0].data_ptr() for _ in range(3)}
    with pytest.raises(ValueError, match=says("4 tokens", "cache of 3")):
        cache.append(row, row)
    cache.clear()
    places.add(cache.append(2 * row, row)[0].data_ptr())
    assert len(places) == 1
    assert cache.length == 1


@pytest.mark.parametrize("position", ["learned", "rope"])
def test_on_the_cpu_attention_is_computed_in_float32_beside_bfloat16_products(tiny, position, monkeypatch):
    attention, seen, fused = MultiHeadAttention({**tiny, "position": position}), [], F.scaled_dot_product_attention

    def spy(*tensors, **options):
        seen.append(({tensor.dtype for tensor in tensors}, torch.is_autocast_enabled("cpu")))
        return fused(*tensors, **options)

    monkeypatch.setattr(F, "scaled_dot_product_attention", spy)
    x = torch.randn(2, 5, tiny["emb_dim"])
    with torch.autocast("cpu", torch.bfloat16):
        assert attention(x).dtype == torch.bfloat16  # the products around it are in bfloat16
    assert seen == [({torch.float32}, False)]
