"""A model without some of its heads: the same by weights and by edits, and nothing of the model changes."""

import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from gpt.interpret.ablation import (
    FEWEST_WINDOWS,
    Effect,
    HarderToken,
    KindEffect,
    ablated,
    affordable_windows,
    constant_output,
    head_means,
    importance,
    measure,
    next_tokens,
    sweep_layer,
    token_losses,
)
from gpt.interpret.trace import trace
from gpt.model.gpt2 import GPT2
from gpt.model.sampling import generate_text

IDS = torch.tensor([[3, 1, 4, 1, 5, 9, 2, 6], [5, 3, 5, 8, 9, 7, 9, 3], [2, 7, 1, 8, 2, 8, 1, 8]])
WINDOWS = torch.cat((IDS, torch.tensor([[5], [2], [2]])), dim=1)  # (3, 8 + 1)


@pytest.fixture(params=["learned", "rope"])
def model(tiny, request) -> GPT2:
    """A model with larger weights than those it begins with, so that its heads matter."""
    model = GPT2({**tiny, "position": request.param}).eval()
    for i, parameter in enumerate(model.parameters()):
        parameter.data += 0.2 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(i))
    return model


def logits_with(model: GPT2, edits: dict[int, list]) -> torch.Tensor:
    """The logits when the outputs of heads are edited in the open, layer -> edits one after the other."""
    def edit(layer):
        def all_of(heads):
            for one in edits.get(layer, []):
                heads = one(heads)
            return heads
        return all_of

    with torch.no_grad():
        x = model.embed(IDS)
        for layer, block in enumerate(model.blocks):
            x, _ = block.explicit(x, edit(layer))
        return model.unembed(x)


def test_zeroing_a_head_is_zeroing_its_rows_of_the_output_projection(model):
    other = ablated(model, [(1, 0)])
    before, after = model.blocks[1].attention.projection, other.blocks[1].attention.projection
    D = model.blocks[1].attention.head_dim
    torch.testing.assert_close(after.weight[:, D:], before.weight[:, D:], rtol=0, atol=0)
    assert (after.weight[:, :D] == 0).all()  # weight is (out, in): the rows of x @ W_O are its columns
    assert torch.equal(after.bias, before.bias)


@pytest.mark.parametrize("heads", [[(0, 1)], [(1, 0)], [(0, 0), (0, 1)], [(0, 1), (1, 0), (1, 1)]])
def test_zero_ablation_equals_an_edit_that_zeroes(model, heads):
    edits = {layer: [constant_output(head, 0.0) for other, head in heads if other == layer] for layer, _ in heads}
    with torch.no_grad():
        found = ablated(model, heads)(IDS)
        torch.testing.assert_close(found, logits_with(model, edits), rtol=1e-5, atol=1e-5)
        assert not torch.allclose(found, model(IDS), atol=1e-2)


@pytest.mark.parametrize("heads", [[(0, 1)], [(0, 0), (0, 1)], [(0, 1), (1, 0), (1, 1)]])
def test_mean_ablation_equals_an_edit_that_puts_the_mean(model, heads):
    means = head_means(model, IDS)
    edits = {layer: [constant_output(head, means[layer, head]) for other, head in heads if other == layer] for layer, _ in heads}
    with torch.no_grad():
        torch.testing.assert_close(ablated(model, heads, means)(IDS), logits_with(model, edits), rtol=1e-5, atol=1e-5)


