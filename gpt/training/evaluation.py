"""How well a model predicts a text it is not trained on: its loss as a whole, and by how much of the text it could look back on."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

TOKENS_AT_ONCE = 4096  # tokens per evaluation batch: larger batches do not fit into the CPU's caches and took twice as long
SINGLE_POSITIONS, GROUPS_PER_DOUBLING = 4, 2  # the first positions of a window are reported one by one, the others together


@dataclass(frozen=True)
class Losses:
    """Sums over many windows: `nats` and `tokens`, (T,) each, of the tokens predicted at each position of the window, and the `bytes` of
    all of them. At position 0 the model sees one token, at position T - 1 all T."""

    nats: list[float]
    tokens: list[float]
    bytes: float

    @property
    def val_loss(self) -> float:
        """Nats per token."""
        return sum(self.nats) / sum(self.tokens)

    @property
    def bits_per_byte(self) -> float:
        return sum(self.nats) / math.log(2) / self.bytes

    def by_context(self) -> list[tuple[int, float]]:
        """(tokens that the model could look back on, mean loss in nats per token), for each group of neighbouring positions; the first
        number is the largest of its group."""
        reached = sum(count > 0 for count in self.tokens)  # positions, fewer than the context if the text is shorter
        ends = group_ends(reached)
        groups = [slice(start, end) for start, end in zip([0, *ends], ends, strict=False)]
        return [(group.stop, sum(self.nats[group]) / sum(self.tokens[group])) for group in groups]


def group_ends(context_length: int) -> list[int]:
    """Where groups of positions end: 1, 2, 3 ... SINGLE_POSITIONS, then evenly spaced on a log scale up to `context_length`. One position
    alone has too few tokens in an evaluation for a steady mean, and after the first few the loss changes slowly."""
    ends = set(range(1, min(context_length, SINGLE_POSITIONS) + 1)) | {context_length}
    for i in range(math.ceil(GROUPS_PER_DOUBLING * math.log2(max(context_length / SINGLE_POSITIONS, 1)))):
        ends.add(round(SINGLE_POSITIONS * 2 ** (i / GROUPS_PER_DOUBLING)))
    return sorted(ends)


def add_up(losses: list[Tensor], targets: list[Tensor], byte_lengths: Tensor, context_length: int) -> Losses:
    """Losses and targets of batches, (B, T) each, where T may be shorter than `context_length` in the last. They are added on the
    CPU in float64, which not every GPU has."""
    widths = [each.shape[1] for each in losses]
    sums = torch.cat([each.sum(dim=0) for each in losses]).cpu() if losses else torch.zeros(0)
    nats, tokens = torch.zeros(2, context_length, dtype=torch.float64)
    for width, batch, summed in zip(widths, losses, sums.split(widths), strict=True):
        nats[:width] += summed
        tokens[:width] += len(batch)
    return Losses(nats.tolist(), tokens.tolist(), float(sum(byte_lengths[each].sum() for each in targets)))


def evaluation_batches(tokens: Tensor, context_length: int, at_once: int) -> Iterator[tuple[Tensor, Tensor]]:
    """(N,) tokens -> batches of (ids, targets), (at_once, T) each, that predict every token but the first exactly once.

    The last window holds the remaining tokens and may be shorter.
    """
    n_windows = (len(tokens) - 1) // context_length
    whole = n_windows * context_length
    ids, targets = (tokens[shift:shift + whole].view(n_windows, context_length) for shift in (0, 1))
    yield from zip(ids.split(at_once), targets.split(at_once), strict=True) if n_windows else ()
    if whole < len(tokens) - 1:
        yield tokens[None, whole:-1], tokens[None, whole + 1:]
