"""The price of a CONFIG, held to what is then built, and the memory told to what a run then takes."""

import os
import random
import statistics
import subprocess
import sys
import time

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

import gpt.estimate.price
from gpt.config import CONFIG, PRESETS, as_flags, validate
from gpt.data.tokenizers.base import TextToLearn
from gpt.data.tokenizers.table import make_tokenizer
from gpt.estimate.calibration import PROBES, probe_seconds
from gpt.estimate.price import (
    Work,
    estimate,
    evaluation_work,
    flops_per_step,
    machine_speed,
    optimizer_bytes,
    peak_bytes,
    seconds_of,
    step_work,
    training_bytes,
)
from gpt.model.flops import (
    count_parameters,
    flops_by_part,
    flops_per_token,
    model_flops_utilisation,
    peak_flops,
)
from gpt.model.gpt2 import GPT2
from gpt.training.device import free_bytes
from gpt.training.muon import as_matrices, orthogonalise
from gpt.training.optimizer import OPTIMIZERS
from tests.serving import free_port


def random_config(seed: int) -> dict:
    rng = random.Random(seed)
    n_heads = rng.randint(1, 4)
    config = {**CONFIG, "tokenizer": rng.choice(["char", "byte", "gpt2"]), "vocab_size": rng.randint(2, 200), "n_heads": n_heads,
              "emb_dim": 2 * n_heads * rng.randint(2, 5), "n_layers": rng.randint(1, 4), "context_length": rng.randint(2, 40),
              "vocab_multiple": rng.choice([1, 7, 64]), "position": rng.choice(["learned", "rope"]),
              "activation": rng.choice(["gelu", "relu2"]), "optimizer": rng.choice(["adamw", "muon"])}
    return validate(config | {name: rng.random() < 0.5 for name in ("qk_norm", "qkv_bias", "tie_weights")})


def parameters_of_modules(config: dict) -> dict[str, int]:
    """What the built model has; each norm counts with the part that it stands before."""
    parts = {"embedding": ("_embedding",), "attention": (".attention.", "norm1"), "feed-forward": (".feed_forward.", "norm2"),
             "head": ("head.weight", "final_norm")}
    named = list(GPT2(config).named_parameters())
    return {part: sum(p.numel() for name, p in named if any(word in name for word in words)) for part, words in parts.items()}


@pytest.mark.parametrize("part", range(4))
def test_parameters_are_exact_for_any_config_in_each_part_and_in_total(part):
    for seed in range(50 * part, 50 * part + 50):
        config = random_config(seed)
        assert count_parameters(config) == parameters_of_modules(config), config
        assert sum(count_parameters(config).values()) == sum(p.numel() for p in GPT2(config).parameters()), config


def test_gpt2_124m_has_its_published_124_million_parameters():
    config = {**PRESETS["gpt2-124m"].config, "vocab_multiple": 1}
    assert sum(count_parameters(config).values()) == 124_439_808


def test_flops_per_token_by_hand(tiny):
    config = {**tiny, "emb_dim": 4, "n_heads": 2, "n_layers": 1, "context_length": 8, "vocab_size": 10}
    assert flops_by_part(config) == {"embedding": 0, "attention": 6 * (4 * 16 + 2 * 4 * 8), "feed-forward": 6 * 8 * 16, "head": 6 * 10 * 4}
    assert flops_per_token(config) == 6 * (12 * 4 * 4 + 10 * 4) + 6 * 2 * 4 * 8


def test_flops_per_step_grow_with_batch_and_with_muon(tiny):
    one = flops_per_step({**tiny, "optimizer": "adamw", "batch": 1})
    assert flops_per_step({**tiny, "optimizer": "adamw", "batch": 4, "grad_accum": 3}) == 12 * one
    assert flops_per_step({**tiny, "optimizer": "muon", "batch": 1}) > one


def test_newton_schulz_is_counted_as_it_is_computed(tiny):
    matrices = [p for p in GPT2({**tiny, "n_layers": 1}).blocks.parameters() if p.ndim == 2]
    with FlopCounterMode(display=False) as counter:
        for matrix in matrices:
            orthogonalise(as_matrices(matrix.detach()))
    assert OPTIMIZERS["muon"].update_flops({**tiny, "n_layers": 1}) == counter.get_total_flops()


