"""Charts as JSON for the Plotly view: pure functions from numbers to {"data", "layout"}. Colours are names of CSS variables."""

import math
from collections import Counter
from dataclasses import dataclass
from typing import Any

from gpt.interpret.heads import CLEAR
from gpt.interpret.scores import ROLES, SCORES

ACCENT, AMBER, GREEN, MUTED = "var(--gpt-accent)", "var(--gpt-amber)", "var(--gpt-green)", "var(--gpt-muted)"
LINES = (ACCENT, AMBER, GREEN, "var(--gpt-rose)", "var(--gpt-sky)", MUTED)


def loss_chart(steps: int) -> dict[str, Any]:
    """The empty chart of a run of `steps` steps (0 = unknown): training loss, its smoothed line, validation loss, and, for a run that
    went on from another, the loss on the text before.

    The page fills the four traces from the rows of the run (gpt/ui/assets/train/curves.js).
    """
    def line(name: str, colour: str, **style: Any) -> dict[str, Any]:
        return {"type": "scatter", "mode": "lines", "name": name, "x": [], "y": [], "line": {"color": colour, "width": 2},
                "hovertemplate": "%{y:.4f}", **style}

    return {
        "data": [
            line("training", ACCENT, opacity=0.3, line={"color": ACCENT, "width": 1}, hovertemplate="%{y:.4f}%{text}"),
            line("training, smoothed", ACCENT),
            line("validation", AMBER, mode="lines+markers", marker={"color": AMBER, "size": 6}),
            line("on the text before", AMBER, line={"color": AMBER, "width": 2, "dash": "dot"}, visible=False),
        ],
        "layout": {
            "xaxis": {"title": {"text": "step"}, "rangemode": "tozero", **({"range": [0, steps]} if steps else {})},
            "yaxis": {"title": {"text": "loss, nats per token"}},
            "legend": {"orientation": "h", "x": 1, "xanchor": "right", "y": 1.02, "yanchor": "bottom"},
            "hovermode": "x unified", "margin": {"r": ROOM_FOR_LABELS},  # as the chart of heads below it, so that the steps align
        },
    }


