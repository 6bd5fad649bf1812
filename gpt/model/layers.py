"""The parts of a transformer block: LayerNorm, FeedForward, and the TransformerBlock that joins them with attention."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gpt.model.attention import KVCache, MultiHeadAttention


class LayerNorm(nn.Module):
    """weight * (x - mean) / sqrt(variance + eps) + bias over the channels of each token (Ba et al. 2016, 1607.06450)."""

    def __init__(self, emb_dim: int, eps: float = 1e-5):
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(emb_dim))
        self.bias = nn.Parameter(torch.zeros(emb_dim))

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, C) -> (B, T, C). The fused kernel computes the formula above; a test checks this."""
        return F.layer_norm(x, self.weight.shape, self.weight, self.bias, self.eps)


class FeedForward(nn.Module):
    """Two linear layers applied to each token separately: expand to 4C, apply the activation, project back to C.

    `gelu` is GPT-2's tanh approximation (Hendrycks and Gimpel 2016, 1606.08415); `relu2` is max(x, 0) squared
    (So et al. 2021, 2109.08668), cheaper and a little better in short runs.
    """

    def __init__(self, config: dict):
        super().__init__()
        emb_dim = config["emb_dim"]
        self.expand = nn.Linear(emb_dim, 4 * emb_dim)
        self.projection = nn.Linear(4 * emb_dim, emb_dim)
        self.activation = config["activation"]

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, C) -> (B, T, 4C) -> (B, T, C)."""
        hidden = self.expand(x)
        if self.activation == "gelu":
            hidden = F.gelu(hidden, approximate="tanh")
        else:
            hidden = F.relu(hidden)
            hidden = hidden * hidden  # a third faster than square(), whose backward pass uses pow()
        return self.projection(hidden)


class TransformerBlock(nn.Module):
    """Attention moves information between tokens, the feed-forward layer processes each token; each adds to the residual stream.

    Each part has a LayerNorm before it (pre-norm), as in GPT-2.
    """

    def __init__(self, config: dict):
        super().__init__()
        self.norm1 = LayerNorm(config["emb_dim"])
        self.attention = MultiHeadAttention(config)
        self.norm2 = LayerNorm(config["emb_dim"])
        self.feed_forward = FeedForward(config)
        self.dropout = nn.Dropout(config["dropout_rate"]) if config["dropout_rate"] else nn.Identity()

    def forward(self, x: Tensor, cache: KVCache | None = None) -> Tensor:
        """(B, T, C) -> (B, T, C)."""
        x = x + self.dropout(self.attention(self.norm1(x), cache))
        return self._feed(x)

    def explicit(self, x: Tensor, edit: Callable[[Tensor], Tensor] | None = None) -> tuple[Tensor, Tensor]:
        """Like `forward`, but also returns the attention weights (B, H, T, T); see MultiHeadAttention.explicit."""
        attended, weights = self.attention.explicit(self.norm1(x), edit)
        return self._feed(x + self.dropout(attended)), weights

    def _feed(self, x: Tensor) -> Tensor:
        return x + self.dropout(self.feed_forward(self.norm2(x)))
