"""The settings of a CONFIG on the Train tab: those that matter most with sliders in sight, all others under "All settings".

Each setting is one of Gradio's controls, which sends its value. What surrounds the controls is drawn by the page itself
(gpt/ui/assets/train/settings.js): the sliders, the marks of what differs from the preset, the buttons that take a difference back,
the search.
"""

from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr

from gpt.config import CONFIG, FIELDS, PRESETS, Field, without_folders
from gpt.errors import UserError
from gpt.ui.charts.component import component
from gpt.ui.server import texts
from gpt.ui.server.bases import Base, base_of, offered
from gpt.ui.server.jobs import Jobs
from gpt.ui.server.values import text_of
from gpt.ui.tabs.controls import NO_PROGRESS, QUEUED, control, errors_as_messages

PROCESSES = Field("processes", 1, "Processes that train together, each on a GPU of its own or on its share of the cores; the losses are "
                  "the same with any number.", minimum=1, maximum=1024, step=1)
EVERYTHING = "all settings"  # what is reset when no setting is named
# (method, inputs) -> what gpt.settings.method(...inputs) returns, once the page's scripts have loaded: the first events may come before.
WHEN_LOADED = """(...inputs) => new Promise((resolve) => {{
    const call = () => (window.gpt?.settings ? resolve(gpt.settings.{method}(...inputs)) : setTimeout(call, 20));
    call();
}})"""


class Settings:
    """`controls` are all settings by name; `run` names the run that will have them, and `processes` is the number of those that train it:
    neither belongs to the CONFIG. `lay_out_sliders` and `lay_out_all` put them on the page, once each."""

    def __init__(self, source: gr.Dropdown, jobs: Jobs):
        """`source` is the control of the text, which has a place of its own."""
        self.controls: dict[str, gr.components.Component] = {"corpus": source}
        self._jobs = jobs

    def lay_out_sliders(self) -> None:
        """The settings that are in sight at once."""
        self._surroundings = component("settings", elem_id="settings", server_functions={"base": self.base}, choices={
            "fields": [{"name": field.name, "help": field.help, "stops": field.stops} for field in FIELDS],
            "presets": {name: self.base(name) for name in PRESETS}})
        self._to_reset = gr.Textbox("", elem_classes="gpt-hidden", container=False)
        with gr.Column(elem_id="sliders"):
            self._add(field for field in FIELDS if field.prominent)

    def lay_out_all(self) -> None:
        """The other settings, and the name of the run."""
        component("search", elem_id="search-settings")
        with gr.Column(elem_id="all-settings"):
            self.run = gr.Textbox("", label="run", info="Name of the run; left empty, one is made up.", elem_id="run-name",
                                  elem_classes="gpt-setting")
            self.processes = gr.Number(
                self._jobs.usual_processes(CONFIG), label=PROCESSES.name, info=PROCESSES.help, precision=0, minimum=1, step=1,
                visible=self._jobs.access.caps is None, elem_id="processes", elem_classes="gpt-setting")
            for group in dict.fromkeys(field.group for field in FIELDS):
                gr.Markdown(group.capitalize(), elem_classes="gpt-group")
                self._add(field for field in FIELDS if field.group == group and field.name not in self.controls)
        self.controls = {field.name: self.controls[field.name] for field in FIELDS}

    def base(self, name: Any) -> dict[str, Any]:
        """What the page has to know of what the form starts from; nothing if it is not there."""
        try:
            base = base_of(self._jobs.root, name)
        except UserError:
            return {}
        config = without_folders(base.config)
        return {"sentence": base.sentence, "values": [config[field.name] for field in FIELDS]}

    def _add(self, fields: Any) -> None:
        for field in fields:
            self.controls[field.name] = setting(field)

    @property
    def form(self) -> list[gr.components.Component]:
        """The controls in the order of FIELDS."""
        return list(self.controls.values())

    def connect(self, page: gr.Blocks, preset: gr.Dropdown, memory: gr.BrowserState) -> None:
        """Show what differs from the preset whenever a control changes, keep it in the browser, and let it be taken back."""
        self._shown = {"fn": None, "inputs": [memory, preset, self.run, *self.form], "outputs": memory, **NO_PROGRESS}
        changes = [page.load, preset.change, self.run.change, self._surroundings.select, *(control.change for control in self.form)]
        gr.on(changes, js=WHEN_LOADED.format(method="show"), trigger_mode="always_last", **self._shown)
        self._surroundings.click(partial(reset, self._jobs), [preset, self._to_reset], self.form, trigger_mode="multiple",
                                 js="(preset) => [preset, gpt.settings.toReset]", preprocess=False, **QUEUED)

    def allow_input_after(self, event: Any) -> None:
        """Let a person change the form once `event` has filled it; before, it would overwrite what they typed."""
        event.success(js=WHEN_LOADED.format(method="restored"), **self._shown)
        event.failure(js=WHEN_LOADED.format(method="failed"), **self._shown)


def filled(base: Base, values: dict[str, Any]) -> list[Any]:
    """The list "Start from" with `base` chosen, and the form with `values`; a setting that is not among them stays as it is."""
    return [gr.update(choices=offered(base), value=base.name), *(values.get(field.name, gr.skip()) for field in FIELDS)]


def setting(field: Field) -> gr.components.Component:
    """The control of a field, where the page finds it by its name. Numbers are typed; a slider for their useful part stands below."""
    style = {"elem_id": f"setting-{field.name}", "elem_classes": "gpt-setting"}
    if field.is_text:
        return gr.Dropdown([("", "")], label=field.name, info=field.help, value=field.default, interactive=True, **style)
    return control(field, **style)


def reset(jobs: Jobs, preset: Any, name: Any) -> list[Any]:
    """Give one setting the value that the preset has, or all of them but the text."""
    with errors_as_messages():
        config = base_of(jobs.root, text_of(preset, "the preset") or "quick").config
        name = text_of(name, "the setting")
    return [config[field.name] if field.name == name or (name == EVERYTHING and field.name != "corpus") else gr.skip() for field in FIELDS]


def text_choices(home: Path) -> dict[str, list[tuple[str, str]]]:
    """What the controls that name a text offer, by setting: the texts below `home`; a default that names none comes first."""
    listed = texts.choices(home)
    return {field.name: listed if field.default else [("", ""), *listed] for field in FIELDS if field.is_text}
