"""Windows for an evaluation in which every predicted token, but those of the first half context, has at least half a context before it."""

from collections.abc import Iterator

import torch
from torch import Tensor


def sliding_windows(tokens: Tensor, context_length: int, at_once: int) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """(N,) tokens -> batches of (ids, targets, counts), (B, T) each, that predict every token but the first exactly once where `counts` is
    true. Each window begins half a context after the one before it, and counts the second half of its predictions; the first window
    counts all, the last those that are left."""
    tokens = tokens.long()
    last = len(tokens) - 1 - context_length  # where the last window begins
    if last <= 0:
        yield tokens[None, :-1], tokens[None, 1:], torch.ones(1, len(tokens) - 1, dtype=torch.bool)
        return
    starts = torch.arange(0, last + 1, context_length // 2)
    if starts[-1] < last:
        starts = torch.cat((starts, torch.tensor([last])))
    new = torch.cat((torch.tensor([context_length]), starts.diff()))  # (N,) predictions that no earlier window has made
    places = torch.arange(context_length)
    for begin, fresh in zip(starts.split(at_once), new.split(at_once), strict=True):
        windows = tokens[begin[:, None] + torch.arange(context_length + 1)]  # (B, T + 1)
        yield windows[:, :-1], windows[:, 1:], places >= context_length - fresh[:, None]
