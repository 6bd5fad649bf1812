"""The recorder writes what training yields into the run's folder, and does what readers of the folder request."""

import errno
import logging
import time
from typing import Any

from gpt.data.baselines import FREQUENCIES, PERFECT, baselines
from gpt.data.corpus import Corpus
from gpt.data.tokenizers.base import Tokenizer
from gpt.errors import UserError
from gpt.interpret.forming import Forming
from gpt.interpret.probes import Probes
from gpt.model.sampling import SAMPLE_TOKENS, Sampling
from gpt.model.writing import write
from gpt.runs.run import RunError, load_best
from gpt.runs.writer import RunWriter
from gpt.training.trainer import Event, Trainer, snapshot_steps

SAVE_SECONDS = 10.0  # so much work is lost at most when the process dies
SAVING_SHARE = 0.05  # of the time may go into saving: a model that takes long to save is saved more rarely
STATUS_SECONDS = 0.25
ETA_SECONDS = 1.0  # the first steps are slow and say little about the rest
LEAST_RISE = 1.5  # times the learning rate before it that is worth a word
EVALUATED = ("val_loss", "bits_per_byte", "earlier_val_loss", "accuracy")  # of an evaluation's row, for status.json
RETRY_SECONDS = 1.0  # between two tries of a write that the disk refuses