def test_means_are_over_all_sequences_and_positions(model, tiny):
    means, seen = head_means(model, IDS), trace(model, IDS)
    assert means.shape == (2, 2, tiny["emb_dim"] // 2)
    said = seen.attend(1).heads[:, 0]  # (B, T, D)
    torch.testing.assert_close(means[1, 0], said.reshape(-1, said.shape[-1]).mean(dim=0))


def test_the_model_is_untouched_and_all_but_the_projections_is_shared(model):
    before = {name: tensor.clone() for name, tensor in (*model.named_parameters(), *model.named_buffers())}
    other = ablated(model, [(1, 0)], head_means(model, IDS))
    for name, tensor in (*model.named_parameters(), *model.named_buffers()):
        assert torch.equal(tensor, before[name]), name
    theirs = dict([*other.named_parameters(), *other.named_buffers()])
    mine = dict([*model.named_parameters(), *model.named_buffers()])
    own = {name for name in mine if theirs[name] is not mine[name]}
    assert own == {"blocks.1.attention.projection.weight", "blocks.1.attention.projection.bias"}
    assert [type(tensor) for tensor in theirs.values()] == [type(tensor) for tensor in mine.values()]


def test_without_any_head_the_feed_forward_layers_are_left(model):
    other = ablated(model, [(layer, head) for layer in range(2) for head in range(2)])
    with torch.no_grad():
        x = model.embed(IDS)
        for block in model.blocks:
            x = x + block.attention.projection.bias
            x = x + block.feed_forward(block.norm2(x))
        torch.testing.assert_close(other(IDS), model.unembed(x))
        last = IDS.clone()
        last[:, 0] = 11
        torch.testing.assert_close(other(last)[:, 1:], other(IDS)[:, 1:])  # no token knows of another


def test_it_writes_as_a_model_without_a_cache_does(model):
    other = ablated(model, [(0, 0)], head_means(model, IDS))
    written = generate_text(other, IDS[:1, :3], 5, temperature=0)
    with torch.no_grad():
        ids = IDS[:1, :3]
        for _ in range(5):
            ids = torch.cat((ids, other(ids)[:, -1:].argmax(dim=-1)), dim=1)
    assert written.tolist() == ids.tolist()


@pytest.mark.parametrize("head", [(2, 0), (0, 2)])
def test_a_head_that_is_not_there(model, head):
    with pytest.raises(IndexError):
        ablated(model, [head])


def test_losses_are_those_of_the_tokens_that_follow(model):
    with torch.no_grad():
        expected = F.cross_entropy(model(IDS).flatten(0, 1), WINDOWS[:, 1:].flatten(), reduction="none").view(3, 8)
    torch.testing.assert_close(token_losses(model, WINDOWS), expected)


def test_losses_in_portions_are_the_same(model, monkeypatch):
    whole = token_losses(model, WINDOWS)
    monkeypatch.setattr("gpt.interpret.ablation.LOGITS_AT_ONCE", 5 * model.vocab_size)
    torch.testing.assert_close(token_losses(model, WINDOWS), whole)


@pytest.mark.parametrize("by_mean", [True, False])
def test_the_sweep_equals_single_measurements(model, by_mean):
    means = head_means(model, IDS) if by_mean else None
    for layer in range(2):
        for head, swept in enumerate(sweep_layer(model, WINDOWS, layer, means)):
            single = measure(model, ablated(model, [(layer, head)], means), WINDOWS)
            np.testing.assert_allclose(swept.before, single.before, atol=1e-5)
            np.testing.assert_allclose(swept.after, single.after, atol=1e-5)
            assert abs(swept.change) > 1e-3


def silent(model: GPT2, layer: int, head: int) -> GPT2:
    """`model` with a head whose projection is zero."""
    attention = model.blocks[layer].attention
    attention.projection.weight.data.view(-1, attention.n_heads, attention.head_dim)[:, head] = 0
    return model


def test_a_head_that_says_nothing_has_no_effect_and_no_importance(model):
    model = silent(model, 0, 1)
    for means in (None, head_means(model, IDS)):
        swept = sweep_layer(model, WINDOWS, 0, means)
        assert (swept[1].change, swept[1].error, swept[1].harder_tokens) == (pytest.approx(0, abs=1e-6), pytest.approx(0, abs=1e-6), [])
        assert abs(swept[0].change) > 1e-3
    found = importance(model, WINDOWS)
    assert found[0, 1] == 0
    assert (np.delete(found.ravel(), 1) > 0).all()


def test_the_error_is_paired_over_sequences():
    before = np.array([[1.0, 3.0], [10.0, 10.0], [0.0, 0.0]])  # sequences differ much, their changes little
    effect = Effect(np.array([[7, 8], [7, 9], [8, 9]]), before, before + np.array([[0.1, 0.3], [0.4, 0.4], [-0.1, 0.1]]))
    assert effect.change == pytest.approx((0.2 + 0.4 + 0.0) / 3)
    assert effect.error == pytest.approx(0.2 / math.sqrt(3))  # 0.2, 0.4 and 0 have a standard deviation of 0.2
    assert math.isnan(Effect(effect.targets[:1], before[:1], before[:1]).error)


@pytest.mark.parametrize(("changes", "chance"), [
    ([0.095, 0.105], False), ([0.06, 0.14], True), ([0.0, 0.0], True), ([0.1], False), ([0.02, 0.18] * 8, False),
])
def test_few_sequences_need_a_larger_change(changes, chance):
    zeros = np.zeros((len(changes), 1))
    assert Effect(zeros.astype(int), zeros, np.array(changes)[:, None]).could_be_chance == chance


def test_those_who_suffer_are_told_the_largest_total_first():
    targets, before = np.array([[7, 8, 7], [6, 8, 5]]), np.zeros((2, 3))
    effect = Effect(targets, before, np.array([[0.2, 0.5, 0.4], [0.55, -0.1, -3.0]]))
    told = [(7, 2, 0.3), (6, 1, 0.55), (8, 2, 0.2)]
    assert effect.harder_tokens == [HarderToken(token, count, pytest.approx(change)) for token, count, change in told]


def test_the_change_is_known_for_each_kind_of_token():
    before = np.zeros((2, 3))
    effect = Effect(before.astype(int), before, np.array([[0.5, 1.0, 0.0], [0.1, 2.0, -1.0]]))
    kinds = np.array([[0, 2, 3], [0, 2, 3]])
    assert effect.by_kind(kinds, ("plain", "absent", "refrain", "sum")) == [
        KindEffect("refrain", 2, pytest.approx(1.5)), KindEffect("plain", 2, pytest.approx(0.3)), KindEffect("sum", 2, pytest.approx(-0.5))]


def test_importance_is_the_first_order_of_scaling_what_a_head_says(model):
    model = model.double()  # differences of nearby losses need its digits
    found, epsilon = importance(model, WINDOWS), 1e-5
    for layer in range(2):
        for head in range(2):
            def losses(factor: float, layer=layer, head=head) -> torch.Tensor:  # (3,), a mean for each sequence
                other = ablated(model, [])
                other.blocks[layer] = ablated(model, [(layer, head)]).blocks[layer]
                weight, whole = other.blocks[layer].attention.projection.weight.data, model.blocks[layer].attention.projection.weight.data
                other.blocks[layer].attention.projection.weight.data = (1 - factor) * weight + factor * whole
                return token_losses(other, WINDOWS).mean(dim=1)

            slopes = (losses(1) - losses(1 - epsilon)) / epsilon
            assert found[layer, head] == pytest.approx(slopes.abs().mean().item(), rel=1e-3)


def test_nothing_has_a_gradient_afterwards(model):
    means = head_means(model, IDS)
    other = ablated(model, [(0, 0)], means)
    importance(model, WINDOWS)
    sweep_layer(model, WINDOWS, 0, means)
    measure(model, other, WINDOWS)
    assert all(parameter.grad is None for one in (model, other) for parameter in one.parameters())
    assert all(parameter.requires_grad for parameter in other.parameters())
    assert not means.requires_grad


def test_importance_needs_no_trainable_parameters(model):
    found = importance(model, WINDOWS)
    np.testing.assert_allclose(importance(model.requires_grad_(False), WINDOWS), found)


@pytest.mark.parametrize("training", [True, False])
def test_the_mode_is_kept_and_dropout_does_not_show(tiny, training):
    model = GPT2({**tiny, "dropout_rate": 0.5}).train(training)
    other = ablated(model, [(0, 0)])
    assert other.training == training
    for found in (lambda: measure(model, other, WINDOWS).change, lambda: sweep_layer(model, WINDOWS, 1)[0].change,
                  lambda: importance(model, WINDOWS)[0, 0], lambda: head_means(model, IDS)[0, 0, 0].item(),
                  lambda: next_tokens(model, other, IDS[:1], 3)):
        random_state = torch.get_rng_state()
        assert found() == found()
        assert torch.equal(torch.get_rng_state(), random_state)
        assert (model.training, other.training, other.blocks[0].training) == (training, training, training)


def test_next_tokens_of_both(model):
    other = ablated(model, [(0, 0), (1, 1)])
    found = next_tokens(model, other, IDS[:1], 3)
    with torch.no_grad():
        before, after = (one(IDS[:1])[0, -1].softmax(dim=0) for one in (model, other))
    assert {token for token, _, _ in found} == {*before.topk(3).indices.tolist(), *after.topk(3).indices.tolist()}
    for token, p, q in found:
        assert (p, q) == pytest.approx((before[token].item(), after[token].item()), abs=1e-6)
    assert [p for _, p, _ in found] == sorted((p for _, p, _ in found), reverse=True)


def test_a_large_model_is_tried_on_fewer_sequences(model, monkeypatch):
    windows = torch.arange(16)[:, None].expand(16, 9)
    assert affordable_windows(model, windows).equal(windows)
    flops = 2 * sum(parameter.numel() for parameter in model.parameters()) * 8 * 2
    monkeypatch.setattr("gpt.interpret.ablation.FLOPS_A_LAYER", 4 * flops)
    assert affordable_windows(model, windows)[:, 0].tolist() == [0, 5, 10, 15]
    monkeypatch.setattr("gpt.interpret.ablation.FLOPS_A_LAYER", 1)
    assert len(affordable_windows(model, windows)) == FEWEST_WINDOWS
    assert len(affordable_windows(model, windows[:1])) == 1
