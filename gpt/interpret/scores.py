"""How much a head reads of one kind of token, beside what uniform attention would."""

from dataclasses import dataclass

import numpy as np


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
