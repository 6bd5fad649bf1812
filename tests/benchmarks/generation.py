"""Tokens written per second, one text at a time, with a key-value cache: the same sizes, float32 and sampling on both sides.

Both models have random weights, which cost as much as learned ones, and no token ends a text, so both write exactly what was
asked. That both write the same greedy text with the same weights is shown by tests/model/test_gpt2.py.
"""

import dataclasses
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from gpt.config import PRESETS
from gpt.model.gpt2 import GPT2
from gpt.model.sampling import generate_text
from gpt.training.device import choose_device, for_writing
from tests.benchmarks import peer
from tests.benchmarks.row import NOT_MEASURED, Result, Row, Setup, at_least, ratios, yes_no
from tests.benchmarks.timing import in_turn, seconds_of

PROMPT = 8  # tokens
TEMPERATURE, TOP_K = 0.8, 40
Write = Callable[[Tensor], Tensor]  # (1, N) ids -> with those that were written after them
SMALL = {**PRESETS["gpt2-classic"].config, "tokenizer": "char", "vocab_size": 65, "context_length": 64}
LARGE = PRESETS["gpt2-124m"].config


def measure(setup: Setup, base: dict, count: int, target: float, rounds: int) -> Result:
    """Ours against the peer's."""
    config = {**base, "device": setup.device.type, "seed": setup.seeds[0]}
    mine, theirs = GPT2(config).to(choose_device(config["device"])).eval(), peer.build(config).eval()
    peer_writes = partial(peer.write, theirs, count=count, temperature=TEMPERATURE, top_k=TOP_K)
    return compare(setup, config, writing(mine, count), peer_writes, count, target, rounds)


def measure_half(setup: Setup, base: dict, count: int, target: float, rounds: int) -> Result:
    """The model as the page writes with it, whose weights are bfloat16 where the CPU has units for them, against itself in float32."""
    config = {**base, "device": setup.device.type, "seed": setup.seeds[0]}
    model = GPT2(config).to(choose_device(config["device"])).eval()
    halved, words = for_writing(model)
    if not words:
        return Result(NOT_MEASURED, notes=["this machine has no fast bfloat16: it writes in float32"])
    result = compare(setup, config, writing(halved, count), writing(model, count), count, target, rounds)
    return dataclasses.replace(result, notes=["the peer is the same model in float32"])


def writing(model: GPT2, count: int) -> Write:
    return partial(generate_text, model, max_new_tokens=count, temperature=TEMPERATURE, top_k=TOP_K)


def compare(setup: Setup, config: dict, write: Write, peer_writes: Write, count: int, target: float, rounds: int) -> Result:
    """`rounds` pairs of texts of `count` tokens after a prompt, and one pair before that does not count."""
    generator = torch.Generator().manual_seed(config["seed"])
    ids = torch.randint(config["vocab_size"], (1, PROMPT), generator=generator).to(setup.device)

    def speed(write: Write) -> float:
        written = []
        seconds = seconds_of(lambda: written.append(write(ids)), setup.device)
        if written[0].shape != (1, PROMPT + count):
            raise ValueError(f"asked for {PROMPT} + {count} tokens, got {tuple(written[0].shape)}")
        return count / seconds

    speed(write), speed(peer_writes)
    speeds = in_turn(rounds, partial(speed, write), partial(speed, peer_writes))
    found = ratios(*speeds)
    return Result(yes_no(at_least(target, found)), *speeds, found, raw={"config": config, "prompt": PROMPT, "new_tokens": count,
                                                                       "temperature": TEMPERATURE, "top_k": TOP_K})


ROWS = (
    Row("generation_small", "writing, 4 layers, width 128, vocabulary 65, 50 tokens after 8, float32, tokens/s", "ours / peer >= 5",
        partial(measure, base=SMALL, count=50, target=5, rounds=20)),
    Row("generation_124m", "writing, 124 M parameters, 24 tokens after 8, float32, tokens/s", "ours / peer >= 1.5",
        partial(measure, base=LARGE, count=24, target=1.5, rounds=7)),
    Row("generation_124m_bfloat16", "writing, 124 M parameters, 24 tokens after 8, weights in bfloat16 against float32, tokens/s",
        "bfloat16 / float32 >= 1.6", partial(measure_half, base=LARGE, count=24, target=1.6, rounds=7)),
)
