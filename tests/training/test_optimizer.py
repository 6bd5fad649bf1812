"""The schedule and the groups of parameters."""

import pytest
import torch

from gpt.model.gpt2 import GPT2
from gpt.training.optimizer import OPTIMIZERS, learning_rate_at


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
