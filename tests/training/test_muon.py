"""Muon: its step has about the size and the direction that it should, for matrices alone and together."""

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from gpt.training import muon as muon_module
from gpt.training.muon import Muon, as_matrices, as_parameter, orthogonalise, orthogonalise_flops

FORMATS = pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])


def random(*shape: int, seed: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@FORMATS
@pytest.mark.parametrize("shape", [(3, 8, 20), (2, 32, 128), (2, 16, 16), (1, 1, 5)])
def test_orthogonalised_matrices_have_singular_values_of_about_one(shape, dtype):
    matrices = random(*shape, seed=1)
    values = torch.linalg.svdvals(orthogonalise(matrices, dtype))
    significant = torch.linalg.svdvals(matrices) > 0.05 * torch.linalg.matrix_norm(matrices, 2)[:, None]
    assert significant.float().mean() > 0.9
    assert ((values > 0.6) & (values < 1.3))[significant].all()


@FORMATS
def test_the_direction_is_that_of_the_nearest_orthogonal_matrix(dtype):
    matrices = random(3, 8, 20, seed=2)
    u, _, vt = torch.linalg.svd(matrices, full_matrices=False)
    likeness = torch.cosine_similarity(orthogonalise(matrices, dtype).flatten(1), (u @ vt).flatten(1))
    assert (likeness > 0.97).all()


@FORMATS
def test_orthogonalising_does_not_depend_on_size_and_survives_zero(dtype):
    matrices = random(1, 6, 6, seed=3)
    torch.testing.assert_close(orthogonalise(1e6 * matrices, dtype), orthogonalise(matrices, dtype), rtol=0.05, atol=0.02)
    torch.testing.assert_close(orthogonalise(1e-4 * matrices, dtype), orthogonalise(matrices, dtype), rtol=0.05, atol=0.02)
    assert torch.equal(orthogonalise(torch.zeros(1, 6, 6), dtype), torch.zeros(1, 6, 6))


@pytest.mark.parametrize("shape", [(1, 8, 8), (2, 8, 32)])
def test_the_products_are_as_many_as_the_estimate_counts(shape):
    with FlopCounterMode(display=False) as counter:
        orthogonalise(random(*shape, seed=1))
    assert counter.get_total_flops() == shape[0] * orthogonalise_flops(*shape[1:])


@pytest.mark.parametrize(("shape", "matrices"), [((4, 9), (1, 4, 9)), ((9, 4), (1, 4, 9)), ((5, 5), (1, 5, 5)), ((12, 4), (3, 4, 4))])
def test_a_weight_is_one_matrix_or_three_and_can_be_put_together_again(shape, matrices):
    weight = random(*shape, seed=1)
    assert as_matrices(weight).shape == matrices
    assert torch.equal(as_parameter(as_matrices(weight), weight.shape), weight)


def test_queries_keys_and_values_are_made_orthogonal_apart():
    weight = nn.Parameter(torch.zeros(12, 4))
    weight.grad = random(12, 4, seed=1)
    Muon([weight], lr=0.1, weight_decay=0.0).step()
    for step, gradient in zip(weight.data.split(4), weight.grad.split(4), strict=True):
        assert torch.cosine_similarity(step.flatten(), -orthogonalise(gradient[None]).flatten(), dim=0) > 0.98
    torch.testing.assert_close(weight.data.norm(), 0.1 * 0.2 * 2 * orthogonalise(weight.grad.view(3, 4, 4)).norm())  # sqrt(4) = 2


def test_muon_reduces_a_quadratic():
    generator = torch.Generator().manual_seed(1)
    target = torch.randn(6, 10, generator=generator)
    weights = [nn.Parameter(torch.randn(6, 10, generator=generator)), nn.Parameter(torch.randn(10, 6, generator=generator))]
    muon = Muon(weights, lr=0.0, weight_decay=0.0)
    losses = []
    for step in range(100):
        muon.param_groups[0]["lr"] = 0.2 * (1 - step / 100)
        loss = (weights[0] - target).square().mean() + (weights[1] - target.T).square().mean()
        muon.zero_grad()
        loss.backward()
        muon.step()
        losses.append(loss.item())
    assert losses[-1] < 0.02 * losses[0]


def test_muons_first_step_is_orthogonal_and_as_large_as_promised():
    weight = nn.Parameter(torch.zeros(4, 9))
    weight.grad = random(4, 9, seed=1)
    Muon([weight], lr=0.1, weight_decay=0.0).step()
    orthogonal = orthogonalise(weight.grad[None])[0]
    assert torch.cosine_similarity(weight.data.flatten(), -orthogonal.flatten(), dim=0) > 0.98
    torch.testing.assert_close(weight.data.norm(), 0.1 * 0.2 * 3 * orthogonal.norm())  # sqrt(9) = 3


def test_rows_that_would_move_more_for_many_steps_are_slowed_down():
    weight = nn.Parameter(torch.zeros(12, 3))
    muon, lengths = Muon([weight], lr=0.1, weight_decay=0.0), []
    gradient = random(12, 3, seed=1)
    orthogonal = orthogonalise(gradient.T[None])[0].T
    assert orthogonal.norm(dim=1).max() > 1.5 * orthogonal.norm(dim=1).min()
    for _ in range(3):
        before, weight.grad = weight.data.clone(), gradient.clone()
        muon.step()
        lengths.append((weight.data - before).norm(dim=1))
    for each in lengths:
        torch.testing.assert_close(each, each.mean().expand(12), rtol=0.02, atol=0)


def test_state_that_was_saved_before_rows_were_averaged_can_be_gone_on_from():
    weight = nn.Parameter(random(6, 3, seed=1))
    weight.grad = random(6, 3, seed=2)
    muon = Muon([weight], lr=0.1, weight_decay=0.0)
    muon.step()
    saved = muon.state_dict()
    del saved["state"][0]["row_squares"]
    other = Muon([weight], lr=0.1, weight_decay=0.0)
    other.load_state_dict(saved)
    other.step()
    assert weight.data.isfinite().all()


def test_muons_decay_shrinks_the_weights():
    weight = nn.Parameter(torch.ones(3, 3))
    weight.grad = torch.zeros(3, 3)
    Muon([weight], lr=0.1, weight_decay=0.5).step()
    torch.testing.assert_close(weight.data, torch.full((3, 3), 0.95))


@pytest.mark.parametrize("at_once", [1, 30, 1000])
def test_matrices_of_one_shape_are_stepped_as_they_would_be_alone(monkeypatch, at_once):
    monkeypatch.setattr(muon_module, "NUMBERS_AT_ONCE", at_once)
    shapes = [(3, 5), (5, 3), (3, 5), (9, 3), (3, 3)]
    together, alone = ([nn.Parameter(torch.zeros(shape)) for shape in shapes] for _ in range(2))
    for i, (a, b) in enumerate(zip(together, alone, strict=True)):
        a.grad = b.grad = random(*shapes[i], seed=i)
    Muon(together, lr=0.1, weight_decay=0.1).step()
    for parameter in alone:
        Muon([parameter], lr=0.1, weight_decay=0.1).step()
    for a, b in zip(together, alone, strict=True):
        torch.testing.assert_close(a, b)
