"""A film of all heads as one HTML file that plays by itself: no network, no Plotly, nothing but what stands in it."""

from typing import Any

from gpt.errors import UserError
from gpt.runs.run import Run
from gpt.ui.charts import maps
from gpt.ui.charts.component import ASSETS, as_script
from gpt.ui.inspector import film
from gpt.ui.inspector.inspector import Looks, Seen
from gpt.ui.inspector.request import Question
from gpt.visible import visible


def animation(looks: Looks, seen: Seen, _question: Question) -> dict[str, Any]:
    """{"name", "html"}: the file. The page has looked at every frame before it asks, so most of them are at hand. Raises UserError for a
    run without snapshots: one frame is no film."""
    steps = film.frames(seen.run)
    if len(steps) < 2:
        raise UserError(film.of(seen.run, [])["note"])
    return {"name": f"{seen.run.name}-heads.html", "html": page([looks.at(seen, step)[1] for step in steps])}


def page(frames: list[Seen]) -> str:
    """The HTML of a film of the same tokens in several weights, the first to the last."""
    last = frames[-1]
    figures = [maps.mosaic(frame.cells, len(frame.labels)) for frame in frames]
    cells, meta = figures[-1]["data"][0], figures[-1]["layout"]["meta"]
    data = {
        "run": last.run.name, "config": in_short(last.run), "tokens": [visible(label) for label in last.labels],
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
