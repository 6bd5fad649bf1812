"""A run in a notebook: its curves, what it writes, its attention, and a summary of itself."""

import html
from pathlib import Path
from typing import Any

import plotly.graph_objects as go

from gpt.data.tokenizers.text import token_label
from gpt.errors import UserError
from gpt.escape import escaped
from gpt.interpret import Inspection, inspect
from gpt.interpret.mosaic import all_tiles
from gpt.model.sampling import Sampling
from gpt.model.writing import write
from gpt.runs.run import DEFAULT_ROOT, Run, find_run, load_run
from gpt.ui.charts import figures, maps
from gpt.ui.charts.standalone import figure_of, labelled_map, sparkline
from gpt.ui.server.training_status import duration

LONGEST_SAMPLE = 400  # characters in the summary


def open_run(name: str, checkpoints: Path | str = DEFAULT_ROOT) -> "NotebookRun":
    """The run `name` in the folder `checkpoints`, which may be training. Raises RunError if there is none."""
    return NotebookRun(find_run(checkpoints, name).path)


class NotebookRun(Run):
    """Reads one run's folder, as Run does, and shows it. `step` is everywhere that of a snapshot; without it, the best weights are used."""

    def plot(self) -> go.Figure:
        """The loss of training and validation over the steps, in nats per token."""
        chart, rows = figures.loss_chart(self.status()["steps"]), self.rows()[0]
        training, _, validation, earlier = chart["data"]  # the page's smoothed line is drawn by its scripts
        goes_on = any("earlier_val_loss" in row for row in rows)
        earlier["visible"] = goes_on
        for trace, name in ((training, "loss"), (validation, "val_loss"), (earlier, "earlier_val_loss")):
            known = [row for row in rows if row.get(name) is not None]
            if name == "val_loss" and len(known) > 1 and known[0]["step"] == 0 and not goes_on:
                known.insert(1, {})  # no line from the untrained model across the steepest part of the curve
            trace |= {"x": [row.get("step") for row in known], "y": [row.get(name) for row in known]}
        training |= {"opacity": 1, "hovertemplate": "%{y:.4f}"}
        traces = [training, validation, *([earlier] if goes_on else [])]
        return figure_of({"data": traces, "layout": {**chart["layout"], "title": {"text": escaped(self.name)}}})

    def generate(self, prompt: str, step: int | None = None, **sampling: Any) -> str:
        """`prompt` and what the model writes after it. `sampling`: max_new_tokens, temperature, top_k, top_p, min_p, repetition_penalty,
        seed (gpt.Sampling). Raises UserError for a prompt that it cannot read, or for a setting out of its range."""
        model, tokenizer = load_run(self.path, step)
        return prompt + "".join(piece.text for piece in write(model, tokenizer, prompt, Sampling(**sampling)))

    def inspect(self, prompt: str, step: int | None = None) -> Inspection:
        """The prompt as the model reads it: `weights(layer)` are (H, T, T). Raises UserError for a prompt that it cannot read."""
        return inspect(*load_run(self.path, step), prompt)

    def attention(self, prompt: str, layer: int | None = None, head: int | None = None, step: int | None = None) -> go.Figure:
        """All heads on a prompt, each a small square, or one head in full: rows are the tokens being processed, columns those they read.
        Raises UserError if there is no such head, or only one of `layer` and `head` is given."""
        if (layer is None) != (head is None):
            raise UserError("one of layer and head is missing: give both for one head, neither for all")
        inspection = self.inspect(prompt, step)
        labels = [escaped(token_label(token)) for token in inspection.tokens]
        if layer is None:
            return figure_of(maps.mosaic(all_tiles(inspection), len(labels))).update_yaxes(scaleanchor="x", constrain="domain")
        return labelled_map(inspection.head(layer, head), labels, f"layer {layer} head {head}")

    def __repr__(self) -> str:
        status = self.status()
        return f"<run {self.name}: {status['state']} at step {status['step']:,}>"

    def _repr_html_(self) -> str:
        """The summary that a notebook shows: what it is, its curve, what it wrote last. It loads nothing, and runs no script."""
        status, rows = self.status(), self.rows()[0]
        facts = [("state", f"{status['state']} at step {status['step']:,}" + (f" of {status['steps']:,}" if status["steps"] else "")),
                 ("work", duration(status.get("seconds") or 0))]
        if status.get("val_loss") is not None:
            facts.append(("validation", f"{status['val_loss']:.3f} nats per token, {status['bits_per_byte']:.3f} bits per byte"))
        if status.get("error"):
            facts.append(("error", str(status["error"])))
        facts.append(("folder", str(self.path)))
        table = "".join(f"<tr><th style='text-align:left'>{name}</th><td style='text-align:left'>{_shown(value)}</td></tr>"
                        for name, value in facts)
        curve = sparkline([(row["step"], row["val_loss"]) for row in rows if row.get("val_loss") is not None])
        written = [row["prompt"] + row["text"] for row in rows if row.get("kind") == "sample"]
        sample = "".join(f"<pre style='white-space:pre-wrap'>{_shown(text[:LONGEST_SAMPLE])}</pre>" for text in written[-1:])
        return f"<div><b>{_shown(self.name)}</b><table>{table}</table>{curve}{sample}</div>"


def _shown(text: str) -> str:
    """A text of a person or a model as HTML that shows it letter by letter."""
    return html.escape(escaped(text))
