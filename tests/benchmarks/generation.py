"""Tokens written per second, one text at a time, with a key-value cache: the same sizes, float32 and sampling on both sides.

Both models have random weights, which cost as much as learned ones, and no token ends a text, so both write exactly what was
asked. That both write the same greedy text with the same weights is shown by tests/model/test_gpt2.py.
"""

from functools import partial

import torch

from gpt.config import PRESETS
from gpt.model.gpt2 import GPT2
from gpt.model.sampling import generate_text
from gpt.training.device import choose_device, for_writing
from tests.benchmarks import peer
from tests.benchmarks.row import NOT_MEASURED, Result, Row, Setup, at_least, ratios, yes_no
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


def measure_half(setup: Setup, base: dict, count: int, target: float, rounds: int, prompt: int = 8) -> Result:
    """The model as the page writes with it, whose weights are bfloat16 where the CPU has units for them, against itself in float32."""
    model = GPT2({**base, "device": setup.device.type, "seed": setup.seeds[0]}).to(setup.device).eval()
    halved, words = for_writing(model)
    if not words:
        return Result(NOT_MEASURED, notes=["this machine has no fast bfloat16: it writes in float32"])
    ids = torch.randint(base["vocab_size"], (1, prompt), generator=torch.Generator().manual_seed(setup.seeds[0])).to(setup.device)

    def speed(writer: GPT2) -> float:
        return count / seconds_of(lambda: generate_text(writer, ids, count, temperature=TEMPERATURE, top_k=TOP_K), setup.device)

    speed(halved), speed(model)
    speeds = in_turn(rounds, partial(speed, halved), partial(speed, model))
    found = ratios(*speeds)
    return Result(yes_no(at_least(target, found)), *speeds, found, notes=["the peer is the same model in float32"])


ROWS = (
    Row("generation_small", "writing, 4 layers, width 128, vocabulary 65, 50 tokens after 8, float32, tokens/s", "ours / peer >= 5",
        partial(measure, base=SMALL, count=50, target=5, rounds=20)),
    Row("generation_124m", "writing, 124 M parameters, 24 tokens after 8, float32, tokens/s", "ours / peer >= 1.5",
        partial(measure, base=LARGE, count=24, target=1.5, rounds=7)),
    Row("generation_124m_bfloat16", "writing, 124 M parameters, 24 tokens after 8, weights in bfloat16 against float32, tokens/s",
        "bfloat16 / float32 >= 1.6", partial(measure_half, base=LARGE, count=24, target=1.6, rounds=7)),
)
