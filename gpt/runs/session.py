"""One training session: CONFIG -> text -> tokenizer -> model -> trainer, and every event of it into the run folder."""

import contextlib
import math
import os
import time
import traceback
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import filelock

from gpt.config import FIELDS, validate
from gpt.data.built_in import built_in
from gpt.data.corpus import Corpus, CorpusError
from gpt.data.dataset import TokenizedText
from gpt.data.progress import Progress, silent
from gpt.data.sources import corpus_of
from gpt.data.tokenizers.table import make_tokenizer
from gpt.errors import UserError
from gpt.estimate.price import settings_to_lower
from gpt.interpret.probes import Probes, line_ends, make_probes
from gpt.model.gpt2 import GPT2
from gpt.runs.description import description
from gpt.runs.earlier_text import tokens_of
from gpt.runs.recorder import Recorder
from gpt.runs.run import RunError, check_name, damage_as_run_error, load_best, load_matching_tokenizer
from gpt.runs.start import Start
from gpt.runs.temporary import own_folder
from gpt.runs.writer import RunWriter
from gpt.training.device import choose_device, choose_precision, describe_device, ran_out_of_memory
from gpt.training.distributed import Processes, check_batch, lost_contact
from gpt.training.limits import use_allowed_cores
from gpt.training.placement import placed
from gpt.training.trainer import Clock, DivergedError, Event, Trainer, planned_steps

TELL_SECONDS = 0.25  # between two sentences about the text
LENGTHS = {"max_steps", "epoch", "max_minutes"}  # settings that say how long a run is


def machine_lock() -> filelock.FileLock:
    """Held by a run that trains: two runs of one user would only slow each other down. Other users have locks of their own."""
    return filelock.FileLock(own_folder() / "training.lock")


def no_lock(error: OSError) -> RunError:
    """What to say when the machine's lock cannot be taken for another reason than that somebody holds it."""
    return RunError(f"{machine_lock().lock_file} cannot be locked ({error.strerror}): set TMPDIR to a folder on a disk of this machine")


def located(settings: dict[str, Any]) -> dict[str, Any]:
    """`settings` in which texts that are files have their whole paths, so that a run can go on from another folder."""
    texts = {field.name: settings[field.name] for field in FIELDS if field.is_text and settings.get(field.name)}
    return {**settings, **{name: os.path.abspath(text) for name, text in texts.items() if built_in(text) is None}}


