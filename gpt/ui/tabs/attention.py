"""The Attention tab: every head of the model on one prompt, the selected one in full, and what both do."""

from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr

from gpt.interpret.views import VIEWS
from gpt.ui.charts import maps
from gpt.ui.charts.component import component
from gpt.ui.inspector import animation, compare, effects, export, heads, lens, roles, timeline
from gpt.ui.inspector.inspections import Inspector
from gpt.ui.inspector.opening import opening_prompt, was_opening_prompt
from gpt.ui.server.fetching import Fetching
from gpt.ui.tabs import run_picker

PROMPT = 'Once there was a wolf named Vobil. "Oh vifa lusa toro, vifa lusa toro!" sang Vobil. "Oh vifa lusa toro'
ANSWERS = {  # what the page's scripts may request of an inspection
    "head": heads.head, "lines": heads.lines, "reads": heads.reads,
    "roles": roles.roles, "mosaic": roles.mosaic,
    "effect": effects.effect, "sweep": effects.sweep, "importance": effects.importance,
    "timeline": timeline.timeline,
    "lens": lens.lens, "attribution": lens.attribution,
    "arrays": export.arrays, "report": export.report,
}
ANSWERS_WITH_OTHER_WEIGHTS = {  # these read other weights too
    "at": timeline.at, "animation": animation.animation,
    "rivals": compare.rivals, "compare": compare.compare, "compare_head": compare.compare_head,
}


def build(tab: gr.Tab, inspector: Inspector, fetching: Fetching) -> run_picker.RunPicker:
    """Lay the tab out and connect it; it is drawn when it is first shown. Returns what chooses the run."""
    answers = ANSWERS | {name: partial(answer, inspector) for name, answer in ANSWERS_WITH_OTHER_WEIGHTS.items()}
    prompt = gr.Textbox(PROMPT, label="Prompt", lines=1, max_lines=4, elem_id="attention-prompt", scale=4, render=False)
    with gr.Row():
        picker = run_picker.RunPicker(fetching, "attention", prompt, prompt_for=prompt_for)
    picker.render_fetched()
    with gr.Row():
        prompt.render()
        inspect = gr.Button("Inspect", variant="primary", elem_id="inspect", min_width=90, scale=0)
    explorer = component("explorer", elem_id="explorer", choices={"views": list(VIEWS), "scales": list(maps.SCALES), "lens": lens.COLOURS},
                         server_functions={name: inspector.server_function(answer) for name, answer in answers.items()})
    event = {"inputs": [picker.run, picker.weights, prompt], "outputs": explorer, "show_progress": "hidden", "preprocess": False}

    def answer(run: str, weights: float, sent: Any) -> dict[str, Any]:
        """`sent` is what gpt.replay sends in place of the prompt: a prompt or a step of a generated text, with a number that is returned
        with the answer."""
        if not isinstance(sent, dict):
            return inspector.inspect(run, weights, sent)
        answer = inspector.replay(run, weights, sent) if "ids" in sent else inspector.inspect(run, weights, sent.get("text"))
        return {**answer, "number": sent.get("number")}

    event["trigger_mode"] = "always_last"  # an inspection that is requested during another waits, and is not forgotten
    gr.on([inspect.click, prompt.submit], answer, **event, js="(...values) => gpt.replay.prompt(values)", api_visibility="private")
    for changed in (picker.refresh_on(tab, request="(run) => gpt.replay.controls(run)"), *picker.changed):
        changed.then(answer, **event, js="(...values) => gpt.replay.follow(values)", api_visibility="private")
    picker.follow(explorer)
    return picker


def prompt_for(root: Path, name: str, prompt: Any, first: str) -> Any:
    """A prompt that a person has typed stays. One that the page has set becomes a passage in which the clearest head of the run shows what
    it does; if there is none, one that the run can read."""
    if not was_opening_prompt(prompt) and not run_picker.set_by_page(root, prompt, first):
        return prompt
    return opening_prompt(root, name) or run_picker.readable_prompt(root, name, first, first)
