"""The README.md of an exported model: what it is, what it learned from, how well, and how to load it."""

from pathlib import Path
from typing import Any

from gpt.config import FIELDS, without_folders
from gpt.escape import escaped
from gpt.runs.run import Run

MOST_EVALUATIONS = 12
HEADER = """---
library_name: transformers
pipeline_tag: text-generation
tags: [gpt2]
---
"""


def model_card(run: Run, about: dict[str, Any], step: int | None) -> str:
    """Markdown. `about` is what the run's config.json says; `step` is that of the exported snapshot, None for the best weights."""
    config, text = about["config"], about["corpus"]
    rows = run.rows()[0]
    evaluations = [row for row in rows if row.get("val_loss") is not None]
    best = min(evaluations, key=lambda row: row["val_loss"], default=None)
    weights = "its best weights" if step is None else f"its weights at step {step:,}"
    result = f" Best validation loss: {best['val_loss']:.4f} nats per token, {best['bits_per_byte']:.4f} bits per byte." if best else ""
    sample = next((row["prompt"] + row["text"] for row in reversed(rows) if row.get("kind") == "sample"), "")
    source = about.get("went_on_from") or about.get("imported_from")
    origin = f"which went on from {source}" if "went_on_from" in about else f"the weights of {source}" if source else "trained from scratch"
    settings = {field.name: without_folders(config)[field.name] for field in FIELDS}
    parts = [
        HEADER, f"# {run.name}", "",
        f"A GPT-2 of {about['parameters']:,} parameters, {origin}; {weights}.{result}", "", "## How to load it", "",
        "```python", "from transformers import AutoModelForCausalLM, AutoTokenizer", "",
        'model, tokenizer = (auto.from_pretrained("PATH") for auto in (AutoModelForCausalLM, AutoTokenizer))',
        'print(tokenizer.decode(model.generate(**tokenizer("Once", return_tensors="pt"), max_new_tokens=40)[0]))', "```", "", "## Text", "",
        f"{Path(str(text['name'])).name}, {text['bytes']:,} bytes, SHA-256 `{text['sha256']}`; the last tenth was for validation.", "",
        "## Training", "", "| step | seconds | validation loss, nats per token | bits per byte |", "| --- | --- | --- | --- |",
        *(f"| {row['step']:,} | {row['seconds']:.0f} | {row['val_loss']:.4f} | {row['bits_per_byte']:.4f} |"
          for row in thinned(evaluations)),
        "", "| setting | value |", "| --- | --- |", *(f"| `{name}` | {value} |" for name, value in settings.items()),
        *(["", "## What it wrote last", "", *(f"    {line}" for line in escaped(sample).split("\n"))] if sample else []), "",
    ]
    return "\n".join(parts)


def thinned(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """At most MOST_EVALUATIONS of the rows, the first and the last among them."""
    if len(rows) <= MOST_EVALUATIONS:
        return rows
    return [rows[round(i * (len(rows) - 1) / (MOST_EVALUATIONS - 1))] for i in range(MOST_EVALUATIONS)]
