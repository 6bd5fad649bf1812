"""`python -m gpt.pretrain`: train from the command line; the run folder is the same kind that the page reads."""

if __name__ == "__main__":
    from gpt.terminal import prepare_terminal

    prepare_terminal("python -m gpt.pretrain")

import argparse
import contextlib
import math
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
from tqdm import tqdm

from gpt.cli import Parser, user_errors_exit
from gpt.config import CONFIG, FIELDS, PRESETS, add_flags, validate
from gpt.data.length import length, likely_vocab_size
from gpt.data.sources import corpus_of
from gpt.data.tokenizers.table import TOKENIZERS
from gpt.errors import UserError
from gpt.escape import escaped
from gpt.estimate.plan import plan
from gpt.estimate.price import optimizer_bytes, settings_to_lower, tokens_of_file, training_bytes
from gpt.exchange.starting import find_start
from gpt.logs.copying import LOGS, Logs, known_logs
from gpt.model.flops import count_parameters
from gpt.runs.recorder import SAVE_SECONDS
from gpt.runs.run import DEFAULT_ROOT, check_name, new_name
from gpt.runs.session import LENGTHS, Session
from gpt.terminal import INTERRUPTED, SignalHandler, call_if_not_handled, end_at_once, output_may_end, stop_signals
from gpt.training.device import free_bytes, prefer_to_be_killed
from gpt.training.distributed import (
    Processes,
    RunIsOver,
    end_process,
    ended_at_once,
    joined_processes,
    lost_contact,
    rank_here,
    restarts_here,
)
from gpt.training.follower import follow
from gpt.training.limits import memory_limit, use_allowed_cores
from gpt.training.trainer import DivergedError, Event

BAR_SECONDS = 1.0  # of work on a text before its bar is shown
SECONDS_OF_RANK_0 = 1.0  # for it to say what all of them met, before torchrun ends it because another process has ended


def make_parser() -> Parser:
    parser = Parser(prog="python -m gpt.pretrain", description="Train a GPT on a text.")
    parser.add_argument("--run", help="name of the run's folder; without it, a new one is made up")
    parser.add_argument("--checkpoints", default=DEFAULT_ROOT, help="folder that holds the runs (default %(default)s)")
    parser.add_argument("--resume", action="store_true", help="go on with a run; some settings may change, such as --max_steps")
    parser.add_argument("--preset", choices=PRESETS, help="start from a named CONFIG; further flags change it")
    parser.add_argument("--budget", type=float, default=argparse.SUPPRESS, metavar="MINUTES",
                        help="choose the sizes of the model and the steps that promise the lowest loss on this text in this time here")
    parser.add_argument("--init_from", metavar="SOURCE", help="go on from the weights of another run, of gpt2, gpt2-medium, gpt2-large, "
                                                              "gpt2-xl or distilgpt2, or of a folder of Hugging Face's")
    parser.add_argument("--shard", action="store_true", help="with torchrun: each process has a part of the model, not all of it")
    parser.add_argument("--log", default="", help=f"write the log of another program too: {' or '.join(LOGS)}, or both (a,b)")
    add_flags(parser, FIELDS)
    return parser


def session_from_flags(options: dict[str, Any], processes: Processes | None = None) -> Session:
    """The session that the flags ask for; where torchrun has started the processes anew, one that goes on from the last save. Raises
    UserError for flags that contradict each other."""
    options, (restarts, most_restarts) = dict(options), restarts_here()
    name, root, resume, preset, shard, source, _ = (
        options.pop(key) for key in ("run", "checkpoints", "resume", "preset", "shard", "init_from", "log"))
    together = {"processes": processes, "sharded": shard, "progress": TextProgress()}
    if most_restarts and not name:
        raise UserError("torchrun with --max-restarts needs --run: name the run, so that it is found after a restart")
    if restarts and not resume and (Path(root) / check_name(name) / "config.json").exists():
        return Session(root, name, **together)
    if resume:
        if not name:
            raise UserError("--resume needs --run: name the run to go on with")
        if source is not None:
            raise UserError("--resume goes on with the run's own weights: leave out --init_from, or start a new run")
        if preset:
            raise UserError("--resume goes on with the run's own CONFIG: leave out --preset, or start a new run")
        return Session(root, name, changes=options, **together)
    if source is not None and preset:
        raise UserError("--init_from goes on with the source's model: leave out --preset, and give single settings")
    start = find_start(source, root) if source is not None else None
    config = start.config_with(options) if start else {**(PRESETS[preset].config if preset else CONFIG), **options}
    if name is None:
        name = new_name(root, str(config["corpus"]))
    return Session(root, name, config, start=start, **together)


