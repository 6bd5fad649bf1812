"""The form of the Train tab comes back as a person left it: after a reload, a crash of the browser, a restart of the server.

Kept is what a person did, field by field, in the browser's own storage: {"preset": "induction", "batch": 8}. A field that was not
touched follows its preset, so nothing is written while a page loads, and a field that makes no sense any more costs only itself.
"""

from pathlib import Path
from typing import Any

import gradio as gr

from gpt.config import FIELDS, PRESETS
from gpt.ui.server import texts
from gpt.ui.server.values import typed
from gpt.ui.tabs.controls import QUIETLY

# Gradio encrypts what a browser keeps. There is nothing to hide here, and a server that was started anew must be able to read it:
# the key is the same everywhere.
STORAGE = {"storage_key": "gpt2-from-scratch-form", "secret": "gpt2-from-scratch"}
IN_THE_BROWSER = {**QUIETLY, "fn": None, "trigger_mode": "always_last"}  # no server is asked, and none need be there
LONGEST_NAME = 64


def keep(preset: gr.Dropdown, controls: dict[str, gr.components.Component]) -> gr.BrowserState:
    """The browser's storage, written whenever a person sets one of `controls` (name -> control) or chooses a preset."""
    kept = gr.BrowserState({}, **STORAGE)
    keep_preset_after(preset.input, kept, preset)
    for name, control in controls.items():
        # What is typed into a box is told by `input` before the box has its new value. `change` comes later, but also when a preset or
        # the kept form has set the box: then the same value is kept once more.
        keep_after(control.change if isinstance(control, gr.Textbox | gr.Number) else control.input, kept, name, control)
    return kept


def keep_preset_after(event: Any, kept: gr.BrowserState, preset: gr.Dropdown) -> None:
    """Keep the preset after `event`, and forget what was set by hand before it."""
    event(inputs=[kept, preset], outputs=kept, js=_js("preset: value, run: now.run"), **IN_THE_BROWSER)


def keep_after(event: Any, kept: gr.BrowserState, name: str, control: gr.components.Component) -> None:
    """Keep the value of `control` under `name` after `event`."""
    event(inputs=[kept, control], outputs=kept, js=_js(f"...now, {name}: value"), **IN_THE_BROWSER)


def _js(fields: str) -> str:
    """(what was kept, value) -> what is kept from `now` on. Gradio hands over what was kept before an earlier one of two quick events was
    written, so the page remembers it by itself."""
    return f"(kept, value) => {{ const now = window.keptForm ?? kept; return window.keptForm = {{ {fields} }}; }}"


def restored(root: Path, kept: Any) -> dict[str, Any]:
    """The value of every control by its name: what was kept where it can still be used, else what the preset says."""
    kept = kept if isinstance(kept, dict) else {}
    preset = kept.get("preset")
    preset = preset if isinstance(preset, str) and preset in PRESETS else "quick"
    name = kept.get("run")
    values = {"preset": preset, "run": name if isinstance(name, str) and len(name) <= LONGEST_NAME else "", **PRESETS[preset].config}
    offered = [source for _, source in texts.choices(root)]
    for field, value in zip(FIELDS, typed(FIELDS, [kept.get(field.name) for field in FIELDS]).values(), strict=True):
        if value is not None and not field.problem(value) and (field.name != "corpus" or value in offered):
            values[field.name] = value
    return values
