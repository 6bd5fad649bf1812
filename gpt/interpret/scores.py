"""What a head reads, as numbers. Each score is a function from (N, H, T, T) weights, and the (N, T) ids they belong to, to one number a
sequence and head, (N, H).

Chance is the score of uniform attention, A[q, k] = 1 / (q + 1). It is computed by measuring the score on such weights, so no
score needs its own formula for chance.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gpt.interpret.views import SMALLEST_REST

NEAR = 5  # tokens, the current one among them, that count as near


def previous_token(weights: Tensor, _ids: Tensor) -> Tensor:
    """Mean of A[q, q - 1] over q = 1 .. T - 1 (Clark et al. 2019, 1906.04341)."""
    return weights.diagonal(-1, -2, -1).mean(dim=-1)


def first_token(weights: Tensor, _ids: Tensor) -> Tensor:
    """Mean of A[q, 0] over q = 1 .. T - 1: an attention sink (Xiao et al. 2023, 2309.17453)."""
    return weights[..., 1:, 0].mean(dim=-1)


def current_token(weights: Tensor, _ids: Tensor) -> Tensor:
    """Mean of A[q, q] over q = 1 .. T - 1; the first position can read nothing else, and says nothing."""
    return weights.diagonal(0, -2, -1)[..., 1:].mean(dim=-1)


def duplicate_token(weights: Tensor, ids: Tensor) -> Tensor:
    """On n tokens written twice: mean of A[q, q - n] over q = n .. 2n - 1, the first copy of the same token."""
    return _stripe(weights, ids, 0)


def induction(weights: Tensor, ids: Tensor) -> Tensor:
    """On n tokens written twice: mean of A[q, q - n + 1] over q = n .. 2n - 1, what followed the first copy (Olsson et al. 2022,
    2209.11895). The cell one row earlier, (n - 1, 0), is left out: a head that reads the first token would gain from it."""
    return _stripe(weights, ids, 1)


def _stripe(weights: Tensor, ids: Tensor, after: int) -> Tensor:
    """(N, H): the mean of A[q, q - n + after] over q = n .. 2n - 1, for sequences that repeat after n tokens. Each sequence has its own n,
    the position where its first token occurs again. Positions after the second copy do not count."""
    (N, T), H = ids.shape, weights.shape[1]
    n = (ids[:, 1:] == ids[:, :1]).int().argmax(dim=1, keepdim=True) + 1  # (N, 1)
    q = torch.arange(T, device=ids.device)  # (T,)
    keys = (q - n + after).clamp(min=0)[:, None, :, None].expand(N, H, T, 1)  # (N, T) -> (N, H, T, 1)
    read = weights.expand(N, H, T, T).gather(-1, keys)[..., 0]  # (N, H, T)
    second = (q >= n) & (q < 2 * n)  # (N, T)
    return (read * second[:, None]).sum(dim=-1) / n


def induction_on_text(weights: Tensor, ids: Tensor) -> Tensor:
    """Mean, over positions q whose token occurred before, of the sum of A[q, j + 1] over the earlier j with that token. NaN where no
    token occurs twice."""
    earlier = (ids[:, :, None] == ids[:, None, :]).tril(-1)  # (N, T, T): j < q holds the token of q
    followers = earlier.roll(1, dims=-1)  # j -> j + 1; what leaves at the end was above the diagonal, so nothing enters column 0
    read = (weights * followers[:, None]).sum(dim=(-1, -2))  # (N, H); a row without followers adds nothing
    return read / earlier.any(dim=-1).sum(dim=-1)[:, None]


def locality(weights: Tensor, _ids: Tensor) -> Tensor:
    """Mean over q of the sum of A[q, k] for k in q - 4 .. q. NaN for so short a text that all of it is near."""
    if weights.shape[-1] <= NEAR:
        return weights.new_full(weights.shape[:2], math.nan)
    near = torch.ones(weights.shape[-2:], dtype=torch.bool, device=weights.device).triu(1 - NEAR)
    return (weights * near).sum(dim=-1).mean(dim=-1)


def entropy(weights: Tensor, _ids: Tensor) -> Tensor:
    """Mean over q >= 1 of -sum_k A log A, each divided by its maximum, log(q + 1): 1 = uniform, 0 = one token. With log T instead,
    even a uniform head would look focused, since early rows have few tokens to read. Absent rows (NaN) do not count."""
    T = weights.shape[-1]
    nats = torch.special.entr(weights[..., 1:, :]).sum(dim=-1)  # (N, H, T - 1): -A log A, 0 for 0
    return (nats / torch.arange(2, T + 1, device=weights.device).log()).nanmean(dim=-1)


def distance(weights: Tensor, _ids: Tensor) -> Tensor:
    """How far back a head looks, in tokens: sum of A[q, k] (q - k) over sum of A[q, k]. Absent rows (NaN) do not count."""
    positions = torch.arange(weights.shape[-1], device=weights.device, dtype=weights.dtype)
    back = positions - weights @ positions  # (N, H, T): each row sums to 1
    return back.nanmean(dim=-1)


def entropy_without_first(weights: Tensor, ids: Tensor) -> Tensor:
    """Entropy of what is read beside the first token."""
    return entropy(drop_first_token(weights), ids)


def distance_without_first(weights: Tensor, ids: Tensor) -> Tensor:
    """Distance without the first token: a head that uses the first token as a sink would wrongly appear long-range."""
    return distance(drop_first_token(weights), ids)


def drop_first_token(weights: Tensor) -> Tensor:
    """(..., T, T) -> (..., T - 1, T - 1): the attention of the other tokens among themselves, each row made to sum to 1 again. A row of
    which less than SMALLEST_REST is left is NaN."""
    rest = weights[..., 1:, 1:]
    left = rest.sum(dim=-1, keepdim=True)
    return rest / left.where(left >= SMALLEST_REST, torch.nan)


def uniform(T: int) -> Tensor:
    """(1, 1, T, T): a head that reads all it may read alike."""
    return (torch.ones(T, T).tril() / torch.arange(1, T + 1)[:, None])[None, None]


@dataclass(frozen=True)
class Score:
    """One way to score a head: `sentence` says what it measures, `measure` does it, on the sequences `probes`: `windows` or `repeats`.

    A score with a `letter` can be the role of a head; then its maximum must be 1, so that its excess over chance is meaningful. Such a
    head is called `head_name` and `reads` what it says there, and its role has the page's colour --gpt-<colour> (page.css). `where`
    restricts the positions that are measured, in words. A score that `contains` others counts attention that they count too: it can be
    the role only of a head for which none of them is clear.

    `interest` orders the roles: a head with the highest is worth a first look, and one with 0 does what most heads do.

    `most` is the maximum of the score, None if it has none, `decimals` how many to show, `in_report` whether a run's report shows it.
    """

    name: str
    probes: str
    measure: Callable[[Tensor, Tensor], Tensor]
    sentence: str
    letter: str = ""
    reads: str = ""
    head_name: str = ""
    colour: str = ""
    where: str = ""
    contains: tuple[str, ...] = ()
    interest: int = 0
    most: float | None = 1.0
    decimals: int = 2
    in_report: bool = True

    @property
    def is_role(self) -> bool:
        return bool(self.letter)

    def chance(self, ids: Tensor) -> Tensor:
        """(N, T) ids -> (N,): what uniform attention scores on each sequence."""
        return self.measure(uniform(ids.shape[1]).to(ids.device), ids)[:, 0].expand(len(ids))


def excess(score: Any, chance: Any) -> Any:
    """How far scores are above chance: 0 for uniform attention, 1 for a head that does nothing else. Of numbers, arrays or tensors."""
    return (score - chance) / (1 - chance)


SCORES = {score.name: score for score in (
    Score("previous token", "windows", previous_token, "Share of attention on the token just before.",
          letter="P", reads="previous token", head_name="a previous-token head", colour="sky", interest=2),
    Score("first token", "windows", first_token,
          "Share of attention on the first token: where a head often parks what it has no use for, a sink.",
          letter="F", reads="first token", head_name="a first-token head", colour="rose", interest=1),
    Score("current token", "windows", current_token, "Share of attention on the very token that looks.",
          letter="C", reads="current token", head_name="a current-token head", colour="amber", interest=1),
    Score("duplicate token", "repeats", duplicate_token,
          "Random tokens written twice: share of attention, in the second copy, on the same token in the first.",
          letter="D", reads="earlier copy of the token", head_name="a duplicate-token head", colour="green", interest=1),
    Score("induction", "repeats", induction,
          "Random tokens written twice: share of attention, in the second copy, on the token that followed in the first. It is the one to "
          "be predicted.", letter="I", reads="token after an earlier copy", head_name="an induction head", colour="accent", interest=4),
    Score("induction on text", "windows", induction_on_text,
          "Where a token of the text occurs again: share of attention on what followed it before.", letter="i",
          reads="token after an earlier copy", head_name="an induction head on text", colour="pale", where="where a token occurs again",
          interest=3),
    Score("locality", "windows", locality, f"Share of attention on the last {NEAR} tokens, the current one among them.",
          letter="L", reads=f"last {NEAR} tokens", head_name="a local head", colour="muted", contains=("previous token", "current token")),
    Score("entropy", "windows", entropy, "How spread out attention is: 1 = over all tokens alike, 0 = on one token."),
    Score("distance", "windows", distance, "How many tokens back a head looks, on average.", most=None, decimals=1),
    Score("entropy without first", "windows", entropy_without_first,
          "Entropy of what is read beside the first token; unknown where next to nothing is.", in_report=False),
    Score("distance without first", "windows", distance_without_first,
          "Distance of what is read beside the first token; unknown where next to nothing is.", most=None, decimals=1, in_report=False),
)}
ROLES = {name: score for name, score in SCORES.items() if score.is_role}


@dataclass(frozen=True)
class Measured:
    """What one head scores on one text, beside its chance there."""

    score: Score
    value: float
    chance: float

    @property
    def excess(self) -> float:
        return excess(self.value, self.chance)


def measure_on_text(weights: np.ndarray, tokens: list[bytes]) -> dict[str, Measured]:
    """(T, T) weights of one head on a text of T tokens -> by name, its scores there: those that can be a role and are measured on plain
    text. Empty for a single token; without induction where no token occurs twice."""
    if len(tokens) < 2:
        return {}
    ids = torch.tensor([[tokens.index(token) for token in tokens]])  # (1, T): equal where tokens are
    maps = torch.as_tensor(weights, dtype=torch.float32)[None, None]
    measured = [Measured(score, float(score.measure(maps, ids)), float(score.chance(ids)))
                for score in ROLES.values() if score.probes == "windows"]
    return {one.score.name: one for one in measured if not math.isnan(one.value)}
