"""The Generate tab: the model goes on with a prompt, token by token."""

import time
from collections.abc import Iterator
from typing import Any

import gradio as gr

from gpt.config import ConfigError
from gpt.errors import UserError
from gpt.generate import SAMPLING_FIELDS, Piece, Sampling, write
from gpt.tokenizer import Tokenizer, token_label
from gpt.ui import library
from gpt.ui.controls import control, typed
from gpt.ui.jobs import Jobs
from gpt.ui.view import component

REDRAW_SECONDS = 0.05


def build(jobs: Jobs) -> tuple[gr.Dropdown, gr.Slider]:
    """Lay the tab out and connect it. Returns run and weights controls, which follow the list of runs."""
    with gr.Row():
        run = gr.Dropdown(label="Run", elem_id="generate-run", scale=1)
        weights = library.snapshot_slider("generate-weights")
    prompt = gr.Textbox("Once there was", label="Prompt", lines=2, elem_id="prompt")
    with gr.Row(elem_classes="gpt-buttons"):
        begin = gr.Button("Generate", variant="primary", elem_id="generate")
        stop = gr.Button("Stop", elem_id="stop-writing")
    writing = component("writing", elem_id="writing")
    with gr.Row(elem_id="sampling"):
        sampling = [control(field, min_width=150) for field in SAMPLING_FIELDS]

    def generate(run: str, weights: float, prompt: str, *values: Any) -> Iterator[dict[str, Any]]:
        yield from written(jobs, run, weights, prompt, typed(SAMPLING_FIELDS, list(values)))

    event = begin.click(generate, [run, weights, prompt, *sampling], writing, api_name="generate", show_progress="hidden",
                        concurrency_limit=4)
    stop.click(None, cancels=event)
    return run, weights


def written(jobs: Jobs, run: str, position: float, prompt: str, settings: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """What the writing view shows, again and again while the text grows."""
    pieces: list[dict[str, Any]] = []
    try:
        sampling = Sampling(**settings)
        model, tokenizer, weights = library.load(jobs.root, run, position)
        n_prompt = len(tokenizer.encode(prompt))
        note = f" The prompt has {n_prompt} tokens: the model reads the last {model.context_length}." if n_prompt > model.context_length else ""
        began = drawn = time.monotonic()
        for piece in write(model, tokenizer, prompt, sampling):
            pieces.append(as_json(piece, tokenizer))
            now = time.monotonic()
            if now - drawn > REDRAW_SECONDS:
                drawn = now
                yield {"prompt": prompt, "pieces": pieces, "note": f"Writing, {len(pieces)} tokens.{note}"}
        seconds = max(time.monotonic() - began, 1e-9)
        yield {"prompt": prompt, "pieces": pieces, "done": True,
               "note": f"{len(pieces)} tokens, {len(pieces) / seconds:,.0f} per second ({weights}).{note}"}
    except ConfigError as error:
        yield {"prompt": prompt, "pieces": pieces, "error": ". ".join(error.problems.values())}
    except UserError as error:
        yield {"prompt": prompt, "pieces": pieces, "error": str(error)}


def as_json(piece: Piece, tokenizer: Tokenizer) -> dict[str, Any]:
    likeliest = [[token_label(tokenizer.token_bytes(token)), round(probability, 4), token == piece.token]
                 for token, probability in piece.likeliest]
    return {"text": piece.text, "probability": round(piece.probability, 4), "likeliest": likeliest}
