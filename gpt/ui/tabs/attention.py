"""The Attention tab: every head of the model on one prompt, the selected one in full, and what both do."""

from functools import partial
from typing import Any

import gradio as gr

from gpt.interpret.views import VIEWS
from gpt.ui.charts import maps
from gpt.ui.charts.component import component
from gpt.ui.inspector import animation, compare, effects, export, heads, lens, roles, timeline
from gpt.ui.inspector.inspector import Looks
from gpt.ui.server.jobs import Jobs
from gpt.ui.tabs import run_picker

PROMPT = "Once there was a wolf named Vobil. Vobil lived near the river. One day Vobil found a green bell"
ANSWERS = {  # what the page's scripts may ask about something looked at
    "head": heads.head, "lines": heads.lines,
    "roles": roles.roles, "mosaic": roles.mosaic,
    "effect": effects.effect, "sweep": effects.sweep, "importance": effects.importance,
    "timeline": timeline.timeline,
    "lens": lens.lens, "attribution": lens.attribution,
    "arrays": export.arrays, "report": export.report,
}
ANSWERS_WITH_OTHERS = {  # these look at other weights too
    "at": timeline.at, "animation": animation.animation,
    "rivals": compare.rivals, "compare": compare.compare, "compare_head": compare.compare_head,
}


def build(jobs: Jobs, tab: gr.Tab) -> None:
    """Lay the tab out and connect it; it is drawn when it is first shown."""
    looks = Looks(jobs)
    answers = ANSWERS | {name: partial(answer, looks) for name, answer in ANSWERS_WITH_OTHERS.items()}
    prompt = gr.Textbox(PROMPT, label="Prompt", lines=1, max_lines=4, elem_id="attention-prompt", scale=4, render=False)
    with gr.Row():
        chooser = run_picker.Chooser(jobs.root, "attention", prompt)
    with gr.Row():
        prompt.render()
        look = gr.Button("Look", variant="primary", elem_id="look", min_width=60, scale=0)
    explorer = component("explorer", elem_id="explorer", choices={"views": list(VIEWS), "scales": list(maps.SCALES), "lens": lens.COLOURS},
                         server_functions={name: looks.answering(answer) for name, answer in answers.items()})
    event = {"inputs": [chooser.run, chooser.weights, prompt], "outputs": explorer, "show_progress": "hidden", "preprocess": False}

    def seen(run: str, weights: float, asked: Any) -> dict[str, Any]:
        """What the page asks for: a prompt, or a step of a written text, which gpt.replay puts into its place, with a number that
        the answer carries too. A program gives the prompt alone."""
        if not isinstance(asked, dict):
            return looks.look(run, weights, asked)
        answer = looks.replay(run, weights, asked) if "ids" in asked else looks.look(run, weights, asked.get("text"))
        return {**answer, "number": asked.get("number")}

    event["trigger_mode"] = "always_last"  # a look that is asked for while another is under way waits, and is not forgotten
    gr.on([look.click, prompt.submit], seen, **event, js="(...asked) => gpt.replay.left(asked)", api_name="attention")
    for changed in (chooser.offered_on(tab, wish="(run) => gpt.replay.wished(run)"), *chooser.changed):
        changed.then(seen, **event, js="(...asked) => gpt.replay.seen(asked)", api_visibility="private")
    chooser.follow(explorer)
