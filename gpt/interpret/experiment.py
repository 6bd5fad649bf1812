"""A report in sentences on the experiment "Grow an induction head", from the rows of a run on letters written twice: the plateau, the
drop of the loss, and the two heads that caused it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gpt.interpret.ablation import ablated, head_means, measure
from gpt.interpret.forming import read_scores
from gpt.interpret.heads import HeadScores
from gpt.interpret.probes import Probes
from gpt.model.gpt2 import GPT2
from gpt.words import listed

CORPUS = "repeats"  # the text on which it is made
SMOOTHING_ROWS = 10  # training rows
DROP = 0.3  # nats below the plateau: too far for noise
DROP_START = 0.2  # nats below the plateau at which the fall is reported to begin

Head = tuple[int, int]  # layer, head


@dataclass(frozen=True)
class Story:
    """The experiment so far: a sentence per stage, the loss of the plateau, and the heads: `previous` copies each token's predecessor
    to it, and the `induction` heads use that to find the token that followed an earlier copy."""

    sentences: list[str]
    plateau: float | None = None
    previous: Head | None = None
    induction: tuple[Head, ...] = ()

    @property
    def heads(self) -> list[Head]:
        return [self.previous, *self.induction] if self.previous else []


def story_of(rows: Sequence[dict[str, Any]], is_over: bool = False) -> Story:
    """What the rows of a run say of the experiment so far; `is_over` if no more rows come."""
    losses = np.array([(row["step"], row["loss"]) for row in rows if isinstance(row.get("loss"), (int, float))])
    if len(losses) < SMOOTHING_ROWS:
        return Story(["The loss begins as that of a model that knows nothing."] if len(losses) else [])
    steps, smooth = losses[SMOOTHING_ROWS - 1:, 0], np.convolve(losses[:, 1], np.ones(SMOOTHING_ROWS) / SMOOTHING_ROWS, mode="valid")
    fallen = np.flatnonzero(smooth < smooth[0] - DROP)
    flat = smooth[:fallen[0]] if len(fallen) else smooth
    flat = flat[flat >= smooth[0] - DROP_START / 2]  # the slope down from the plateau is none of it
    plateau = float(flat.mean())
    stays = f"the loss {'stayed' if len(fallen) or is_over else 'stays'} at {plateau:.1f}: each letter is as likely as any other"
    if not len(fallen):
        if is_over:
            return Story([f"To its end {stays}. No induction head has formed: give the run more steps."], plateau)
        return Story([f"So far {stays}."], plateau)
    since = int(steps[np.flatnonzero(smooth[:fallen[0] + 1] >= plateau - DROP_START)[-1]])
    now = f"it {'ended' if is_over else 'is'} at {smooth[-1]:.1f}"
    sentences = [f"At first {stays}.",
                 f"Since step {since:,} the loss falls: the model begins to see that each word stands twice, and {now}."]
    scored = read_scores(rows)
    pair = _pair(scored[-1][1]) if scored else None
    if pair is None:
        return Story(sentences, plateau)
    previous, induction = pair
    became = {"kind": "formed", "layer": induction[0][0], "head": induction[0][1], "role": "induction"}
    formed = next((row["step"] for row in rows if became.items() <= row.items()), scored[-1][0])
    more_heads = f" So {'does' if len(induction) == 2 else 'do'} {listed(map(_name, induction[1:]))}." if len(induction) > 1 else ""
    sentences.append(f"Two heads made it: {_name(previous)} hands each token its predecessor; {_name(induction[0])} looks for the place "
                     "whose predecessor is the current token, and copies what stands there. It is an induction head since step "
                     f"{formed:,}.{more_heads}")
    return Story(sentences, plateau, previous, tuple(induction))


def _pair(scores: HeadScores) -> tuple[Head, list[Head]] | None:
    """The head in an earlier layer that reads the previous token most, and all induction heads, the best first. None as long as there are
    none, or where no head below the best of them clearly reads the previous token."""
    induction = [(layer, head) for layer, roles in enumerate(scores.roles()) for head, role in enumerate(roles)
                 if layer and role and role.name == "induction"]
    if not induction or "previous token" not in scores.values:
        return None
    induction.sort(key=lambda head: -scores.values["induction"][head])
    below = np.where(scores.clear("previous token"), scores.values["previous token"], -np.inf)[:induction[0][0]]
    if not np.isfinite(below).any():
        return None
    return tuple(int(i) for i in np.unravel_index(below.argmax(), below.shape)), induction


@dataclass(frozen=True)
class Outcome:
    """Losses in nats per token on the run's probes from the validation text: with all heads, and without those of the experiment."""

    with_heads: float
    without: float


def take_out(model: GPT2, probes: Probes, heads: Sequence[Head]) -> Outcome:
    """The loss with all heads, and with `heads` ablated: each is replaced by its mean output."""
    effect = measure(model, ablated(model, heads, head_means(model, probes.windows[:, :-1])), probes.windows)
    return Outcome(float(effect.before.mean()), float(effect.after.mean()))


def _name(head: Head) -> str:
    return f"layer {head[0]} head {head[1]}"
