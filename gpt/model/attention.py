"""Attention in three steps: one head, one head that cannot attend to later tokens, many heads in one matrix product.

Letters for shapes, here and everywhere: B batch, T time (tokens), S time including the cached tokens, C channels (emb_dim),
H heads, D head width, L layers, V vocabulary, N any number.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class SelfAttention(nn.Module):
    """One head in which every token attends to every token (Vaswani et al. 2017, 1706.03762, equation 1).

    Each token's query is compared with every token's key; the output is the sum of the values, weighted by how well they match.
    """

    def __init__(self, emb_dim: int, head_dim: int, qkv_bias: bool = False):
        super().__init__()
        self.query = nn.Linear(emb_dim, head_dim, bias=qkv_bias)
        self.key = nn.Linear(emb_dim, head_dim, bias=qkv_bias)
        self.value = nn.Linear(emb_dim, head_dim, bias=qkv_bias)

    def scores(self, x: Tensor) -> Tensor:
        """(B, T, C) -> (B, T, T): how well each query matches each key, scaled so that its spread does not grow with D."""
        query, key = self.query(x), self.key(x)  # (B, T, D)
        return query @ key.transpose(-2, -1) / math.sqrt(key.shape[-1])

    def weights(self, x: Tensor) -> Tensor:
        """(B, T, C) -> (B, T, T): row q holds the weights of position q on each position k; rows sum to 1."""
        return self.scores(x).softmax(dim=-1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, C) -> (B, T, D)."""
        return self.weights(x) @ self.value(x)  # (B, T, T) @ (B, T, D)


class CausalAttention(SelfAttention):
    """One head in which each token attends only to itself and to earlier tokens: the token to predict must stay hidden."""

    def __init__(self, emb_dim: int, head_dim: int, context_length: int, dropout_rate: float = 0.0, qkv_bias: bool = False):
        super().__init__(emb_dim, head_dim, qkv_bias)
        self.dropout = nn.Dropout(dropout_rate)
        future = torch.ones(context_length, context_length, dtype=torch.bool).triu(diagonal=1)
        self.register_buffer("future", future, persistent=False)  # a constant, so it stays out of saved weights

    def weights(self, x: Tensor) -> Tensor:
        """(B, T, C) -> (B, T, T); rows sum to 1, except in training, where dropout zeroes some weights and scales up the others."""
        T = x.shape[1]
        scores = self.scores(x).masked_fill(self.future[:T, :T], -math.inf)  # exp(-inf) = 0: no weight on the future
        return self.dropout(scores.softmax(dim=-1))


