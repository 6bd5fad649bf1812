"""GPT2: predicts the next token at every position."""

import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from gpt.config import validate
from gpt.model.attention import KVCache
from gpt.model.layers import LayerNorm, TransformerBlock

LOGITS_AT_ONCE = 16_000_000  # most logits that `loss` computes at once: 64 MB in float32


class GPT2(nn.Module):
    """A decoder-only transformer (Radford et al. 2019). With position learned, activation gelu, qk_norm off, qkv_bias
    and tie_weights on, it is GPT-2 exactly; a test compares it with the reference implementation.

    Raises ConfigError if `config` cannot be built.
    """

    def __init__(self, config: dict):
        super().__init__()
        self.config = dict(validate(config))
        emb_dim, self.context_length, self.vocab_size = config["emb_dim"], config["context_length"], config["vocab_size"]
        rows = padded_vocab_size(config)
        self.token_embedding = nn.Embedding(rows, emb_dim)
        self.position_embedding = nn.Embedding(self.context_length, emb_dim) if config["position"] == "learned" else None
        self.dropout = nn.Dropout(config["dropout_rate"])
        self.blocks = nn.ModuleList(TransformerBlock(config) for _ in range(config["n_layers"]))
        self.final_norm = LayerNorm(emb_dim)
        self.head = None if config["tie_weights"] else nn.Linear(emb_dim, rows, bias=False)
        self._initialise(torch.Generator().manual_seed(config["seed"]))

    def _initialise(self, generator: torch.Generator) -> None:
        """GPT-2's initialisation: normal with std 0.02 (its position vectors had 0.01), biases 0. The std of each projection into the
        residual stream is divided by the square root of their number, so that the stream does not grow with depth."""
        residual_std = 0.02 / math.sqrt(2 * len(self.blocks))
        for name, parameter in self.named_parameters():
            if name.endswith(".bias"):
                nn.init.zeros_(parameter)
            elif parameter.ndim == 2:
                std = residual_std if name.endswith("projection.weight") else 0.02
                nn.init.normal_(parameter, std=std, generator=generator)

    def forward(self, ids: Tensor, caches: list[KVCache] | None = None) -> Tensor:
        """(B, T) token ids -> (B, T, V) logits. With caches (one per block), `ids` holds only the tokens that are not cached yet.

        Raises ValueError if there are more than context_length tokens.
        """
        return self.unembed(self.stream(ids, caches))

    def stream(self, ids: Tensor, caches: list[KVCache] | None = None) -> Tensor:
        """(B, T) token ids -> (B, T, C): the residual stream after the last block."""
        x = self.embed(ids, caches[0].length if caches else 0)
        for i, block in enumerate(self.blocks):
            x = block(x, caches[i] if caches else None)
        return x

    def embed(self, ids: Tensor, start: int = 0) -> Tensor:
        """(B, T) ids at positions start .. start + T - 1 -> (B, T, C): the residual stream before the first block."""
        T = ids.shape[1]
        if start + T > self.context_length:
            raise ValueError(f"{start + T} tokens do not fit in context_length {self.context_length}: give the last ones only")
        x = self.token_embedding(ids)
        if self.position_embedding is not None:
            x = x + self.position_embedding.weight[start:start + T]
        return self.dropout(x)

    def unembed(self, x: Tensor) -> Tensor:
        """(..., C) -> (..., V): the logits of each token. Padding rows are cut off, so they get no probability."""
        logits = F.linear(self.final_norm(x), (self.head or self.token_embedding).weight)  # (..., V and padding)
        return logits[..., :self.vocab_size]

    def loss(self, ids: Tensor, targets: Tensor, reduction: str = "mean") -> Tensor:
        """(B, T) ids and the tokens that follow them -> cross-entropy in nats: the mean per token, or, with reduction "none", (B, T).
        Targets below 0 do not count. Raises ValueError for any other reduction.

        Logits are by far the largest tensor of a small model: with 50,257 tokens, 8 x 1,024 rows of them take 1.6 GB. So the logits of
        a large batch are computed in chunks. Each chunk is freed at once and computed again in the backward pass (Chen et al. 2016,
        1604.06174), which costs a third more of the head's arithmetic.
        """
        if reduction not in ("mean", "none"):
            raise ValueError(f"reduction is {reduction!r}: use mean or none")
        x, targets = self.stream(ids).flatten(0, 1), targets.flatten()  # (B*T, C), (B*T,)

        def losses(x: Tensor, targets: Tensor) -> Tensor:
            return F.cross_entropy(self.unembed(x), targets, reduction="none")  # (N, V) against (N,); 0 where the target is -100

        rows = max(1, LOGITS_AT_ONCE // self.vocab_size)
        if len(x) <= rows:
            each = losses(x, targets)
        else:
            portions = zip(x.split(rows), targets.split(rows), strict=True)
            each = torch.cat([checkpoint(losses, *portion, use_reentrant=False, preserve_rng_state=False) for portion in portions])
        return each.sum() / (targets >= 0).sum() if reduction == "mean" else each.view(ids.shape)


def padded_vocab_size(config: dict) -> int:
    """Rows of the token embedding: vocab_size, rounded up to a multiple of vocab_multiple."""
    return math.ceil(config["vocab_size"] / config["vocab_multiple"]) * config["vocab_multiple"]


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Switch `model` to evaluation mode (no dropout) inside the block, and back to its previous mode afterwards."""
    if not model.training:
        yield
        return
    model.eval()
    try:
        yield
    finally:
        model.train()