def with_plan(options: dict[str, Any], processes: Processes) -> tuple[dict[str, Any], str]:
    """The flags that --budget stands for in place of it, and a sentence about them. What is given stays. Raises UserError."""
    given = {name: value for name, value in options.items() if name in CONFIG}
    for flag in ("resume", "preset", "init_from", "shard"):
        if options[flag]:
            raise UserError(f"--budget chooses the sizes of a new model: leave out --{flag}, or give --max_minutes instead of --budget")
    if clashing := sorted(LENGTHS & given.keys()):
        raise UserError(f"--budget chooses the steps: leave out --{clashing[0]}")
    if processes.count > 1:
        raise UserError("--budget is planned for one process: give --max_minutes instead, or train with one")
    config = validate({**CONFIG, **given})
    use_allowed_cores()
    corpus = corpus_of(config)
    found = length(corpus, config["tokenizer"], config["vocab_size"])
    vocab_size = likely_vocab_size(config, found.exact, found.vocab_size)
    chosen = plan(options["budget"], found.train_tokens, {**config, "vocab_size": vocab_size}, given)
    left = {name: value for name, value in options.items() if name != "budget"}
    return {**left, **{name: chosen.config[name] for name in chosen.names}}, chosen.sentence()


def describe(session: Session) -> str:
    """What is trained, and on which device or devices. The progress bar shows the time after a few steps."""
    run, count = session.writer.config(), session.processes.count
    text, together = run["tokenizer"], f"{count} processes, each " if count > 1 else ""
    memory = bytes_here(session, session.config, text["train_tokens"] + text["validation_tokens"])
    limit = memory_limit() if session.device.type == "cpu" else None
    allowed = f" ({limit / 1e9:.1f} GB are allowed)" if limit else ""
    return (f"{run['parameters']:,} parameters, {text['train_tokens']:,} training tokens of {text['n_vocab']:,} kinds, "
            f"{together}{run['device']}; {run['precision_reason']}; about {memory / 1e9:.1f} GB of memory{allowed}; "
            f"saved every {SAVE_SECONDS:.0f} s, or more rarely if that takes long")


def bytes_here(session: Session, config: dict[str, Any], n_tokens: float) -> float:
    """What training `config` takes of this machine's memory, or of that of each of its GPUs."""
    here, count = session.processes.local_count, session.processes.count
    whole = training_bytes({**config, "batch": math.ceil(config["batch"] * here / count)}, n_tokens, here)
    if not session.sharded:
        return whole
    spread = 2 * 4 * sum(count_parameters(config).values()) + optimizer_bytes(config)  # weights, gradients, what the optimizer keeps
    return whole - (1 - 1 / count) * spread * (here if session.device.type == "cpu" else 1)


def memory_warning(session: Session) -> str:
    """A sentence if the memory that is free will not be enough, with what to do about it; else "". To be asked before the text is read."""
    on_gpu, n_tokens = session.device.type != "cpu", tokens_of_file(session.config)
    config = {**session.config, "vocab_size": getattr(TOKENIZERS[session.config["tokenizer"]], "n_vocab", session.config["vocab_size"])}
    needed = bytes_here(session, config, n_tokens)
    free = free_bytes(session.device) + (0 if on_gpu else psutil.Process().memory_info().rss)  # which `needed` counts too
    if needed <= free:
        return ""
    remedy = f"lower {' or '.join(settings_to_lower(config))}"
    return f"this needs about {needed / 1e9:.1f} GB of memory, and {free / 1e9:.1f} GB is free here: {remedy}"


def main(argv: list[str] | None = None) -> None:
    """Train, as one process or, started by torchrun, as one of several. Only rank 0 reads the flags and says something."""
    parser = make_parser()
    prefer_to_be_killed()
    with ended_at_once(), user_errors_exit(parser):
        if rank_here():
            assist()
            return
        options = vars(parser.parse_args(argv))
        with joined_processes() as processes:
            logs, opening = known_logs(options["log"]), ""
            if "budget" in options:
                options, opening = with_plan(options, processes)
            session = session_from_flags(options, processes)
            with stopped_by_signals(session):
                train(session, Logs(session.writer, logs), opening)


def assist() -> None:
    """What a process of another rank than 0 does. A signal that it gets ends the run as if rank 0 had got it, a second one, or one before
    the run has begun, this process alone. If rank 0 ends for a reason of its own, it says so itself."""
    with joined_processes() as processes:
        def stop(*_: Any) -> None:
            if processes.stop.requested or not processes.begun:
                os._exit(INTERRUPTED)
            processes.stop.requested = True

        for number in stop_signals():
            signal.signal(number, stop)
        try:
            follow(processes)
        except Exception as error:
            if isinstance(error, (RunIsOver, DivergedError)) or lost_contact(error):
                time.sleep(SECONDS_OF_RANK_0)
            elif not isinstance(error, UserError):
                raise
            raise SystemExit(2) from None


