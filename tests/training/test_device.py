"""Where to compute and in which number format, and the reasons given for it."""

import re

import pytest
import torch

import gpt.training.device
from gpt.errors import UserError
from gpt.model.attention import KVCache
from gpt.model.gpt2 import GPT2
from gpt.runs.session import Session
from gpt.training.device import bfloat16_gain, choose_precision, describe_device
from tests.says import says
from tests.sessions import finish

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


@pytest.mark.parametrize("wanted", ["float32", "bfloat16", "float16"])
def test_a_number_format_asked_for_is_taken(wanted):
    assert choose_precision(wanted, CPU) == (wanted, f"{wanted}: asked for")


@pytest.mark.parametrize(("gain", "chosen", "reason"), [
    (0.01, "float32", "float32: bfloat16 products are 100 times slower here"),
    (0.5, "float32", "float32: bfloat16 products are 2 times slower here"),
    (1.3, "float32", "float32: bfloat16 products are only 1.3 times faster here"),
    (1.9, "bfloat16", "bfloat16: this CPU multiplies it 1.9 times faster"),
    (4.8, "bfloat16", "bfloat16: this CPU multiplies it 4.8 times faster"),
])
def test_a_cpu_gets_bfloat16_where_that_is_measured_to_be_fast(monkeypatch, gain, chosen, reason):
    monkeypatch.setattr(gpt.training.device, "bfloat16_gain", lambda: gain)
    assert choose_precision("auto", CPU) == (chosen, reason)


@pytest.mark.parametrize(("has_units", "chosen"), [(True, "bfloat16"), (False, "float16")])
def test_a_gpu_gets_the_half_precision_it_has_units_for(monkeypatch, has_units, chosen):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: has_units)
    precision, reason = choose_precision("auto", CUDA)
    assert precision == chosen
    assert reason.startswith(f"{chosen}: this GPU has ")


def test_the_gain_is_measured_once():
    assert bfloat16_gain() > 0
    assert bfloat16_gain() is bfloat16_gain()


def test_a_cpu_is_described_with_its_threads():
    assert re.match(rf"CPU, {torch.get_num_threads()} threads?\b", describe_device(CPU))


@pytest.mark.parametrize("compiler", ["/bin/false", "no-such-compiler"])
def test_a_compiler_that_does_not_work_is_told_before_anything_is_left_behind(monkeypatch, tmp_path, config, compiler):
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "cache"))
    told = says("compile", compiler, "false", "g++")
    with torch._inductor.config.patch({"cpp.cxx": (None, compiler)}), pytest.raises(UserError, match=told):
        finish(Session(tmp_path / "runs", "a", {**config, "compile": True}))
    assert list((tmp_path / "runs").iterdir()) == []


@pytest.mark.parametrize("changes", [{}, {"position": "learned", "qk_norm": False, "activation": "gelu"}])
def test_a_large_model_writes_with_weights_in_bfloat16_where_that_is_faster(tiny, monkeypatch, changes):
    model = GPT2({**tiny, **changes}).eval()
    assert gpt.training.device.for_writing(model) == (model, "")
    monkeypatch.setattr(gpt.training.device, "LARGE", 1)
    monkeypatch.setattr(gpt.training.device, "bfloat16_gain", lambda: 1.4)
    assert gpt.training.device.for_writing(model) == (model, "")
    monkeypatch.setattr(gpt.training.device, "bfloat16_gain", lambda: 1.6)
    halved, words = gpt.training.device.for_writing(model)
    assert words == "weights in bfloat16"
    assert {parameter.dtype for parameter in halved.parameters()} == {torch.bfloat16}
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    caches = [[KVCache(each.context_length) for _ in each.blocks] for each in (model, halved)]
    with torch.no_grad():
        for ids in torch.tensor([[1, 2, 3]]), torch.tensor([[5]]):  # a prompt, then one token more
            exact, near = (each(ids, cache).float() for each, cache in zip((model, halved), caches, strict=True))
            torch.testing.assert_close(near, exact, rtol=0, atol=0.02 * exact.abs().max().item())
