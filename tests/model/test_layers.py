"""LayerNorm, FeedForward and TransformerBlock against their formulas."""

import pytest
import torch

from gpt.model.layers import FeedForward, LayerNorm, TransformerBlock


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def test_layer_norm_equals_its_formula():
    norm, x = LayerNorm(6), 3 * torch.randn(2, 4, 6) + 1
    norm.weight.data, norm.bias.data = torch.randn(6), torch.randn(6)
    mean, variance = x.mean(dim=-1, keepdim=True), x.var(dim=-1, keepdim=True, unbiased=False)
    torch.testing.assert_close(norm(x), norm.weight * (x - mean) / torch.sqrt(variance + 1e-5) + norm.bias)


def test_layer_norm_by_hand():
    expected = torch.tensor([-1.0, 1.0]) / (1 + 1e-5) ** 0.5
    torch.testing.assert_close(LayerNorm(2)(torch.tensor([3.0, 5.0])), expected)


def test_layer_norm_of_equal_numbers_is_zero_and_not_a_division_by_zero():
    assert torch.equal(LayerNorm(4)(torch.full((1, 4), 7.0)), torch.zeros(1, 4))


@pytest.mark.parametrize("activation", ["gelu", "relu2"])
def test_feed_forward_equals_its_formula(tiny, activation):
    layer, x = FeedForward({**tiny, "activation": activation}), 3 * torch.randn(2, 5, tiny["emb_dim"])
    hidden = x @ layer.expand.weight.T + layer.expand.bias
    if activation == "gelu":  # the tanh approximation that GPT-2 was trained with
        hidden = 0.5 * hidden * (1 + torch.tanh((2 / torch.pi) ** 0.5 * (hidden + 0.044715 * hidden**3)))
    else:
        hidden = hidden.clamp(min=0) ** 2
    assert hidden.shape == (2, 5, 4 * tiny["emb_dim"])
    torch.testing.assert_close(layer(x), hidden @ layer.projection.weight.T + layer.projection.bias)


def test_a_block_adds_attention_and_then_feed_forward_to_the_stream(tiny):
    block, x = TransformerBlock(tiny).eval(), torch.randn(2, 8, tiny["emb_dim"])
    middle = x + block.attention(block.norm1(x))
    torch.testing.assert_close(block(x), middle + block.feed_forward(block.norm2(middle)))


def test_both_ways_through_a_block_agree(tiny):
    block, x = TransformerBlock(tiny).eval(), torch.randn(2, 8, tiny["emb_dim"])
    output, weights = block.explicit(x)
    torch.testing.assert_close(block(x), output)
    assert weights.shape == (2, tiny["n_heads"], 8, 8)


def test_dropout_works_in_training_and_rests_in_evaluation(tiny):
    block, x = TransformerBlock({**tiny, "dropout_rate": 0.5}), torch.randn(2, 8, tiny["emb_dim"])
    assert not torch.equal(block.train()(x), block(x))
    assert torch.equal(block.eval()(x), block(x))
