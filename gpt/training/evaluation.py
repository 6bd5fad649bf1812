"""How well a model predicts a text it is not trained on: its loss as a whole, and by how much of the text it could look back on."""

import bisect
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor

from gpt.data.known import Floor

LOG_2 = math.log(2)  # the loss of a token that has half of the probability
TOKENS_AT_ONCE = 4096  # tokens per evaluation batch: larger batches do not fit into the CPU's caches and took twice as long
SINGLE_POSITIONS, GROUPS_PER_DOUBLING = 4, 2  # the first positions of a window are reported one by one, the others together


@dataclass(frozen=True)
class Losses:
    """Sums over many windows: `nats` and `tokens`, (T,) each, of the tokens predicted at each position of the window, the `bytes` of all of
    them, and the nats `by_kind`, (K,), if their kinds are known. At position 0 the model sees one token, at position T - 1 all T.
    Of a text of questions, the number of `answers`, and of those that are right."""

    nats: list[float]
    tokens: list[float]
    bytes: float
    by_kind: list[float] = field(default_factory=list)
    answers: float = 0
    right: float = 0

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


class Batch(NamedTuple):
    """Windows of a text, (B, T) each: `ids`, the `targets` that follow them, and whether a prediction `counts`. `places` are the targets'
    positions in the text."""

    ids: Tensor
    targets: Tensor
    counts: Tensor
    places: Tensor


def windows(n_tokens: int, context_length: int, starts: Sequence[int] = ()) -> list[tuple[int, int]]:
    """(first token, number of predictions) of windows that predict every token but the first exactly once.

    A window predicts as many tokens as the model can look back on. Where documents are known, by their first tokens in order, `starts`, it
    predicts only whole ones, each with all of it in view; but of a document longer than the context, the next window predicts what the
    last one has left over.
    """
    last, spans, first = n_tokens - 1, [], 0
    ends = [start - 1 for start in starts] + [last]  # the last token of each document, but the first entry, which comes before all
    while first < last:
        reach = min(first + context_length, last)
        end = ends[bisect.bisect_right(ends, reach) - 1] if starts else reach
        spans.append((first, (end if end > first else reach) - first))
        first += spans[-1][1]
    return spans


def evaluation_batches(tokens: Tensor, context_length: int, at_once: int, starts: Sequence[int] = ()) -> Iterator[Batch]:
    """(N,) tokens -> their `windows`, `at_once` a batch. The shorter ones go on beyond their end, where nothing counts."""
    spans = windows(len(tokens), context_length, starts)
    for i in range(0, len(spans), at_once):
        firsts, lengths = (torch.tensor(column)[:, None] for column in zip(*spans[i:i + at_once], strict=True))  # (B, 1)
        T = torch.arange(int(lengths.max()))  # (T,)
        places = (firsts + 1 + T).clamp(max=len(tokens) - 1).to(tokens.device)  # (B, T)
        yield Batch(tokens[places - 1].long(), tokens[places].long(), (lengths > T).to(tokens.device), places)


def add_up(losses: list[Tensor], batches: list[Batch], byte_lengths: Tensor, context_length: int, floor: Floor | None = None) -> Losses:
    """Losses, (B, T) each, and the batches they belong to -> their sums. They are added on the CPU in float64, which not every GPU has.

    An answer is right if each of its tokens has more than half of the probability: then the model also writes it when it always writes
    the likeliest token.
    """
    nats, tokens, by_kind = (torch.zeros(n).double() for n in (context_length, context_length, len(floor.names) if floor else 0))
    n_bytes, answers, right, byte_lengths = 0, 0, 0, byte_lengths.cpu()
    for each, batch in zip(losses, batches, strict=True):
        each, targets, counts, places = (tensor.cpu() for tensor in (each, batch.targets, batch.counts, batch.places))  # (B, T)
        T, counted = each.shape[1], each * counts
        nats[:T] += counted.sum(dim=0)
        tokens[:T] += counts.sum(dim=0)
        n_bytes += int((byte_lengths[targets] * counts).sum())
        if floor:
            by_kind.index_add_(0, floor.kinds[places].flatten(), counted.flatten().double())
            answer = floor.answers(places).where(counts, -1)
            answered, wrong = answer[answer >= 0].unique(), answer[(answer >= 0) & (each >= LOG_2)].unique()
            answers, right = answers + len(answered), right + len(answered) - len(wrong)
    return Losses(nats.tolist(), tokens.tolist(), float(n_bytes), by_kind.tolist(), answers, right)
