"""How heads get their roles, on the Train tab: a curve per head over the steps of a run, and which head got which role when."""

from typing import Any

import numpy as np

from gpt.errors import UserError
from gpt.escape import escaped
from gpt.interpret.experiment import CORPUS, story_of
from gpt.interpret.experiment import take_out as without_its_heads
from gpt.interpret.forming import read_scores
from gpt.interpret.heads import ONE_LAYER, HeadScores
from gpt.interpret.scores import ROLES, SCORES
from gpt.runs.run import FINAL_STATES, Run, RunError, find_run
from gpt.ui.charts import figures
from gpt.ui.inspector.request import InspectionRequest
from gpt.ui.server import model_cache
from gpt.ui.server.jobs import Jobs

BEST_PLACE = 1e9  # on the slider over the snapshots: past all of them are the best weights
STRONGEST = "strongest role"
CHOICES = [STRONGEST, *SCORES]
HINTS = {STRONGEST: "Of all that a head can be, what it is most, above chance: 0 is uniform attention, 1 a perfect head.",
         **{name: score.sentence for name, score in SCORES.items()}}


def forming(jobs: Jobs, sent: Any) -> dict[str, Any]:
    """{"run", "score"} -> {"figure", or None where no head was scored; "key": [[role, colour, heads]]; "hint": what the score is; "formed":
    a sentence for each head that got a role, the newest first; "story" of the experiment, or None; "note"}."""
    try:
        request = InspectionRequest(sent)
        run, score = find_run(jobs.root, request.text("run", 64)), request.choice("score", CHOICES)
    except UserError as error:
        return {"error": escaped(str(error))}
    rows = run.rows()[0]
    scored = read_scores(rows)
    formed = [row for row in rows if row.get("kind") == "formed" and str(row.get("role")) in ROLES]
    return {
        "figure": figure(scored, formed, score, run.status()["steps"]) if scored else None,
        "key": key(scored[-1][1]) if scored else [], "hint": HINTS[score],
        "formed": [_sentence(str(row.get("text"))) for row in reversed(formed)],
        "story": story(run, rows), "note": ONE_LAYER if scored and scored[-1][1].shape[0] == 1 else "",
    }


def story(run: Run, rows: list[dict[str, Any]]) -> dict[str, Any] | None:
    """What a run on letters written twice goes through; None for another run, and for one whose config.json is not written yet."""
    try:
        if run.config()["config"].get("corpus") != CORPUS:
            return None
    except RunError:
        return None
    over = run.status()["state"] in FINAL_STATES
    growth = story_of(rows, over)
    return {"sentences": growth.sentences, "over": over, "can_take_out": over and bool(growth.heads)}


def take_out(jobs: Jobs, sent: Any) -> dict[str, Any]:
    """{"run"} -> {"sentence", "lines": [[loss, words]]}: the loss without the heads that the experiment grew, beside what it was."""
    try:
        run = find_run(jobs.root, InspectionRequest(sent).text("run", 64))
        growth = story_of(run.rows()[0], is_over=True)
        if not growth.heads:
            raise UserError(f"run {run.name} has grown no induction head that could be taken out: train one from the preset induction")
        model, _, _ = model_cache.load(jobs.root, run.name, BEST_PLACE)
        outcome = without_its_heads(model, run.probes(), growth.heads)
    except UserError as error:
        return {"error": escaped(str(error))}
    undone = (outcome.without - outcome.with_heads) / max(growth.plateau - outcome.with_heads, 1e-9)
    share = "the whole drop is undone" if undone >= 1 else f"{100 * max(undone, 0):.0f} % of the drop is undone"
    these = "both" if len(growth.heads) == 2 else f"these {len(growth.heads)} heads"
    return {
        "sentence": f"Loss on the plateau {growth.plateau:.2f}, with all heads {outcome.with_heads:.2f}, without {these} "
                    f"{outcome.without:.2f} nats per letter: {share}.",
        "lines": [[outcome.without, f"without these heads {outcome.without:.2f}"]],
    }


def figure(scored: list[tuple[int, HeadScores]], formed: list[dict[str, Any]], score: str, steps: int) -> dict[str, Any]:
    """The chart of one score, or of each head's strongest one: one line a head, in the colour of its role if it has one now."""
    _, last = scored[-1]
    L, H = last.shape
    if score == STRONGEST:
        strongest = [scores.strongest() for _, scores in scored]
        values, names, level = np.stack([one for one, _ in strongest]), np.stack([one for _, one in strongest]), 0.0
    else:
        absent = np.full((L, H), np.nan)
        values, names, level = np.stack([scores.values.get(score, absent) for _, scores in scored]), None, last.chance.get(score)
        formed = [row for row in formed if row["role"] == score]
    at = [step for step, _ in scored]
    roles = last.roles()
    curves = [figures.HeadCurve(layer, head, values[:, layer, head].tolist(), role.name if (role := roles[layer][head]) else None,
                                names[:, layer, head].tolist() if names is not None else None)
              for layer, head in np.ndindex(L, H)]
    return figures.heads_chart(at, curves, figures.landmarks(formed, steps or at[-1]), score, level, steps)


def key(scores: HeadScores) -> list[tuple[str, str, int]]:
    """(role, its colour, how many heads have it), and at the end those that have none."""
    roles = [role.name if role else None for layer in scores.roles() for role in layer]
    found = [(f"{SCORES[name].letter}  {name}", figures.ROLE_COLOURS[name], roles.count(name)) for name in ROLES if name in roles]
    return [*found, ("no clear role", figures.MUTED, roles.count(None))]


def _sentence(text: str) -> str:
    return escaped(text[:1].upper() + text[1:] + ".")
