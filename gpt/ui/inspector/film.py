"""The snapshots of a run as the frames of a film: one prompt in the weights of each saved step."""

import hashlib
import json
from typing import Any

from gpt.runs.run import FINAL_STATES, Run

MOST_PICTURES = 12  # on a strip


def describe(run: Run, ids: list[int]) -> dict[str, Any]:
    """The film of one prompt: {"name", "steps", "last", "note"}. The same name means the same frames; `steps` are the steps of the
    snapshots, `last` is the last planned step, and `note` says what is missing."""
    steps, status = run.snapshots(), run.status()
    name = hashlib.sha256(json.dumps([run.name, run.config().get("created"), ids]).encode()).hexdigest()[:16]
    note = ""
    if not steps:
        note = f"Run {run.name} kept no snapshots, so there is nothing to play: train with snapshots above 0 to watch its heads form."
    elif status["state"] not in FINAL_STATES:
        note = f"Run {run.name} still trains; {len(steps)} snapshot{'s' * (len(steps) > 1)} so far. Press Inspect to see those that come."
    return {"name": name, "steps": steps, "last": status["steps"], "note": note}


def frames(run: Run) -> list[int | None]:
    """The steps of a run's snapshots and, last, None: its best weights."""
    return [*run.snapshots(), None]


def evenly_spaced(steps: list[int | None], most: int = MOST_PICTURES) -> list[int | None]:
    """At most `most` of them, spread evenly, with the first and the last."""
    if len(steps) <= most:
        return steps
    return [steps[round(i * (len(steps) - 1) / (most - 1))] for i in range(most)]
