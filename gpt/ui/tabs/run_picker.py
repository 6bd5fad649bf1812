"""Choosing a run and its weights: a list of names, and a slider over the snapshots."""

import json
from pathlib import Path
from typing import Any

import gradio as gr

from gpt.data.tokenizer import encode_prompt, load_tokenizer
from gpt.errors import UserError
from gpt.runs.run import FINAL_STATES, Run, RunError, find_run, list_runs
from gpt.ui.server.model_cache import snapshot_at
from gpt.ui.tabs.controls import NO_PROGRESS, QUEUED, errors_as_messages

BEST = "weights: the best of the run"
# (prompt now, JSON of [prompt before, proposed prompt]) -> the proposed prompt, unless the user has typed in the meantime
APPLY_PROPOSAL = "(now, proposal) => { const [then, better] = JSON.parse(proposal); return now === then ? better : now; }"
MOST_REQUESTED = 20  # snapshots that persons may want of a run, by a button or a pause, while a tab is open


class RunPicker:
    """Two controls beside each other: a run, and a slider over its snapshots with the best weights at its right end; and a prompt, which
    the tab lays out itself, and which changes with the run as `prompt_for` says.

    `changed` are the events after which both are consistent, for the tab to go on with.
    """

    def __init__(self, root: Path, prefix: str, prompt: gr.Textbox):
        self.root, self.prompt, self._first_prompt = root, prompt, prompt.value
        self.run = gr.Dropdown(label="Run", elem_id=f"{prefix}-run")
        self.weights = gr.Slider(0, 1, value=1, step=1, label=BEST, elem_id=f"{prefix}-weights", buttons=[])
        self._proposal = gr.Textbox("", elem_classes="gpt-hidden", container=False)
        self._quietly = {**NO_PROGRESS, "preprocess": False}
        chosen = self.run.input(self.choose, [self.run, self.prompt], [self.weights, self._proposal], trigger_mode="always_last",
                                **self._quietly)
        self.changed = [
            self._settled(chosen),
            self.weights.change(self.label, [self.run, self.weights], self.weights, trigger_mode="always_last", **self._quietly)]

    def refresh_on(self, tab: gr.Tab, request: str = "(run) => [run, null]") -> Any:
        """Bring the list of runs up to date whenever `tab` is shown. `request` is JavaScript that may request a run and a place on
        the slider: it takes the run that is chosen, and returns one, and a place or null."""
        inputs, outputs = [self.run, self.weights, self.prompt], [self.run, self.weights, self._proposal]
        offered = tab.select(self.offer, inputs, outputs, js=f"(run, place, prompt) => [...({request})(run), prompt]", **self._quietly)
        return self._settled(offered)

    def _settled(self, event: Any) -> Any:
        """After `event`, put the proposed prompt into its box, unless somebody has typed there meanwhile."""
        return event.then(None, [self.prompt, self._proposal], self.prompt, js=APPLY_PROPOSAL, **self._quietly)

    def offer(self, chosen: str | None, place: float | None, prompt: Any) -> tuple[Any, Any, str]:
        """Keep the selected run, if it still exists, with its weights or the requested ones; else select the newest run, best weights."""
        names = [run.name for run in list_runs(self.root) if (run.path / "best.safetensors").exists()]
        if chosen in names:
            if place is None:
                return gr.update(choices=names), gr.update(maximum=self._last(chosen)), _proposal(prompt, prompt)
            slider = gr.update(maximum=self._last(chosen), value=place)
            return gr.update(choices=names, value=chosen), slider, self._readable(chosen, prompt)
        newest = names[0] if names else None
        return gr.update(choices=names, value=newest), *(self.choose(newest, prompt) if newest else (gr.skip(), _proposal(prompt, prompt)))

    def follow(self, shown: gr.HTML) -> None:
        """Move the slider when the view `shown` changes its weights itself: its click event has {"run", "step"}, step None for the best."""
        shown.click(self.moved_to, self.run, self.weights, **QUEUED, preprocess=False)

    def moved_to(self, chosen: str, event: gr.EventData) -> Any:
        """The slider where the view that clicked went, unless another run was chosen meanwhile."""
        target = event._data if isinstance(event._data, dict) else {}
        step = target.get("step")
        if not chosen or target.get("run") != chosen:
            return gr.skip()  # another run was chosen meanwhile
        with errors_as_messages():
            last, steps = self._last(chosen), find_run(self.root, chosen).snapshots()
        return gr.update(maximum=last, value=steps.index(step) if step in steps else last)

    def label(self, chosen: str, position: float) -> Any:
        """The slider, named by what it points at."""
        with errors_as_messages():
            step = snapshot_at(self.root, chosen, position)
        return gr.update(label=BEST if step is None else f"weights: at training step {step:,}")

    def choose(self, chosen: str, prompt: Any) -> tuple[Any, str]:
        """What follows from the choice of a run: the slider at its best weights, and a prompt that it can read."""
        return self.best_place(chosen), self._readable(chosen, prompt)

    def _readable(self, chosen: str, prompt: Any) -> str:
        with errors_as_messages():
            return _proposal(prompt, prompt_for(self.root, chosen, prompt, self._first_prompt))

    def best_place(self, chosen: str) -> Any:
        """The slider with a place for each snapshot of a run, at its right end: the best weights."""
        with errors_as_messages():
            last = self._last(chosen)
        return gr.update(maximum=last, value=last, label=BEST)

    def _last(self, name: str) -> int:
        """The last position of the slider, which is the best weights. For a run in training it leaves positions for all later snapshots,
        planned and requested."""
        run = find_run(self.root, name)
        here = len(run.snapshots())
        to_come = 0 if run.status()["state"] in FINAL_STATES else run.config()["config"]["snapshots"] + MOST_REQUESTED
        return max(1, here + to_come)


def _proposal(prompt: Any, better: Any) -> str:
    """A prompt to put into the box in place of the one that it holds, as APPLY_PROPOSAL reads it."""
    return json.dumps([prompt, better])


def prompt_for(root: Path, name: str, prompt: Any, first: str) -> Any:
    """The prompt for a run: a prompt that a user has typed stays. One that the page has set, `first` or a run's own, becomes `first`
    if the run's tokenizer can encode it, else the run's own: a run on letters alone has no tokens for spaces and capitals."""
    if prompt != first and prompt not in map(_own_prompt, list_runs(root)):
        return prompt
    run = find_run(root, name)
    try:
        encode_prompt(load_tokenizer(run.path / "tokenizer.json"), first)
    except UserError:
        return _own_prompt(run) or first
    return first


def _own_prompt(run: Run) -> str | None:
    """The prompt that a run writes its samples from; None if its folder is damaged."""
    try:
        return run.config()["corpus"].get("prompt")
    except RunError:
        return None
