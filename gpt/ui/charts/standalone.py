"""Figures outside the page: the same JSON as figures of Plotly's Python package, with the page's light colours, and one small curve
as SVG."""

import functools
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import plotly.graph_objects as go

from gpt.interpret.mosaic import VIRIDIS

CSS = Path(__file__).resolve().parents[1] / "assets" / "page.css"
LARGEST_LABELLED = 64  # tokens of a map on whose axes all have room
CELL, EDGE = 16, 120  # pixels
WIDTH, HEIGHT = 320, 80  # of a small curve, in pixels


@functools.cache
def light_colours() -> dict[str, str]:
    """What the variables of the page's style sheet are worth in light mode: {"--gpt-accent": "#4f46e5", ...}."""
    light = CSS.read_text(encoding="utf-8").partition("{")[2].partition("}")[0]
    return dict(re.findall(r"(--gpt-[a-z]+):\s*([^;]+);", light))


def coloured(value: Any) -> Any:
    """A figure's JSON with colours in place of the names of CSS variables."""
    if isinstance(value, str):
        return re.sub(r"var\((--gpt-[a-z]+)\)", lambda found: light_colours()[found[1]], value)
    if isinstance(value, dict):
        return {key: coloured(item) for key, item in value.items()}
    return [coloured(item) for item in value] if isinstance(value, (list, tuple)) else value


def figure_of(chart: dict[str, Any]) -> go.Figure:
    """A figure of gpt.ui.charts for a notebook."""
    return go.Figure(coloured(chart)).update_layout(template="plotly_white")


def labelled_map(weights: np.ndarray, labels: list[str], title: str) -> go.Figure:
    """(T, T) attention weights of one head: rows are the tokens being processed, columns those they read. The number under the pointer
    shows; with more than LARGEST_LABELLED tokens, not every token has its label at the edge."""
    T = len(labels)
    weights = np.where(np.tri(T, dtype=bool), weights, np.nan)
    every = -(-T // LARGEST_LABELLED)
    plain = [label.replace("&", "&amp;").replace("<", "&lt;") for label in labels]  # Plotly reads a few HTML tags
    pairs = [[f"{plain[q]} reads {plain[k]}" for k in range(T)] for q in range(T)]
    ticks = {"tickvals": list(range(0, T, every)), "ticktext": plain[::every], "constrain": "domain", "showgrid": False, "zeroline": False}
    scale = [[i / (len(VIRIDIS) - 1), colour] for i, colour in enumerate(VIRIDIS)]
    heatmap = go.Heatmap(z=weights, text=pairs, hovertemplate="%{text}: %{z:.3f}<extra></extra>", colorscale=scale, zmin=0, zmax=1,
                         hoverongaps=False, colorbar={"title": {"text": "weight"}})
    side = EDGE + CELL * min(T, LARGEST_LABELLED)
    return go.Figure(heatmap, {"title": {"text": title}, "xaxis": {**ticks, "side": "top", "tickangle": -60}, "width": side + EDGE,
                               "height": side + EDGE, "template": "plotly_white",
                               "yaxis": {**ticks, "autorange": "reversed", "scaleanchor": "x"}})


def sparkline(points: Sequence[tuple[float, float]]) -> str:
    """A curve through (x, y) as SVG without axes, with its first and last y in words; of fewer than two points, nothing."""
    if len(points) < 2:
        return ""
    x, y = np.array(points, dtype=float).T
    across = (x - x.min()) / max(x.max() - x.min(), 1e-9) * (WIDTH - 4) + 2
    down = (y.max() - y) / max(y.max() - y.min(), 1e-9) * (HEIGHT - 4) + 2
    path = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(across, down, strict=True))
    words = f"validation loss from {y[0]:.3f} to {y[-1]:.3f}"
    return (f'<svg width="{WIDTH}" height="{HEIGHT}" role="img" aria-label="{words}"><title>{words}</title>'
            f'<polyline points="{path}" fill="none" stroke="{light_colours()["--gpt-amber"]}" stroke-width="2"/></svg>')
