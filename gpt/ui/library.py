"""Runs as the page offers them: names to choose from, snapshots on a slider, models kept loaded."""

import functools
from pathlib import Path
from typing import Any

import gradio as gr

from gpt.run import Run, RunError, find_run, list_runs, load_run


def run_names(root: Path) -> list[str]:
    """Names of the runs that have weights to look at, newest first."""
    return [run.name for run in list_runs(root) if (run.path / "best.safetensors").exists()]


def chosen_step(run: Run, position: int) -> int | None:
    """The snapshot at `position` of the slider; past the last one (and with no snapshots) the best weights, None."""
    steps = run.snapshots()
    return steps[position] if 0 <= position < len(steps) else None


def label_of(root: Path, name: str, position: int) -> str:
    """The slider's label in words: which weights its position stands for."""
    step = chosen_step(find_run(root, name), int(position))
    return "weights: the best of the run" if step is None else f"weights: at training step {step:,}"


def snapshot_slider(elem_id: str) -> gr.Slider:
    return gr.Slider(0, 1, value=1, step=1, label="weights: the best of the run", elem_id=elem_id, buttons=[])


def fit_slider(root: Path, name: str) -> Any:
    """The slider's range for the snapshots of run `name`, at its right end: the best weights."""
    last = len(find_run(root, name).snapshots())
    return gr.update(maximum=max(last, 1), value=max(last, 1), label="weights: the best of the run")


def load(root: Path, name: str, position: int) -> tuple[Any, Any, str]:
    """(model, tokenizer, words for which weights they are). Raises RunError."""
    run = find_run(root, name)
    if not isinstance(position, (int, float)) or position != position:
        raise RunError("choose weights on the slider")
    step = chosen_step(run, int(position))
    path = run.weights(step)
    model, tokenizer = _loaded(run.path, step, path.stat().st_mtime_ns)
    return model, tokenizer, f"{name}, " + ("best weights" if step is None else f"step {step:,}")


@functools.lru_cache(maxsize=8)
def _loaded(path: Path, step: int | None, _modified: int) -> tuple[Any, Any]:
    """Weights stay loaded until the file changes or eight others were asked for."""
    return load_run(path, step)
