"""Figures as JSON for the Plotly view: pure functions from numbers to {"data", "layout"}. Colours are names of CSS variables."""

import base64
import math
from typing import Any

import numpy as np

ACCENT, AMBER, GREEN, MUTED = "var(--gpt-accent)", "var(--gpt-amber)", "var(--gpt-green)", "var(--gpt-muted)"
ABSENT = "var(--gpt-absent)"  # under cells that are not there, unlike the colour of weight 0
LINES = (ACCENT, AMBER, GREEN, "var(--gpt-rose)", "var(--gpt-sky)", MUTED)
# Viridis at equal steps (Smith and van der Walt 2015): perceptually uniform and safe for colour-blind readers.
VIRIDIS = ("#440154", "#482878", "#3e4989", "#31688e", "#26828e", "#1f9e89", "#35b779", "#6ece58", "#b5de2b", "#fde725")
LARGEST_TILE = 40  # cells of one head in the mosaic, each way
MOST_CELLS = 350_000  # of the whole mosaic: 0.47 MB on the way to the page
SCALES = {  # name -> how far up the colour scale each weight stands, and the weights named beside it
    "linear": (lambda w: w, (0, 0.2, 0.4, 0.6, 0.8, 1)),
    "square root": (np.sqrt, (0, 0.05, 0.2, 0.5, 1)),
    "log": (lambda w: 1 + np.log10(np.maximum(w, 1e-3)) / 3, (0.001, 0.01, 0.1, 1)),  # all below a thousandth looks alike
    "row maximum": (lambda w: w / np.nanmax(w, axis=-1, keepdims=True), (0, 0.2, 0.4, 0.6, 0.8, 1)),
}


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


def mosaic(maps: np.ndarray) -> dict[str, Any]:
    """All heads in one heatmap: (L, H, T, T) weights, rows of tiles are layers, columns heads, on a square-root scale.

    Cells are one byte: 0 is absent (masked, or between tiles) and drawn transparent, 1..255 stands for 0..1. Long prompts
    shrink by the maximum of neighbouring cells, since the mean would erase diagonals.
    """
    L, H, T, _ = maps.shape
    largest = min(LARGEST_TILE, int(0.88 * math.sqrt(MOST_CELLS / (L * H))) - 2)  # 12 % and 2 cells are left for the gaps
    tiles = [[_tile(maps[layer, head], largest) for head in range(H)] for layer in range(L)]
    size = tiles[0][0].shape[0]
    pitch = size + max(2, size // 8)
    canvas = np.zeros((L * pitch, H * pitch), dtype=np.uint8)
    for layer in range(L):
        for head in range(H):
            canvas[layer * pitch:layer * pitch + size, head * pitch:head * pitch + size] = tiles[layer][head]
    centres = (size - 1) / 2
    return {
        "data": [{"type": "heatmap", "z": packed(canvas), "zmin": 0, "zmax": 255, "colorscale": _scale_with_absent(),
                  "showscale": False, "hoverinfo": "none"}],
        "layout": {
            "plot_bgcolor": ABSENT,
            "xaxis": {"side": "top", "tickvals": [head * pitch + centres for head in range(H)], "showgrid": False, "zeroline": False,
                      "ticktext": [f"head {head}" if H <= 6 else str(head) for head in range(H)], "fixedrange": True},
            "yaxis": {"autorange": "reversed", "tickvals": [layer * pitch + centres for layer in range(L)], "showgrid": False,
                      "zeroline": False, "ticktext": [f"layer {layer}" for layer in range(L)], "fixedrange": True},
            "meta": {"pitch": pitch, "size": size, "layers": L, "heads": H,
                     "description": f"attention of {L} layers with {H} heads each on {T} tokens"},
        },
    }


def _tile(weights: np.ndarray, largest: int) -> np.ndarray:
    """(T, T) weights -> at most `largest` squared bytes, 0 above the diagonal."""
    T = len(weights)
    block = -(-T // largest)
    padded = -(-T // block) * block
    full = np.zeros((padded, padded), dtype=np.float32)
    full[:T, :T] = weights
    n = padded // block
    pooled = full.reshape(n, block, n, block).max(axis=(1, 3))  # (n, n)
    return _coded(np.sqrt(pooled))


def _coded(values: np.ndarray) -> np.ndarray:
    """(n, n) values from 0 to 1 -> bytes from 1 to 255, 0 above the diagonal."""
    return np.where(np.tri(len(values), dtype=bool), 1 + np.rint(254 * values), 0).astype(np.uint8)


def _scale_with_absent() -> list[list[Any]]:
    """Colour scale over 0..255 whose 0 is transparent."""
    edge = 0.5 / 255
    steps = np.linspace(1 / 255, 1, len(VIRIDIS))
    return [[0, "rgba(0,0,0,0)"], [edge, "rgba(0,0,0,0)"], [edge, VIRIDIS[0]],
            *([float(step), colour] for step, colour in zip(steps, VIRIDIS, strict=True))]


def head_map(weights: np.ndarray, labels: list[str], scale: str = "linear") -> dict[str, Any]:
    """One head's (T, T) weights: rows are the tokens being processed, columns the tokens they read.

    Coloured cells are bytes as in the mosaic. The exact weights, NaN where masked, and all labels travel beside them: the page
    shows the weight under the pointer, and as many labels as fit.
    """
    T = len(weights)
    absent = np.where(np.tri(T, dtype=bool), weights, np.nan).astype(np.float32)
    ticks = {"showgrid": False, "zeroline": False, "tickfont": {"family": "var(--gpt-mono)"}, "ticks": ""}
    gap = 0.5 if T <= LARGEST_TILE else 0
    height, values = SCALES[scale]
    places = height(np.array(values, dtype=float))
    bar = {"title": {"text": "weight" if scale != "row maximum" else "share of the row's largest", "side": "right"}, "thickness": 12,
           "outlinewidth": 0, "tickvals": (1 + 254 * places).tolist(), "ticktext": [f"{value:g}" for value in values]}
    return {
        "data": [{"type": "heatmap", "z": packed(_coded(height(absent))), "zmin": 0, "zmax": 255,
                  "colorscale": _scale_with_absent(), "colorbar": bar, "hoverinfo": "none", "xgap": gap, "ygap": gap}],
        "layout": {
            "plot_bgcolor": ABSENT,
            "xaxis": {**ticks, "title": {"text": "reads this token"}, "side": "top", "tickangle": -60, "constrain": "domain"},
            "yaxis": {**ticks, "title": {"text": "the token being processed"}, "autorange": "reversed", "scaleanchor": "x",
                      "constrain": "domain"},
            "meta": {"weights": packed(absent), "labels": labels},
        },
    }


def packed(array: np.ndarray) -> dict[str, Any]:
    """An array in the form Plotly's JavaScript decodes by itself: base64 of its bytes, two fifths of the size of JSON numbers."""
    return {"dtype": {"uint8": "u1", "float32": "f4"}[array.dtype.name], "bdata": base64.b64encode(np.ascontiguousarray(array)).decode(),
            "shape": ", ".join(map(str, array.shape))}
