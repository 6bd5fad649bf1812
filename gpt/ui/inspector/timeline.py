"""One prompt over the training of its run: any of its frames, and the scores of one head from step to step."""

import contextlib
import math
from typing import Any

from gpt.interpret.scores import ROLES
from gpt.ui.charts.figures import LINES
from gpt.ui.inspector import film
from gpt.ui.inspector.inspections import Inspected, Inspector, as_json
from gpt.ui.inspector.request import InspectionRequest

LOG_POSITION_OF_ZERO = 0.5  # where step 0 stands on an axis of logarithms


def at(inspector: Inspector, inspected: Inspected, request: InspectionRequest) -> dict[str, Any]:
    """{"step"} -> what `inspect` answers, for the same tokens in the snapshot at that step, or None: in the best weights."""
    key, at_step = inspector.at_step(inspected, request.step("step"))
    return {"key": key, **as_json(at_step)}


def timeline(inspected: Inspected, request: InspectionRequest) -> dict[str, Any]:
    """{"layer", "head"} -> the steps of a film strip, and the chart of the head's scores (None where the run has none)."""
    L, H, _ = inspected.inspection.shape
    layer, head = request.integer("layer", 0, L - 1), request.integer("head", 0, H - 1)
    rows = [row for row in inspected.run.rows()[0] if row.get("kind") == "heads"]
    lines, chances = score_lines(rows, layer, head), rows[-1].get("chance") if rows else None
    chances = chances if isinstance(chances, dict) else {}
    note = "" if lines else (f"Run {inspected.run.name} was trained before heads were scored while they form: train it again to see when "
                             "each found its job.")
    figure = chart(lines, chances, layer, head) if lines else None
    return {"steps": film.evenly_spaced(film.frames(inspected.run)), "figure": figure, "note": note}


def score_lines(rows: list[dict[str, Any]], layer: int, head: int) -> dict[str, list[tuple[int, float]]]:
    """{name of a score: [(step, value)]} of one head, for the scores that can be a role: all go from 0 to 1. Damaged rows are
    skipped."""
    lines: dict[str, list[tuple[int, float]]] = {}
    for row in rows:
        scores = row.get("scores")
        for name in ROLES if isinstance(scores, dict) else ():
            with contextlib.suppress(LookupError, TypeError, ValueError):
                value = float(scores[name][layer][head])
                if math.isfinite(value):
                    lines.setdefault(name, []).append((row["step"], value))
    return lines


def chart(lines: dict[str, list[tuple[int, float]]], chances: dict[str, float], layer: int, head: int) -> dict[str, Any]:
    """Lines of one head's scores on a log axis of steps, like the steps of the snapshots; a dotted line for each chance level."""
    steps = sorted({step for points in lines.values() for step, _ in points})
    data = []
    for i, (name, points) in enumerate(lines.items()):
        style = {"color": LINES[i % len(LINES)], "width": 2, "dash": ("solid", "dash")[i // len(LINES) % 2]}
        data.append({"type": "scatter", "mode": "lines+markers", "name": name, "x": [log_position(step) for step, _ in points],
                     "y": [value for _, value in points], "customdata": [step for step, _ in points], "line": style,
                     "marker": {"size": 4}, "legendgroup": name, "hovertemplate": "%{y:.2f} at step %{customdata:,}"})
        if isinstance(chance := chances.get(name), (int, float)) and points:
            data.append({"type": "scatter", "mode": "lines", "x": [log_position(steps[0]), log_position(steps[-1])], "y": [chance, chance],
                         "line": {**style, "width": 1, "dash": "dot"}, "legendgroup": name, "showlegend": False,
                         "name": f"{name}, chance", "hoverinfo": "skip"})
    decades = [10 ** power for power in range(math.ceil(math.log10(max(steps[-1], 1))) + 1)]
    ends = "; ".join(f"{name} {points[-1][1]:.2f}" for name, points in lines.items())
    return {
        "data": data,
        "layout": {
            "xaxis": {"title": {"text": "training step"}, "type": "log", "tickvals": [log_position(0), *decades],
                      "ticktext": ["0", *(f"{decade:,}" for decade in decades)]},
            "yaxis": {"title": {"text": "score"}, "range": [0, 1.02]},
            "legend": {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"}, "showlegend": True,
            "meta": {"description": f"scores of layer {layer} head {head} over training, at step {steps[-1]:,}: {ends}"},
        },
    }


def log_position(step: int) -> float:
    """Where a step stands on an axis of logarithms, which has no place for 0."""
    return step or LOG_POSITION_OF_ZERO
