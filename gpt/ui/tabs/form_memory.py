"""The form of the Train tab comes back as a person left it: after a reload, a crash of the browser, a restart of the server.

The browser's own storage keeps the preset, the name of the run, and each setting that differs from the preset: {"preset": "induction",
"run": "", "batch": 8}. A saved value that is no longer valid is ignored alone.
"""

from pathlib import Path
from typing import Any

import gradio as gr

from gpt.config import FIELDS, PRESETS
from gpt.ui.server import texts
from gpt.ui.server.values import typed

# Gradio encrypts what a browser stores. There is nothing to hide here, and a server that was started anew must be able to read it:
# the key is the same everywhere.
STORAGE = {"storage_key": "gpt2-from-scratch-form", "secret": "gpt2-from-scratch"}
LONGEST_NAME = 64


def storage() -> gr.BrowserState:
    """What the browser keeps of the form; gpt/ui/assets/train/settings.js fills it."""
    return gr.BrowserState({}, **STORAGE)


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
