"""The dial "How long" of the Train tab: a press moves the sliders to what promises the lowest loss in that time."""

from functools import partial
from typing import Any

import gradio as gr

from gpt.config import CONFIG, FIELDS, PRESETS, validate
from gpt.data.dataset import require_length
from gpt.escape import escaped
from gpt.estimate.plan import MINUTES, Plan, in_time, plan
from gpt.estimate.price import estimate
from gpt.ui.server.bases import Base, base_of
from gpt.ui.server.jobs import Jobs
from gpt.ui.server.values import text_of, typed
from gpt.ui.tabs.controls import QUEUED, errors_as_messages, show_message
from gpt.ui.tabs.pricing import known_text, priced
from gpt.ui.tabs.settings import Settings

UNPLANNED = ("corpus", "tokenizer", "vocab_size", "precision", "compile", "device", "seed")  # they stay as the form has them


class HowLong:
    """`buttons` has one for each number of minutes that can be planned for; on a public page none beyond what a run may take."""

    def __init__(self, jobs: Jobs):
        self._jobs, caps = jobs, jobs.access.caps
        offered = [minutes for minutes in MINUTES if caps is None or minutes <= caps.minutes]
        with gr.Row(elem_id="how-long", elem_classes="gpt-buttons", visible=bool(offered)):
            gr.Markdown("How long")
            self.buttons = {minutes: gr.Button(label(minutes), size="sm", min_width=40, elem_id=f"plan-{minutes}") for minutes in offered}

    def connect(self, settings: Settings, preset: gr.Dropdown, visitor: gr.components.Component) -> None:
        inputs, outputs = [preset, visitor, *settings.form], [preset, settings.processes, *settings.form]
        for minutes, button in self.buttons.items():  # one at a time: timings that disturb each other are worth nothing
            button.click(partial(take_plan, self._jobs, minutes), inputs, outputs, preprocess=False, concurrency_limit=1,
                         concurrency_id="plan", **QUEUED)


def label(minutes: int) -> str:
    return "1 hour" if minutes == 60 else f"{minutes} min"


def take_plan(jobs: Jobs, minutes: float, preset: Any, visitor: Any, *values: Any) -> list[Any]:
    """Put a plan for so many minutes on this text into the form, for one process, and say what was chosen."""
    with errors_as_messages():
        jobs.check_idle()  # beside a run that trains, steps take longer than they will
        base, visitor = base_of(jobs.root, text_of(preset, "the preset") or "quick"), text_of(visitor, "the visitor")
        chosen = planned(jobs, base, typed(FIELDS, list(values)), minutes, visitor)
    show_message(escaped(chosen.sentence()))
    unplanned = UNPLANNED if base.run is None else CONFIG.keys() - chosen.names
    form = [gr.skip() if field.name in unplanned else chosen.config[field.name] for field in FIELDS]
    return [base.name if base.run else "quick", 1, *form]


def planned(jobs: Jobs, base: Base, config: dict[str, Any], minutes: float, visitor: str) -> Plan:
    """A plan for what the form holds. A run to go on from keeps its sizes: only the steps are planned. Raises UserError."""
    text = known_text(jobs, base, config, visitor)
    n_tokens = text["train_tokens"]
    if base.run:
        base.check(validate(config))
        require_length("the training part of the text", n_tokens, config["context_length"])
        config = priced(config, text)
        jobs.access.check_cost(visitor, config, n_tokens)
        return in_time(config, minutes, n_tokens)

    def allowed(size: dict[str, Any]) -> bool:
        return not jobs.access.problems(visitor, size, estimate(size, n_tokens, size["device"]))

    quick = validate({**PRESETS["quick"].config, **{name: config[name] for name in UNPLANNED}})
    return plan(minutes, n_tokens, priced(quick, text), allowed=allowed)
