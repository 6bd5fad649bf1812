"""The Generate tab: the model goes on with a prompt, token by token."""

import json
import secrets
import time
from collections.abc import Iterator
from typing import Any

import gradio as gr

from gpt.config import ConfigError
from gpt.data.tokenizer import LONGEST_PROMPT, Tokenizer, encode_prompt, note_on_last_blank, token_label
from gpt.errors import UserError
from gpt.escape import escaped
from gpt.model.sampling import SAMPLING_FIELDS, Sampling
from gpt.model.writing import Candidate, Piece, write
from gpt.ui.charts.component import component
from gpt.ui.server import model_cache
from gpt.ui.server.jobs import Jobs
from gpt.ui.server.values import typed
from gpt.ui.tabs import run_picker
from gpt.ui.tabs.controls import control

REDRAW_SECONDS = 0.05


def build(jobs: Jobs, tab: gr.Tab) -> None:
    """Lay the tab out and connect it."""
    prompt = gr.Textbox("Once there was", label="Prompt", lines=2, elem_id="prompt", render=False)
    with gr.Row():
        picker = run_picker.RunPicker(jobs.root, "generate", prompt)
    prompt.render()
    with gr.Row(elem_classes="gpt-buttons"):
        begin = gr.Button("Generate", variant="primary", elem_id="generate")
        stop = gr.Button("Stop", elem_id="stop-writing")
    writing = component("writing", elem_id="writing")
    with gr.Row(elem_id="sampling"):
        sampling = [control(field, min_width=250) for field in SAMPLING_FIELDS]

    def generate(run: str, weights: float, prompt: str | None, *values: Any) -> Iterator[dict[str, Any]]:
        yield from written(jobs, run, weights, prompt or "", typed(SAMPLING_FIELDS, list(values)))

    event = begin.click(generate, [picker.run, picker.weights, prompt, *sampling], writing, api_name="generate", show_progress="hidden",
                        concurrency_limit=4, preprocess=False)
    stop.click(None, cancels=event)
    picker.refresh_on(tab)


def written(jobs: Jobs, run: str, position: float, prompt: str, settings: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """What the writing view shows, again and again while the text grows.

    `pieces` is one string with a line of JSON a piece: Gradio sends only what was added to a string that grows. What the model read at
    a step, for who wants to inspect it, are the last `most` of the ids in `read` and the tokens of the pieces before.
    """
    shown = {"id": secrets.token_hex(4), "prompt": escaped(str(prompt)[:LONGEST_PROMPT]), "pieces": "", "run": run, "place": position}
    n_tokens = 0
    try:
        sampling = Sampling(**settings)
        model, tokenizer, weights = model_cache.load(jobs.root, run, position)
        ids, most = encode_prompt(tokenizer, prompt), model.context_length
        shown |= {"read": ids[-most:], "most": most}
        n_prompt = len(ids)
        note = f" The prompt has {n_prompt} tokens: the model reads the last {most}." if n_prompt > most else ""
        note += f" {blank}" if (blank := note_on_last_blank(tokenizer, prompt)) else ""
        began = drawn = time.monotonic()
        for piece in write(model, tokenizer, prompt, sampling):
            shown["pieces"] += json.dumps(as_json(piece, tokenizer)) + "\n"
            n_tokens += piece.token is not None
            now = time.monotonic()
            if now - drawn > REDRAW_SECONDS:
                drawn = now
                yield {**shown, "note": f"Writing, {n_tokens} tokens.{note}"}
        seconds = max(time.monotonic() - began, 1e-9)
        yield {**shown, "done": True, "note": f"{n_tokens} tokens, {n_tokens / seconds:,.0f} per second ({weights}).{note}"}
    except ConfigError as error:
        yield {**shown, "error": escaped(". ".join(error.problems.values()))}
    except UserError as error:
        yield {**shown, "error": escaped(str(error))}


def as_json(piece: Piece, tokenizer: Tokenizer) -> dict[str, Any]:
    def as_list(row: Candidate) -> list[Any]:
        shares = (round(share, 4) for share in (row.model, row.tempered, row.truncated))
        return [escaped(token_label(tokenizer.token_bytes(row.token))), *shares, row.token == piece.token]

    return {"text": escaped(piece.text), "token": piece.token, "probability": round(piece.probability, 4),
            "surprisal": round(piece.surprisal, 3), "likeliest": [as_list(row) for row in piece.likeliest]}
