"""The panel Tokens of the Train tab: a text cut by one tokenizer, or by two beside each other, what that costs, and how tokens came to
be."""

from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr

from gpt.config import CONFIG, FIELDS, TOKENIZERS, problems_of
from gpt.data.built_in import to_download
from gpt.data.tokenizers.base import Tokenizer
from gpt.data.tokenizers.text import token_label
from gpt.data.tokenizers.use import history_of, use_of
from gpt.errors import UserError
from gpt.escape import escaped
from gpt.model.flops import count_parameters, flops_by_part
from gpt.ui.charts.component import component
from gpt.ui.server import texts
from gpt.ui.server.bases import base_of
from gpt.ui.server.jobs import Jobs
from gpt.ui.server.values import text_of, typed
from gpt.ui.tabs.controls import NO_PROGRESS
from gpt.ui.tabs.pricing import read_by, tokens_of
from gpt.ui.tabs.settings import Settings
from gpt.ui.tabs.visitor import Visitor

VOCAB_SIZE = next(field for field in FIELDS if field.name == "vocab_size")
LONGEST = 4000  # characters that are shown
LONGEST_HISTORY = 24  # bytes of a token whose merges are shown


def build(jobs: Jobs, settings: Settings, preset: gr.Dropdown, visitor: Visitor) -> None:
    """Lay the panel out and connect it."""
    with gr.Accordion("Tokens: how this text is cut", open=False, elem_id="tokens-box"):
        with gr.Row(elem_id="tokens-controls"):
            shown = gr.Textbox("", label="Text", lines=3, max_lines=8, placeholder="Left empty: the beginning of the text that is chosen",
                               elem_id="tokens-text", scale=3)
            with gr.Column(scale=1, min_width=220):
                beside = gr.Dropdown([("nothing", ""), *((name, name) for name in TOKENIZERS)], value="", label="Beside it",
                                     elem_id="tokens-beside")
                size = gr.Number(1024, label="with vocab_size", precision=0, minimum=256, maximum=65536, elem_id="tokens-size")
            cut = gr.Button("Show tokens", elem_id="tokens-show", min_width=170, scale=0)
        view = component("tokens", elem_id="tokens")
    inputs = [shown, beside, size, preset, *settings.form, visitor.key]
    gr.on([cut.click, shown.submit], partial(show, jobs), inputs, view, preprocess=False, **NO_PROGRESS)


def show(jobs: Jobs, text: Any, beside: Any, size: Any, preset: Any, *values: Any) -> dict[str, Any]:
    """{"sides": what each tokenizer makes of the text}, or {"error": a sentence}."""
    *form, visitor = values
    try:
        config = {**CONFIG, **typed(FIELDS, form)}
        base = base_of(jobs.root, text_of(preset, "the preset") or "quick")
        config |= {name: CONFIG[name] for name in problems_of(FIELDS, config)}
        read = read_by(jobs, config, visitor)
        if download := to_download(read.corpus):
            raise UserError(f"{read.corpus} is not here yet: {download.sentence()}")
        sides = [(read, tokens_of(base))]
        if beside := text_of(beside, "the other tokenizer"):
            sides.append((other(read, beside, size), (None, 0)))
        return {"sides": [side(read, tokens, config, text_of(text, "the text")) for read, tokens in sides]}
    except UserError as error:
        return {"error": escaped(str(error))}


def other(read: texts.Read, name: str, size: Any) -> texts.Read:
    """The same text read with another tokenizer. Raises UserError if there is none of that name, or it cannot have that size."""
    if name not in TOKENIZERS:
        raise UserError(f"there is no tokenizer {name[:40]!r}: choose one of {', '.join(TOKENIZERS)}")
    size = typed((VOCAB_SIZE,), [size])["vocab_size"] if TOKENIZERS[name].learns_vocab_size else read.vocab_size
    if problems := problems_of((VOCAB_SIZE,), {"vocab_size": size}):
        raise UserError(problems["vocab_size"])
    if problem := TOKENIZERS[name].problem(size):
        raise UserError(problem)
    return read._replace(tokenizer=name, vocab_size=size)


def side(read: texts.Read, tokens: tuple[Path | None, int], config: dict[str, Any], text: str) -> dict[str, Any]:
    """What one tokenizer makes of a text, or of the beginning of its own text, and what it costs the model."""
    tokenizer, sample = texts.beginning_of(read, *tokens)
    ids = tokenizer.encode((text or sample)[:LONGEST])
    use, priced = use_of(tokenizer, sample), {**config, "vocab_size": tokenizer.n_vocab}
    parameters, flops = count_parameters(priced), flops_by_part(priced)
    words = parameters["embedding"] + parameters["head"]
    frequent, longest = dict(use.frequent), {token: len(tokenizer.token_bytes(token)) for token in use.longest}
    return {
        "name": tokenizer.name, "ids": ids, "kinds": {str(token): described(tokenizer, token) for token in {*ids, *frequent, *longest}},
        "made": tokenizer.made, "frequent": [[token, f"{count:,} times"] for token, count in frequent.items()],
        "longest": [[token, f"{length} bytes"] for token, length in longest.items()], "facts": [
            [f"{tokenizer.n_vocab:,}", "tokens in the vocabulary"], [f"{use.bytes_per_token:.2f}", "bytes per token of this text"],
            [f"{100 * use.used:.0f} %", "of the vocabulary occur in it"],
            [f"{words / 1e6:.2f} M", f"parameters in embedding and head, {100 * words / sum(parameters.values()):.0f} % of the model"],
            [f"{100 * flops['head'] / sum(flops.values()):.0f} %", "of the arithmetic is in the head"],
            [f"{config['context_length'] * use.bytes_per_token:,.0f}", f"bytes in a context of {config['context_length']:,} tokens"]],
    }


def described(tokenizer: Tokenizer, token: int) -> dict[str, Any]:
    """Its label, its bytes in hex, whether it is a part of a character, and how it came to be: its parts after each merge."""
    data, steps = tokenizer.token_bytes(token), []
    if len(data) <= LONGEST_HISTORY:
        steps = [[escaped(token_label(part)) for part in parts] for parts in history_of(tokenizer, token)]
    return {"label": escaped(token_label(data)), "bytes": data.hex(" "), "part": is_part(data), "steps": steps}


def is_part(data: bytes) -> bool:
    """Whether the bytes of a token are not whole characters."""
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return True
    return False
