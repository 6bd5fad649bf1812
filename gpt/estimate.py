"""The price of a CONFIG before anything is built: parameters, memory, arithmetic and time."""

import functools
import itertools
import time
from dataclasses import dataclass

import torch

from gpt.config import CONFIG
from gpt.corpus import VALIDATION_SHARE
from gpt.dataset import TokenizedText
from gpt.device import choose_device
from gpt.model import GPT2, padded_vocab_size
from gpt.trainer import Trainer, planned_steps, tokens_per_step

PROCESS_BYTES = 400e6  # what the process itself takes: Python, PyTorch and the tokens


@dataclass(frozen=True)
class Estimate:
    """`parameters` by part of the model; bytes of the weights and of the whole training process; multiplications and
    additions of one training step; steps (0 if only the clock ends the run); seconds."""

    parameters: dict[str, int]
    weight_bytes: float
    training_bytes: float
    flops_per_step: float
    steps: int
    seconds: float

    @property
    def n_parameters(self) -> int:
        return sum(self.parameters.values())


def count_parameters(config: dict) -> dict[str, int]:
    """Parameters by part, exactly as GPT2(config) has them."""
    C, L = config["emb_dim"], config["n_layers"]
    rows = padded_vocab_size(config)
    positions = config["context_length"] * C if config["position"] == "learned" else 0
    return {
        "embeddings": rows * C + positions,
        "attention": L * (4 * C * C + C + (3 * C if config["qkv_bias"] else 0)),
        "feed-forward": L * (8 * C * C + 5 * C),
        "head": 0 if config["tie_weights"] else rows * C,
        "norms": (4 * L + 2) * C,
    }


def flops_per_token(config: dict) -> float:
    """Additions and multiplications of one token, forward and backward: 6 for each weight of a matrix product (2 forward,
    4 backward; Kaplan et al. 2020, 2001.08361) and 6 for each of the 2 C numbers that attention multiplies for each of the
    T tokens of the window (Chowdhery et al. 2022, 2204.02311, appendix B)."""
    C, L, T = config["emb_dim"], config["n_layers"], config["context_length"]
    weights = L * 12 * C * C + config["vocab_size"] * C
    return 6 * weights + 6 * 2 * C * L * T


def flops_per_step(config: dict) -> float:
    """One optimizer step: its tokens, and Muon's Newton-Schulz products where Muon is used."""
    C = config["emb_dim"]
    newton_schulz = sum(5 * (4 * C * C * side + 2 * C**3) for side in (C, 3 * C, 4 * C, 4 * C))  # matrices C x side
    return tokens_per_step(config) * flops_per_token(config) + (config["n_layers"] * newton_schulz if config["optimizer"] == "muon" else 0)


def training_bytes(config: dict) -> float:
    """Peak memory of training: weights, gradients and optimizer state, and what the backward pass keeps of each token."""
    C, L, V = config["emb_dim"], config["n_layers"], config["vocab_size"]
    parameters = count_parameters(config)
    matrices = L * 12 * C * C if config["optimizer"] == "muon" else 0  # Muon keeps one number a weight, AdamW two
    state = 4 * (4 * sum(parameters.values()) - matrices)
    tokens = config["batch"] * config["context_length"]
    activations = 4 * tokens * (L * 30 * C + 3 * V)  # about 30 C numbers a layer and 3 V of the loss are kept; counted by hand
    return state + activations + PROCESS_BYTES


def estimate(config: dict, n_train_tokens: int, device: str = "auto") -> Estimate:
    """The price of training `config` on `n_train_tokens` tokens on this machine. `config` must be valid."""
    parameters = count_parameters(config)
    steps = planned_steps(config, n_train_tokens)
    per_step = flops_per_step(config)
    evaluations = steps / config["eval_every"] + 1
    n_validation = n_train_tokens * VALIDATION_SHARE / (1 - VALIDATION_SHARE)
    evaluated = min(config["eval_tokens"] or n_validation, n_validation)  # tokens of one evaluation, forward only
    seconds = (steps * per_step + evaluations * evaluated * flops_per_token(config) / 3) / machine_speed(choose_device(device).type)
    limit = 60 * config["max_minutes"]
    if limit:
        seconds = min(seconds, limit) if steps else limit
    return Estimate(parameters, 4.0 * sum(parameters.values()), training_bytes(config), per_step, steps, seconds)


@functools.cache
def machine_speed(device: str) -> float:
    """Additions and multiplications a second in real float32 training steps of a small GPT on a device of this machine;
    measured once, in about a second."""
    config = {**CONFIG, "n_layers": 2, "max_steps": 100, "precision": "float32", "device": device}
    tokens = torch.zeros(10_000, dtype=torch.long)
    text = TokenizedText(tokens, tokens[:100], torch.ones(config["vocab_size"], dtype=torch.long))
    times = []
    with torch.random.fork_rng():  # whoever asks for a price keeps their random numbers
        for event in Trainer(config, GPT2(config).to(choose_device(device)), text).events():
            if event.kind == "step":
                times.append(time.perf_counter())
            if len(times) == 6 or (len(times) > 1 and times[-1] - times[0] > 1):
                break
    fastest = min(after - before for before, after in itertools.pairwise(times))
    return flops_per_step(config) / fastest
