"""How many threads a computation is worth."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

SMALL = 30_000_000  # parameters: up to about here a second thread makes the next token no faster (measured on two Zen 4 cores)


def threads_for_few_tokens(model: nn.Module) -> int:
    """How many threads should compute a few tokens at a time: one where `model` is small. More would gain nothing there, and wait for each
    other at every operation; if another program has one of the cores, for a time slice of the system each time. With two threads beside
    a busy program, 100 tokens of the preset quick took 2.5 s; with one, 0.08 s."""
    return 1 if sum(parameter.numel() for parameter in model.parameters()) <= SMALL else torch.get_num_threads()


@contextmanager
def computing_with(threads: int) -> Iterator[None]:
    """Within the block, PyTorch computes with so many threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
