"""The speed of this machine, measured with a few tiny training steps."""

import functools
import itertools
import time

import torch

from gpt.config import CONFIG
from gpt.data.dataset import TokenizedText
from gpt.model.gpt2 import GPT2
from gpt.training.device import choose_device
from gpt.training.trainer import Trainer

_TINY = {"n_heads": 1, "emb_dim": 8, "context_length": 8, "batch": 1, "vocab_size": 16}
PROBES = tuple({**CONFIG, "tokenizer": "char", **changes} for changes in (  # together they contain every kind of work; see price.Work
    {"n_layers": 2, "vocab_size": 256},  # the default's own width
    {**_TINY, "n_layers": 5},  # fixed cost of a layer, whatever its size
    {**_TINY, "n_layers": 1},  # fixed cost of a step
    {"n_layers": 1, "emb_dim": 64, "vocab_size": 2048},  # softmax and loss over a vocabulary
    {"n_layers": 1, "emb_dim": 256, "vocab_size": 64, "optimizer": "adamw", "batch": 8},  # matrix products
    {"n_layers": 2, "emb_dim": 64, "vocab_size": 64},  # element-wise work
))
GPU_TIMES = 8  # on a GPU, width and batch of all probes but the tiny ones are multiplied by this, to give it enough work to measure
PROBE_SECONDS = 0.08  # time for the timed steps of one probe; at least two steps are timed
MOST_SECONDS = 2.0  # no further probe starts after this time: a busy machine may be far slower
SLOW = 5  # times the time that is to be measured: one step that takes longer is enough
FRESH_NUMBERS = 2**23  # 32 MiB: from this size on, glibc's malloc takes each tensor from the system and returns it (mallopt(3))


@functools.cache
def probe_seconds(device: str, precision: str) -> list[tuple[dict, float]]:
    """Each of PROBES with the seconds of its fastest step, measured by training on this machine; measured once per process."""
    measured, begin = [], time.perf_counter()
    for probe in PROBES:
        larger = GPU_TIMES if device != "cpu" and probe["emb_dim"] > _TINY["emb_dim"] else 1
        config = {**probe, "emb_dim": larger * probe["emb_dim"], "batch": larger * probe["batch"], "device": device, "precision": precision}
        measured.append((config, min(step_seconds(config, PROBE_SECONDS))))  # the fastest, which other programs disturbed least
        if time.perf_counter() - begin > MOST_SECONDS:
            break
    return measured


def step_seconds(config: dict, at_least: float) -> list[float]:
    """Seconds of real training steps on random weights and one token, two at least, until they have taken `at_least` seconds together.
    The first step initialises kernels and is not counted, unless it alone takes SLOW times as long."""
    tokens = torch.zeros(8 * config["batch"] * config["context_length"], dtype=torch.long)
    text = TokenizedText(tokens, tokens[:config["context_length"] + 1], torch.ones(config["vocab_size"], dtype=torch.long))
    device = choose_device(config["device"])
    endless = {**config, "max_steps": 10**6, "epoch": 0.0, "max_minutes": 0.0, "eval_every": 10**6}
    ends = []  # of the evaluation before the first step, and of each step
    with torch.random.fork_rng(devices=[]):  # the caller's random number generator is not changed; a run seeds that of its GPU itself
        for event in Trainer(endless, GPT2(config).to(device), text).events():
            if device.type != "cpu":
                torch.accelerator.synchronize()
            if event.kind != "warning":
                ends.append(time.perf_counter())
            if (len(ends) == 2 and ends[1] - ends[0] > SLOW * at_least) or (len(ends) > 3 and ends[-1] - ends[1] > at_least):
                break
    first, *others = (after - before for before, after in itertools.pairwise(ends))
    return others or [first]


@functools.cache
def fresh_seconds(device: str) -> float:
    """Extra seconds per number of a large tensor in newly allocated memory, for which the system must first create pages.
    0 on a GPU, where PyTorch reuses memory that it has already allocated."""
    if device != "cpu":
        return 0.0

    def fill(tensor: torch.Tensor) -> float:
        start = time.perf_counter()
        tensor.fill_(1.0)
        return time.perf_counter() - start

    times = []
    for _ in range(3):
        tensor = torch.empty(FRESH_NUMBERS)
        times.append(fill(tensor) - fill(tensor))
    return max(min(times), 0.0) / FRESH_NUMBERS
