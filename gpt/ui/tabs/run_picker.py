"""Choosing a run and its weights: a list of names, and a slider over the snapshots."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr

from gpt.data.tokenizers.table import load_tokenizer
from gpt.data.tokenizers.text import encode_prompt
from gpt.errors import UserError
from gpt.runs.run import FINAL_STATES, Run, RunError, find_run, list_runs
from gpt.ui.charts.component import component
from gpt.ui.server.fetching import CHOICE, Fetching
from gpt.ui.server.fetching import NAME as FETCHED
from gpt.ui.server.model_cache import snapshot_at
from gpt.ui.tabs.controls import NO_PROGRESS, QUEUED, errors_as_messages

BEST = "weights: the best of the run"
# (prompt now, JSON of [prompt before, proposed prompt]) -> the proposed prompt, unless the user has typed in the meantime
APPLY_PROPOSAL = "(now, proposal) => { const [then, better] = JSON.parse(proposal); return now === then ? better : now; }"
# (run, place, now, prompt) -> an expression in them, once all of the page's scripts are there: a tab may be chosen before.
WHEN_COMPLETE = """async (run, place, _, prompt) => {{
    while (!window.gpt?.complete) await new Promise((resolve) => {{ setTimeout(resolve, 20); }});
    return {};
}}"""
MOST_REQUESTED = 20  # snapshots that persons may want of a run, by a button or a pause, while a tab is open


class RunPicker:
    """Two controls beside each other: a run, and a slider over its snapshots with the best weights at its right end; and a prompt, which
    the tab lays out itself, and which changes with the run as `prompt_for` says: (folder of runs, name of the run, prompt now, the first
    one of the page) -> prompt.

    `step`, hidden, is the step of the snapshot that the slider points at; empty for the best weights. `changed` are the events after which
    run and weights are consistent, for the tab to go on with.
    """

    def __init__(self, fetching: Fetching, prefix: str, prompt: gr.Textbox, label: str = "Run",
                 prompt_for: Callable[[Path, str, Any, str], Any] | None = None):
        self._fetching, self.root, self.prompt, self._first_prompt = fetching, fetching.root, prompt, prompt.value
        self._prompt_for = prompt_for or readable_prompt
        self.run = gr.Dropdown(label=label, elem_id=f"{prefix}-run")
        self.weights = gr.Slider(0, 1, value=1, step=1, label=BEST, elem_id=f"{prefix}-weights", buttons=[])
        self.step = gr.Textbox("", elem_classes="gpt-hidden", container=False)
        self._proposal = gr.Textbox("", elem_classes="gpt-hidden", container=False)
        self._fetched = component("fetched", elem_id=f"{prefix}-fetched", server_functions={"state": fetching.state},
                                  elem_classes="gpt-fetched-box", render=False)
        self._quietly = {**NO_PROGRESS, "preprocess": False}
        shown = [self.run, self.weights, self.step, self._proposal]
        chosen = self.run.input(self.take, [self.run, self.prompt], [*shown, self._fetched], trigger_mode="always_last", **self._quietly)
        arrived = self._fetched.click(self.take_fetched, self.prompt, shown, **self._quietly)
        self.changed = [
            self._settled(chosen), self._settled(arrived),
            self.weights.change(self.label, [self.run, self.weights], [self.weights, self.step], trigger_mode="always_last",
                                **self._quietly)]
        self.controls = [self.run, self.weights, self.step, self.prompt]

    def render_fetched(self) -> None:
        """Lay out the line that says how far the download of GPT-2 is."""
        self._fetched.render()

    def take(self, chosen: str, prompt: Any) -> tuple[Any, ...]:
        """What follows from a choice in the list: of a run, or of GPT-2, which is not one yet: then the newest run is shown until it is."""
        if chosen != CHOICE:
            return gr.skip(), *self.choose(chosen, prompt), gr.skip()
        names = self._names()
        if FETCHED in names:  # it has come since this list was made
            return *self.take_fetched(prompt), gr.skip()
        with errors_as_messages():
            self._fetching.begin()
        shown = self.choose(names[0], prompt) if names else (gr.skip(), gr.skip(), _proposal(prompt, prompt))
        return gr.update(value=names[0] if names else None), *shown, self._fetching.state()

    def take_fetched(self, prompt: Any) -> tuple[Any, ...]:
        """GPT-2 has become a run: show it."""
        return gr.update(choices=self._fetching.choices(self._names()), value=FETCHED), *self.choose(FETCHED, prompt)

    def refresh_on(self, tab: gr.Tab, request: str = "(run) => [run, null]") -> Any:
        """Bring the list of runs up to date whenever `tab` is shown. `request` is JavaScript that may request a run and a place on
        the slider: it takes the run that is chosen, and returns one, and a place or null."""
        inputs = [self.run, self.weights, self.weights, self.prompt]
        offered = tab.select(self.offer, inputs, [self.run, self.weights, self.step, self._proposal],
                             js=WHEN_COMPLETE.format(f"[...({request})(run), place, prompt]"), **self._quietly)
        return self._settled(offered)

    def _settled(self, event: Any) -> Any:
        """After `event`, put the proposed prompt into its box, unless somebody has typed there meanwhile."""
        return event.then(None, [self.prompt, self._proposal], self.prompt, js=APPLY_PROPOSAL, **self._quietly)

    def offer(self, chosen: str | None, place: float | None, now: Any, prompt: Any) -> tuple[Any, Any, Any, str]:
        """Keep the selected run, if it still exists, with its weights (the slider stands at `now`) or the requested ones; else select the
        newest run, best weights. The slider of a run that has ended may have become shorter: the best weights stay at its end."""
        names = self._names()
        listed = self._fetching.choices(names)
        if chosen in names:
            last = self._last(chosen)
            if place is None:
                moved = {"value": last} if isinstance(now, int | float) and now > last else {}
                return gr.update(choices=listed), gr.update(maximum=last, **moved), gr.skip(), _proposal(prompt, prompt)
            slider = gr.update(maximum=last, value=place)
            return gr.update(choices=listed, value=chosen), slider, gr.skip(), self._readable(chosen, prompt)
        if not names:
            return gr.update(choices=listed, value=None), gr.skip(), gr.skip(), _proposal(prompt, prompt)
        return gr.update(choices=listed, value=names[0]), *self.choose(names[0], prompt)

    def showing(self, chosen: str, step: int | None, prompt: str | None) -> list[Any]:
        """What sets `controls` to a run and a step of it, None for its best weights, and a prompt; None for one that the run can read.
        Raises RunError if there is no such run."""
        last, steps = self._last(chosen), find_run(self.root, chosen).snapshots()
        place = steps.index(step) if step in steps else last
        slider = gr.update(maximum=last, value=place, label=_label(step if step in steps else None))
        prompt = self._prompt_for(self.root, chosen, self._first_prompt, self._first_prompt) if prompt is None else prompt
        listed = self._fetching.choices(self._names())
        return [gr.update(choices=listed, value=chosen), slider, _as_text(step if step in steps else None), prompt]

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

    def label(self, chosen: str, position: float) -> tuple[Any, str]:
        """The slider, named by what it points at, and the step."""
        with errors_as_messages():
            step = snapshot_at(self.root, chosen, position)
        return gr.update(label=_label(step)), _as_text(step)

    def choose(self, chosen: str, prompt: Any) -> tuple[Any, str, str]:
        """What follows from the choice of a run: the slider at its best weights, the step of these, and a prompt that it can read."""
        return self.best_place(chosen), _as_text(None), self._readable(chosen, prompt)

    def _readable(self, chosen: str, prompt: Any) -> str:
        with errors_as_messages():
            return _proposal(prompt, self._prompt_for(self.root, chosen, prompt, self._first_prompt))

    def best_place(self, chosen: str) -> Any:
        """The slider with a place for each snapshot of a run, at its right end: the best weights."""
        with errors_as_messages():
            last = self._last(chosen)
        return gr.update(maximum=last, value=last, label=BEST)

    def _names(self) -> list[str]:
        """The runs that have weights to show, the newest first."""
        return [run.name for run in list_runs(self.root) if (run.path / "best.safetensors").exists()]

    def _last(self, name: str) -> int:
        """The last position of the slider, which is the best weights. For a run in training it leaves positions for all later snapshots,
        planned and requested."""
        run = find_run(self.root, name)
        here = len(run.snapshots())
        to_come = 0 if run.status()["state"] in FINAL_STATES else run.config()["config"]["snapshots"] + MOST_REQUESTED
        return max(1, here + to_come)


def _label(step: int | None) -> str:
    return BEST if step is None else f"weights: at training step {step:,}"


def _as_text(step: int | None) -> str:
    return "" if step is None else str(step)


def _proposal(prompt: Any, better: Any) -> str:
    """A prompt to put into the box in place of the one that it holds, as APPLY_PROPOSAL reads it."""
    return json.dumps([prompt, better])


def readable_prompt(root: Path, name: str, prompt: Any, first: str) -> Any:
    """The prompt for a run: a prompt that a user has typed stays. One that the page has set, `first` or a run's own, becomes `first`
    if the run's tokenizer can encode it, else the run's own: a run on letters alone has no tokens for spaces and capitals."""
    if not set_by_page(root, prompt, first):
        return prompt
    run = find_run(root, name)
    try:
        encode_prompt(load_tokenizer(run.path / "tokenizer.json"), first)
    except UserError:
        return _own_prompt(run) or first
    return first


def set_by_page(root: Path, prompt: Any, first: str) -> bool:
    """Whether the page has put this prompt there, and not a person."""
    return prompt == first or prompt in map(_own_prompt, list_runs(root))


def _own_prompt(run: Run) -> str | None:
    """The prompt that a run writes its samples from; None if its folder is damaged."""
    try:
        return run.config()["corpus"].get("prompt")
    except RunError:
        return None
