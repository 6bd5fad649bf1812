"""The role of every head: its scores on the run's probes, compared with chance and the untrained model, and the role they give."""

import math
import weakref
from typing import Any

from gpt.errors import UserError
from gpt.interpret.heads import CLEAR, HeadScores, score_heads
from gpt.interpret.scores import SCORES
from gpt.runs.run import Run, damage_as_run_error
from gpt.ui.charts import maps
from gpt.ui.inspector.inspections import Inspected
from gpt.ui.inspector.request import InspectionRequest

WHERE = {"windows": "on the validation text", "repeats": "in the second copy of random tokens written twice"}
_scored: weakref.WeakKeyDictionary[Any, HeadScores] = weakref.WeakKeyDictionary()  # model -> its scores: they do not depend on the prompt


def roles(inspected: Inspected, _request: InspectionRequest) -> dict[str, Any]:
    """Every head's scores and role, in the order of layers. Raises RunError if the run keeps no probes."""
    return roles_in(inspected.model, inspected.run)


def roles_in(model: Any, run: Run) -> dict[str, Any]:
    """The same without a prompt, on which it does not depend."""
    scores, untrained = scores_of(model, run), untrained_scores(run)
    L, H = scores.shape
    return {
        "clearest": clearest(scores), "names": list(scores.values),
        "chance": {name: rounded(scores.chance[name]) for name in scores.values},
        "about": {name: SCORES[name].sentence for name in scores.values}, "note": scores.note,
        "decimals": {name: SCORES[name].decimals for name in scores.values},
        "heads": [about_head(scores, untrained, layer, head) for layer in range(L) for head in range(H)],
    }


def clearest(scores: HeadScores) -> list[int] | None:
    """[layer, head] to look at first: of the heads with the most interesting role, the one that has it most; None if none has any."""
    ranked = [(SCORES[role.name].interest, role.excess, [layer, head])
              for layer, roles in enumerate(scores.roles()) for head, role in enumerate(roles) if role]
    return max(ranked, default=(0, 0, None))[2]


def mosaic(inspected: Inspected, request: InspectionRequest) -> dict[str, Any]:
    """{"order": [[layer, head]]} -> all heads in another order."""
    L, H, T = inspected.inspection.shape
    order, natural = request.heads("order", L, H), [(layer, head) for layer in range(L) for head in range(H)]
    if sorted(order) != natural:
        raise UserError("an order names each head once: reload the page and ask again")
    return {"mosaic": maps.mosaic(inspected.cells, T, None if order == natural else order)}


def scores_of(model: Any, run: Run) -> HeadScores:
    """The scores of a model on the probes of its run. Raises RunError if the run keeps none."""
    if model not in _scored:
        _scored[model] = score_heads(model, run.probes())
    return _scored[model]


def untrained_scores(run: Run) -> HeadScores | None:
    """What the same heads scored before the first step, if the run has recorded it."""
    row = next((row for row in run.rows()[0] if row.get("kind") == "heads" and row["step"] == 0), None)
    with damage_as_run_error(run.path / "metrics.jsonl"):
        read = HeadScores.from_row(row) if row else None
        if read and read.shape != (shape := tuple(run.config()["config"][name] for name in ("n_layers", "n_heads"))):
            raise ValueError(f"scores of {read.shape} layers and heads, and the model has {shape}")
        return read


def about_head(scores: HeadScores, untrained: HeadScores | None, layer: int, head: int) -> dict[str, Any]:
    """One head in numbers and words; `strongest` is its largest excess over chance, whether that makes a role or not."""
    def numbers(of: dict[str, Any]) -> dict[str, float | None]:
        return {name: rounded(of[name][layer, head]) for name in scores.values if name in of}

    role, ranked = scores.role(layer, head), scores.ranked(layer, head)
    return {
        "layer": layer, "head": head, "role": role.name if role else "", "letter": role.letter if role else "",
        "value": rounded(role.value) if role else None, "strongest": rounded(ranked[0][1]) if ranked else None,
        "scores": numbers(scores.values), "errors": numbers(scores.errors),
        "untrained": numbers(untrained.values) if untrained else {}, "sentence": sentence_about(scores, untrained, layer, head),
    }


def sentence_about(scores: HeadScores, untrained: HeadScores | None, layer: int, head: int) -> str:
    """What a head is for, in a sentence or two."""
    role, ranked = scores.role(layer, head), scores.ranked(layer, head)
    if role is None:
        nearest = f": the most it does is {ranked[0][0]}, {ranked[0][1]:.2f} above chance" if ranked else ""
        if ranked and ranked[0][1] >= CLEAR:
            nearest += f", but {CLEAR} or more in only {100 * scores.holds[ranked[0][0]][layer, head]:.0f} % of the sequences"
        return f"Layer {layer} head {head} has no clear role{nearest}."
    known = untrained and role.name in untrained.values
    before = f", untrained {100 * untrained.values[role.name][layer, head]:.0f} %" if known else ""
    error = scores.errors[role.name][layer, head]
    spread = "" if math.isnan(error) else f" ± {100 * error:.1f}"
    after = f" Next to that comes {role.runner_up}." if role.runner_up and role.runner_up_excess >= 0.1 else ""
    score = SCORES[role.name]
    where = WHERE[score.probes] + (f", {score.where}," if score.where else "")
    return (f"Layer {layer} head {head} is {score.head_name}: {where} it puts {100 * role.value:.0f}{spread} % of its attention "
            f"on the {score.reads} (chance {100 * role.chance:.0f} %{before}).{after}")


def rounded(number: float) -> float | None:
    """A score for JSON: rounded, or None where it is unknown."""
    return None if math.isnan(number) else round(float(number), 4)
