"""How time and memory are taken: blocks of steps, pairs in turn, and processes that have done nothing else yet."""

import multiprocessing
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import torch

from gpt.data.dataset import TokenizedText


def synchronise(device: torch.device) -> None:
    """Wait for what a GPU was given to do; a CPU has done it."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def seconds_of(work: Callable[[], Any], device: torch.device) -> float:
    synchronise(device)
    begin = time.perf_counter()
    work()
    synchronise(device)
    return time.perf_counter() - begin


def take(steps: Iterator, count: int) -> None:
    """Do the next `count` steps."""
    for _ in range(count):
        next(steps)


def in_turn(rounds: int, ours: Callable[[], float], peer: Callable[[], float]) -> tuple[list[float], list[float]]:
    """Ours, the peer's, ours, the peer's, ...: a machine that grows warm or busy is the same for both."""
    pairs = [(ours(), peer()) for _ in range(rounds)]
    return [pair[0] for pair in pairs], [pair[1] for pair in pairs]


def in_fresh_process(function: Callable, *arguments: Any) -> Any:
    """function(*arguments) in a process that has only imported what it needs: nothing is warm, no memory is in use."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def random_text(config: dict, n_tokens: int) -> TokenizedText:
    """Tokens drawn evenly, for speed and memory, which do not depend on what a text says. The validation part is one window:
    the Trainer evaluates before its first step."""
    generator = torch.Generator().manual_seed(config["seed"])
    tokens = torch.randint(config["vocab_size"], (n_tokens,), generator=generator)
    return TokenizedText(tokens, tokens[:config["context_length"] + 1], torch.ones(config["vocab_size"], dtype=torch.long))
