"""Tokens written per second, one text at a time, with a key-value cache: the same sizes, float32 and sampling on both sides.

Both models have random weights, which cost as much as learned ones, and no token ends a text, so both write exactly what was
asked. That both write the same greedy text with the same weights is shown by tests/model/test_gpt2.py.
"""

from functools import partial

import torch

from gpt.config import PRESETS
from gpt.model.gpt2 import GPT2
from gpt.model.sampling import generate_text
from gpt.training.device import choose_device
from tests.benchmarks import peer
from tests.benchmarks.row import Result, Row, Setup, at_least, ratios, yes_no
from tests.benchmarks.timing import in_turn, seconds_of

TEMPERATURE, TOP_K = 0.8, 40
SMALL = {**PRESETS["gpt2-classic"].config, "tokenizer": "char", "vocab_size": 65, "context_length": 64}
LARGE = PRESETS["gpt2-124m"].config


def measure(setup: Setup, base: dict, count: int, target: float, rounds: int, prompt: int = 8) -> Result:
    """`rounds` pairs of texts of `count` tokens after a prompt of `prompt`, and one pair before that does not count."""
    config = {**base, "device": setup.device.type, "seed": setup.seeds[0]}
    mine, theirs = GPT2(config).to(choose_device(config["device"])).eval(), peer.build(config).eval()
    generator = torch.Generator().manual_seed(config["seed"])
    ids = torch.randint(config["vocab_size"], (1, prompt), generator=generator).to(setup.device)

    def speed(write) -> float:
        written = []
        seconds = seconds_of(lambda: written.append(write()), setup.device)
        if written[0].shape != (1, prompt + count):
            raise ValueError(f"asked for {prompt} + {count} tokens, got {tuple(written[0].shape)}")
        return count / seconds

    def write_ours() -> float:
        return speed(lambda: generate_text(mine, ids, count, temperature=TEMPERATURE, top_k=TOP_K))

    def write_theirs() -> float:
        return speed(lambda: peer.write(theirs, ids, count, TEMPERATURE, TOP_K))

    write_ours(), write_theirs()
    speeds = in_turn(rounds, write_ours, write_theirs)
    found = ratios(*speeds)
    return Result(yes_no(at_least(target, found)), *speeds, found, raw={"config": config, "prompt": prompt, "new_tokens": count,
                                                                       "temperature": TEMPERATURE, "top_k": TOP_K})


ROWS = (
    Row("generation_small", "writing, 4 layers, width 128, vocabulary 65, 50 tokens after 8, float32, tokens/s", "ours / peer >= 5",
        partial(measure, base=SMALL, count=50, target=5, rounds=20)),
    Row("generation_124m", "writing, 124 M parameters, 24 tokens after 8, float32, tokens/s", "ours / peer >= 1.5",
        partial(measure, base=LARGE, count=24, target=1.5, rounds=7)),
)