class Recorder:
    """`record` writes each event of `trainer`; `obey` does what was requested, between two steps: only there do the weights and the
    rows that are saved belong to the same step."""

    def __init__(self, writer: RunWriter, trainer: Trainer, corpus: Corpus, tokenizer: Tokenizer, probes: Probes):
        self.writer, self.trainer, self.clock = writer, trainer, trainer.clock
        self.corpus, self.tokenizer, self.stop = corpus, tokenizer, trainer.processes.stop
        rows, _ = writer.rows()
        self.forming = Forming(probes, rows)
        self._began = (trainer.progress(), self.clock.seconds())
        self._best = trainer.best_loss
        self._saved_at = self._status_at = self.clock.seconds()
        self._save_every = SAVE_SECONDS
        self._new_events: list[Event] = []
        self._command: str | None = None  # a request that came while the disk refused writes
        self._state, self._wait_began = "running", None
        self._plan()
        writer.on_write_failure = self._wait_for_the_disk
        self._baselines = next((row for row in rows if row.get("kind") == "baselines"), None) or self._write_baselines()

    def record(self, event: Event) -> None:
        """Write what an event says, and the weights where they are the best so far or a snapshot is due."""
        trainer, row = self.trainer, event.row
        if row:
            self.writer.append({**row, "kind": event.kind} if event.kind == "warning" else row)
        if event.kind == "evaluation":
            if trainer.best_loss < self._best:
                self._best = trainer.best_loss
                self.writer.save_best(trainer.weights(), trainer.step, self._best)
            self.update_status(**{name: value for name, value in row.items() if name in EVALUATED}, best_val_loss=self._best,
                               **self._way_to_perfect(row))
        if "loss" in row and self.clock.seconds() - self._status_at > STATUS_SECONDS:
            self.update_status(loss=row["loss"], tokens_per_second=row["tokens_per_second"], mfu=row["mfu"])
            self._status_at = self.clock.seconds()
        if trainer.step in self._snapshots:
            self._snapshots.remove(trainer.step)
            self.snapshot()
        if self.forming.is_due(trainer.step, trainer.is_done()):
            self._score_heads()

    def sample(self) -> Event:
        """A text that the model writes now, always from the same prompt and with the same seed."""
        prompt, sampling = self.corpus.prompt, Sampling(max_new_tokens=SAMPLE_TOKENS, seed=self.trainer.config["seed"])
        text = "".join(piece.text for piece in write(self.trainer.whole_model(), self.tokenizer, prompt, sampling))
        event = Event("sample", {**self.trainer.position(), "kind": "sample", "prompt": prompt, "text": text})
        self.writer.append(event.row)
        return event

    def obey(self) -> None:
        """Do what the folder's control file asks, and save when it is time to."""
        command, self._command = self._command or self.writer.command(), None
        if command == "pause":
            command = self._pause()
        if command == "stop":
            self.update_status(state="stopping")
            self.stop.requested = True
        elif command == "snapshot":
            self.snapshot()
        elif command and command.startswith("extend"):
            self._extend(int(command.split()[1]))
        if self.clock.seconds() - self._saved_at > self._save_every:
            self.save()

    def save(self) -> None:
        """Save all that is needed to go on from here. Raises DivergedError instead if that would save nonsense."""
        self.trainer.check_finite()
        begin = self.clock.seconds()
        self.writer.save_last(self.trainer.weights(), self.trainer.state())
        self._saved_at = self.clock.seconds()
        self._save_every = max(SAVE_SECONDS, (self._saved_at - begin) / SAVING_SHARE)
        self.update_status(saved_step=self.trainer.step, save_every_seconds=round(self._save_every, 1))

    def snapshot(self) -> None:
        """Save these weights to be inspected. Raises DivergedError if they are no numbers any more."""
        self.trainer.check_finite()
        self.writer.save_snapshot(self.trainer.weights(), self.trainer.step)

    def finish(self) -> None:
        """End the run, for whatever reason: write a save, and a snapshot to inspect."""
        self.stop.requested = False  # this request is being fulfilled; should the disk refuse, a second one gives up
        if self.trainer.step:
            self.save()
            if self.trainer.config["snapshots"]:
                self.snapshot()
        self.update_status(state="done" if self.trainer.is_done() else "stopped", eta_seconds=None)

    def warn(self, text: str, mark: str = "") -> None:
        """Report something: as a row of metrics.jsonl, and as one of `new_events`. A `mark` is a word or two for this step of the chart."""
        event = Event("warning", {**self.trainer.position(), "text": text, **({"mark": mark} if mark else {})})
        self.writer.append({**event.row, "kind": "warning"})
        self._new_events.append(event)

    def warn_of_rise(self, before: float) -> None:
        """Report that the learning rate, which was `before`, is higher from here on, if it is: then the loss rises at first too."""
        now = self.trainer.next_rate()
        if self.trainer.step >= self.trainer.config["warmup"] and now > LEAST_RISE * before:
            self.warn(f"the learning rate rises from {before:.2g} to {now:.2g} here, since the run has become longer: the loss rises with "
                      "it at first, and falls further later", mark="more steps")

    def new_events(self) -> list[Event]:
        """The warnings since the last call, and the heads that got a role."""
        events, self._new_events = self._new_events, []
        return events

    def what_is_kept(self) -> str:
        """What was saved of a run whose loss is no number any more, in words."""
        resuming = f"resuming it with another learning_rate goes on from step {self.writer.saved_step()}"
        try:
            _, about = load_best(self.writer)
        except RunError:
            return resuming
        return f"the best weights, of step {about['step']}, are kept, and {resuming}"

    def update_status(self, **changes: Any) -> None:
        """Write step, progress, time and `changes` into status.json."""
        trainer, self._state = self.trainer, changes.get("state", self._state)
        progress, seconds = trainer.progress(), self.clock.seconds()
        done, spent = progress - self._began[0], seconds - self._began[1]
        eta = spent * (1 - progress) / done if done > 0 and spent > ETA_SECONDS else None
        self.writer.write_status(**{"step": trainer.step, "steps": trainer.steps, "progress": progress, "seconds": round(seconds, 3),
                                    "eta_seconds": eta, **changes})

    def _write_baselines(self) -> dict[str, Any]:
        """What the losses to come can be compared with, once for the whole run."""
        trainer, tokens = self.trainer, self.trainer.validation_tokens()
        losses = baselines(trainer.text.train, tokens, trainer.config["vocab_size"])
        if trainer.text.floor:
            losses[PERFECT] = trainer.text.floor.perfect(len(tokens))
        row = {**trainer.position(), "kind": "baselines", **{name: round(loss, 4) for name, loss in losses.items()}}
        self.writer.append(row)
        return row

    def _way_to_perfect(self, evaluation: dict[str, Any]) -> dict[str, float]:
        """The share of the way from the loss of token frequencies to that of perfect prediction, where the latter is known."""
        if "perfect" not in evaluation:
            return {}
        way = self._baselines[FREQUENCIES] - evaluation["perfect"]
        return {"to_perfect": round((self._baselines[FREQUENCIES] - evaluation["val_loss"]) / way, 4)}

    def _plan(self) -> None:
        planned = snapshot_steps(self.trainer.steps, self.trainer.config["snapshots"])
        self._snapshots = set(planned) - set(self.writer.snapshots())
        self.forming.plan(self.trainer.steps, self.trainer.config["head_scores"])

    def _score_heads(self) -> None:
        for row in self.forming.rows(self.trainer.whole_model(), self.trainer.position()):
            self.writer.append(row)
            if row["kind"] == "formed":
                self._new_events.append(Event("formed", row))

    def _pause(self) -> str:
        """Save, with a snapshot to inspect, and wait. Returns the command that ended the pause."""
        self.update_status(state="pausing")
        self.save()
        self.snapshot()
        self.clock.pause()
        self.update_status(state="paused", eta_seconds=None)
        command = None
        while command not in ("resume", "stop") and not self.stop.requested:
            self._wait()
            command = self.writer.command()
            if command and command.startswith("extend"):
                self._extend(int(command.split()[1]))
        self.clock.resume()
        self.update_status(state="running")
        return "stop" if self.stop.requested else command

    def _extend(self, steps: int) -> None:
        trainer, was = self.trainer, self.trainer.steps
        if not was:
            self.warn("only max_minutes ends this run, so it cannot be extended by steps: stop it, and resume it with more minutes")
            return
        rate = trainer.next_rate()
        trainer.extend(steps)
        self._plan()
        self.save()  # first, so that no finished step can be repeated with another learning rate
        self.writer.change_config(trainer.config, trainer.steps)
        self.warn(f"extended from {was:,} to {trainer.steps:,} steps: the learning rate now falls to zero there")
        self.warn_of_rise(rate)

    def _wait_for_the_disk(self, error: OSError | None) -> None:
        """After a failed write: wait as if paused, and report why; with None, after the write has succeeded: go on. Raises
        UserError if a stop is requested while waiting."""
        if error is None:
            waited, self._wait_began = time.monotonic() - self._wait_began, None
            if self._state != "paused":
                self.clock.resume()
            self.update_status(state=self._state, error=None)
            self.warn(f"training waited {waited:.0f} s, since the folder of the run could not be written")
            return
        reason = f"the folder {self.writer.path} cannot be written ({error.strerror})"
        remedy = "make room there" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "allow writing there"
        message = f"{reason}: training waits and has lost nothing; {remedy}, and it goes on by itself"
        if self._wait_began is None:
            self._wait_began = time.monotonic()
            self.clock.pause()
            logging.getLogger(__name__).warning(message)  # status.json may not be writable either
        self.writer.try_to_write_status(state="paused", eta_seconds=None, error=message)
        until = time.monotonic() + RETRY_SECONDS
        while time.monotonic() < until:
            self._command = self.writer.command() or self._command
            if self.stop.requested or self._command == "stop":
                raise UserError(f"{reason}: what was learned since step {self.writer.saved_step()} is lost")
            self._wait()

    def _wait(self) -> None:
        """Wait a moment, and let the other processes wait too."""
        self.trainer.processes.keep_waiting()
        time.sleep(0.05)