@contextlib.contextmanager
def stopped_by_signals(session: Session) -> Iterator[None]:
    """Ctrl+C, SIGTERM or a closed terminal saves and ends the run. A second one, or one before training begins, when there is nothing to
    save, ends the process at once, with exit code 130."""
    handler, requests = SignalHandler(), 0

    def at_once() -> None:
        session.end_at_once()
        run = session.writer
        goes_on = f"--run {run.name} --resume goes on from its last save" if run.path.exists() else "nothing had begun"
        end_at_once(f"python -m gpt.pretrain: stopped at once; {goes_on}")

    def stop(number: int, _: Any) -> None:
        nonlocal requests
        handler.handled += 1
        requests += number in (signal.SIGINT, signal.SIGTERM)  # the others a closing terminal may send more than once
        if requests > 1 or not session.trains:
            at_once()
        session.stop()

    before = {number: signal.signal(number, stop) for number in stop_signals()}
    try:
        with call_if_not_handled(lambda: None if session.trains else at_once(), handler):
            yield
    finally:
        for number, previous in before.items():
            signal.signal(number, previous)


def train(session: Session, logs: Logs, opening: str = "") -> None:
    """Train, and show how it goes, after a line `opening`, here and in `logs`. An error while something is shown ends the run, with that
    reason in its folder; output that nobody reads any more does not. Before the text is read, a line says so if the memory will not be
    enough."""
    if sentence := memory_warning(session):
        print(sentence, file=sys.stderr, flush=True)
    progress, events = Progress(session, opening), session.events()
    try:
        for event in events:
            try:
                progress.show(event)
                progress.report(logs.update() if event.row else [])
            except Exception as error:
                events.throw(error)
    finally:
        failures = logs.close()
    progress.report(failures)
    progress.close()


class TextProgress:
    """A gpt.data.progress.Progress: a bar of what is done with the text before the first step, if that takes long enough to be seen."""

    def __init__(self):
        self._bar, self._sentence = None, ""

    def __call__(self, sentence: str, share: float) -> None:
        with output_may_end(sys.stderr):
            if sentence != self._sentence:
                self.close()
                self._sentence = sentence
                self._bar = tqdm(total=100, unit="%", desc=sentence, leave=False, delay=BAR_SECONDS, disable=None,
                                 bar_format="{desc}: {percentage:3.0f} % |{bar}| {remaining} left")
            self._bar.update(100 * share - self._bar.n)

    def close(self) -> None:
        """Remove the bar."""
        if self._bar is not None:
            self._bar.close()


class Progress:
    """A bar of the steps with a line for each evaluation, sample and warning; all lines also go to log.txt. Control characters in the
    model's text are escaped, so that they cannot affect the terminal."""

    def __init__(self, session: Session, opening: str):
        self.session, self._opening, self._bar = session, opening, None

    def show(self, event: Event) -> None:
        trainer, row = self.session.trainer, event.row
        if self._bar is None:
            self._bar = tqdm(total=trainer.steps or None, initial=trainer.step, unit="step", disable=None)
            self.report([line for line in (self._opening, describe(self.session)) if line])
        if event.kind == "step":
            with output_may_end(sys.stderr):
                self._bar.total = trainer.steps or None  # it may be extended
                self._bar.update()
                if row:
                    self._bar.set_postfix(loss=f"{row['loss']:.3f}", tokens_per_second=f"{row['tokens_per_second']:,.0f}")
        elif event.kind == "evaluation":
            earlier = f"{row['earlier_val_loss']:.4f} on the text before  " if "earlier_val_loss" in row else ""
            perfect = f"(perfect: {row['perfect']:.4f})  " if "perfect" in row else ""
            right = f"{100 * row['accuracy']:.1f} % of answers right  " if "accuracy" in row else ""
            self._say(f"step {row['step']:>6}  validation loss {row['val_loss']:.4f}  {perfect}{row['bits_per_byte']:.4f} bits per byte  "
                      f"{right}{earlier}{row['seconds']:.1f} s")
        else:  # a sample, a warning, or a head that has formed
            self._say(f"step {row['step']:>6}  {row.get('prompt', '')}{row['text']}".replace("\n", "\n             "))

    def report(self, sentences: list[str]) -> None:
        """Show what is to be said beside the events."""
        for sentence in sentences:
            self._say(sentence)

    def close(self) -> None:
        """End the bar, and say how the run went, if it was evaluated."""
        if self._bar is not None:
            with output_may_end(sys.stderr):
                self._bar.close()
        evaluations = [row for row in self.session.writer.rows()[0] if "val_loss" in row]
        if evaluations:
            last = evaluations[-1]
            self._say(f"validation loss {last['val_loss']:.4f}, {last['bits_per_byte']:.4f} bits per byte, "
                      f"{last['tokens'] / last['seconds']:,.0f} tokens per second, {self.session.writer.path}")

    def _say(self, line: str) -> None:
        line = escaped(line)
        self.session.writer.append_log(line)
        with output_may_end(sys.stdout):
            tqdm.write(line)
            sys.stdout.flush()


if __name__ == "__main__":
    main()
    end_process()
