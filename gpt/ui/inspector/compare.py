"""An inspection compared with other weights on the same text: another snapshot, another run, or itself without some heads."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np

from gpt.data.tokenizers.text import token_label
from gpt.errors import UserError
from gpt.escape import escaped
from gpt.interpret.ablation import ablated, head_means
from gpt.interpret.comparison import Comparison
from gpt.interpret.comparison import compare as compare_models
from gpt.runs.run import Run, find_run, list_runs
from gpt.ui.charts import maps
from gpt.ui.charts.figures import LINES, MUTED
from gpt.ui.inspector.inspections import Inspected, Inspector
from gpt.ui.inspector.request import InspectionRequest
from gpt.ui.inspector.roles import scores_of

LARGEST_MAP = 96  # cells of each of three maps beside each other, each way
SMALLEST_LIMIT = 0.01  # of the colour scale of A - B: if all differences are smaller, the map is pale
TAKEN_OUT = "A head that is taken out reads as before, but adds nothing: only heads in later layers can read differently."


@dataclass(frozen=True)
class SecondModel:
    """The other model of the comparison, B. `weights` describes its weights in words; `note` is a remark for the user."""

    run: Run
    weights: str
    model: Any
    tokenizer: Any
    note: str = ""


def rivals(inspector: Inspector, inspected: Inspected, _request: InspectionRequest) -> dict[str, Any]:
    """{"runs": [{"name", "steps"}]}: what there is to compare with, first the run that this one went on from, then the newest."""
    runs = [run for run in list_runs(inspector.jobs.root) if (run.path / "best.safetensors").exists()]
    parent = inspected.run.config().get("went_on_from")
    runs.sort(key=lambda run: run.name != parent)
    return {"runs": [{"name": run.name, "steps": run.snapshots()} for run in runs]}


def compare(inspector: Inspector, inspected: Inspected, request: InspectionRequest) -> dict[str, Any]:
    """{"with": "weights", "run", "step"} or {"with": "without", "heads", "zero"} -> the loss of both models on
    each piece of the text, a sentence about it, and the scores of the heads that both have."""
    second, comparison = comparison_for(inspector, inspected, request)
    try:
        scatter, unscored = score_chart(inspected, second), ""
    except UserError as error:  # one of the runs has no probes for the scores; everything else can be compared
        scatter, unscored = None, f"Their heads cannot be scored: {error}."
    notes = [*notes_on(comparison), *filter(None, [second.note])]
    return {"a": inspected.weights, "b": second.weights, "sentence": sentence_about(comparison), "notes": notes,
            "scatter": scatter, "unscored": escaped(unscored), "piece": "token" if comparison.same_tokens else "piece",
            "pieces": [[escaped(token_label(piece.text)), piece.a, piece.b] for piece in comparison.pieces]}


def compare_head(inspector: Inspector, inspected: Inspected, request: InspectionRequest) -> dict[str, Any]:
    """The same request with "layer" and "head" -> one head's weights in A and B in the same colours, and A - B. If the two maps
    cannot be compared cell by cell, {"none": reason}."""
    L, H, _ = inspected.inspection.shape
    layer, head = request.integer("layer", 0, L - 1), request.integer("head", 0, H - 1)
    _, comparison = comparison_for(inspector, inspected, request)
    try:
        a, b = comparison.maps(layer, head)
    except UserError as error:
        return {"none": str(error)[:1].upper() + str(error)[1:] + "."}
    moved = 100 * float(np.abs(a - b).sum(axis=1).mean() / 2)
    reads = f"A and B give {moved:.0f} % of a token's attention, on average, to different tokens" if moved >= 0.5 else "A and B read alike"
    return {"maps": figures(a, b, [escaped(token_label(token)) for token in comparison.a.tokens]),
            "sentence": f"Layer {layer} head {head}: {reads}."}


def comparison_for(inspector: Inspector, inspected: Inspected, request: InspectionRequest) -> tuple[SecondModel, Comparison]:
    """The other model of a request, and the comparison of both models on the text. The latest comparison is cached: another head costs
    nothing. Raises UserError if there is no such model."""
    if request.choice("with", ("weights", "without")) == "weights":
        run, step = request.text("run"), request.step("step")
        model, tokenizer, weights = inspector.load(run, step)
        wanted = ("weights", run, model)
    else:
        L, H, _ = inspected.inspection.shape
        wanted = ("without", frozenset(request.heads("heads", L, H)), request.flag("zero"))
    if inspected.compared is None or inspected.compared[0] != wanted:
        second = (SecondModel(find_run(inspector.jobs.root, run), weights, model, tokenizer) if wanted[0] == "weights"
                 else model_without(inspected, *wanted[1:]))
        comparison = compare_models(inspected.inspection, inspected.tokenizer, second.model, second.tokenizer)
        inspected.compared = wanted, second, comparison
    return inspected.compared[1:]


def model_without(inspected: Inspected, heads: Collection[tuple[int, int]], zero: bool) -> SecondModel:
    """The inspected model without some heads. Raises UserError if there are none."""
    if not heads:
        raise UserError("no head is taken out: add the selected one")
    means = None if zero else head_means(inspected.model, inspected.run.probes().windows[:, :-1])
    names = ", ".join(f"layer {layer} head {head}" for layer, head in sorted(heads))
    model = ablated(inspected.model, heads, means)
    return SecondModel(inspected.run, f"{inspected.weights}, without {names}", model, inspected.tokenizer, TAKEN_OUT)


def sentence_about(comparison: Comparison) -> str:
    """What each expects of the text, in a sentence."""
    (a, b), unit = (comparison.nats, "nats") if comparison.same_tokens else (comparison.bits_per_byte, "bits")
    ahead = f"{'A' if a < b else 'B'} is better by {abs(round(a, 2) - round(b, 2)):.2f}" if round(a, 2) != round(b, 2) else "they are alike"
    if comparison.same_tokens:
        return f"On this text A expects the next token with {a:.2f} {unit} on average, B with {b:.2f}: {ahead}."
    return f"On this text A needs {a:.2f} {unit} a byte, B {b:.2f}: {ahead}."


def notes_on(comparison: Comparison) -> list[str]:
    """What the user has to know about the comparison."""
    notes = []
    if not comparison.same_tokens:
        notes.append("The two have different tokenizers: the text is compared in the "
                     f"{len(comparison.pieces)} pieces into which both cut it.")
    if comparison.n_cut:
        notes.append(f"B reads at most {comparison.b.trace.model.context_length} tokens: " + (
            f"both are read on the last {len(comparison.b.tokens)}." if comparison.same_tokens
            else "the beginning of the text is left out."))
    L, H = comparison.shape
    if comparison.a.shape[:2] != comparison.b.shape[:2]:
        (L_a, H_a), (L_b, H_b) = comparison.a.shape[:2], comparison.b.shape[:2]
        notes.append(f"A has {L_a} layers of {H_a} heads, B {L_b} of {H_b}: the {L} x {H} heads that both have are compared.")
    return notes


def score_chart(inspected: Inspected, second: SecondModel) -> dict[str, Any]:
    """Scores of the heads that both have, A against B, each on the probes of its own run. Raises UserError if one has no probes."""
    a, b = scores_of(inspected.model, inspected.run), scores_of(second.model, second.run)
    (L_a, H_a), (L_b, H_b) = a.shape, b.shape
    heads = [(layer, head) for layer in range(min(L_a, L_b)) for head in range(min(H_a, H_b))]
    data = [{"type": "scatter", "mode": "lines", "x": [0, 1], "y": [0, 1], "line": {"color": MUTED, "width": 1, "dash": "dot"},
             "hoverinfo": "skip", "showlegend": False, "name": "alike"}]
    for i, name in enumerate(name for name in a.holds if name in b.holds):
        scored = [place for place in heads if np.isfinite(a.values[name][place]) and np.isfinite(b.values[name][place])]
        data.append({"type": "scatter", "mode": "markers", "name": name, "x": [float(b.values[name][place]) for place in scored],
                     "y": [float(a.values[name][place]) for place in scored], "customdata": [list(place) for place in scored],
                     "marker": {"size": 8, "color": LINES[i % len(LINES)], "symbol": ("circle", "diamond")[i // len(LINES) % 2]},
                     "hovertemplate": "layer %{customdata[0]} head %{customdata[1]}: A %{y:.2f}, B %{x:.2f}"})
    return {"data": data, "layout": {
        "xaxis": {"title": {"text": "score in B"}, "range": [-0.03, 1.03]},
        "yaxis": {"title": {"text": "score in A"}, "range": [-0.03, 1.03]},
        "legend": {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"}, "showlegend": True,
        "meta": {"description": f"scores of {len(heads)} heads, A against B"}}}


def figures(a: np.ndarray, b: np.ndarray, labels: list[str]) -> dict[str, Any]:
    """(T, T) weights of one head in A and in B, and A - B, as {"a", "b", "difference"}. A and B share colours and limits. Long texts
    shrink."""
    limit = max(float(np.abs(a - b).max()), SMALLEST_LIMIT)
    (small_a, shown, _), (small_b, _, _), (difference, _, _) = (maps.shrunk(matrix, labels, LARGEST_MAP) for matrix in (a, b, a - b))
    return {"a": maps.head_map(small_a, shown, "square root"), "b": maps.head_map(small_b, shown, "square root"),
            "difference": maps.head_map(difference, shown, unit="A - B", limit=limit, signed=True)}
