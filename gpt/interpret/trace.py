"""One forward pass, stored as its residual stream: everything else can be recomputed from it, one layer at a time."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from gpt.model.attention import AttentionResult
from gpt.model.gpt2 import GPT2, evaluating
from gpt.model.threads import computing_with, threads_for_few_tokens


@dataclass(frozen=True)
class Trace:
    """What `model` did with (B, T) `ids`: the residual stream before its first block and after each, (L + 1, B, T, C).

    The attention of all layers of a large model on a long text is hundreds of megabytes; their streams are a hundredth of it.
    """

    model: GPT2
    ids: Tensor
    streams: Tensor

    @torch.no_grad()
    def attend(self, layer: int) -> AttentionResult:
        """The attention of one layer in the open: scores, weights (B, H, T, T), values and heads (B, H, T, D)."""
        block = self.model.blocks[layer]
        with evaluating(self.model), computing_with(threads_for_few_tokens(self.model)):
            return block.attention.attend(block.norm1(self.streams[layer]))

    @torch.no_grad()
    def logits(self, layer: int = -1) -> Tensor:
        """(B, T, V): the model's own logits; with another layer than the last, what its stream would predict already."""
        return self.model.unembed(self.streams[layer])


@torch.no_grad()
def trace(model: GPT2, ids: Tensor) -> Trace:
    """Read (B, T) `ids` in evaluation mode; the model is left in the mode it was in.

    Raises ValueError if the ids are more than context_length.
    """
    with evaluating(model), computing_with(threads_for_few_tokens(model)):
        streams = [model.embed(ids)]
        for block in model.blocks:
            streams.append(block(streams[-1]))
    return Trace(model, ids, torch.stack(streams))


@torch.no_grad()
def attention_by_layer(model: GPT2, ids: Tensor) -> Iterator[Tensor]:
    """(B, T) ids -> the attention weights of each layer in turn, (B, H, T, T), in one pass that stores nothing; the output of the last
    block is not needed and not computed. In evaluation mode; the model is left in the mode it was in."""
    with evaluating(model):
        x = model.embed(ids)
    for block in model.blocks[:-1]:
        with evaluating(model):
            x, weights = block.explicit(x)
        yield weights
    last = model.blocks[-1]
    with evaluating(model):
        weights = last.attention.attend(last.norm1(x)).weights
    yield weights


def attention_maps(model: GPT2, ids: Tensor) -> tuple[Tensor, Tensor]:
    """(B, T) ids -> attention maps (L, B, H, T, T) and the logits (B, T, V) that belong to them.

    Row q of a map says how much position q reads of each position k <= q; it sums to 1. Raises ValueError if the ids are more
    than context_length.
    """
    traced = trace(model, ids)
    return torch.stack([traced.attend(layer).weights for layer in range(len(model.blocks))]), traced.logits()