class Session:
    """Trains one run from its beginning, or from where it was left, and writes its folder. Where several processes train it, this is what
    rank 0 does; gpt/training/follower.py has the rest.

    `events()` does the work. Raises UserError for everything a person can put right; nothing of a new run is left behind
    if it happens before the first step.
    """

    def __init__(self, root: Path | str, name: str, config: dict[str, Any] | None = None, changes: dict[str, Any] | None = None,
                 processes: Processes | None = None, sharded: bool = False, start: Start | None = None, progress: Progress = silent):
        """A new run with `config`, whose weights are random or those of `start`; without a `config`, the run `name` is resumed, with
        `changes` of settings that are changeable. Where several `processes` train it, each has the whole model or, if `sharded`, a part
        of it. `progress` is told how far the text is before the first step."""
        self.writer = RunWriter(Path(root) / check_name(name))
        self.resumes = config is None
        exists = self.writer.path.exists() and not (config is not None and self.writer.never_began())
        if exists and not self.resumes:
            raise RunError(f"there is a run {name} already: choose another name, or resume it with --resume")
        if not exists and self.resumes:
            raise RunError(f"there is no run {name} in {root} to resume")
        self.changes, self.start, self._before = located(changes or {}), start, "failed"
        self.config = self._resumed_config() if self.resumes else located(validate(config))
        if self.resumes:  # what was decided once stays decided: another number format would be another run
            self.config["precision"] = self.writer.config()["precision"]
        self.processes, self.sharded = processes or Processes(), sharded
        if sharded and self.processes.count == 1:
            raise UserError("--shard shares the model out to several processes, and this is the only one: start them with torchrun, or "
                            "leave out --shard")
        check_batch(self.config["batch"], self.processes.count)
        use_allowed_cores(self.processes.local_count)
        self.device = choose_device(self.config["device"])
        self.processes.use_own_gpu(self.device)
        self._owns_folder = False  # as long as it holds its lock
        self.trains = False  # from its first step on
        self._progress, self._told, self._told_at = progress, "", -math.inf

    def _resumed_config(self) -> dict[str, Any]:
        changeable = [field.name for field in FIELDS if field.changeable or field.is_text]  # a text may have moved
        if fixed := [name for name in self.changes if name not in changeable]:
            raise UserError(f"{', '.join(fixed)} cannot change when a run is resumed, only {', '.join(changeable)} can: start a new run")
        self.writer.check_format()
        if not self.changes:
            self.writer.check_unfinished()
        saved, status = self.writer.config(), self.writer.status()
        config = validate({**saved["config"], **self.changes})
        if self.changes:
            with damage_as_run_error(self.writer.path / "config.json"):
                steps, limit = planned_steps(config, saved["tokenizer"]["train_tokens"]), 60 * config["max_minutes"]
            if 0 < steps <= status["step"] or 0 < limit <= status.get("seconds", 0):
                raise RunError(f"run {self.writer.name} has made {status['step']} steps already, and this asks for no more: set max_steps "
                               f"above that{', epoch to 0' if config['epoch'] else ''}{', max_minutes to 0' if limit else ''}")
        self._before = status["state"] if status["state"] in ("done", "stopped") else "failed"
        if self._before == "done" and not self.writer.saves():
            raise RunError(f"run {self.writer.name} is finished and holds no save to go on from: it can be looked at, but not extended")
        return config

    def stop(self) -> None:
        """End after the step in progress; what was learned is saved. Safe to call from a signal handler."""
        self.processes.stop.requested = True

    def events(self) -> Iterator[Event]:
        """Every event of the trainer, after it has been written to the folder, with samples (kind "sample") between them."""
        with ExitStack() as stack:
            try:
                stack.enter_context(machine_lock().acquire(timeout=1))
            except filelock.Timeout:
                raise RunError("another run is training on this machine: wait for it or stop it") from None
            except OSError as error:
                raise no_lock(error) from None
            stack.enter_context(self.writer)
            self._check_folder()
            self._owns_folder = True
            stack.callback(self._give_folder_back)
            with self._failures_reported():
                begin = {} if self.resumes else {"step": 0, "steps": 0, "val_loss": None, "bits_per_byte": None}
                self.writer.write_status(state="starting", error=None, **begin)
                self._prepare()
                yield from self._train()

    def _give_folder_back(self) -> None:
        self._owns_folder = False

    def _check_folder(self) -> None:
        """Raise RunError if, while this process was getting ready, somebody deleted, renamed or began the run."""
        if self.resumes == (self.writer.path / "config.json").exists():
            return
        if self.resumes:
            self.writer.discard()  # taking its lock has made it anew
            raise RunError(f"run {self.writer.name} was deleted or renamed meanwhile")
        raise RunError(f"there is a run {self.writer.name} already: choose another name")

    @contextlib.contextmanager
    def _failures_reported(self) -> Iterator[None]:
        """Write the reason into the folder if an exception ends the run early, and raise it again."""
        try:
            yield
        except GeneratorExit:  # the caller has stopped reading events
            with self._failures_reported():
                self._finish()
            raise
        except KeyboardInterrupt:
            self.end_at_once()
            raise
        except DivergedError as error:
            failure = DivergedError(f"{error}; {self.recorder.what_is_kept()}")
            self._end("failed", str(failure))
            raise failure from error
        except UserError as error:
            self._end("failed", str(error))
            raise
        except BaseException as error:  # a bug: log it, and let the process end as it would have
            self.processes.leave()
            if lost_contact(error):
                goes_on = f"; resuming the run goes on from step {self.writer.saved_step()}" if self.resumes or self.trains else ""
                failure = RunError(f"{self.processes.reason()}{goes_on}")
                self._end("failed", str(failure))
                raise failure from error
            if ran_out_of_memory(error):
                begin = "start a new run with a lower" if self.resumes else "lower"
                failure = UserError(f"there is not enough memory for this: {begin} {' or '.join(settings_to_lower(self.config))}")
                self._end("failed", str(failure))
                raise failure from error
            self.writer.append_log(traceback.format_exc())
            self._end("failed", f"{type(error).__name__}: {error}")
            raise

    def end_at_once(self) -> None:
        """Write into the folder that the run was stopped at once: work since the last save is lost. The process should then exit."""
        if self._owns_folder:
            self._end("stopped", f"stopped at once; it goes on from step {self.writer.saved_step()} when it is resumed")

    def _end(self, state: str, reason: str) -> None:
        """Tell how the run ended. Of a new one that had not begun yet, nothing is left behind."""
        if self.resumes or self.trains:  # a run that could not go on is as it was before
            state = state if self.trains or self._before == "failed" else self._before
            self.writer.try_to_write_status(state=state, error=reason, eta_seconds=None)
        else:
            self.writer.discard()

    def _prepare(self) -> None:
        """Everything before the first step; it counts as work."""
        clock = Clock()
        corpus = self._read_text()
        if self.resumes:
            self._check_text(corpus)
            self.tokenizer = load_matching_tokenizer(self.writer, self.config["vocab_size"])
        elif self.start:
            self.tokenizer = self.start.tokenizer
        else:
            self._tell("learning its tokens", 0.0)
            self.tokenizer = make_tokenizer(self.config["tokenizer"], corpus.to_learn(), self.config["vocab_size"], corpus.has_documents)
        if self.tokenizer.n_vocab < 2:
            raise UserError(f"the text {self.config['corpus']!r} has only one kind of character: there is nothing to predict, add text")
        self.config["vocab_size"] = self.tokenizer.n_vocab
        text = TokenizedText.encode(corpus, self.tokenizer, self._tell)
        self.earlier_text = self.start.text if self.start else self.writer.config().get("earlier_text") if self.resumes else None
        most = min(self.config["eval_tokens"] + 1 if self.config["eval_tokens"] else len(text.validation), len(text.validation))
        text.earlier, earlier_notes = tokens_of(self.earlier_text, corpus, self.tokenizer, most)
        text.check(self.config["context_length"])  # before the others begin, who would meet the same error
        precision, _ = choose_precision(self.config["precision"], self.device)
        self.processes.begin(({**self.config, "device": self.device.type, "precision": precision}, text, self.sharded))
        model = placed(GPT2(self.config), self.device, self.processes.count, self.sharded)
        self.processes.meet()
        self.trainer, self.corpus = Trainer(self.config, model, text, clock, self.processes), corpus
        notes = [*(self._load_last() if self.resumes else corpus.sentences()), *text.notes, *earlier_notes]
        if self.config["freeze"] and not self.resumes and not self.start:
            notes.append("freeze keeps parts of random weights as they are: it is meant for a run that goes on from another")
        if self.start:
            self.trainer.start_from(self.start.weights)
        probes = self._probes(text)
        if not self.resumes:
            self.writer.write_config(self._description(text), self.tokenizer)
        self.recorder = Recorder(self.writer, self.trainer, corpus, self.tokenizer, probes)
        if self.start:  # it cannot begin again as a run with random weights can
            self.recorder.save()
        for note in notes:
            self.recorder.warn(note)
        if self.changes.keys() & LENGTHS and (rates := [row["lr"] for row in self.writer.rows()[0] if row.get("lr") is not None]):
            self.recorder.warn_of_rise(rates[-1])

    def _tell(self, sentence: str, share: float) -> None:
        """Tell a reader of the folder, and who called, what is done before the first step."""
        if sentence != self._told or time.monotonic() - self._told_at > TELL_SECONDS:
            self._told, self._told_at = sentence, time.monotonic()
            self.writer.try_to_write_status(doing=sentence, progress=share)
            self._progress(sentence, share)

    def _description(self, text: TokenizedText) -> dict[str, Any]:
        trainer = self.trainer
        return {
            **description(self.config, self.corpus, text, self.tokenizer, trainer.model), "steps": trainer.steps,
            "device": describe_device(self.device), "precision": trainer.precision, "precision_reason": trainer.precision_reason,
            **({"went_on_from": self.start.origin, "earlier_text": self.start.text} if self.start else {}),
        }

    def _probes(self, text: TokenizedText) -> Probes:
        """The sequences that heads are scored on. A resumed run whose probes are missing or damaged gets new ones: they depend only on
        its text and its seed."""
        if self.resumes:
            with contextlib.suppress(RunError):
                return self.writer.probes()
        probes = make_probes(text, self.config["context_length"], self.config["seed"], line_ends(self.tokenizer))
        self.writer.write_probes(probes)
        return probes

    def _read_text(self) -> Corpus:
        """Raises CorpusError, of a resumed run with what to do where the text has moved."""
        try:
            return corpus_of(self.config, self._tell)
        except CorpusError as error:
            if not self.resumes:
                raise
            raise CorpusError(f"{error}; if the text has moved, resume with --corpus and its new place") from None

    def _check_text(self, corpus: Corpus) -> None:
        """Raise RunError if a resumed run would go on with another text."""
        with damage_as_run_error(self.writer.path / "config.json"):
            was, now = self.writer.config()["corpus"], corpus.identity()
            same = was["sha256"] == now["sha256"], was.get("validation_sha256") == now.get("validation_sha256")
        for field, is_same in zip(("corpus", "validation"), same, strict=True):
            if not is_same:
                changed = ("is another text than the run began with: name the same one" if field in self.changes
                           else "has changed since the run began: start a new run with it")
                raise RunError(f"the text {self.config[field]!r} {changed}")

    def _load_last(self) -> list[str]:
        """Put the trainer where the run was left. Returns sentences about it."""
        if last := self.writer.load_last():
            weights, state, notes = last
            with damage_as_run_error(self.writer.path / "last"):
                self.trainer.load(weights, state)
            if not self.trainer.step:  # what it wrote before its first step is written again
                notes += self.corpus.sentences()
            self.writer.cut_rows_after(self.trainer.step or -1)
            self.writer.forget_snapshots_after(self.trainer.step)
            notes += self._restore_best_loss()
        elif origin := self.writer.config().get("went_on_from"):
            raise RunError(f"run {self.writer.name} ended before the weights of {origin} were saved in it: delete it, and start it again "
                           "with --init_from")
        else:
            notes = [*self.corpus.sentences(), "nothing had been saved yet when the run ended: it begins again"]
            self.writer.cut_rows_after(-1)
            self.writer.forget_snapshots_after(-1)
        return notes + self._changed()

    def _restore_best_loss(self) -> list[str]:
        """Keep the loss of the saved best weights as the one to beat, even if their step will be repeated; if they are damaged,
        the next evaluation replaces them. Returns notes about it."""
        try:
            _, about = load_best(self.writer)
        except RunError:
            self.trainer.best_loss = math.inf
            return ["the best weights are damaged: the best from here on take their place"]
        self.trainer.best_loss = min(self.trainer.best_loss, about["val_loss"])
        return []

    def _changed(self) -> list[str]:
        """Put the changed settings into config.json. Returns a sentence about each."""
        saved = self.writer.config()
        changed = {name: value for name, value in self.changes.items() if saved["config"][name] != value}
        if changed:
            self.writer.change_config(self.config, self.trainer.steps)
        texts = {field.name for field in FIELDS if field.is_text}  # where they lie is nobody's business
        return ["the text has moved" if name in texts else f"{name} is {value} from here on; before it was {saved['config'][name]}"
                for name, value in changed.items()]

    def _train(self) -> Iterator[Event]:
        trainer, recorder = self.trainer, self.recorder
        self.trains = True
        recorder.update_status(state="running", doing=None)
        yield from recorder.new_events()
        for event in trainer.events():
            recorder.record(event)
            sample = [recorder.sample()] if event.kind == "evaluation" else []
            yield event
            yield from sample
            if trainer.step and not (event.kind == "step" and trainer.evaluation_due()):
                recorder.obey()  # between two steps: only here do the weights and the rows that are saved belong to the same step
                yield from recorder.new_events()
                if self.processes.stop.requested:
                    break
        self._finish()

    def _finish(self) -> None:
        self.recorder.finish()
        self.processes.end()
