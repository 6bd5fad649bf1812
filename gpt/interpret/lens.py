"""The logit lens: what the model would predict if it ended after any of its layers (nostalgebraist 2020).

softmax(W_U LN_f(x_l[q])): the stream after layer l, read by the model's own final norm and head, which are made for the last layer.
So the prediction of an earlier layer is only a hint; that of the last layer is exactly the model's output, bit for bit.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from gpt.interpret.trace import Trace
from gpt.model.gpt2 import LOGITS_AT_ONCE


@dataclass(frozen=True)
class Lens:
    """What each stream predicts at each position, all (L + 1, N); row 0 is of the embeddings, row l + 1 of layer l.

    `tokens` are the likeliest, with their `probabilities`; `true_ranks` and `true_probabilities` are of the tokens that follow in the
    text, 1 being the likeliest. The last token of a text is followed by none: its rank is 0, its probability NaN.
    """

    tokens: np.ndarray
    probabilities: np.ndarray
    true_ranks: np.ndarray
    true_probabilities: np.ndarray


@torch.no_grad()
def logit_lens(trace: Trace, start: int = 0, end: int | None = None) -> Lens:
    """The lens over positions start .. end - 1 of the first text of a trace.

    13 layers of 1,024 positions and 50,257 tokens would be 2.7 GB of logits: they are made in portions of LOGITS_AT_ONCE, and forgotten.
    """
    T = trace.ids.shape[1]
    positions = range(T)[start:end]
    following = torch.cat((trace.ids[0, 1:], trace.ids.new_full((1,), -1)))[positions.start:positions.stop]  # (N,), -1: none
    rows = [_read(trace, stream[0, positions.start:positions.stop], following) for stream in trace.streams]
    return Lens(*(torch.stack(column).cpu().numpy() for column in zip(*rows, strict=True)))


def _read(trace: Trace, stream: Tensor, following: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """(N, C) of one stream and the tokens that follow, (N,) -> the four rows of a Lens, each (N,)."""
    portion = max(1, LOGITS_AT_ONCE // trace.model.vocab_size)
    columns = []
    for x, true in zip(stream.split(portion), following.split(portion), strict=True):
        logits = trace.model.unembed(x).float()  # (n, V)
        probabilities = logits.softmax(dim=1)
        has_next, column = true >= 0, true.clamp(min=0)[:, None]
        ranks = 1 + (logits > logits.gather(1, column)).sum(dim=1)
        columns.append((probabilities.argmax(dim=1), probabilities.amax(dim=1), torch.where(has_next, ranks, 0),
                      torch.where(has_next, probabilities.gather(1, column)[:, 0], torch.nan)))
    return tuple(map(torch.cat, zip(*columns, strict=True)))


@torch.no_grad()
def expected(trace: Trace, position: int, n: int) -> list[tuple[int, float]]:
    """The `n` tokens that the model finds likeliest after a position, with their probabilities, the likeliest first."""
    probabilities = trace.model.unembed(trace.streams[-1, 0, position]).float().softmax(dim=0)  # (V,)
    top = probabilities.topk(min(n, len(probabilities)))
    return list(zip(top.indices.tolist(), top.values.tolist(), strict=True))


@torch.no_grad()
def probability(trace: Trace, position: int, token: int) -> float:
    """What the model gives a token after a position."""
    return float(trace.model.unembed(trace.streams[-1, 0, position]).float().softmax(dim=0)[token])


def following(trace: Trace, position: int) -> int | None:
    """The token that follows a position in the text, or None after the last."""
    return int(trace.ids[0, position + 1]) if position + 1 < trace.ids.shape[1] else None
