"""The form of the Train tab comes back as a person left it: after a reload, a crash of the browser, a restart of the server.

What a person set is saved field by field in the browser's own storage: {"preset": "induction", "batch": 8}. A field that was not
set has the value of its preset, so nothing is saved while a page loads. A saved value that is no longer valid is ignored alone.
"""

from pathlib import Path
from typing import Any

import gradio as gr

from gpt.config import FIELDS, PRESETS
from gpt.ui.server import texts
from gpt.ui.server.values import typed
from gpt.ui.tabs.controls import NO_PROGRESS

# Gradio encrypts what a browser stores. There is nothing to hide here, and a server that was started anew must be able to read it:
# the key is the same everywhere.
STORAGE = {"storage_key": "gpt2-from-scratch-form", "secret": "gpt2-from-scratch"}
IN_THE_BROWSER = {**NO_PROGRESS, "fn": None, "trigger_mode": "always_last"}  # no server is asked, and none need be there
LONGEST_NAME = 64


def save_form(preset: gr.Dropdown, controls: dict[str, gr.components.Component]) -> gr.BrowserState:
    """The browser's storage, written whenever a person sets one of `controls` (name -> control) or chooses a preset."""
    saved = gr.BrowserState({}, **STORAGE)
    save_preset_after(preset.input, saved, preset)
    for name, control in controls.items():
        # What is typed into a box reaches `input` before the box has its new value. `change` comes later, but also when a preset or
        # the saved form has set the box: then the same value is saved once more.
        save_after(control.change if isinstance(control, gr.Textbox | gr.Number) else control.input, saved, name, control)
    return saved


def save_preset_after(event: Any, saved: gr.BrowserState, preset: gr.Dropdown) -> None:
    """Save the preset after `event`, and forget what was set by hand before it."""
    event(inputs=[saved, preset], outputs=saved, js=_js("preset: value, run: now.run"), **IN_THE_BROWSER)


def save_after(event: Any, saved: gr.BrowserState, name: str, control: gr.components.Component) -> None:
    """Save the value of `control` under `name` after `event`."""
    event(inputs=[saved, control], outputs=saved, js=_js(f"...now, {name}: value"), **IN_THE_BROWSER)


def _js(fields: str) -> str:
    """(what was saved, value) -> what is saved from `now` on. If two events follow quickly, Gradio gives the second
    one the storage from before the first, so the page keeps its own copy."""
    return f"(saved, value) => {{ const now = window.savedForm ?? saved; return window.savedForm = {{ {fields} }}; }}"


def restored(root: Path, saved: Any) -> dict[str, Any]:
    """The value of every control by its name: what was saved where it can still be used, else what the preset says."""
    saved = saved if isinstance(saved, dict) else {}
    preset = saved.get("preset")
    preset = preset if isinstance(preset, str) and preset in PRESETS else "quick"
    name = saved.get("run")
    values = {"preset": preset, "run": name if isinstance(name, str) and len(name) <= LONGEST_NAME else "", **PRESETS[preset].config}
    offered = [source for _, source in texts.choices(root)]
    for field, value in zip(FIELDS, typed(FIELDS, [saved.get(field.name) for field in FIELDS]).values(), strict=True):
        if value is not None and not field.problem(value) and (field.name != "corpus" or value in offered):
            values[field.name] = value
    return values
