"""What CONFIG's `freeze` names stays as it was, bit for bit, and the rest learns."""

import pytest
import torch

from gpt.config import ConfigError, validate
from gpt.model.gpt2 import GPT2
from gpt.runs.run import Run, load_run
from gpt.runs.session import Session
from gpt.training.freezing import freeze
from gpt.training.optimizer import OPTIMIZERS
from tests.says import says
from tests.sessions import finish, same_weights, stop_after
from tests.training.together import end_well, words_of

pytestmark = pytest.mark.usefixtures("short_samples")


def changed(run: Run) -> set[str]:
    """The parameters that are not what they were at step 0."""
    before, after = (load_run(run.path, step)[0].state_dict() for step in (0, run.status()["step"]))
    return {name for name in before if not torch.equal(before[name], after[name])}


@pytest.mark.parametrize(("parts", "optimizer", "learns"), [
    ("", "muon", ("token_embedding", "blocks.0", "blocks.1", "final_norm")),
    ("embeddings", "muon", ("blocks.0", "blocks.1", "final_norm")),
    ("1", "adamw", ("token_embedding", "blocks.0", "final_norm")),
    (" embeddings , 0,1", "muon", ("final_norm",)),
    ("embeddings,0,1", "adamw", ("final_norm",)),
])
def test_the_frozen_parts_stay_and_the_rest_learns(parts, optimizer, learns, tmp_path, config):
    run = finish(Session(tmp_path, "a", {**config, "max_steps": 3, "warmup": 0, "freeze": parts, "optimizer": optimizer}))
    names = load_run(run.path)[0].state_dict().keys()
    assert changed(run) == {name for name in names if name.startswith(learns)}


def test_learned_positions_are_embeddings(tiny):
    model = GPT2({**tiny, "position": "learned", "freeze": "embeddings"})
    freeze(model)
    assert {name for name, parameter in model.named_parameters() if not parameter.requires_grad} == {
        "token_embedding.weight", "position_embedding.weight"}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_an_optimizer_keeps_nothing_for_what_is_frozen(tiny, name):
    model = GPT2({**tiny, "freeze": "embeddings,0"})
    freeze(model)
    optimizers = OPTIMIZERS[name].make(model, model.config)
    moved = {parameter for optimizer in optimizers for group in optimizer.param_groups for parameter in group["params"]}
    assert moved == {*model.blocks[1].parameters(), *model.final_norm.parameters()}


def test_a_frozen_run_goes_on_bit_for_bit(tmp_path, config):
    config |= {"max_steps": 8, "freeze": "0"}
    whole = finish(Session(tmp_path, "whole", config))
    stop_after(Session(tmp_path, "halves", config), 4)
    halves = finish(Session(tmp_path, "halves"))
    assert same_weights(whole.saves()[0], halves.saves()[0])


@pytest.mark.parametrize("shard", [[], ["--shard"]])
def test_several_processes_freeze_the_same(shard, tmp_path, config):
    config |= {"max_steps": 4, "freeze": "embeddings,1"}
    one = finish(Session(tmp_path / "runs", "one", config))
    end_well([*words_of(config, tmp_path / "runs"), "--run", "two", *shard], 2, tmp_path / "out")
    two = Run(tmp_path / "runs" / "two")
    assert changed(two) == changed(one)
    for ours, theirs in zip(load_run(one.path)[0].parameters(), load_run(two.path)[0].parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-4)


@pytest.mark.parametrize("parts", ["2", "-1", "head", "embeddings;0", "0,x"])
def test_what_is_no_part_is_refused(tiny, parts):
    with pytest.raises(ConfigError, match=says("is no part of this model", "embeddings, or layers from 0 to 1")):
        validate({**tiny, "freeze": parts})


def test_parts_of_random_weights_are_frozen_with_a_warning(tmp_path, config):
    run = finish(Session(tmp_path, "a", {**config, "max_steps": 1, "freeze": "0"}))
    assert any("freeze keeps parts of random weights" in row.get("text", "") for row in run.rows()[0])
