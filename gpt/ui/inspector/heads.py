"""One head in full: any view of it on any scale, and what it does in words."""

from typing import Any

import numpy as np

from gpt.interpret.heads import CLEAR
from gpt.interpret.scores import measure_on_text
from gpt.interpret.views import VIEWS, strongest_keys
from gpt.ui.charts import maps
from gpt.ui.inspector.inspections import Inspected
from gpt.ui.inspector.request import InspectionRequest

SHARE_OF_LINES = 0.7  # share of a token's attention that the lines from it show


def head(inspected: Inspected, request: InspectionRequest) -> dict[str, Any]:
    """{"layer", "head", "view", "scale", "full"} -> the figure, what its numbers are, and a sentence. A map of more than LARGEST_MAP
    tokens is shrunk by the maximum of neighbouring cells, unless all of it (`full`) is asked for."""
    L, H, T = inspected.inspection.shape
    layer, which = request.integer("layer", 0, L - 1), request.integer("head", 0, H - 1)
    name, scale = request.choice("view", VIEWS), request.choice("scale", maps.SCALES)
    view = VIEWS[name]
    matrix = view.matrix(inspected.inspection.trace, layer, which)
    matrix, labels, block = maps.shrunk(matrix, inspected.labels, T if request.flag("full") else maps.LARGEST_MAP)
    note = f"Each cell is the largest of {block} x {block}." if block > 1 else ""
    limit = 1.0 if view.unit in ("weight", "share") else max(float(np.nanmax(np.abs(matrix))), 1e-9)
    figure = maps.head_map(matrix, labels, scale, view.unit, limit, view.signed)
    return {"figure": figure, "about": " ".join([view.sentence, note]).strip(), "pooled": bool(note),
            "habit": habit_of(inspected.inspection.head(layer, which), inspected.inspection.tokens)}


def lines(inspected: Inspected, request: InspectionRequest) -> dict[str, Any]:
    """{"layer", "head", "query"} -> the keys that hold most of what the query reads: [[position, weight]], the largest first."""
    L, H, T = inspected.inspection.shape
    layer, which = request.integer("layer", 0, L - 1), request.integer("head", 0, H - 1)
    row = inspected.inspection.head(layer, which)[request.integer("query", 0, T - 1)]
    return {"keys": [[k, float(row[k])] for k in strongest_keys(row, SHARE_OF_LINES)]}


def reads(inspected: Inspected, request: InspectionRequest) -> dict[str, Any]:
    """{"layer", "head": None for the mean of the layer's heads} -> how much each token reads of itself and of each token before it, in
    255ths: (T (T + 1) / 2,) bytes, row by row."""
    L, H, _ = inspected.inspection.shape
    layer, which = request.integer("layer", 0, L - 1), request.index_or_none("head", H)
    weights = inspected.inspection.weights(layer)  # (H, T, T)
    rows = maps.lower(weights.mean(axis=0) if which is None else weights[which])
    return {"weights": maps.packed(np.rint(255 * rows).astype(np.uint8))}


def habit_of(weights: np.ndarray, tokens: list[bytes]) -> str:
    """What a head does on this prompt, by the score with the largest excess over chance: the end of a sentence whose subject is the head. A
    score that contains others counts only where none of them is clear."""
    measured = measure_on_text(weights, tokens)
    if not measured:
        return "can only read itself, since there is one token."
    broad, narrow = ([entry for entry in measured.values() if bool(entry.score.contains) == has_parts] for has_parts in (True, False))
    best = max(narrow, key=lambda entry: entry.excess)
    if best.excess < CLEAR:
        best = max([best, *broad], key=lambda entry: entry.excess)
    if best.excess >= CLEAR:
        where = f", {best.score.where}" if best.score.where else ""
        return f"puts {100 * best.value:.0f} % of its attention on the {best.score.reads}{where} (chance {100 * best.chance:.0f} %)."
    shares = "; ".join(f"{entry.score.reads} {100 * entry.value:.0f} %, chance {100 * entry.chance:.0f} %" for entry in narrow)
    return f"has no clear habit ({shares})."
