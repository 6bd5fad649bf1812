"""Direct logit attribution: a logit as a sum of what each part of the model adds to it.

The residual stream is a sum; only the final norm and one row of the output head lie between it and a logit. With the norm's
mean and deviation treated as constants, this map is linear, so each part has a share of the logit, and the shares sum to the logit.
The effect of a part through a later part counts as a share of the later part.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from gpt.interpret.trace import Trace
from gpt.model.gpt2 import evaluating

Against = int | Literal["mean"] | None  # another token, the mean of all, or nothing


@dataclass(frozen=True)
class Part:
    """What one part of the model adds to a logit. `kind` names it; a head has a layer and a number, a position embedding neither."""

    kind: str
    amount: float
    layer: int | None = None
    head: int | None = None


@dataclass(frozen=True)
class Attribution:
    """A logit, taken from the model's output, and the parts, which sum to it."""

    logit: float
    parts: list[Part]

    @property
    def total(self) -> float:
        return sum(part.amount for part in self.parts)


@torch.no_grad()
def attribute(trace: Trace, position: int, token: int, against: Against = None) -> Attribution:
    """What each part adds to the logit of `token` after a position of the first text: the embeddings, each head, each attention
    projection's bias, each feed-forward layer, and the final norm's bias.

    A constant added to all logits does not change the softmax, so `against` can select a baseline to subtract: the logit of another
    token, or the mean of all logits.
    """
    model, x = trace.model, trace.streams[-1, 0, position]
    rows = (model.head or model.token_embedding).weight[:model.vocab_size]  # (V, C)
    logits = model.unembed(x)  # (V,)
    direction, logit = rows[token], logits[token]
    if against is not None:
        direction = direction - (rows.mean(dim=0) if against == "mean" else rows[against])
        logit = logit - (logits.mean() if against == "mean" else logits[against])
    sigma = (x.var(correction=0) + model.final_norm.eps).sqrt()
    readout = model.final_norm.weight * direction / sigma  # (C,)
    readout = readout - readout.mean()  # same as subtracting each part's mean, which the final norm does
    written = _contributions(trace, position)
    amounts = torch.stack([vector for *_, vector in written]) @ readout
    parts = [Part(kind, amount, layer, head) for (kind, layer, head, _), amount in zip(written, amounts.tolist(), strict=True)]
    return Attribution(float(logit), [*parts, Part("final norm's bias", float(model.final_norm.bias @ direction))])


def _contributions(trace: Trace, position: int) -> list[tuple[str, int | None, int | None, Tensor]]:
    """(kind, layer, head, (C,)): all that was added up in the stream at one position."""
    model = trace.model
    parts = [("token embedding", None, None, model.token_embedding.weight[trace.ids[0, position]])]
    if model.position_embedding is not None:
        parts.append(("position embedding", None, None, model.position_embedding.weight[position]))
    with evaluating(model):
        for layer, block in enumerate(model.blocks):
            projection = block.attention.projection
            heads = _heads(trace, layer, position)  # (H, D)
            H, D = heads.shape
            outputs = torch.einsum("hd,chd->hc", heads.to(projection.weight.dtype), projection.weight.view(-1, H, D))  # (H, C)
            parts += [("head", layer, head, output) for head, output in enumerate(outputs)]
            parts.append(("attention's bias", layer, None, projection.bias))
            x = trace.streams[layer, 0, position] + outputs.sum(dim=0) + projection.bias  # the stream between the block's two halves
            parts.append(("feed-forward", layer, None, block.feed_forward(block.norm2(x))))
    return parts


def _heads(trace: Trace, layer: int, position: int) -> Tensor:
    """(H, D): the outputs of a layer's heads at one position. Only the tokens up to this position are used, so no mask is needed, and
    attention is computed for this position only."""
    block = trace.model.blocks[layer]
    stream = trace.streams[layer, :1, :position + 1]
    query, key, value = block.attention.project_qkv(block.norm1(stream), start=0)  # (1, H, position + 1, D)
    weights = (query[:, :, -1:] @ key.transpose(-2, -1) * block.attention.scale).softmax(dim=-1)  # (1, H, 1, position + 1)
    return (weights @ value)[0, :, 0]
