"""How heads find their jobs while a model trains: at steps spaced evenly on a log scale all are scored, and each new role is reported."""

import contextlib
import math
from collections.abc import Iterable
from typing import Any

from gpt.interpret.heads import CLEAR, HeadScores, score_heads
from gpt.interpret.probes import Probes
from gpt.interpret.scores import SCORES
from gpt.model.gpt2 import GPT2
from gpt.training.trainer import snapshot_steps


def read_scores(rows: Iterable[dict[str, Any]]) -> list[tuple[int, HeadScores]]:
    """(step, scores) of the rows of kind `heads`. A damaged row is left out, as Run.rows leaves out damaged lines."""
    scored = []
    for row in rows:
        if row.get("kind") == "heads":
            with contextlib.suppress(KeyError, TypeError, ValueError, AttributeError):
                scored.append((row["step"], HeadScores.from_row(row)))
    return [(step, scores) for step, scores in scored if scores.holds and scores.shape == scored[-1][1].shape]


class Forming:
    """Scores the heads of one run. `rows` are those already in its folder: however often the run is stopped and resumed, no step
    is scored twice and no role is reported twice."""

    def __init__(self, probes: Probes, rows: Iterable[dict[str, Any]]):
        self.probes = probes
        self._due: set[int] = set()
        self._scored: set[int] = set()
        self._reported: set[tuple[int, int, str]] = set()
        rows = list(rows)
        self._untrained = next((scores for step, scores in read_scores(rows) if step == 0), None)
        for row in rows:
            if row.get("kind") == "heads":
                self._scored.add(row["step"])
            elif row.get("kind") == "formed":
                self._reported.add((row["layer"], row["head"], row["role"]))

    def plan(self, steps: int, times: int) -> None:
        """Score `times` times in a run of `steps` steps (0 = unknown), before its first and after its last among them; 0 times: never."""
        self._due = set(snapshot_steps(steps, times))

    def is_due(self, step: int, at_the_end: bool) -> bool:
        """Whether the heads are to be scored at this step. The end may come at a step that was not planned, if the clock decides it."""
        return bool(self._due) and (step in self._due or at_the_end) and step not in self._scored

    def rows(self, model: GPT2, position: dict[str, Any]) -> list[dict[str, Any]]:
        """Score the heads. Returns rows for metrics.jsonl: one of kind `heads`, and one of kind `formed` for each new role of a head."""
        scores = score_heads(model, self.probes)
        self._scored.add(position["step"])
        if position["step"] == 0:
            self._untrained = scores
        return [{**position, "kind": "heads", **scores.as_row()}, *({**position, **row} for row in self._formed(scores, position["step"]))]

    def _formed(self, scores: HeadScores, step: int) -> Iterable[dict[str, Any]]:
        """Rows for new roles. With few different tokens, heads of an untrained model may score far above chance by luck, so a role counts
        only if its excess is at least CLEAR above that of the untrained model."""
        for layer, roles in enumerate(scores.roles()):
            for head, role in enumerate(roles):
                if role is None or (layer, head, role.name) in self._reported or role.excess - self._before(layer, head, role.name) < CLEAR:
                    continue
                self._reported.add((layer, head, role.name))
                yield {"kind": "formed", "layer": layer, "head": head, "role": role.name, "excess": round(role.excess, 4),
                       "text": f"layer {layer} head {head} became {SCORES[role.name].head_name} at step {step:,}"}

    def _before(self, layer: int, head: int, score: str) -> float:
        """The excess of a score before the first step: 0 where it was below chance, or is not known."""
        known = self._untrained is not None and score in self._untrained.values
        excess = float(self._untrained.excess(score)[layer, head]) if known else 0.0
        return max(excess, 0.0) if math.isfinite(excess) else 0.0
