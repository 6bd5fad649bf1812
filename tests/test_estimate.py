"""The price of a CONFIG, held to what is then built."""

import random

import pytest

import gpt.estimate
from gpt.config import CONFIG, PRESETS, validate
from gpt.estimate import count_parameters, estimate, flops_per_step, flops_per_token, machine_speed, training_bytes
from gpt.model import GPT2


def random_config(seed: int) -> dict:
    rng = random.Random(seed)
    n_heads = rng.randint(1, 4)
    config = {**CONFIG, "tokenizer": rng.choice(["char", "byte", "gpt2"]), "vocab_size": rng.randint(2, 200), "n_heads": n_heads,
              "emb_dim": 2 * n_heads * rng.randint(2, 5), "n_layers": rng.randint(1, 4), "context_length": rng.randint(2, 40),
              "vocab_multiple": rng.choice([1, 7, 64]), "position": rng.choice(["learned", "rope"]),
              "activation": rng.choice(["gelu", "relu2"]), "optimizer": rng.choice(["adamw", "muon"])}
    return validate(config | {name: rng.random() < 0.5 for name in ("qk_norm", "qkv_bias", "tie_weights")})


@pytest.mark.parametrize("part", range(4))
def test_parameters_are_exact_for_any_config(part):
    for seed in range(25 * part, 25 * part + 25):
        config = random_config(seed)
        assert sum(count_parameters(config).values()) == sum(p.numel() for p in GPT2(config).parameters()), config


def test_parameters_of_each_part_are_those_of_the_modules(tiny):
    config = {**tiny, "position": "learned", "tie_weights": False}
    model, counted = GPT2(config), count_parameters(config)

    def size(*words: str) -> int:
        return sum(p.numel() for name, p in model.named_parameters() if any(word in name for word in words))

    assert counted == {"embeddings": size("_embedding"), "attention": size(".attention."), "feed-forward": size(".feed_forward."),
                       "head": size("head.weight"), "norms": size("norm")}


def test_gpt2_124m_has_its_published_124_million_parameters():
    config = {**PRESETS["gpt2-124m"].config, "vocab_multiple": 1}
    assert sum(count_parameters(config).values()) == 124_439_808


def test_flops_per_token_by_hand(tiny):
    config = {**tiny, "emb_dim": 4, "n_heads": 2, "n_layers": 1, "context_length": 8, "vocab_size": 10}
    weights = 12 * 4 * 4 + 10 * 4  # a block's four attention matrices and its two of 4C, and the head
    assert flops_per_token(config) == 6 * weights + 6 * 2 * 4 * 8


def test_flops_per_step_grow_with_batch_and_with_muon(tiny):
    one = flops_per_step({**tiny, "optimizer": "adamw", "batch": 1})
    assert flops_per_step({**tiny, "optimizer": "adamw", "batch": 4, "grad_accum": 3}) == 12 * one
    assert flops_per_step({**tiny, "optimizer": "muon", "batch": 1}) > one


def test_memory_counts_weights_gradients_and_optimizer_state(tiny):
    adamw, muon = ({**tiny, "optimizer": name} for name in ("adamw", "muon"))
    n_matrices = 12 * tiny["emb_dim"] ** 2 * tiny["n_layers"]
    assert training_bytes(adamw) - training_bytes(muon) == 4 * n_matrices
    assert training_bytes({**tiny, "batch": 8}) > training_bytes(tiny) > 16 * sum(count_parameters(tiny).values())


@pytest.fixture
def known_speed(monkeypatch):
    monkeypatch.setattr(gpt.estimate, "machine_speed", lambda device: 1e9)


def test_time_is_arithmetic_over_speed(known_speed, tiny):
    config = {**tiny, "max_steps": 100, "eval_every": 50, "eval_tokens": 1000}
    price = estimate(config, n_train_tokens=90_000)
    training, evaluations = 100 * flops_per_step(config), 3 * 1000 * flops_per_token(config) / 3
    assert price.steps == 100
    assert price.seconds == pytest.approx((training + evaluations) / 1e9)
    assert price.n_parameters == sum(price.parameters.values())
    assert price.weight_bytes == 4 * price.n_parameters
    assert price.flops_per_step == flops_per_step(config)


def test_the_clock_may_end_a_run_before_its_steps(known_speed, tiny):
    assert estimate({**tiny, "max_steps": 10**8, "max_minutes": 2.0}, 1000).seconds == 120
    assert estimate({**tiny, "max_steps": 0, "max_minutes": 2.0}, 1000).seconds == 120
    assert estimate({**tiny, "max_steps": 1, "max_minutes": 2.0}, 1000).seconds < 120


def test_a_short_text_is_evaluated_on_what_it_has(known_speed, tiny):
    config = {**tiny, "eval_tokens": 0}
    assert estimate(config, 90_000).seconds > estimate(config, 9000).seconds
    assert estimate({**config, "eval_tokens": 500}, 90_000).seconds == estimate({**config, "eval_tokens": 500}, 9000).seconds


def test_the_speed_of_this_machine_is_measured_once():
    assert machine_speed("cpu") > 1e6
    assert machine_speed("cpu") is machine_speed("cpu")
