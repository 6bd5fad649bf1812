"""The Attention tab: every head of the model on one prompt, and the selected one in full."""

import json
import threading
import weakref
from typing import Any

import gradio as gr

from gpt.errors import UserError
from gpt.interpret import Inspection, induction_score, inspect, position_scores
from gpt.tokenizer import token_label
from gpt.ui import figures, library
from gpt.ui.controls import text_of
from gpt.ui.jobs import Jobs
from gpt.ui.view import component
from gpt.visible import visible

PROMPT = "Once there was a wolf named Vobil. Vobil lived near the river. One day Vobil found a green bell"
MOST_BYTES = 300e6  # of what was looked at last; all heads of a large model on a long prompt alone can be 400 MB
MOST_TOKENS = 256  # a figure of more cells would be larger than the page should carry


def build(jobs: Jobs, tab: gr.Tab) -> None:
    """Lay the tab out and connect it; it is drawn when it is first shown."""
    looks = Looks(jobs)

    def head(asked: dict[str, Any]) -> dict[str, Any]:
        return looks.head(asked)

    with gr.Row():
        chooser = library.Chooser(jobs.root, "attention")
    with gr.Row():
        prompt = gr.Textbox(PROMPT, label="Prompt", lines=1, max_lines=4, elem_id="attention-prompt", scale=4)
        look = gr.Button("Look", variant="primary", elem_id="look", min_width=60, scale=0)
    explorer = component("explorer", elem_id="explorer", server_functions=[head])
    event = {"fn": looks.look, "inputs": [chooser.run, chooser.weights, prompt], "outputs": explorer, "show_progress": "hidden",
             "preprocess": False}
    gr.on([look.click, prompt.submit], **event, api_name="attention")
    for changed in (chooser.offered_on(tab), *chooser.changed):
        changed.then(**event, api_visibility="private")


class Looks:
    """Looking at prompts, one at a time. What was looked at last is kept, so that choosing another head costs no forward pass."""

    def __init__(self, jobs: Jobs):
        self.jobs = jobs
        self._kept: dict[str, tuple[weakref.ref, Inspection]] = {}  # key -> the model and what was seen in it; the newest last
        self._lock = threading.Lock()

    def look(self, run: str, weights: float, prompt: str) -> dict[str, Any]:
        """What the explorer shows of a prompt: all heads, small."""
        try:
            with self._lock:
                key, seen = self._seen(run, weights, text_of(prompt, "the prompt"))
        except UserError as error:
            return {"error": visible(str(error))}
        note = f"The prompt is longer than what is shown: its last {len(seen.tokens)} tokens are read." if seen.n_dropped else ""
        return {"key": key, "note": note, "mosaic": figures.mosaic(seen.maps), "scales": list(figures.SCALES),
                "next": [[token_label(token), probability] for token, probability in seen.next_tokens[:5]]}

    def head(self, asked: dict[str, Any]) -> dict[str, Any]:
        """One head in full, and what it does in words: {"key" that `look` gave, "layer", "head", "scale"}. Nothing is computed
        anew for it: who asks for what is no longer kept has to look again."""
        try:
            _, seen = self._kept[asked["key"]]
            layer, head = int(asked["layer"]), int(asked["head"])
            one = seen.head(layer, head)
            labels = [token_label(token) for token in seen.tokens]
            return {"figure": figures.head_map(one, labels, asked["scale"]), "sentence": in_words(layer, head, one, seen.tokens)}
        except UserError as error:
            return {"error": visible(str(error))}
        except (TypeError, ValueError, KeyError, OverflowError):
            return {"error": "that head is not at hand any more: press Look again"}

    def _seen(self, run: str, weights: float, prompt: str) -> tuple[str, Inspection]:
        """The key of a prompt in a run, and what is seen: what is kept of it, if the weights have not changed since."""
        model, tokenizer, _ = library.load(self.jobs.root, run, weights)
        key = json.dumps([run, weights, prompt])
        known, seen = self._kept.pop(key, (None, None))
        if known is None or known() is not model:
            seen = inspect(model, tokenizer, prompt, MOST_TOKENS)
        self._kept[key] = weakref.ref(model), seen
        while len(self._kept) > 1 and sum(other.maps.nbytes for _, other in self._kept.values()) > MOST_BYTES:
            self._kept.pop(next(iter(self._kept)))
        return key, seen


def in_words(layer: int, head: int, weights: Any, tokens: list[bytes]) -> str:
    """The score with the largest excess over chance, in a sentence."""
    positions = position_scores(weights)
    if not positions:
        return f"Layer {layer} head {head}: one token can only read itself."
    repeated = induction_score(weights, tokens)
    best = max([*positions, repeated] if repeated else positions, key=lambda score: score.excess)
    if best.excess >= 0.3:
        where = ", where a token occurs again," if best is repeated else ""
        return (f"Layer {layer} head {head}{where} puts {100 * best.value:.0f} % of its attention on the {best.name} "
                f"(chance {100 * best.chance:.0f} %).")
    shares = "; ".join(f"{score.name} {100 * score.value:.0f} %" for score in positions) + f"; chance {100 * positions[0].chance:.0f} %"
    if repeated:
        shares += f"; {repeated.name} {100 * repeated.value:.0f} %, chance {100 * repeated.chance:.0f} %"
    return f"Layer {layer} head {head} has no clear habit on this prompt ({shares})."
