"""Attention as heatmaps: all heads in one mosaic, one head in full. Pure functions from numbers to JSON for the Plotly view.

Cells are sent as bytes: 0 is no cell (masked, or between tiles) and transparent; 1 to 255 are positions on the colour scale.
"""

import base64
from typing import Any

import numpy as np

from gpt.interpret.mosaic import LARGEST_TILE, VIRIDIS, canvas, pitch_of, pooled, to_bytes

ABSENT = "var(--gpt-absent)"  # under cells that are not there, unlike the colour of weight 0
# From blue over a neutral grey to orange, for what may be negative: the two that all kinds of colour vision tell apart.
DIVERGING = ("#2166ac", "#5b9bd1", "#a6c8e6", "#e3e3e3", "#f5c08f", "#e58a3c", "#b35806")
LARGEST_MAP = 256  # most cells per side of one head in full, unless the request is for all cells
SCALES = {  # name -> (function from a share of the largest possible weight to a position on the colour scale, shares on the colour bar)
    "linear": (lambda w: w, (0, 0.2, 0.4, 0.6, 0.8, 1)),
    "square root": (np.sqrt, (0, 0.05, 0.2, 0.5, 1)),
    "log": (lambda w: 1 + np.log10(np.maximum(w, 1e-3)) / 3, (0.001, 0.01, 0.1, 1)),  # all below a thousandth looks alike
    "row maximum": (lambda w: w / _row_maximum(w), (0, 0.2, 0.4, 0.6, 0.8, 1)),
}


def _row_maximum(w: np.ndarray) -> np.ndarray:
    """(T, T) -> (T, 1); rows without any weight divide by 1."""
    largest = np.nan_to_num(w).max(axis=-1, keepdims=True)
    return np.where(largest > 0, largest, 1)