class KVCache:
    """Keys and values of the tokens processed so far, for one layer, so that the next token needs one row of computation instead of T.
    Memory for `capacity` tokens is allocated once."""

    def __init__(self, capacity: int):
        self.capacity, self.length = capacity, 0
        self.keys = self.values = None  # (B, H, capacity, D) each, as soon as B, H and D are known

    def append(self, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Add (B, H, T, D) keys and values; return all of them, (B, H, length, D). Raises ValueError beyond `capacity`."""
        B, H, T, D = key.shape
        if self.length + T > self.capacity:
            raise ValueError(f"{self.length + T} tokens do not fit into a cache of {self.capacity}")
        if self.keys is None:
            self.keys, self.values = key.new_empty(B, H, self.capacity, D), value.new_empty(B, H, self.capacity, D)
        start, self.length = self.length, self.length + T
        self.keys[:, :, start:self.length], self.values[:, :, start:self.length] = key, value
        return self.keys[:, :, :self.length], self.values[:, :, :self.length]

    def clear(self) -> None:
        """Remove all tokens, but keep the allocated memory."""
        self.length = 0


def rotation(context_length: int, head_dim: int) -> tuple[Tensor, Tensor]:
    """Cosines and signed sines, (context_length, D) each, of rotary position embedding (Su et al. 2021, 2104.09864).

    Pair i of a head consists of its numbers i and i + D/2 and is rotated by position / 10000^(2i/D) radians. (The paper pairs
    neighbouring numbers; most implementations, and this one, pair the two halves.)
    """
    frequencies = 10000.0 ** (-torch.arange(0, head_dim, 2) / head_dim)
    angles = torch.outer(torch.arange(context_length), frequencies)  # (context_length, D/2)
    cos, sin = angles.cos(), angles.sin()
    return torch.cat((cos, cos), dim=-1), torch.cat((-sin, sin), dim=-1)


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotate the pairs (a, b) = (x[i], x[i + D/2]) of (..., D) to (a cos - b sin, b cos + a sin), all pairs in one operation.

    The product of a rotated query and a rotated key depends only on the distance between their positions.
    """
    return torch.addcmul(x * cos, x.roll(x.shape[-1] // 2, dims=-1), sin)  # rolling by D/2 puts each number in the place of its partner


def score_scale(config: dict) -> float:
    """The factor on the product of a query and a key: 1 / sqrt(D), so that scores do not grow with the head's width.

    With qk_norm, queries and keys have a root mean square of 1, and their product is D times the cosine between them. With 1 / sqrt(D)
    the scores would be too small to put most of the weight on one token. So the cosine is multiplied by log2(T^2 - T), the initial
    value of the learned factor of Henry et al. (2020, 2010.04245).
    """
    head_dim, T = config["emb_dim"] // config["n_heads"], config["context_length"]
    return math.log2(T * T - T) / head_dim if config["qk_norm"] else 1 / math.sqrt(head_dim)


@dataclass(frozen=True)
class AttentionResult:
    """Intermediate results of the attention of one layer: the scores of queries and keys (-inf for later tokens), the attention
    weights, the values, and the output of each head before the projection mixes the heads."""

    scores: Tensor  # (B, H, T, T)
    weights: Tensor  # (B, H, T, T), the softmax of the scores
    values: Tensor  # (B, H, T, D)
    heads: Tensor  # (B, H, T, D) = weights @ values


class MultiHeadAttention(nn.Module):
    """H causal heads computed together in one matrix product, and a projection that mixes their outputs.

    Two methods compute the same result: `forward` uses PyTorch's fused kernel, which is fast but does not return the attention
    weights; `explicit` computes and returns them, and lets a caller edit the heads' outputs.
    """

    def __init__(self, config: dict):
        super().__init__()
        emb_dim, self.n_heads = config["emb_dim"], config["n_heads"]
        self.head_dim = emb_dim // self.n_heads
        self.qk_norm = config["qk_norm"]
        self.rope = config["position"] == "rope"
        self.dropout_rate = config["dropout_rate"]
        self.scale = score_scale(config)
        self.qkv = nn.Linear(emb_dim, 3 * emb_dim, bias=config["qkv_bias"])
        self.projection = nn.Linear(emb_dim, emb_dim)
        if self.rope:
            cos, sin = rotation(config["context_length"], self.head_dim)
            self.register_buffer("cos", cos[:, None, None], persistent=False)  # (context_length, 1, 1, D): the same for all heads
            self.register_buffer("sin", sin[:, None, None], persistent=False)

    def project_qkv(self, x: Tensor, start: int) -> tuple[Tensor, Tensor, Tensor]:
        """(B, T, C) -> queries, keys and values, each (B, H, T, D), of tokens at positions start .. start + T - 1."""
        B, T, _ = x.shape
        qkv = self.qkv(x).view(B, T, 3, self.n_heads, self.head_dim)  # (B, T, 3C) -> (B, T, 3, H, D)
        query_key, value = qkv.split((2, 1), dim=2)  # queries and keys get the same treatment: (B, T, 2, H, D)
        if self.qk_norm:
            query_key = F.rms_norm(query_key, (self.head_dim,))
        if self.rope:
            query_key = rotate(query_key, self.cos[start:start + T], self.sin[start:start + T])
        # Autocast leaves x, queries and keys in float32 and values in bfloat16. GPUs use the format of the values, CPUs float32 (faster).
        dtype = value.dtype if x.device.type != "cpu" else torch.promote_types(value.dtype, x.dtype)
        query, key = query_key.to(dtype).unbind(2)
        return query.transpose(1, 2), key.transpose(1, 2), value.squeeze(2).to(dtype).transpose(1, 2)  # (B, T, H, D) -> (B, H, T, D)

    def merge_heads(self, heads: Tensor) -> Tensor:
        """(B, H, T, D) -> (B, T, C): concatenate the heads' outputs and apply the projection."""
        B, H, T, D = heads.shape
        return self.projection(heads.transpose(1, 2).reshape(B, T, H * D))

    def forward(self, x: Tensor, cache: KVCache | None = None) -> Tensor:
        """(B, T, C) -> (B, T, C). With a cache, `x` holds only the tokens that are not in it yet."""
        query, key, value = self.project_qkv(x, cache.length if cache else 0)
        if cache is not None:
            key, value = cache.append(key, value)
        T, S = query.shape[2], key.shape[2]  # T new tokens attend to S tokens in total
        # One new token attends to all, so no mask; if T == S the kernel applies its own; else the mask is aligned to the last token.
        mask = None if T in (1, S) else torch.ones(T, S, dtype=torch.bool, device=x.device).tril(S - T)
        with torch.autocast("cpu", enabled=False):  # autocast would convert them back to bfloat16
            heads = F.scaled_dot_product_attention(query, key, value, attn_mask=mask, is_causal=bool(T == S and T > 1), scale=self.scale,
                                                   dropout_p=self.dropout_rate if self.training else 0.0)
        return self.merge_heads(heads)

    def attend(self, x: Tensor) -> AttentionResult:
        """(B, T, C) -> scores, weights, values and head outputs, computed step by step instead of by the fused kernel.

        Raises RuntimeError in training mode: these weights are without dropout, so they are not the ones used in training.
        """
        if self.training:
            raise RuntimeError("attention weights of a model in training mode are noise: call model.eval() first")
        query, key, value = self.project_qkv(x, start=0)
        T = x.shape[1]
        future = torch.ones(T, T, dtype=torch.bool, device=x.device).triu(diagonal=1)
        scores = (query @ key.transpose(-2, -1) * self.scale).masked_fill(future, -math.inf)  # (B, H, T, T)
        weights = scores.softmax(dim=-1)
        return AttentionResult(scores, weights, value, weights @ value)

    def explicit(self, x: Tensor, edit: Callable[[Tensor], Tensor] | None = None) -> tuple[Tensor, Tensor]:
        """(B, T, C) -> output (B, T, C) and weights (B, H, T, T). `edit` may replace the heads' outputs, (B, H, T, D).
        Raises RuntimeError in training mode."""
        attended = self.attend(x)
        return self.merge_heads(edit(attended.heads) if edit else attended.heads), attended.weights
