"""Charts as JSON for the Plotly view: pure functions from numbers to {"data", "layout"}. Colours are names of CSS variables."""

from typing import Any

ACCENT, AMBER, GREEN, MUTED = "var(--gpt-accent)", "var(--gpt-amber)", "var(--gpt-green)", "var(--gpt-muted)"
LINES = (ACCENT, AMBER, GREEN, "var(--gpt-rose)", "var(--gpt-sky)", MUTED)


def loss_chart(steps: int) -> dict[str, Any]:
    """The empty chart of a run of `steps` steps (0 = unknown): training loss, its smoothed line, validation loss.

    The page appends points to the three traces as rows arrive.
    """
    def line(name: str, colour: str, **style: Any) -> dict[str, Any]:
        return {"type": "scatter", "mode": "lines", "name": name, "x": [], "y": [], "line": {"color": colour, "width": 2},
                "hovertemplate": "%{y:.4f} at step %{x}", **style}

    return {
        "data": [
            line("training", ACCENT, opacity=0.3, line={"color": ACCENT, "width": 1}),
            line("training, smoothed", ACCENT),
            line("validation", AMBER, mode="lines+markers", marker={"color": AMBER, "size": 6}),
        ],
        "layout": {
            "xaxis": {"title": {"text": "step"}, "rangemode": "tozero", **({"range": [0, steps]} if steps else {})},
            "yaxis": {"title": {"text": "loss, nats per token"}},
            "legend": {"orientation": "h", "x": 1, "xanchor": "right", "y": 1.02, "yanchor": "bottom"},
            "hovermode": "x unified",
        },
    }


def filled_loss_chart(rows: list[dict[str, Any]], steps: int) -> dict[str, Any]:
    """The chart of a run with the rows that it has: what the page draws point by point."""
    figure = loss_chart(steps)
    training = [(row["step"], row["loss"]) for row in rows if row.get("loss") is not None]
    validation = [(row["step"], row["val_loss"]) for row in rows if row.get("val_loss") is not None]
    lines = (training, list(zip((step for step, _ in training), smoothed([loss for _, loss in training]), strict=True)), validation)
    for trace, points in zip(figure["data"], lines, strict=True):
        trace["x"], trace["y"] = [step for step, _ in points], [loss for _, loss in points]
    return figure


def smoothed(values: list[float]) -> list[float]:
    """Exponential moving average over about ten values, corrected for its start at nothing (Kingma and Ba 2014, section 3)."""
    average, weight, found = 0.0, 0.0, []
    for value in values:
        average, weight = 0.9 * average + 0.1 * value, 0.9 * weight + 0.1
        found.append(average / weight)
    return found


def compare_runs(curves: list[tuple[str, list[tuple[float, float]]]]) -> dict[str, Any]:
    """One line a run, (name, [(seconds, bits per byte)]): runs with different tokenizers compare in bits per byte."""
    def line(i: int, name: str, points: list[tuple[float, float]]) -> dict[str, Any]:
        return {"type": "scatter", "mode": "lines+markers", "name": name, "x": [x for x, _ in points], "y": [y for _, y in points],
                "line": {"color": LINES[i % len(LINES)], "width": 2, "dash": ("solid", "dash", "dot")[i // len(LINES) % 3]},
                "marker": {"size": 5}, "hovertemplate": "%{y:.4f} bits per byte after %{x:.0f} s"}

    return {
        "data": [line(i, name, points) for i, (name, points) in enumerate(curves)],
        "layout": {
            "xaxis": {"title": {"text": "seconds of work"}, "rangemode": "tozero"},
            "yaxis": {"title": {"text": "validation, bits per byte"}},
            "legend": {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"},
            "showlegend": True,
            "meta": {"description": describe_curves(curves)},
        },
    }


def describe_curves(curves: list[tuple[str, list[tuple[float, float]]]]) -> str:
    ends = [f"{name} ends at {points[-1][1]:.3f} bits per byte" for name, points in curves if points]
    return "; ".join(ends) or "no evaluation yet"
