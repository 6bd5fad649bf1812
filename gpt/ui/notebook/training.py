"""Training from Python: `for event in train(CONFIG, corpus="my.txt")`, or `run = train(CONFIG, corpus="my.txt").finish()`."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tqdm.auto import tqdm

from gpt.config import CONFIG
from gpt.logs.copying import Logs, known_logs
from gpt.runs.run import DEFAULT_ROOT, new_name
from gpt.runs.session import Session
from gpt.training.trainer import Event
from gpt.ui.notebook.run import NotebookRun


def train(config: dict[str, Any] | None = None, *, run: str | None = None, checkpoints: Path | str = DEFAULT_ROOT, log: str = "",
          **changes: Any) -> "Training":
    """Train a new run with CONFIG, `config` in place of some or all of its values, and `changes` in place of those.

    `run` names its folder in `checkpoints`; without it, one is made up. `log` may be "tensorboard", "trackio" or both with a comma. Nothing
    trains until the result is iterated over, or its `finish` is called. Raises UserError for everything that a person can put right.
    """
    config = {**CONFIG, **(config or {}), **changes}
    name = run or new_name(checkpoints, str(config["corpus"]))
    return Training(Session(checkpoints, name, config), log)


def resume(run: str, *, checkpoints: Path | str = DEFAULT_ROOT, log: str = "", **changes: Any) -> "Training":
    """Go on with a run from its last save; with `max_steps`, also beyond its end. Raises UserError if it cannot go on."""
    return Training(Session(checkpoints, run, changes=changes), log)


class Training:
    """One training of one run, which its folder shows to the page and to everybody else too."""

    def __init__(self, session: Session, log: str):
        self.session, self._logs = session, Logs(session.writer, known_logs(log))

    @property
    def run(self) -> NotebookRun:
        """What is in its folder by now."""
        return NotebookRun(self.session.writer.path)

    def __iter__(self) -> Iterator[Event]:
        """The events: `kind` is "step", "evaluation", "sample", "formed" or "warning", `row` what metrics.jsonl says of it. Whoever stops
        iterating ends the run, which is saved."""
        try:
            for event in self.session.events():
                yield event
                yield from self._warnings(self._logs.update() if event.row else [])
        finally:
            failures = self._logs.close()
        yield from self._warnings(failures)

    def _warnings(self, sentences: list[str]) -> Iterator[Event]:
        for sentence in sentences:
            yield Event("warning", {**self.session.trainer.position(), "text": sentence})

    def stop(self) -> None:
        """End after the step in progress; what was learned is saved."""
        self.session.stop()

    def finish(self) -> NotebookRun:
        """Train to the end with a progress bar. An interrupt (the square button of a notebook, Ctrl+C) ends the run after the step in
        progress, saved; a second one ends it at once."""
        bar, shown = None, {}
        with self._stopped_by_interrupt():
            for event in self:
                trainer = self.session.trainer
                if bar is None:
                    bar = tqdm(total=trainer.steps or None, initial=trainer.step, unit="step", desc=self.session.writer.name)
                if event.kind == "step":
                    bar.update()
                elif event.kind == "warning":
                    bar.write(event.row["text"])
                shown |= {name: f"{event.row[name]:.3f}" for name in ("loss", "val_loss") if event.row.get(name) is not None}
                bar.set_postfix(shown, refresh=False)
        if bar is not None:
            bar.close()
        return self.run

    @contextlib.contextmanager
    def _stopped_by_interrupt(self) -> Iterator[None]:
        if threading.current_thread() is not threading.main_thread():  # only there Python lets a signal be handled
            yield
            return
        before = signal.getsignal(signal.SIGINT)

        def stop(*_: Any) -> None:
            signal.signal(signal.SIGINT, before)
            self.session.stop()

        signal.signal(signal.SIGINT, stop)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)
