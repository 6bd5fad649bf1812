"""Looking inside: what every head of every layer reads, and the prediction that comes of it."""

import torch
from torch import Tensor

from gpt.model import GPT2


@torch.no_grad()
def attention_maps(model: GPT2, ids: Tensor) -> tuple[Tensor, Tensor]:
    """(B, T) ids -> attention maps (layers, B, H, T, T) and the logits (B, T, V) that belong to them.

    Row q of a map says how much position q reads of each position k <= q; it sums to 1. The model is read in evaluation
    mode and left in the mode it was in. Raises ValueError if the ids are more than context_length.
    """
    was_training = model.training
    model.eval()
    try:
        x, maps = model.embed(ids), []
        for block in model.blocks:
            x, weights = block.explicit(x)  # (B, T, C), (B, H, T, T)
            maps.append(weights)
        return torch.stack(maps), model.unembed(x)
    finally:
        model.train(was_training)
