"""Several views of one head. Every view is a (T, T) matrix: row q is the position that reads, column k the position it reads."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from gpt.interpret.trace import Trace
from gpt.model.gpt2 import GPT2

SMALLEST_REST = 1e-3  # a row that leaves less than this outside its first column has nothing to renormalise


@dataclass(frozen=True)
class View:
    """What a view's numbers are (`unit`, in words), what it shows in a sentence, and whether they may be negative."""

    unit: str
    sentence: str
    signed: bool
    matrix: Callable[[Trace, int, int], np.ndarray]


def weights(trace: Trace, layer: int, head: int) -> np.ndarray:
    """(T, T): A[q, k], rows sum to 1."""
    return _absent_above(trace.attend(layer).weights[0, head])


def scores(trace: Trace, layer: int, head: int) -> np.ndarray:
    """(T, T): query times key, scaled, before the softmax turns each row into shares."""
    return _absent_above(trace.attend(layer).scores[0, head])


def without_first_token(trace: Trace, layer: int, head: int) -> np.ndarray:
    """(T, T): the weights without column 0, each row made to sum to 1 again. Rows with next to nothing left are absent, and so is
    the first."""
    return mask_first_column(weights(trace, layer, head))


def mask_first_column(matrix: np.ndarray) -> np.ndarray:
    """(..., T, T) weights -> the same without column 0, rows renormalised, NaN where a row has less than SMALLEST_REST left."""
    masked = np.array(matrix, copy=True)
    masked[..., 0] = np.nan
    remaining = np.nansum(masked, axis=-1, keepdims=True)
    return np.where(remaining >= SMALLEST_REST, masked / np.where(remaining >= SMALLEST_REST, remaining, 1), np.nan).astype(np.float32)


def value_weighted(trace: Trace, layer: int, head: int) -> np.ndarray:
    """(T, T): N[q, k] = || A[q, k] v_k W_O || (Kobayashi et al. 2020, 2004.10102): the length of what each token adds to the
    stream. A token that serves only as a sink has a small value vector, so its column is faint."""
    attended = trace.attend(layer)
    norms = value_norms(trace.model, layer, attended.values)[0, head]  # (T,)
    return _absent_above(attended.weights[0, head] * norms)


@torch.no_grad()
def value_norms(model: GPT2, layer: int, values: Tensor) -> Tensor:
    """(B, H, T, D) values -> (B, H, T): the length of each once the output projection has taken it to the stream's C numbers."""
    projection = model.blocks[layer].attention.projection.weight  # (C, H * D)
    H, D = values.shape[1], values.shape[3]
    per_head = projection.view(-1, H, D)  # (C, H, D)
    return torch.einsum("bhtd,chd->bhtc", values, per_head).norm(dim=-1)


def rollout(trace: Trace, layer: int, _head: int = 0) -> np.ndarray:
    """(T, T): attention multiplied through the layers up to this one, R_l = (mean over heads of A[l] + I) / 2 times R_{l-1} (Abnar and
    Zuidema 2020, 2005.00928). Rows sum to 1. In a causal model it drifts to the first token, which every path can reach."""
    T = trace.ids.shape[1]
    eye = torch.eye(T, device=trace.ids.device)
    rolled = eye
    for below in range(layer + 1):
        rolled = (trace.attend(below).weights[0].mean(dim=0) + eye) / 2 @ rolled  # (T, T)
    return _absent_above(rolled)


def _absent_above(matrix: Tensor) -> np.ndarray:
    """(T, T) -> NaN on the future: what is masked is absent, and not 0."""
    T = len(matrix)
    above = torch.ones(T, T, dtype=torch.bool, device=matrix.device).triu(diagonal=1)
    return matrix.masked_fill(above, torch.nan).float().cpu().numpy()


VIEWS = {
    "weights": View("weight", "How much each token reads of each earlier one; rows sum to 1.", False, weights),
    "without the first token": View(
        "weight", "The weights without the first token, which many heads read when they need nothing; rows sum to 1 again.", False,
        without_first_token),
    "value-weighted": View(
        "length in the stream", "The length of what each token hands over: a token that is read and says little fades.", False,
        value_weighted),
    "scores before the softmax": View(
        "score", "How well query and key match. The softmax of a row of these is its weights.", True, scores),
    "rollout over layers": View(
        "share", "Attention of all heads, multiplied through the layers up to this one; it drifts to the first token, which every path "
        "reaches.", False, rollout),
}


def strongest_keys(row: np.ndarray, share: float = 0.7) -> list[int]:
    """Positions of the fewest keys that together hold `share` of a row of weights, the largest first. NaN counts as nothing."""
    row = np.nan_to_num(row)
    order = np.argsort(-row, kind="stable")
    held = np.cumsum(row[order])
    return order[:int(np.searchsorted(held, share * held[-1] - 1e-9)) + 1].tolist()
