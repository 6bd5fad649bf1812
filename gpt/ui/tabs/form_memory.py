"""The form of the Train tab comes back as a person left it: after a reload, a crash of the browser, a restart of the server.

The browser's own storage keeps the preset, the name of the run, and each setting that differs from the preset: {"preset": "induction",
"run": "", "batch": 8}. A saved value that is no longer valid is ignored alone.
"""

from pathlib import Path
from typing import Any

import gradio as gr

from gpt.config import CONFIG, FIELDS
from gpt.errors import UserError
from gpt.ui.server import texts
from gpt.ui.server.bases import Base, base_of
from gpt.ui.server.values import typed

# Gradio encrypts what a browser stores. There is nothing to hide here, and a server that was started anew must be able to read it:
# the key is the same everywhere.
STORAGE = {"storage_key": "gpt2-from-scratch-form", "secret": "gpt2-from-scratch"}
LONGEST_NAME = 64


def storage() -> gr.BrowserState:
    """What the browser keeps of the form; gpt/ui/assets/train/settings.js fills it."""
    return gr.BrowserState({}, **STORAGE)


def restored(root: Path, home: Path, saved: Any) -> tuple[Base, str, dict[str, Any]]:
    """What the form starts from, of the presets and of the runs below `root`; the name of the run; the value of each setting, with the
    texts below `home`: what was saved where it can still be used, else what the preset says."""
    saved = saved if isinstance(saved, dict) else {}
    try:
        base = base_of(root, saved.get("preset") or "quick")
    except UserError:
        base = base_of(root, "quick")
    name = saved.get("run")
    name, values = name if isinstance(name, str) and len(name) <= LONGEST_NAME else "", {**CONFIG, **base.form(home)}
    offered = {"", *(source for _, source in texts.choices(home))}
    for field, value in zip(FIELDS, typed(FIELDS, [saved.get(field.name) for field in FIELDS]).values(), strict=True):
        if value is not None and not field.problem(value) and (not field.is_text or value in offered):
            values[field.name] = value
    return base, name, values
