"""The tensors of a run: best weights, snapshots, the saves to go on from; and what is damaged is never used."""

import json
import math
import os
import shutil
from pathlib import Path

import pytest
import torch

from gpt.data.tokenizers.letters import CharTokenizer
from gpt.errors import UserError
from gpt.model.gpt2 import GPT2
from gpt.runs.run import Run, RunError, load_run
from gpt.runs.writer import RunWriter
from tests.says import says


def test_best_weights_come_back_exactly_and_snapshots_in_half_precision(saved):
    best, tokenizer = load_run(saved.path)
    snapshot, _ = load_run(saved.path, step=5)
    fresh = GPT2(saved.config()["config"])
    assert saved.snapshots() == [5]
    assert isinstance(tokenizer, CharTokenizer)
    for a, b, c in zip(fresh.parameters(), best.parameters(), snapshot.parameters(), strict=True):
        assert torch.equal(a, b)
        assert torch.equal(a.half().float(), c)
    assert not best.training
    assert {parameter.dtype for parameter in snapshot.parameters()} == {torch.float32}


def test_an_unknown_snapshot_is_told_with_the_known_ones(saved):
    with pytest.raises(RunError, match=says("saved", "step 7", "snapshots: 5")):
        load_run(saved.path, step=7)


def test_a_folder_that_is_no_run_is_told(tmp_path):
    with pytest.raises(RunError, match=says("damaged")):
        load_run(tmp_path / "nothing")


@pytest.mark.parametrize(("found", "told"), [
    (1, "format 1 | format 3 | that version"),
    (4, "format 4 | format 3 | that version"),
    (None, "format None"),
    ([3], "format [3]"),
])
def test_a_run_of_another_version_is_not_read_as_if_it_were_of_this_one(saved, found, told):
    path = saved.path / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "format": found}))
    with pytest.raises(RunError, match=says(told)):
        load_run(saved.path)
    with pytest.raises(RunError, match=says(told)):
        Run(saved.path).check_format()


@pytest.mark.parametrize("damage", ["empty", "cut", "noise", "other", "huge header"])
@pytest.mark.parametrize("step", [None, 5])
def test_damaged_weights_are_told(saved, damage, step):
    path = saved.weights(step)
    data = path.read_bytes()
    path.write_bytes({"empty": b"", "cut": data[:-100], "noise": b"\x07" * 500, "huge header": b"\xff" * 8 + data[8:],
                      "other": (saved.path / "last/step-000005.safetensors").read_bytes()}[damage])
    with pytest.raises(RunError, match=says("damaged", "CONFIG")):
        load_run(saved.path, step)


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory")])
def test_weights_that_do_not_fit_into_memory_are_told(saved, monkeypatch, error):
    def full(_):
        raise error

    monkeypatch.setattr("gpt.runs.run.GPT2", full)
    with pytest.raises(UserError, match=says("memory", "close", "smaller run")):
        load_run(saved.path)


def test_weights_of_another_config_are_told(saved):
    config = saved.config()
    config["config"]["emb_dim"] = 32
    (saved.path / "config.json").write_text(json.dumps(config))
    with pytest.raises(RunError, match=says("damaged", "CONFIG")):
        load_run(saved.path)


def test_a_last_state_comes_back_as_it_was(tmp_path, model):
    state = {"step": 5, "best": math.inf, "none": None, "yes": True, "generators": {"cpu": torch.get_rng_state()},
             "optimizers": [{"state": {0: {"step": torch.tensor(3.0), "average": torch.randn(2, 3).T}, 1: {}},
                             "param_groups": [{"betas": (0.9, 0.99), "params": [0, 1]}]}, {}], "empty": []}
    with RunWriter(tmp_path / "a") as writer:
        writer.save_last(model.state_dict(), state)
        weights, found, notes = writer.load_last()
    assert notes == []
    assert all(torch.equal(weights[name], value) for name, value in model.state_dict().items())
    kept = {key: found[key] for key in ("step", "best", "none", "yes", "empty")}
    assert kept == {"step": 5, "best": math.inf, "none": None, "yes": True, "empty": []}
    assert torch.equal(found["generators"]["cpu"], state["generators"]["cpu"])
    first = found["optimizers"][0]
    assert torch.equal(first["state"][0]["average"], state["optimizers"][0]["state"][0]["average"])
    assert first["state"][0]["step"] == torch.tensor(3.0)
    assert first["state"][1] == found["optimizers"][1] == {}
    assert first["param_groups"] == [{"betas": [0.9, 0.99], "params": [0, 1]}]


def test_the_two_newest_saves_are_kept(saved, model):
    with RunWriter(saved.path) as writer:
        writer.save_last(model.state_dict(), {"step": 6})
        writer.save_last(model.state_dict(), {"step": 70})
        assert writer.load_last()[1:] == ({"step": 70}, [])
        assert [path.name for path in writer.saves()] == ["step-000070.safetensors", "step-000006.safetensors"]


def test_a_save_cut_short_leaves_the_one_before(saved, model, monkeypatch):
    def power_cut(*_):
        raise KeyboardInterrupt

    with RunWriter(saved.path) as writer:
        for name in ("fsync", "replace"):
            monkeypatch.setattr(os, name, power_cut)
            with pytest.raises(KeyboardInterrupt):
                writer.save_last(model.state_dict(), {"step": 6})
            monkeypatch.undo()
            assert writer.load_last()[1] == {"step": 5}


def test_a_run_that_was_never_saved_has_no_last_state(writer):
    assert writer.load_last() is None


@pytest.mark.parametrize("damage", ["cut", "empty", "noise", "a byte"])
def test_a_damaged_save_is_told_and_the_one_before_is_used(saved, model, damage):
    with RunWriter(saved.path) as writer:
        writer.save_last(model.state_dict(), {"step": 6})
        newest = writer.saves()[0]
        data = bytearray(newest.read_bytes())
        data[-1] ^= 1
        newest.write_bytes({"cut": data[:-100], "empty": b"", "noise": b"\x07" * 500, "a byte": data}[damage])
        _, state, (note,) = writer.load_last()
        assert state == {"step": 5}
        assert note.startswith("the save step-000006.safetensors is damaged (")
        assert note.endswith("the one before it is used")
        assert not newest.exists()
        writer.saves()[0].write_bytes(b"")
        with pytest.raises(RunError, match=says("saves", "saved", "damaged")):
            writer.load_last()


def test_a_folder_that_cannot_be_written_is_told_in_one_sentence(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(RunError, match=says("Not a directory", "make room")), \
            RunWriter(tmp_path / "file" / "run"):
        pass


def test_a_tokenizer_of_another_run_is_refused(trained, tmp_path):
    copy = Path(shutil.copytree(trained, tmp_path / "copy"))
    (copy / "tokenizer.json").write_text('{"name": "byte"}')
    with pytest.raises(RunError, match=says("256 tokens", "model")):
        load_run(copy)