@pytest.mark.parametrize("name", ["adamw", "muon"])
def test_the_optimizers_state_is_exact(tiny, name):
    config = {**tiny, "optimizer": name}
    model = GPT2(config)
    model.loss(torch.zeros(1, 8, dtype=torch.long), torch.zeros(1, 8, dtype=torch.long)).backward()
    optimizers = OPTIMIZERS[config["optimizer"]].make(model, config)
    for optimizer in optimizers:
        optimizer.step()
    kept = [value for optimizer in optimizers for state in optimizer.state.values() for value in state.values()
            if isinstance(value, torch.Tensor) and value.ndim]
    assert optimizer_bytes(config) == sum(value.nbytes for value in kept)


def peak_memory_of_a_run(config: dict, root, processes: int = 1) -> int:
    """What all processes that train it take together, each at its own peak."""
    program = ("import sys; from gpt.pretrain import main; main(sys.argv[1:]); "
               "from tests.benchmarks.memory import peak_resident_bytes; print('peak', peak_resident_bytes())")
    words = as_flags({name: value for name, value in config.items() if value != CONFIG[name]})
    shared = {"WORLD_SIZE": str(processes), "LOCAL_WORLD_SIZE": str(processes), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
    begun = [subprocess.Popen([sys.executable, "-c", program, "--checkpoints", root, *words], stdout=subprocess.PIPE, text=True,
                              env=os.environ | shared | {"RANK": str(rank), "LOCAL_RANK": str(rank)}) for rank in range(processes)]
    printed = [process.communicate()[0] for process in begun]
    assert [process.returncode for process in begun] == [0] * processes
    return sum(int(text.split()[-1]) for text in printed)


@pytest.mark.skipif(sys.platform != "linux", reason="resident memory is told by Linux")
@pytest.mark.parametrize(("changes", "processes"), [
    ({"vocab_size": 256, "batch": 96, "max_steps": 1}, 1),
    ({"vocab_size": 256, "n_layers": 6, "emb_dim": 512, "optimizer": "adamw", "batch": 1, "eval_tokens": 64, "max_steps": 1}, 1),
    ({"vocab_size": 256, "n_layers": 6, "emb_dim": 512, "optimizer": "adamw", "batch": 32, "eval_tokens": 64, "max_steps": 2}, 2),
])
def test_memory_is_told_within_a_fifth(changes, processes, tmp_path, text_file):
    config = {**CONFIG, "corpus": text_file, "tokenizer": "byte", "precision": "float32", "device": "cpu", "warmup": 0, **changes}
    told = training_bytes(config, processes=processes)
    assert told == pytest.approx(peak_memory_of_a_run(config, str(tmp_path), processes), rel=0.2)


@pytest.mark.skipif(sys.platform != "linux", reason="resident memory is told by Linux")
@pytest.mark.parametrize("tokenizer", ["char", "gpt2", "bpe"])
@pytest.mark.parametrize("times", [4_000, 16_000], ids=["in memory", "in files"])
def test_the_memory_of_a_text_is_told_too(tokenizer, times, tmp_path, text):
    path = tmp_path / "long.txt"
    path.write_text(text * times, encoding="utf-8")  # 9 or 37 million characters
    config = {**CONFIG, "corpus": str(path), "tokenizer": tokenizer, "precision": "float32", "device": "cpu", "n_layers": 1, "emb_dim": 8,
              "n_heads": 1, "context_length": 16, "batch": 1, "max_steps": 1, "warmup": 0, "eval_tokens": 64, "head_scores": 0}
    n_tokens = len(make_tokenizer(tokenizer, TextToLearn.of(text), 256).encode(text)) * times
    told = training_bytes(config, n_tokens)
    assert told == pytest.approx(peak_memory_of_a_run(config, str(tmp_path)), rel=0.2)


def test_a_gpu_keeps_half_the_bytes_of_what_is_multiplied_and_holds_no_process(tiny):
    config = {**PRESETS["gpt2-124m"].config, "batch": 8, "grad_accum": 1}
    float32, bfloat16 = (peak_bytes(config, True, precision) for precision in ("float32", "bfloat16"))
    assert 0.5 < bfloat16 / float32 < 0.75  # weights, gradients and state stay as they are
    assert peak_bytes(tiny, True, "bfloat16") < 50e6 < 300e6 < peak_bytes(tiny, False, "float32")
    dropout = {**config, "dropout_rate": 0.1}
    assert peak_bytes(dropout, True, "bfloat16") < 1.1 * bfloat16  # a GPU's kernel drops inside, this CPU's keeps all weights
    assert peak_bytes(dropout, False, "float32") > 1.5 * peak_bytes(config, False, "float32")


def test_free_memory_is_that_of_the_machine():
    assert 1e8 < free_bytes(torch.device("cpu")) < 1e14


def test_what_does_not_fit_names_the_settings_that_help_most(monkeypatch, known_speed):
    monkeypatch.setattr("gpt.estimate.price.free_bytes", lambda device: 3_000_000_000)
    short = {**CONFIG, "n_layers": 6, "device": "cpu", "precision": "float32"}
    small, large = (estimate({**short, "batch": batch}, 90_000) for batch in (16, 1024))
    assert (small.fits, large.fits) == (True, False)
    assert large.settings_to_lower == ("batch", "context_length")
    wide = {**CONFIG, "emb_dim": 2048, "n_layers": 48, "batch": 1, "precision": "float32"}
    assert estimate(wide, 90_000).settings_to_lower == ("n_layers", "emb_dim")


@pytest.fixture
def known_speed(monkeypatch):
    speed = Work(products=1e-9)
    monkeypatch.setattr(gpt.estimate.price, "machine_speed", lambda device, precision="auto": speed)
    return speed


def test_time_is_work_at_its_rates(known_speed, tiny):
    config = {**tiny, "max_steps": 100, "eval_every": 50, "eval_tokens": 1000}
    price = estimate(config, n_train_tokens=90_000)
    training, evaluations = 100 * flops_per_step(config), 3 * (1000 + 48) * flops_per_token(config) / 3  # each with a sample of 48 tokens
    assert price.steps == 100
    assert price.seconds == pytest.approx((training + evaluations) * 1e-9, rel=1e-6)
    assert price.n_parameters == sum(price.parameters.values())
    assert price.weight_bytes == 4 * price.n_parameters
    assert price.flops_per_step == flops_per_step(config)


def test_work_is_counted_by_hand():
    config = {**PRESETS["gpt2-classic"].config, "emb_dim": 4, "n_heads": 2, "n_layers": 3, "context_length": 8, "vocab_size": 10,
              "batch": 5, "grad_accum": 2, "tokenizer": "char"}
    kept, attended, n = 16 * 4, 2 * 8, sum(count_parameters(config).values())
    assert step_work(config, False) == Work(2, 6, 80 * flops_per_token(config), 80 * 3 * (kept + attended) + n, 80 * 10, 0)
    large = {**config, "emb_dim": 512, "batch": 1024, "grad_accum": 1}  # (8192, 4 * 512) numbers are 64 MiB, (8192, 512) are 16
    assert step_work(large, False).fresh == 2 * 8192 * 3 * (3 + 4 + 4) * 512
    assert evaluation_work(config, 4096, False).logits == pytest.approx((4096 + 48) * 10 / 3)


def test_one_step_and_one_evaluation_are_priced_too(known_speed, tiny):
    whole, limited = ({**tiny, "max_steps": 1_000, "eval_every": 1_000, "max_minutes": minutes} for minutes in (0.0, 0.001))
    cost = estimate(whole, 100_000, "cpu")
    assert 0 < cost.step_seconds < cost.seconds
    assert 0 < cost.evaluation_seconds < cost.seconds
    assert 1_000 * cost.step_seconds + cost.evaluation_seconds == pytest.approx(cost.seconds, rel=0.05)
    assert estimate(limited, 100_000, "cpu").step_seconds == cost.step_seconds
    assert estimate({**whole, "grad_accum": 4}, 100_000, "cpu").step_seconds > 2 * cost.step_seconds


def test_the_clock_may_end_a_run_before_its_steps(known_speed, tiny):
    assert estimate({**tiny, "max_steps": 10**8, "max_minutes": 2.0}, 1000).seconds == 120
    assert estimate({**tiny, "max_steps": 0, "max_minutes": 2.0}, 1000).seconds == 120
    assert estimate({**tiny, "max_steps": 1, "max_minutes": 2.0}, 1000).seconds < 120


def test_a_short_text_is_evaluated_on_what_it_has(known_speed, tiny):
    config = {**tiny, "eval_tokens": 0}
    assert estimate(config, 90_000).seconds > estimate(config, 9000).seconds
    assert estimate({**config, "eval_tokens": 500}, 90_000).seconds == estimate({**config, "eval_tokens": 500}, 9000).seconds


def test_the_speed_of_this_machine_is_measured_once_and_leaves_random_numbers_alone():
    before = torch.get_rng_state()
    assert seconds_of(step_work(CONFIG, False), machine_speed("cpu")) > 1e-6
    assert torch.equal(torch.get_rng_state(), before)
    assert machine_speed("cpu") is machine_speed("cpu")


def test_the_rates_of_a_machine_are_found_from_the_times_of_its_probes(monkeypatch):
    rates = Work(steps=1e-3, layers=2e-4, products=1e-11, elements=3e-10, logits=4e-9, fresh=0.0)
    measured = [(config, seconds_of(step_work(config, False), rates)) for config in PROBES]
    monkeypatch.setattr(gpt.estimate.price, "probe_seconds", lambda device, precision: measured)
    found = gpt.estimate.price._speed.__wrapped__("cpu", "float32")
    assert found[:-1] == pytest.approx(rates[:-1], rel=1e-3)
    for config, seconds in measured:
        assert seconds_of(step_work(config, False), found._replace(fresh=0.0)) == pytest.approx(seconds, rel=1e-3)


def test_no_rate_of_a_real_machine_is_below_zero():
    assert all(rate >= 0 for rate in machine_speed("cpu", "float32"))


def test_a_machine_too_busy_to_measure_all_still_has_a_speed(monkeypatch):
    monkeypatch.setattr("gpt.estimate.calibration.MOST_SECONDS", 0.0)
    measured = probe_seconds.__wrapped__("cpu", "float32")
    assert len(measured) == 1
    monkeypatch.setattr("gpt.estimate.price.probe_seconds", lambda device, precision: measured)
    (config, seconds), = measured
    assert seconds_of(step_work(config, False), gpt.estimate.price._speed.__wrapped__("cpu", "float32")) == pytest.approx(seconds)


def test_a_price_is_told_at_once():
    machine_speed("cpu", "float32")
    times = []
    for batch in range(1, 21):
        start = time.perf_counter()
        estimate({**CONFIG, "batch": batch, "precision": "float32"}, 300_000, "cpu")
        times.append(time.perf_counter() - start)
    assert statistics.median(times) < 0.05


@pytest.mark.parametrize(("name", "precision", "flops"), [
    ("NVIDIA A100-SXM4-80GB", "bfloat16", 312e12), ("NVIDIA H100 80GB HBM3", "bfloat16", 989e12), ("NVIDIA H200", "float16", 989e12),
    ("NVIDIA L4", "bfloat16", 121e12), ("NVIDIA L40S", "bfloat16", None), ("Tesla T4", "float16", 65e12), ("Tesla T4", "bfloat16", None),
    ("NVIDIA GeForce RTX 3090", "bfloat16", 71e12), ("NVIDIA GeForce RTX 3090 Ti", "bfloat16", None), ("NVIDIA H200 NVL", "float16", None),
    ("NVIDIA GeForce RTX 4090", "bfloat16", 165e12), ("NVIDIA A100-PCIE-40GB", "float32", None), ("NVIDIA H100 PCIe", "bfloat16", None),
])
def test_the_peak_of_a_known_gpu(monkeypatch, name, precision, flops):
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: name)
    assert peak_flops(torch.device("cuda"), precision) == flops


def test_a_cpu_has_no_known_peak_and_no_utilisation(monkeypatch):
    cpu, gpu = torch.device("cpu"), torch.device("cuda")
    assert model_flops_utilisation(CONFIG, 1000, cpu, "float32") is None
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "NVIDIA H200")
    assert model_flops_utilisation(CONFIG, 989e12 / flops_per_token(CONFIG) / 2, gpu, "bfloat16") == pytest.approx(0.5)
