"""A film of all heads as one self-contained HTML file: it needs no network and no Plotly."""

from typing import Any

from gpt.errors import UserError
from gpt.escape import escaped
from gpt.runs.run import Run
from gpt.ui.charts import maps
from gpt.ui.charts.component import ASSETS, as_script
from gpt.ui.inspector import film
from gpt.ui.inspector.inspections import Inspected, Inspector
from gpt.ui.inspector.request import InspectionRequest


def animation(inspector: Inspector, inspected: Inspected, _request: InspectionRequest) -> dict[str, Any]:
    """{"name", "html"}: the file. The page has inspected every frame before it asks, so most of them are held. Raises UserError for a
    run without snapshots: one frame is no film."""
    steps = film.frames(inspected.run)
    if len(steps) < 2:
        raise UserError(film.describe(inspected.run, [])["note"])
    return {"name": f"{inspected.run.name}-heads.html", "html": page([inspector.at_step(inspected, step)[1] for step in steps])}


def page(frames: list[Inspected]) -> str:
    """The HTML of a film of the same tokens in several weights, the first to the last."""
    last = frames[-1]
    figures = [maps.mosaic(frame.cells, len(frame.labels)) for frame in frames]
    cells, meta = figures[-1]["data"][0], figures[-1]["layout"]["meta"]
    data = {
        "run": last.run.name, "config": in_short(last.run), "tokens": [escaped(label) for label in last.labels],
        "layers": meta["layers"], "heads": meta["heads"], "shape": cells["z"]["shape"], "colours": cells["colorscale"],
        "frames": [{"step": frame.step, "cells": figure["data"][0]["z"]} for frame, figure in zip(frames, figures, strict=True)],
    }
    template, painting = ((ASSETS / name).read_text(encoding="utf-8") for name in ("animation.html", "cells.js"))
    return template.replace("{{painting}}", painting).replace("{{data}}", as_script(data))


def in_short(run: Run) -> str:
    """A run's CONFIG in a line."""
    saved = run.config()
    config = saved["config"]
    return (f"{config['n_layers']} layers of {config['n_heads']} heads, width {config['emb_dim']}, context {config['context_length']}, "
            f"{config['tokenizer']} with {config['vocab_size']:,} tokens, {saved['parameters']:,} parameters, {saved['steps']:,} steps, "
            f"seed {config['seed']}")
