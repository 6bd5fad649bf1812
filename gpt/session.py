"""One training session: CONFIG -> text -> tokenizer -> model -> trainer, and every event of it into the run folder."""

import platform
import tempfile
import time
import traceback
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import filelock
import torch

from gpt.config import validate
from gpt.corpus import read_corpus
from gpt.dataset import TokenizedText
from gpt.device import choose_device, describe_device
from gpt.errors import UserError
from gpt.generate import Sampling, write
from gpt.model import GPT2
from gpt.run import RunError, RunWriter, check_name, damage_is_told, load_matching_tokenizer
from gpt.tokenizer import make_tokenizer
from gpt.trainer import Clock, Event, Trainer, snapshot_steps

SAVE_SECONDS = 15.0  # about this much work is lost when the process dies
STATUS_SECONDS = 0.25
ETA_SECONDS = 1.0  # the first steps are slow and say little about the rest
SAMPLE_TOKENS = 48


def machine_lock() -> filelock.FileLock:
    """Held by whoever trains: two runs on one machine would only slow each other down."""
    return filelock.FileLock(Path(tempfile.gettempdir()) / "gpt2-from-scratch.lock")


class Session:
    """Trains one run from its beginning, or from where it was left, and keeps its folder.

    `events()` does the work. Raises UserError for everything a person can put right; nothing of a new run is left behind
    if it happens before the first step.
    """

    def __init__(self, root: Path | str, name: str, config: dict[str, Any] | None = None):
        """A new run with `config`; without one, the run `name` is resumed."""
        self.writer = RunWriter(Path(root) / check_name(name))
        self.resumes = config is None
        exists = self.writer.path.exists()
        if exists and not self.resumes:
            raise RunError(f"there is a run {name} already: choose another name, or resume it with --resume")
        if not exists and self.resumes:
            raise RunError(f"there is no run {name} in {root} to resume")
        if self.resumes:
            self.writer.check_unfinished()
            self.writer.check_format()
        self.config = dict(validate(self.writer.config()["config"] if self.resumes else config))
        if self.resumes:  # what was decided once stays decided: another number format would be another run
            self.config["precision"] = self.writer.config()["precision"]
        self.device = choose_device(self.config["device"])
        self.clock = Clock()
        self._stop = False

    def stop(self) -> None:
        """End after the step in progress; what was learned is saved. Safe to call from a signal handler."""
        self._stop = True

    def events(self) -> Iterator[Event]:
        """Every event of the trainer, after it has been written to the folder, with samples (kind "sample") between them."""
        with ExitStack() as held:
            try:
                held.enter_context(machine_lock().acquire(timeout=1))
            except filelock.Timeout:
                raise RunError("another run is training on this machine: wait for it or stop it") from None
            held.enter_context(self.writer)
            try:
                begin = {} if self.resumes else {"step": 0, "steps": 0, "val_loss": None, "bits_per_byte": None}
                self.writer.write_status(state="starting", error=None, **begin)
                self._prepare()
            except UserError as error:
                self._fail(error)
                if not self.resumes:
                    self.writer.discard()
                raise
            try:
                yield from self._train()
            except GeneratorExit:  # whoever listened has stopped listening
                self._finish()
                raise
            except UserError as error:
                self._fail(error)
                raise
            except BaseException as error:  # told in the folder, then raised again: the process ends as it would have
                self.writer.append_log(traceback.format_exc())
                self._fail(error)
                raise

    def _fail(self, error: BaseException) -> None:
        reason = str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
        self.writer.write_status(state="failed", error=reason, eta_seconds=None)

    def _prepare(self) -> None:
        corpus = read_corpus(self.config["corpus"], self.config["seed"])
        train_text, validation_text = corpus.split()
        if self.resumes:
            self.tokenizer = load_matching_tokenizer(self.writer, self.config["vocab_size"])
        else:
            self.tokenizer = make_tokenizer(self.config["tokenizer"], train_text, corpus.text, self.config["vocab_size"])
        if self.tokenizer.n_vocab < 2:
            raise UserError(f"the text {self.config['corpus']!r} has only one kind of character: there is nothing to predict, add text")
        self.config["vocab_size"] = self.tokenizer.n_vocab
        text = TokenizedText.encode(train_text, validation_text, self.tokenizer)
        model = GPT2(self.config).to(self.device)
        self.trainer = Trainer(self.config, model, text, self.clock)
        self.corpus = corpus
        if self.resumes:
            self._load_last()
        else:
            self.writer.write_config(self._description(text), self.tokenizer)
            for note in corpus.notes:
                self.writer.append({**self.trainer.position(), "kind": "warning", "text": note})

    def _description(self, text: TokenizedText) -> dict[str, Any]:
        trainer = self.trainer
        return {
            "config": self.config, "corpus": self.corpus.identity(),
            "tokenizer": {"name": self.tokenizer.name, "n_vocab": self.tokenizer.n_vocab,
                          "train_tokens": len(text.train), "validation_tokens": len(text.validation)},
            "parameters": sum(parameter.numel() for parameter in trainer.model.parameters()), "steps": trainer.steps,
            "device": describe_device(self.device), "precision": trainer.precision, "precision_reason": trainer.precision_reason,
            "versions": {"python": platform.python_version(), "torch": torch.__version__}, "created": time.time(),
        }

    def _load_last(self) -> None:
        with damage_is_told(self.writer.path / "config.json"):
            was = self.writer.config()["corpus"]["sha256"]
        if self.corpus.identity()["sha256"] != was:
            raise RunError(f"the text {self.config['corpus']!r} has changed since the run began: start a new run with it")
        weights, state = self.writer.load_last()
        with damage_is_told(self.writer.path / "last"):
            self.trainer.model.load_state_dict(weights)
            self.trainer.load_state(state)
        self.clock = self.trainer.clock
        self.writer.cut_rows_after(self.trainer.step)

    def _train(self) -> Iterator[Event]:
        trainer = self.trainer
        self._began = (trainer.progress(), self.clock.seconds())
        self._snapshots = set(snapshot_steps(trainer.steps, self.config["snapshots"])) - set(self.writer.snapshots())
        self._best = trainer.best_loss
        self._saved_at = self._told_at = self.clock.seconds()
        self._tell_status(state="running")
        for event in trainer.events():
            self._keep(event)
            yield event
            if event.kind == "evaluation":
                yield self._sample()
            if trainer.step and not (event.kind == "step" and trainer.evaluation_follows()):
                self._obey()  # only here, between two steps, is what is saved and what is written of one and the same step
                if self._stop:
                    break
        self._finish()

    def _keep(self, event: Event) -> None:
        """Write what an event says, and the weights where they are the best so far or a snapshot is due."""
        trainer, row = self.trainer, event.row
        if row:
            self.writer.append({**row, "kind": event.kind} if event.kind == "warning" else row)
        if event.kind == "evaluation":
            if trainer.best_loss < self._best:
                self._best = trainer.best_loss
                self.writer.save_weights(trainer.model)
            self._tell_status(val_loss=row["val_loss"], bits_per_byte=row["bits_per_byte"], best_val_loss=self._best)
        if "loss" in row and self.clock.seconds() - self._told_at > STATUS_SECONDS:
            self._tell_status(loss=row["loss"], tokens_per_second=row["tokens_per_second"], mfu=row["mfu"])
            self._told_at = self.clock.seconds()
        if trainer.step in self._snapshots:
            self._snapshots.remove(trainer.step)
            self.writer.save_weights(trainer.model, trainer.step)

    def _sample(self) -> Event:
        """What the model writes now, always from the same prompt and with the same seed."""
        prompt, sampling = self.corpus.prompt, Sampling(max_new_tokens=SAMPLE_TOKENS, seed=self.config["seed"])
        text = "".join(piece.text for piece in write(self.trainer.model, self.tokenizer, prompt, sampling))
        row = {**self.trainer.position(), "kind": "sample", "prompt": prompt, "text": text}
        self.writer.append(row)
        return Event("sample", row)

    def _obey(self) -> None:
        """Do what the folder's control file asks; while paused, wait for the next word. Saves every SAVE_SECONDS."""
        command = self.writer.command()
        if command == "pause":
            self._tell_status(state="pausing")
            self._save()
            self.clock.pause()
            self._tell_status(state="paused", eta_seconds=None)
            while command not in ("resume", "stop") and not self._stop:
                time.sleep(0.1)
                command = self.writer.command()
                if command == "snapshot":
                    self.writer.save_weights(self.trainer.model, self.trainer.step)
            self.clock.go_on()
            self._tell_status(state="running")
        if command == "stop":
            self._tell_status(state="stopping")
            self.stop()
        if command == "snapshot":
            self.writer.save_weights(self.trainer.model, self.trainer.step)
        if command == "snapshot" or self.clock.seconds() - self._saved_at > SAVE_SECONDS:
            self._save()

    def _save(self) -> None:
        self.writer.save_last(self.trainer.model, self.trainer.state())
        self._saved_at = self.clock.seconds()

    def _finish(self) -> None:
        self._save()
        if self.config["snapshots"] and self.trainer.step not in self.writer.snapshots():
            self.writer.save_weights(self.trainer.model, self.trainer.step)
        self._tell_status(state="stopped" if self.trainer.progress() < 1 else "done", eta_seconds=None)

    def _tell_status(self, **changes: Any) -> None:
        trainer = self.trainer
        progress, seconds = trainer.progress(), self.clock.seconds()
        done, spent = progress - self._began[0], seconds - self._began[1]
        eta = spent * (1 - progress) / done if done > 0 and spent > ETA_SECONDS else None
        self.writer.write_status(**{"step": trainer.step, "steps": trainer.steps, "progress": progress, "seconds": round(seconds, 3),
                                    "eta_seconds": eta, **changes})
