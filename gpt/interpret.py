"""Looking inside: what every head of every layer reads, and the prediction that comes of it."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from gpt.device import enough_memory
from gpt.errors import UserError
from gpt.model import GPT2, evaluating
from gpt.tokenizer import Tokenizer, encode_prompt


@torch.no_grad()
def attention_maps(model: GPT2, ids: Tensor) -> tuple[Tensor, Tensor]:
    """(B, T) ids -> attention maps (layers, B, H, T, T) and the logits (B, T, V) that belong to them.

    Row q of a map says how much position q reads of each position k <= q; it sums to 1. The model is read in evaluation
    mode and left in the mode it was in. Raises ValueError if the ids are more than context_length.
    """
    with evaluating(model):
        x, maps = model.embed(ids), []
        for block in model.blocks:
            x, weights = block.explicit(x)  # (B, T, C), (B, H, T, T)
            maps.append(weights)
        return torch.stack(maps), model.unembed(x)


@dataclass(frozen=True)
class Inspection:
    """A prompt as the model reads it: its tokens, what each head reads (layers, H, T, T), and what it expects next."""

    tokens: list[bytes]
    maps: np.ndarray
    next_tokens: list[tuple[bytes, float]]
    n_dropped: int

    def head(self, layer: int, head: int) -> np.ndarray:
        """(T, T) weights of one head. Raises UserError if there is no such head."""
        L, H = self.maps.shape[:2]
        if not (0 <= layer < L and 0 <= head < H):
            raise UserError(f"there is no layer {layer} head {head}: layers go from 0 to {L - 1}, heads from 0 to {H - 1}")
        return self.maps[layer, head]


def inspect(model: GPT2, tokenizer: Tokenizer, prompt: str, most_tokens: int | None = None) -> Inspection:
    """Read `prompt`. Of a prompt longer than context_length (or `most_tokens`) the last tokens are read; `n_dropped` says how
    many were not. Raises UserError if the prompt is empty, too long, or has characters the tokenizer does not know."""
    ids = encode_prompt(tokenizer, prompt)
    kept = ids[-min(most_tokens or model.context_length, model.context_length):]
    device = next(model.parameters()).device
    with enough_memory("shorten the prompt"):
        maps, logits = attention_maps(model, torch.tensor([kept], device=device))
    probabilities = logits[0, -1].softmax(dim=0)
    top = probabilities.topk(min(8, len(probabilities)))
    next_tokens = [(tokenizer.token_bytes(i), p) for i, p in zip(top.indices.tolist(), top.values.tolist(), strict=True)]
    return Inspection([tokenizer.token_bytes(i) for i in kept], maps[:, 0].cpu().numpy(), next_tokens, len(ids) - len(kept))


@dataclass(frozen=True)
class Score:
    """How much of its attention a head gives to one kind of token, beside the same for uniform attention (`chance`)."""

    name: str
    value: float
    chance: float

    @property
    def excess(self) -> float:
        """0 for uniform attention, 1 for a head that reads nothing else."""
        return (self.value - self.chance) / (1 - self.chance)


def position_scores(weights: np.ndarray) -> list[Score]:
    """Scores of one head's (T, T) weights on the previous, the first and the current token, means over queries 1..T-1
    (Clark et al. 2019, 1906.04341; Vig and Belinkov 2019, 1906.04284). Empty for a single token.

    Uniform causal attention gives 1/(q+1) to each, so chance is (H_T - 1)/(T - 1) with H_T = 1 + 1/2 + ... + 1/T.
    """
    T = len(weights)
    if T < 2:
        return []
    q = np.arange(1, T)
    chance = float((1 / (q + 1)).mean())
    read = {"previous token": weights[q, q - 1], "first token": weights[q, 0], "current token": weights[q, q]}
    return [Score(name, float(values.mean()), chance) for name, values in read.items()]


def induction_score(weights: np.ndarray, tokens: list[bytes]) -> Score | None:
    """How much a head, at a token that occurred before, reads what followed the earlier copies: sum of A[q, j + 1] over
    earlier j with the same token, mean over such q (Olsson et al. 2022, 2209.11895). None if no token occurs twice.

    Chance is the same sum with uniform rows, 1/(q+1) for each such j.
    """
    values, chances = [], []
    for q, token in enumerate(tokens):
        followers = [j + 1 for j in range(q) if tokens[j] == token]
        if followers:
            values.append(weights[q, followers].sum())
            chances.append(len(followers) / (q + 1))
    return Score("token after an earlier copy", float(np.mean(values)), float(np.mean(chances))) if values else None
