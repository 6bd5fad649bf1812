"""The Generate tab: the model goes on with a prompt, token by token."""

import json
import math
import secrets
import time
from collections.abc import Iterator
from typing import Any

import gradio as gr

from gpt.config import ConfigError, Field
from gpt.data.tokenizers.base import Tokenizer
from gpt.data.tokenizers.text import LONGEST_PROMPT, encode_prompt, note_on_last_blank, token_label
from gpt.errors import UserError
from gpt.escape import escaped
from gpt.model.sampling import SAMPLING_FIELDS, Sampling
from gpt.model.writing import Candidate, Piece, write
from gpt.ui.charts.component import component
from gpt.ui.server import model_cache
from gpt.ui.server.fetching import Fetching
from gpt.ui.server.jobs import Jobs
from gpt.ui.server.values import typed
from gpt.ui.tabs import run_picker
from gpt.ui.tabs.controls import control

REDRAW_SECONDS = 0.05
SAMPLES = Field("samples", 1, "Texts from one prompt: the first with this seed, each other with the next.", minimum=1, maximum=8, step=1)
SEED = next(field for field in SAMPLING_FIELDS if field.name == "seed")


def build(jobs: Jobs, tab: gr.Tab, fetching: Fetching) -> run_picker.RunPicker:
    """Lay the tab out and connect it. Returns what chooses the run."""
    prompt = gr.Textbox("Once there was", label="Prompt", lines=2, elem_id="prompt", render=False)
    with gr.Row():
        picker = run_picker.RunPicker(fetching, "generate", prompt)
    picker.render_fetched()
    beside = gr.Checkbox(False, label="write beside another run or snapshot, with the same seed", container=False, elem_id="beside")
    with gr.Row(visible=False) as second:
        other = run_picker.RunPicker(fetching, "beside", prompt, "Run beside it")
    other.render_fetched()
    prompt.render()
    with gr.Row(elem_classes="gpt-buttons"):
        begin = gr.Button("Generate", variant="primary", elem_id="generate")
        stop = gr.Button("Stop", elem_id="stop-writing")
    writings = component("writings", elem_id="writing")
    with gr.Row(elem_id="sampling"):
        sampling = [control(field, min_width=250) for field in SAMPLING_FIELDS]
        samples = control(SAMPLES, min_width=250)

    def written_here(run: str, weights: float, prompt: str | None, *values: Any) -> Iterator[dict[str, Any]]:
        *settings, samples, beside, other_run, other_weights = values
        places = [(run, weights), (other_run, other_weights)] if beside is True else [(run, weights)]
        yield from written_together(jobs, places, prompt or "", typed(SAMPLING_FIELDS, settings), samples)

    event = begin.click(written_here, [picker.run, picker.weights, prompt, *sampling, samples, beside, other.run, other.weights], writings,
                        api_visibility="private", show_progress="hidden", concurrency_limit=4, preprocess=False)
    stop.click(None, cancels=event)
    beside.change(None, beside, second, js="(on) => ({ __type__: 'update', visible: on })")
    for each in (picker, other):
        each.refresh_on(tab)
    place = [picker.run, picker.step, picker.prompt]
    gr.on([control.change for control in place], None, place, js="(run, step, prompt) => gpt.link.tell('generate', { run, step, prompt })")
    return picker


def written_together(jobs: Jobs, places: list[tuple[str, float]], prompt: str, settings: dict[str, Any],
                     samples: Any) -> Iterator[dict[str, Any]]:
    """What the view shows, again and again while the texts grow: {"id", "columns": of the places, "writings": as `written` has them}.

    Each place, (run, position of its weights on the slider), writes `samples` texts, with seeds that follow each other, and the same in
    every place. All texts grow together, a token each in turn.
    """
    samples = typed((SAMPLES,), [samples])["samples"]
    shown = {"id": secrets.token_hex(4), "columns": len(places), "writings": []}
    if problem := SAMPLES.problem(samples):
        yield {**shown, "writings": [{"prompt": "", "pieces": "", "error": escaped(problem)}]}
        return
    seed, drawn, is_new = settings["seed"], -math.inf, False
    seeds = [seed] if SEED.problem(seed) else [(seed + i) % (SEED.maximum + 1) for i in range(samples)]  # a problem is told once
    texts = [written(jobs, run, position, prompt, {**settings, "seed": seed}) for seed in seeds for run, position in places]
    latest: list[dict[str, Any]] = [{}] * len(texts)
    growing = dict(enumerate(texts))
    while growing:
        for i, writing in list(growing.items()):
            if (now := next(writing, None)) is None:
                del growing[i]
            else:
                latest[i], is_new = now, True
        if is_new and (not growing or time.monotonic() - drawn > REDRAW_SECONDS):
            drawn, is_new = time.monotonic(), False
            yield {**shown, "writings": latest[:]}


def written(jobs: Jobs, run: str, position: float, prompt: str, settings: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """One text, after each of its pieces, and once more when it has ended.

    `pieces` is one string with a line of JSON a piece: Gradio sends only what was added to a string that grows. What the model read at
    a step, for who wants to inspect it, are the last `most` of the ids in `read` and the tokens of the pieces before.
    """
    shown = {"prompt": escaped(str(prompt)[:LONGEST_PROMPT]), "pieces": "", "run": run, "place": position}
    n_tokens, seconds = 0, 1e-9
    try:
        sampling = Sampling(**settings)
        model, tokenizer, weights = model_cache.load_for_writing(jobs.root, run, model_cache.snapshot_at(jobs.root, run, position))
        ids, most = encode_prompt(tokenizer, prompt), model.context_length
        shown |= {"weights": weights, "seed": sampling.seed, "read": ids[-most:], "most": most}
        n_prompt = len(ids)
        note = f" The prompt has {n_prompt} tokens: the model reads the last {most}." if n_prompt > most else ""
        note += f" {blank}" if (blank := note_on_last_blank(tokenizer, prompt)) else ""
        pieces = write(model, tokenizer, prompt, sampling)
        while True:
            began = time.monotonic()
            piece = next(pieces, None)
            seconds += time.monotonic() - began  # of its own, not of the texts that grow beside it
            if piece is None:
                break
            shown["pieces"] += json.dumps(as_json(piece, tokenizer)) + "\n"
            n_tokens += piece.token is not None
            yield {**shown, "note": f"Writing, {n_tokens} tokens.{note}"}
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
