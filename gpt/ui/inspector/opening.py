"""What Attention opens with: a passage of the run's own text in which its clearest head shows what it does."""

import functools
from pathlib import Path
from typing import Any

from gpt.errors import UserError
from gpt.interpret.passage import passage
from gpt.runs.run import find_run
from gpt.ui.inspector.roles import clearest, scores_of
from gpt.ui.server import model_cache

_opened: set[str] = set()  # all passages so far: the page may change a prompt that it has set itself


def opening_prompt(root: Path, name: str) -> str | None:
    """The passage for a run; None if no head has a clear role, or the run keeps no text to try heads on."""
    try:
        text = _opening(root, name, find_run(root, name).weights().stat().st_mtime_ns)
    except (UserError, OSError):  # whoever inspects the run is told
        return None
    if text:
        _opened.add(text)
    return text


def was_opening_prompt(prompt: Any) -> bool:
    return isinstance(prompt, str) and prompt in _opened


@functools.lru_cache(maxsize=64)
def _opening(root: Path, name: str, _modified: int) -> str | None:
    model, tokenizer, _ = model_cache.load_at(root, name, None)
    run = find_run(root, name)
    scores = scores_of(model, run)
    if (place := clearest(scores)) is None:
        return None
    return passage(model, tokenizer, run.probes().windows, *place, scores.role(*place).name)
