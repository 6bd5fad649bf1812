"""What is looked at against other weights on the same text: another snapshot, another run, or itself without some heads."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from gpt.data.tokenizer import token_label
from gpt.errors import UserError
from gpt.interpret import comparison
from gpt.interpret.ablation import ablated, head_means
from gpt.interpret.comparison import Comparison
from gpt.runs.run import Run, find_run, list_runs
from gpt.ui.charts import maps
from gpt.ui.charts.figures import LINES, MUTED
from gpt.ui.inspector.inspector import Looks, Seen
from gpt.ui.inspector.request import Question
from gpt.ui.inspector.roles import scores_of
from gpt.visible import visible

LARGEST_MAP = 96  # cells of each of three maps beside each other, each way
SMALLEST_LIMIT = 0.01  # of the colours of a difference: below, two maps are alike
UNHEARD = "A head that is taken out reads as before, but is not heard: only heads in later layers can read differently."


@dataclass(frozen=True)
class Rival:
    """What is compared with: B. `weights` says in words whose it is, `note` what one has to know about it."""

    run: Run
    weights: str
    model: Any
    tokenizer: Any
    note: str = ""


def rivals(looks: Looks, _seen: Seen, _question: Question) -> dict[str, Any]:
    """{"runs": [{"name", "steps"}]}: what there is to compare with, the newest run first."""
    runs = [run for run in list_runs(looks.jobs.root) if (run.path / "best.safetensors").exists()]
    return {"runs": [{"name": run.name, "steps": run.snapshots()} for run in runs]}


def compare(looks: Looks, seen: Seen, question: Question) -> dict[str, Any]:
    """{"with": "weights", "run", "step"} or {"with": "without", "heads", "zero"} -> what each model expects of the text, piece by piece, in
    words and numbers, and the scores of the heads that both have."""
    rival = rival_of(looks, seen, question)
    both = comparison.compare(seen.inspection, seen.tokenizer, rival.model, rival.tokenizer)
    try:
        scatter, unscored = score_chart(seen, rival), ""
    except UserError as error:  # the run of one of them has nothing to try heads on; all else can be compared
        scatter, unscored = None, f"Their heads cannot be scored: {error}."
    return {"a": seen.weights, "b": rival.weights, "sentence": in_words(both), "notes": [*notes(both), *filter(None, [rival.note])],
            "scatter": scatter, "unscored": visible(unscored), "piece": "token" if both.same_tokens else "piece",
            "pieces": [[visible(token_label(piece.text)), piece.a, piece.b] for piece in both.pieces]}


def compare_head(looks: Looks, seen: Seen, question: Question) -> dict[str, Any]:
    """The same question with "layer" and "head" -> one head's weights in A and B in the same colours, and A - B. Where they cannot be
    laid on each other, {"none": why}."""
    L, H, _ = seen.inspection.shape
    layer, head = question.whole("layer", 0, L - 1), question.whole("head", 0, H - 1)
    rival = rival_of(looks, seen, question)
    both = comparison.compare(seen.inspection, seen.tokenizer, rival.model, rival.tokenizer)
    try:
        a, b = both.maps(layer, head)
    except UserError as error:
        return {"none": str(error)[:1].upper() + str(error)[1:] + "."}
    moved = 100 * float(np.abs(a - b).sum(axis=1).mean() / 2)
    reads = f"A and B give {moved:.0f} % of a token's attention, on average, to different tokens" if moved >= 0.5 else "A and B read alike"
    return {"maps": figures(a, b, [visible(token_label(token)) for token in both.a.tokens]),
            "sentence": f"Layer {layer} head {head}: {reads}."}


def rival_of(looks: Looks, seen: Seen, question: Question) -> Rival:
    """The model that a question wants to compare with. Raises UserError if there is none."""
    if question.choice("with", ("weights", "without")) == "weights":
        run, step = question.text("run"), question.step("step")
        model, tokenizer, weights = looks.load(run, step)
        return Rival(find_run(looks.jobs.root, run), weights, model, tokenizer)
    L, H, _ = seen.inspection.shape
    heads = question.heads("heads", L, H)
    if not heads:
        raise UserError("no head is taken out: add the selected one")
    means = None if question.flag("zero") else head_means(seen.model, seen.run.probes().windows[:, :-1])
    names = ", ".join(f"layer {layer} head {head}" for layer, head in sorted(set(heads)))
    return Rival(seen.run, f"{seen.weights}, without {names}", ablated(seen.model, heads, means), seen.tokenizer, UNHEARD)


def in_words(both: Comparison) -> str:
    """What each expects of the text, in a sentence."""
    (a, b), what = (both.nats, "nats") if both.same_tokens else (both.bits_per_byte, "bits")
    ahead = f"{'A' if a < b else 'B'} is better by {abs(round(a, 2) - round(b, 2)):.2f}" if round(a, 2) != round(b, 2) else "they are alike"
    if both.same_tokens:
        return f"On this text A expects the next token with {a:.2f} {what} on average, B with {b:.2f}: {ahead}."
    return f"On this text A needs {a:.2f} {what} a byte, B {b:.2f}: {ahead}."


def notes(both: Comparison) -> list[str]:
    """What the person has to know about the comparison."""
    told = []
    if not both.same_tokens:
        told.append(f"The two have different tokenizers: the text is compared in the {len(both.pieces)} pieces into which both cut it.")
    if both.n_cut:
        told.append(f"B reads at most {both.b.trace.model.context_length} tokens: " + (
            f"both are read on the last {len(both.b.tokens)}." if both.same_tokens else "the beginning of the text is left out."))
    L, H = both.shape
    if both.a.shape[:2] != both.b.shape[:2]:
        (L_a, H_a), (L_b, H_b) = both.a.shape[:2], both.b.shape[:2]
        told.append(f"A has {L_a} layers of {H_a} heads, B {L_b} of {H_b}: the {L} x {H} heads that both have are compared.")
    return told


def score_chart(seen: Seen, rival: Rival) -> dict[str, Any]:
    """Scores of the heads that both have, A against B, each on the probes of its own run. Raises UserError if one has no probes."""
    a, b = scores_of(seen.model, seen.run), scores_of(rival.model, rival.run)
    (L_a, H_a), (L_b, H_b) = a.shape, b.shape
    heads = [(layer, head) for layer in range(min(L_a, L_b)) for head in range(min(H_a, H_b))]
    data = [{"type": "scatter", "mode": "lines", "x": [0, 1], "y": [0, 1], "line": {"color": MUTED, "width": 1, "dash": "dot"},
             "hoverinfo": "skip", "showlegend": False, "name": "alike"}]
    for i, name in enumerate(name for name in a.holds if name in b.holds):
        known = [place for place in heads if np.isfinite(a.values[name][place]) and np.isfinite(b.values[name][place])]
        data.append({"type": "scatter", "mode": "markers", "name": name, "x": [float(b.values[name][place]) for place in known],
                     "y": [float(a.values[name][place]) for place in known], "customdata": [list(place) for place in known],
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
    (small_a, shown, _), (small_b, _, _), (difference, _, _) = (maps.shrunk(one, labels, LARGEST_MAP) for one in (a, b, a - b))
    return {"a": maps.head_map(small_a, shown, "square root"), "b": maps.head_map(small_b, shown, "square root"),
            "difference": maps.head_map(difference, shown, unit="A - B", limit=limit, signed=True)}