def compare_runs(curves: list[tuple[str, list[dict[str, Any]]]]) -> dict[str, Any]:
    """One line a run, (name, its rows of evaluations): runs with different tokenizers compare in bits per byte. The page draws them over
    seconds, steps or tokens; each trace carries all three."""
    def line(i: int, name: str, rows: list[dict[str, Any]]) -> dict[str, Any]:
        if len(rows) > 1 and rows[0]["step"] == 0:  # no line from the untrained model across the steepest part of the curve
            rows = [rows[0], {}, *rows[1:]]
        over = {key: [row.get(key) for row in rows] for key in ("seconds", "step", "tokens")}
        return {"type": "scatter", "mode": "lines+markers", "name": name, "x": over["seconds"], "meta": over,
                "y": [row.get("bits_per_byte") for row in rows], "marker": {"size": 5},
                "hovertemplate": "%{y:.4f} bits per byte at %{x:,.0f}",
                "line": line_style(i)}

    return {
        "data": [line(i, name, rows) for i, (name, rows) in enumerate(curves)],
        "layout": {
            "xaxis": {"title": {"text": "seconds of work"}, "rangemode": "tozero"},
            "yaxis": {"title": {"text": "validation, bits per byte"}},
            "legend": {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"},
            "showlegend": True,
            "meta": {"description": describe_curves(curves)},
        },
    }


def losses_by_context(evaluations: list[tuple[str, dict[str, Any]]]) -> dict[str, Any] | None:
    """One line a run, (name, its best evaluation): the loss by how many tokens the model could look back on, in bits per byte, so that
    runs with different tokenizers compare. None if it was measured in no run."""
    lines = [(i, name, *curve) for i, (name, row) in enumerate(evaluations) if (curve := context_curve(row))]
    if not lines:
        return None
    ends = [f"{name}: {y[0]:.2f} bits per byte with one token to look back on, {y[-1]:.2f} with {x[-1]:,}" for _, name, x, y in lines]
    return {
        "data": [{"type": "scatter", "mode": "lines", "name": name, "x": x, "y": y, "line": line_style(i),
                  "hovertemplate": "%{y:.3f} bits per byte with %{x:,} tokens"} for i, name, x, y in lines],
        "layout": {
            "xaxis": {"title": {"text": "tokens that the model can look back on"}, "type": "log"},
            "yaxis": {"title": {"text": "validation, bits per byte"}},
            "legend": {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"},
            "showlegend": len(lines) > 1,
            "meta": {"description": "; ".join(ends)},
        },
    }


def context_curve(row: dict[str, Any]) -> tuple[list[int], list[float]] | None:
    """Of an evaluation: numbers of tokens that the model could look back on, and the loss with each in bits per byte, by the bytes that
    a token has on average. None if it was not measured, or cannot be read."""
    try:
        pairs = [(int(count), float(loss)) for count, loss in row["by_context"]]
        per_byte = row["bits_per_byte"] / row["val_loss"]
    except (KeyError, TypeError, ValueError, ArithmeticError):
        return None
    if not pairs or not all(count > 0 and math.isfinite(loss * per_byte) for count, loss in pairs):
        return None
    return [count for count, _ in pairs], [round(loss * per_byte, 4) for _, loss in pairs]


def line_style(i: int) -> dict[str, Any]:
    """Colour and dashes of the `i`-th run."""
    return {"color": LINES[i % len(LINES)], "width": 2, "dash": ("solid", "dash", "dot")[i // len(LINES) % 3]}


def describe_curves(curves: list[tuple[str, list[dict[str, Any]]]]) -> str:
    ends = [f"{name} ends at {rows[-1]['bits_per_byte']:.3f} bits per byte" for name, rows in curves if rows]
    return "; ".join(ends) or "no evaluation yet"


ROLE_COLOURS = {name: f"var(--gpt-{score.colour})" for name, score in ROLES.items()}
MOST_DESCRIBED = 48  # heads in the text description of a chart
MOST_LABELS = 12  # at the ends of curves
LABEL_HEIGHT = 0.085  # of the height of the chart
ROOM_FOR_LABELS = 52  # pixels at the right
LETTERS_ACROSS = 36  # letters of annotations that fit side by side on the narrowest chart


@dataclass(frozen=True)
class HeadCurve:
    """One head over the steps: its values (NaN where unknown), its current role, and `names`: the name of the strongest score at each
    step, or None if the chart shows one fixed score."""

    layer: int
    head: int
    values: list[float]
    role: str | None
    names: list[str] | None

    @property
    def matters(self) -> bool:
        """Whether the head has a role that few heads have."""
        return self.role is not None and SCORES[self.role].interest > 0


@dataclass(frozen=True)
class Landmark:
    """Label of the heads that got a role near `step`: their letters, and the role if all have the same one."""

    step: float
    text: str
    role: str | None


def heads_chart(at: list[int], curves: list[HeadCurve], landmarks: list[Landmark], score: str, level: float | None,
                steps: int) -> dict[str, Any]:
    """One line per head at the steps `at`, of a run of `steps` steps (0 = unknown). `level` is the chance level. Heads whose role is of
    interest have a colour, and at their end a label; all others are grey. The `landmarks` stand above the plot area, where they cover
    no curve."""
    strongest = curves[0].names is not None
    values = [value for curve in curves for value in curve.values if math.isfinite(value)]
    top = 1.0 if strongest else SCORES[score].most or max([*values, level or 0.0], default=1.0)
    bottom = min([-0.05 if strongest else 0.0, *values])

    def line(curve: HeadCurve) -> dict[str, Any]:
        colour = ROLE_COLOURS[curve.role] if curve.matters else MUTED
        hover = "%{text} %{y:.2f} above chance" if strongest else f"{score} %{{y:.2f}}"
        return {"type": "scatter", "mode": "lines", "name": f"layer {curve.layer} head {curve.head}", "x": at,
                "y": [round(value, 3) if math.isfinite(value) else None for value in curve.values], "text": curve.names,
                "line": {"color": colour, "width": 2 if curve.matters else 1}, "opacity": 1 if curve.matters else 0.45,
                "hovertemplate": f"layer {curve.layer} head {curve.head}: {hover} at step %{{x}}<extra></extra>"}

    def across(y: float, dash: str) -> dict[str, Any]:
        return {"type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": y, "y1": y, "layer": "below",
                "line": {"color": MUTED, "width": 1, "dash": dash}}

    ordered = sorted(curves, key=lambda curve: curve.matters)  # what matters is drawn last, above the rest
    return {
        "data": [line(curve) for curve in ordered],
        "layout": {
            "xaxis": {"title": {"text": "step"}, "rangemode": "tozero", "fixedrange": True, **({"range": [0, steps]} if steps else {})},
            "yaxis": {"title": {"text": "above chance" if strongest else score}, "range": [bottom, 1.04 * top], "fixedrange": True},
            "showlegend": False, "hovermode": "closest",
            "shapes": [across(level, "dash")] * (level is not None) + [across(CLEAR, "dot")] * strongest,
            "annotations": [{"x": mark.step, "y": 1, "yref": "paper", "yanchor": "bottom", "xanchor": "left", "text": mark.text,
                             "showarrow": False, "font": {"size": 11, "color": ROLE_COLOURS.get(mark.role, "var(--gpt-text)")}}
                            for mark in landmarks] + end_labels(curves, 1.04 * top - bottom),
            "margin": {"r": ROOM_FOR_LABELS},
            "meta": {"description": describe_heads(at, curves, score)},
        },
    }


def end_labels(curves: list[HeadCurve], height: float) -> list[dict[str, Any]]:
    """A label such as "I 2.0" at the end of each curve that matters, MOST_LABELS at most, the highest first. Labels that would overlap
    on an axis of `height` are moved down."""
    ends = sorted(((curve.values[-1], curve) for curve in curves if curve.matters and math.isfinite(curve.values[-1])),
                  key=lambda end: -end[0])[:MOST_LABELS]
    labels, free = [], math.inf
    for value, curve in ends:
        free = min(value, free - LABEL_HEIGHT * height)
        labels.append({"xref": "paper", "x": 1, "xanchor": "left", "y": free, "yanchor": "middle", "showarrow": False,
                       "text": f"{SCORES[curve.role].letter} {curve.layer}.{curve.head}",
                       "font": {"size": 11, "color": ROLE_COLOURS[curve.role]}})
    return labels


def landmarks(formed: list[dict[str, Any]], steps: int) -> list[Landmark]:
    """Rows of kind `formed`, in order -> the labels above the curves: a letter for each head at the step of its role. Letters that would
    overlap on an axis of `steps` are joined into one label, such as "I2 P"."""
    wide = max(steps, 1) / LETTERS_ACROSS  # width of one letter, in steps
    groups: list[tuple[float, Counter]] = []
    for row in formed:
        start, letters = groups[-1] if groups else (-math.inf, Counter())
        if row["step"] < start + wide * (len(_letters(letters)) + 1):
            letters[row["role"]] += 1
        else:
            groups.append((row["step"], Counter([row["role"]])))
    return [Landmark(start, _letters(roles), next(iter(roles)) if len(roles) == 1 else None) for start, roles in groups]


def _letters(roles: Counter) -> str:
    return " ".join(f"{SCORES[role].letter}{count if count > 1 else ''}" for role, count in roles.items())


def describe_heads(at: list[int], curves: list[HeadCurve], score: str) -> str:
    """The chart as text: the value of every head at the last step."""
    if curves[0].names is not None:
        ends = [f"layer {curve.layer} head {curve.head} {curve.names[-1]} {curve.values[-1]:.2f} above chance" for curve in curves]
    else:
        ends = [f"layer {curve.layer} head {curve.head} {curve.values[-1]:.2f}" for curve in curves if math.isfinite(curve.values[-1])]
    return f"{score} of {len(curves)} heads at step {at[-1]}: " + ("; ".join(ends[:MOST_DESCRIBED]) or "unknown")
