"""Every head of a model, scored on a run's probes: how much it reads of what, how sure that is, and the role it has."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gpt.interpret.probes import Probes
from gpt.interpret.scores import ROLES, SCORES, excess
from gpt.interpret.trace import attention_by_layer
from gpt.model.gpt2 import GPT2, evaluating
from gpt.model.threads import computing_with, threads_for_few_tokens

CLEAR = 0.3  # smallest excess at which a head counts as doing what the score measures
REQUIRED_SHARE = 0.8  # of the sequences in which that has to be so
SCORED_WINDOWS = 5  # windows of the probes that a scoring reads: few, since a model is scored many times while it trains
DIGITS = 4  # of a score in metrics.jsonl
ONE_LAYER = ("A model of one layer cannot form an induction head: that takes a head in an earlier layer that hands each token its "
             "predecessor, and another in a later layer that looks for it.")


@dataclass(frozen=True)
class Role:
    """What a head does: the score with the largest excess over chance. `runner_up` is the next one, if it is above chance at all."""

    name: str
    letter: str
    value: float
    chance: float
    excess: float
    runner_up: str | None
    runner_up_excess: float | None


@dataclass(frozen=True)
class HeadScores:
    """For each score by name: its `chance`, and (L, H) arrays of its mean over the probe sequences (`values`), the standard error
    (`errors`) and, if the score can be a role, the share of sequences in which the excess is at least CLEAR (`holds`).

    A score without sequences to measure it on is left out; a score that is unknown for a head is NaN.
    """

    chance: dict[str, float]
    values: dict[str, np.ndarray]
    errors: dict[str, np.ndarray]
    holds: dict[str, np.ndarray]

    @property
    def shape(self) -> tuple[int, int]:
        """(L, H)."""
        return next(iter(self.values.values())).shape

    @property
    def note(self) -> str:
        """What has to be said about all heads of this model, or nothing."""
        return ONE_LAYER if self.shape[0] == 1 else ""

    def excess(self, name: str) -> np.ndarray:
        """(L, H): how far a score is above chance; 0 for uniform attention, 1 for a head that does nothing else."""
        return excess(self.values[name], self.chance[name])

    def clear(self, name: str) -> np.ndarray:
        """(L, H): which heads do what the score measures: an excess of at least CLEAR, and so in REQUIRED_SHARE all of the sequences."""
        if name not in self.holds:
            return np.zeros(self.shape, dtype=bool)
        return (self.excess(name) >= CLEAR) & (self.holds[name] >= REQUIRED_SHARE)

    def role_excesses(self) -> dict[str, np.ndarray]:
        """(L, H) excesses of the scores that can be a role, -inf where a score is unknown, or excluded because one that it contains is
        clear."""
        def excluded(name: str) -> np.ndarray:
            return np.any([self.clear(part) for part in SCORES[name].contains] or [np.zeros(self.shape, dtype=bool)], axis=0)

        return {name: np.where(excluded(name), -np.inf, np.nan_to_num(self.excess(name), nan=-np.inf)) for name in self.holds}

    def strongest(self) -> tuple[np.ndarray, np.ndarray]:
        """(L, H) excesses of the score with the largest one, and (L, H) names of these scores."""
        role_excesses = self.role_excesses()
        excesses = np.stack(list(role_excesses.values()))
        return excesses.max(axis=0), np.array(list(role_excesses))[excesses.argmax(axis=0)]

    def ranked(self, layer: int, head: int) -> list[tuple[str, float]]:
        """(score, excess) of one head, the largest first, of scores that compete for its role."""
        known = [(name, float(excesses[layer, head])) for name, excesses in self.role_excesses().items()]
        return sorted(((name, value) for name, value in known if value > -math.inf), key=lambda pair: -pair[1])

    def roles(self) -> list[list[Role | None]]:
        """The role of each head of each layer."""
        L, H = self.shape
        return [[self.role(layer, head) for head in range(H)] for layer in range(L)]

    def role(self, layer: int, head: int) -> Role | None:
        """The score with the largest excess, if that is at least CLEAR, also in a share REQUIRED_SHARE of the sequences; else None.

        Locality competes only where neither the previous nor the current token, which it contains, is clear. Induction on random tokens
        (I) and on text (i) are two scores, and either can be the role.
        """
        ranked = self.ranked(layer, head)
        if not ranked or not self.clear(ranked[0][0])[layer, head]:
            return None
        name, value = ranked[0]
        runner_up = ranked[1] if len(ranked) > 1 and ranked[1][1] > 0 else (None, None)
        return Role(name, SCORES[name].letter, float(self.values[name][layer, head]), self.chance[name], value, *runner_up)

    def as_row(self) -> dict[str, Any]:
        """For metrics.jsonl: {"chance": {name: number}, "scores", "errors", "holds": {name: [[number or None a head] a layer]}}."""
        def rounded(arrays: dict[str, np.ndarray]) -> dict[str, list]:
            return {name: [[_rounded(number) for number in layer] for layer in array.tolist()] for name, array in arrays.items()}

        return {"chance": {name: _rounded(number) for name, number in self.chance.items()},
                "scores": rounded(self.values), "errors": rounded(self.errors), "holds": rounded(self.holds)}

    @classmethod
    def from_row(cls, row: dict[str, Any]) -> "HeadScores":
        """What `as_row` has made a row of. Raises KeyError, TypeError or ValueError for another row."""
        def arrays(lists: dict[str, list]) -> dict[str, np.ndarray]:
            return {name: np.array(lists[name], dtype=float) for name in SCORES if name in lists}

        read = cls({name: _number(row["chance"][name]) for name in SCORES if name in row["chance"]},
                   arrays(row["scores"]), arrays(row["errors"]), arrays(row["holds"]))
        shapes = {array.shape for group in (read.values, read.errors, read.holds) for array in group.values()}
        if len(shapes) != 1 or len(next(iter(shapes))) != 2:
            raise ValueError("its scores are not one number a head")
        if not read.holds.keys() <= read.values.keys() <= read.chance.keys() & read.errors.keys():
            raise ValueError("some of its scores are missing")
        return read


@torch.no_grad()
def score_heads(model: GPT2, probes: Probes) -> HeadScores:
    """Score every head of `model`, one layer at a time. The model runs in evaluation mode and is left in the mode it was in; no random
    numbers are used, and `probes` is not changed. At most SCORED_WINDOWS windows are read, evenly spaced over all of them."""
    probes = probes.to(next(model.parameters()).device)
    M = len(probes.windows)
    spread = torch.linspace(0, M - 1, min(M, SCORED_WINDOWS)).round().long()
    scores_by_name: dict[str, list[Tensor]] = {}  # (N, H) of each layer
    chances: dict[str, Tensor] = {}  # (N,)
    with evaluating(model), computing_with(threads_for_few_tokens(model)):
        for kind, ids in (("windows", probes.windows[spread, :-1]), ("repeats", probes.repeats)):
            if not len(ids):
                continue
            scores = [score for score in SCORES.values() if score.probes == kind]
            chances |= {score.name: score.chance(ids) for score in scores}
            for weights in attention_by_layer(model, ids):  # (N, H, T, T)
                for score in scores:
                    scores_by_name.setdefault(score.name, []).append(score.measure(weights, ids))
    return aggregate({name: torch.stack(scores_by_name[name]).cpu() for name in SCORES if name in scores_by_name},
                     {name: chance.cpu() for name, chance in chances.items()})


def aggregate(scores_by_name: dict[str, Tensor], chances: dict[str, Tensor]) -> HeadScores:
    """(L, N, H) scores and (N,) chances, by name -> statistics over the N sequences. Sequences in which a score is NaN do not count."""
    values, errors, holds = {}, {}, {}
    for n in {score.shape[1] for score in scores_by_name.values()}:  # those of as many sequences are summed up at once
        names = [name for name in scores_by_name if scores_by_name[name].shape[1] == n]
        scores = torch.stack([scores_by_name[name] for name in names])  # (S, L, N, H)
        chance = torch.stack([chances[name] for name in names])  # (S, N)
        n_known = (~scores.isnan()).sum(dim=2)  # (S, L, H)
        mean = scores.nanmean(dim=2)
        spread = ((scores - mean[:, :, None]) ** 2).nansum(dim=2) / (n_known - 1).where(n_known > 1, torch.nan)
        clear = (excess(scores, chance[:, None, :, None]) >= CLEAR).sum(dim=2) / n_known  # NaN is not
        values |= dict(zip(names, mean.numpy(), strict=True))
        errors |= dict(zip(names, (spread / n_known).sqrt().numpy(), strict=True))
        holds |= dict(zip(names, clear.numpy(), strict=True))
    return HeadScores({name: float(chances[name].nanmean()) for name in scores_by_name}, {name: values[name] for name in scores_by_name},
                      {name: errors[name] for name in scores_by_name}, {name: holds[name] for name in scores_by_name if name in ROLES})


def _rounded(number: float) -> float | None:
    return None if math.isnan(number) else round(number, DIGITS)


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)
