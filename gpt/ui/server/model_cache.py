"""A cache of loaded models."""

import functools
import math
import time
from pathlib import Path
from typing import Any

from gpt.runs.run import RunError, find_run, load_run
from gpt.training.device import for_writing

IN_USE_SECONDS = 3600.0
_used: dict[Path, float] = {}  # run folder -> when its weights were last asked for


def snapshot_at(root: Path, name: str | None, position: float) -> int | None:
    """The step of the snapshot at `position` of the slider, or None, the best weights, at every place past the last
    snapshot. Raises RunError."""
    if not name:
        raise RunError("choose a run; if there is none yet, train one in the Train tab")
    steps = find_run(root, name).snapshots()
    if isinstance(position, bool) or not isinstance(position, (int, float)) or not 0 <= position < math.inf:
        raise RunError(f"there are no weights at place {str(position)[:40]}: choose some on the slider")
    return steps[int(position)] if position < len(steps) else None


def load(root: Path, name: str, position: float) -> tuple[Any, Any, str]:
    """(model, tokenizer, words for which weights they are) at a place of the slider. Raises RunError."""
    return load_at(root, name, snapshot_at(root, name, position))


def load_at(root: Path, name: str, step: int | None) -> tuple[Any, Any, str]:
    """The same for the snapshot at `step`, or None: the best weights. Raises RunError."""
    run = find_run(root, name)
    path = run.weights(step)
    _used[run.path] = time.monotonic()
    model, tokenizer = _loaded(run.path, step, path.stat().st_mtime_ns)
    return model, tokenizer, f"{name}, " + ("best weights" if step is None else f"step {step:,}")


def load_for_writing(root: Path, name: str, step: int | None) -> tuple[Any, Any, str]:
    """The same as `load_at`, but a large model has the number format in which this machine writes faster; the words say so."""
    _, tokenizer, words = load_at(root, name, step)
    run = find_run(root, name)
    model, remark = _writing(run.path, step, run.weights(step).stat().st_mtime_ns)
    return model, tokenizer, ", ".join(filter(None, (words, remark)))


def in_use(root: Path) -> set[str]:
    """Names of the runs below `root` whose weights were asked for within the last hour: somebody may have them on the page."""
    now = time.monotonic()
    return {path.name for path, at in list(_used.items()) if path.parent == root and now - at < IN_USE_SECONDS}


@functools.lru_cache(maxsize=8)
def _loaded(path: Path, step: int | None, _modified: int) -> tuple[Any, Any]:
    """Weights stay loaded until the file changes or eight others were asked for."""
    return load_run(path, step)


@functools.lru_cache(maxsize=2)
def _writing(path: Path, step: int | None, modified: int) -> tuple[Any, str]:
    return for_writing(_loaded(path, step, modified)[0])