def shrunk(matrix: np.ndarray, labels: list[str], largest: int) -> tuple[np.ndarray, list[str], int]:
    """(T, T) numbers and their T labels -> at most `largest` cells per side, their labels, and the tokens per side of a cell."""
    T = len(matrix)
    block = -(-T // largest)
    return pooled(matrix, -(-T // block)), labels[::block], block


def colour_scale(colours: tuple[str, ...] = VIRIDIS) -> list[list[Any]]:
    """Colour scale over 0..255 whose 0 is transparent."""
    edge = 0.5 / 255
    steps = np.linspace(1 / 255, 1, len(colours))
    return [[0, "rgba(0,0,0,0)"], [edge, "rgba(0,0,0,0)"], [edge, colours[0]],
            *([float(step), colour] for step, colour in zip(steps, colours, strict=True))]


def mosaic(cells: np.ndarray, n_tokens: int, order: list[tuple[int, int]] | None = None,
           marks: dict[tuple[int, int], dict[str, str]] | None = None) -> dict[str, Any]:
    """All heads in one heatmap, from (L, H, size, size) bytes of gpt.interpret.mosaic. Rows are layers and columns are heads, unless
    `order` lists the (layer, head) of every tile, row by row. `marks` gives each head its {"letter", "text"} for the corner of its tile."""
    L, H, size, _ = cells.shape
    pitch, places = pitch_of(size), order or [(layer, head) for layer in range(L) for head in range(H)]
    centres = (size - 1) / 2
    bare = {"showgrid": False, "zeroline": False, "fixedrange": True, **({"showticklabels": False} if order else {})}
    return {
        "data": [{"type": "heatmap", "z": packed(canvas(cells, places)), "zmin": 0, "zmax": 255, "colorscale": colour_scale(),
                  "showscale": False, "hoverinfo": "none"}],
        "layout": {
            "plot_bgcolor": ABSENT,
            "xaxis": {**bare, "side": "top", "tickvals": [head * pitch + centres for head in range(H)],
                      "ticktext": [f"head {head}" if H <= 6 else str(head) for head in range(H)]},
            "yaxis": {**bare, "autorange": "reversed", "tickvals": [layer * pitch + centres for layer in range(L)],
                      "ticktext": [f"layer {layer}" for layer in range(L)]},
            "meta": {"pitch": pitch, "size": size, "layers": L, "heads": H, "places": [list(place) for place in places],
                     "marks": [(marks or {}).get(place, {}) for place in places], "ordered": bool(order),
                     "description": f"attention of {L} layers with {H} heads each on {n_tokens} tokens"},
        },
    }


def head_map(matrix: np.ndarray, labels: list[str], scale: str = "linear", unit: str = "weight", limit: float = 1.0,
             signed: bool = False) -> dict[str, Any]:
    """One head's (T, T) numbers, NaN where absent: rows are the tokens being processed, columns the tokens they read.

    Colours go from 0 to `limit`, or from -limit to limit where numbers may be negative (`signed`; then `scale` is ignored). The exact
    numbers and all labels are sent with the cells: the page shows the number under the pointer, and as many labels as fit.
    """
    cells, bar = _diverging(matrix, limit) if signed else _sequential(matrix, scale, limit)
    ticks = {"showgrid": False, "zeroline": False, "tickfont": {"family": "var(--gpt-mono)"}, "ticks": ""}
    gap = 0.5 if len(matrix) <= LARGEST_TILE else 0
    named = "share of the row's largest" if scale == "row maximum" and not signed else unit
    return {
        "data": [{"type": "heatmap", "z": packed(cells), "zmin": 0, "zmax": 255, "hoverinfo": "none", "xgap": gap, "ygap": gap,
                  "colorscale": colour_scale(DIVERGING if signed else VIRIDIS),
                  "colorbar": {**bar, "title": {"text": named, "side": "right", "font": {"size": 11}}, "thickness": 10, "outlinewidth": 0,
                               "xpad": 6}}],
        "layout": {
            "plot_bgcolor": ABSENT,
            "xaxis": {**ticks, "side": "top", "tickangle": -60, "constrain": "domain"},
            "yaxis": {**ticks, "autorange": "reversed", "scaleanchor": "x", "constrain": "domain"},
            "margin": {"b": 8},  # nothing stands below the map
            "meta": {"weights": packed(lower(matrix)), "labels": labels, "unit": unit},
        },
    }


def _sequential(matrix: np.ndarray, scale: str, limit: float) -> tuple[np.ndarray, dict[str, Any]]:
    """Cells of numbers from 0 to `limit`, and the ticks of their colour bar."""
    height, shares = SCALES[scale]
    named = np.array(shares, dtype=float)
    if scale == "row maximum":
        limit, places = 1.0, named
        cells = to_bytes(height(matrix))
    else:
        places = height(named)
        cells = to_bytes(np.clip(height(matrix / limit), 0, 1))
    return cells, {"tickvals": (1 + 254 * places).tolist(), "ticktext": [f"{share * limit:.3g}" for share in shares]}


def _diverging(matrix: np.ndarray, limit: float) -> tuple[np.ndarray, dict[str, Any]]:
    """Cells of numbers from -limit to limit, 0 in the middle, and the ticks of their colour bar."""
    bar = {"tickvals": [1, 128, 255], "ticktext": [f"{-limit:.3g}", "0", f"{limit:.3g}"]}
    return to_bytes(np.clip(matrix / limit, -1, 1) / 2 + 0.5), bar


def lower(matrix: np.ndarray) -> np.ndarray:
    """(T, T) -> (T (T + 1) / 2,) float32: the rows up to the diagonal, one after the other; all that a causal head has."""
    return matrix[np.tril_indices(len(matrix))].astype(np.float32)


def packed(array: np.ndarray) -> dict[str, Any]:
    """An array in the form Plotly's JavaScript decodes by itself: base64 of its bytes, two fifths of the size of JSON numbers."""
    return {"dtype": {"uint8": "u1", "float32": "f4"}[array.dtype.name], "bdata": base64.b64encode(np.ascontiguousarray(array)).decode(),
            "shape": ", ".join(map(str, array.shape))}
