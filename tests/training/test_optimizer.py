"""The schedule, the groups of parameters, and Muon."""

import pytest
import torch
from torch import nn

from gpt.model.gpt2 import GPT2
from gpt.training.optimizer import OPTIMIZERS, Muon, learning_rate_at, orthogonalise


@pytest.mark.parametrize(("step", "progress", "rate"), [
    (0, 0.0, 0.25), (1, 0.0, 0.5), (3, 0.0, 1.0), (9, 0.0, 1.0),  # warmup over 4 steps
    (9, 0.25, 0.75), (9, 0.5, 0.5), (9, 1.0, 0.0), (9, 1.5, 0.0),  # then down in a line
    (1, 0.5, 0.25),  # both at once
])
def test_the_rate_rises_over_warmup_and_falls_in_a_line_to_zero(step, progress, rate):
    assert learning_rate_at(step, progress, peak=1.0, warmup=4) == pytest.approx(rate)
    assert learning_rate_at(step, progress, peak=0.02, warmup=4) == pytest.approx(0.02 * rate)


def test_without_warmup_the_rate_begins_at_its_peak():
    assert learning_rate_at(0, 0.0, peak=0.3, warmup=0) == 0.3


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
@pytest.mark.parametrize("tie_weights", [False, True])
@pytest.mark.parametrize("position", ["learned", "rope"])
def test_every_parameter_is_in_exactly_one_group(tiny, optimizer, tie_weights, position):
    config = {**tiny, "optimizer": optimizer, "tie_weights": tie_weights, "position": position}
    model = GPT2(config)
    grouped = [id(p) for o in OPTIMIZERS[config["optimizer"]].make(model, config) for group in o.param_groups for p in group["params"]]
    assert len(grouped) == len(set(grouped))
    assert set(grouped) == {id(parameter) for parameter in model.parameters()}


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_weight_decay_falls_on_matrices_only(tiny, optimizer):
    config = {**tiny, "optimizer": optimizer, "weight_decay": 0.3}
    for each in OPTIMIZERS[config["optimizer"]].make(GPT2(config), config):
        for group in each.param_groups:
            assert all(group["weight_decay"] == (0.3 if parameter.ndim == 2 else 0.0) for parameter in group["params"])


def test_muon_has_the_matrices_of_the_blocks_and_adamw_the_rest(tiny):
    config = {**tiny, "optimizer": "muon", "position": "learned"}
    model = GPT2(config)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    adamw, muon = OPTIMIZERS[config["optimizer"]].make(model, config)
    by_muon = {names[id(p)] for group in muon.param_groups for p in group["params"]}
    assert by_muon == {name for name, p in model.named_parameters() if name.startswith("blocks.") and p.ndim == 2}
    assert {"token_embedding.weight", "position_embedding.weight"} <= {names[id(p)] for p in adamw.param_groups[0]["params"]}


def test_adamw_is_alone_when_asked_for(tiny):
    config = {**tiny, "optimizer": "adamw"}
    assert [type(each) for each in OPTIMIZERS[config["optimizer"]].make(GPT2(config), config)] == [torch.optim.AdamW]


@pytest.mark.parametrize("shape", [(3, 8, 20), (2, 20, 8), (2, 16, 16), (1, 1, 5)])
def test_orthogonalised_matrices_have_singular_values_of_about_one(shape):
    matrices = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    values = torch.linalg.svdvals(orthogonalise(matrices))
    significant = torch.linalg.svdvals(matrices) > 0.05 * torch.linalg.matrix_norm(matrices, 2)[:, None]
    assert significant.float().mean() > 0.9
    assert ((values > 0.6) & (values < 1.3))[significant].all()


@pytest.mark.parametrize("shape", [(3, 8, 20), (2, 20, 8)])
def test_the_direction_is_that_of_the_nearest_orthogonal_matrix(shape):
    matrices = torch.randn(shape, generator=torch.Generator().manual_seed(2))
    u, _, vt = torch.linalg.svd(matrices, full_matrices=False)
    likeness = torch.cosine_similarity(orthogonalise(matrices).flatten(1), (u @ vt).flatten(1))
    assert (likeness > 0.98).all()


def test_orthogonalising_does_not_depend_on_size_and_survives_zero():
    matrices = torch.randn(1, 6, 6, generator=torch.Generator().manual_seed(3))
    torch.testing.assert_close(orthogonalise(1000 * matrices), orthogonalise(matrices), rtol=1e-3, atol=1e-4)
    assert torch.equal(orthogonalise(torch.zeros(1, 6, 6)), torch.zeros(1, 6, 6))


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
    assert losses[-1] < 0.01 * losses[0]


def test_muons_first_step_is_orthogonal_and_as_large_as_promised():
    weight = nn.Parameter(torch.zeros(4, 9))
    weight.grad = torch.randn(4, 9, generator=torch.Generator().manual_seed(1))
    Muon([weight], lr=0.1, weight_decay=0.0).step()
    torch.testing.assert_close(weight.data, -0.1 * 0.2 * 3 * orthogonalise(weight.grad[None])[0])  # sqrt(9) = 3


def test_muons_decay_shrinks_the_weights():
    weight = nn.Parameter(torch.ones(3, 3))
    weight.grad = torch.zeros(3, 3)
    Muon([weight], lr=0.1, weight_decay=0.5).step()
    torch.testing.assert_close(weight.data, torch.full((3, 3), 0.95))


def test_matrices_of_one_shape_are_stepped_as_they_would_be_alone():
    generator = torch.Generator().manual_seed(4)
    together = [nn.Parameter(torch.zeros(3, 5)) for _ in range(3)]
    alone = [nn.Parameter(torch.zeros(3, 5)) for _ in range(3)]
    for a, b in zip(together, alone, strict=True):
        a.grad = b.grad = torch.randn(3, 5, generator=generator)
    Muon(together, lr=0.1, weight_decay=0.1).step()
    for parameter in alone:
        Muon([parameter], lr=0.1, weight_decay=0.1).step()
    for a, b in zip(together, alone, strict=True):
        torch.testing.assert_close(a, b)
