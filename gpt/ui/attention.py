"""The Attention tab: every head of the model on one prompt, the selected one in full, and what both do."""

from functools import partial

import gradio as gr

from gpt.interpret.views import VIEWS
from gpt.ui import library, maps
from gpt.ui.jobs import Jobs
from gpt.ui.looking import animation, compare, effects, export, heads, roles, timeline
from gpt.ui.looking.looks import Looks
from gpt.ui.view import component

PROMPT = "Once there was a wolf named Vobil. Vobil lived near the river. One day Vobil found a green bell"
ANSWERS = {  # what the page's scripts may ask about something looked at
    "head": heads.head, "lines": heads.lines,
    "roles": roles.roles, "mosaic": roles.mosaic,
    "effect": effects.effect, "sweep": effects.sweep, "importance": effects.importance,
    "timeline": timeline.timeline,
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
    with gr.Row():
        chooser = library.Chooser(jobs.root, "attention")
    with gr.Row():
        prompt = gr.Textbox(PROMPT, label="Prompt", lines=1, max_lines=4, elem_id="attention-prompt", scale=4)
        look = gr.Button("Look", variant="primary", elem_id="look", min_width=60, scale=0)
    explorer = component("explorer", elem_id="explorer", choices={"views": list(VIEWS), "scales": list(maps.SCALES)},
                         server_functions={name: looks.answering(answer) for name, answer in answers.items()})
    event = {"fn": looks.look, "inputs": [chooser.run, chooser.weights, prompt], "outputs": explorer, "show_progress": "hidden",
             "preprocess": False}
    gr.on([look.click, prompt.submit], **event, api_name="attention")
    for changed in (chooser.offered_on(tab), *chooser.changed):
        changed.then(**event, api_visibility="private")
    chooser.follow(explorer)
