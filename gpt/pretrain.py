"""`python -m gpt.pretrain`: train from the command line; the run folder is the same kind that the page reads."""

if __name__ == "__main__":
    from gpt.terminal import begin

    begin("python -m gpt.pretrain")

import contextlib
import signal
import sys
import threading
from collections.abc import Iterator
from typing import Any

from tqdm import tqdm

from gpt.cli import Parser, user_errors_exit
from gpt.config import CONFIG, FIELDS, PRESETS, add_flags
from gpt.errors import UserError
from gpt.escape import escaped
from gpt.estimate.price import settings_to_lower, training_bytes
from gpt.runs.recorder import SAVE_SECONDS
from gpt.runs.run import DEFAULT_ROOT, new_name
from gpt.runs.session import Session
from gpt.terminal import end_at_once, throw_output_away, unheard_signals_call
from gpt.training.device import free_bytes, prefer_to_be_killed
from gpt.training.limits import memory_limit
from gpt.training.trainer import Event


def make_parser() -> Parser:
    parser = Parser(prog="python -m gpt.pretrain", description="Train a GPT on a text.")
    parser.add_argument("--run", help="name of the run's folder; without it, a new one is made up")
    parser.add_argument("--checkpoints", default=DEFAULT_ROOT, help="folder that holds the runs (default %(default)s)")
    parser.add_argument("--resume", action="store_true", help="go on with a run; some settings may change, such as --max_steps")
    parser.add_argument("--preset", choices=PRESETS, help="start from a named CONFIG; further flags change it")
    add_flags(parser, FIELDS)
    return parser


def session_from_flags(options: dict[str, Any]) -> Session:
    """The session that the flags ask for. Raises UserError for flags that contradict each other."""
    options = dict(options)
    name, root, resume, preset = (options.pop(key) for key in ("run", "checkpoints", "resume", "preset"))
    if resume:
        if not name:
            raise UserError("--resume needs --run: name the run to go on with")
        if preset:
            raise UserError("--resume goes on with the run's own CONFIG: leave out --preset, or start a new run")
        return Session(root, name, changes=options)
    config = {**(PRESETS[preset].config if preset else CONFIG), **options}
    if name is None:
        name = new_name(root, str(config["corpus"]))
    return Session(root, name, config)


def describe(session: Session) -> str:
    """What is trained, on which device, and whether the memory is enough. The progress bar shows the time after a few steps."""
    run, free = session.writer.config(), free_bytes(session.device)
    needed = training_bytes(session.config, run["tokenizer"]["train_tokens"] + run["tokenizer"]["validation_tokens"])
    limit = memory_limit() if session.device.type == "cpu" else None
    memory = f"; about {needed / 1e9:.1f} GB of memory" + (f" (allowed: {limit / 1e9:.1f} GB)" if limit else "")
    if needed > free:
        memory += f", but {free / 1e9:.1f} GB are free here: lower {' or '.join(settings_to_lower(session.config))}"
    return (f"{run['parameters']:,} parameters, {run['tokenizer']['train_tokens']:,} training tokens of {run['tokenizer']['n_vocab']:,} "
            f"kinds, {run['device']}; {run['precision_reason']}{memory}; saved every {SAVE_SECONDS:.0f} s, or more rarely if "
            "that takes long")


def main(argv: list[str] | None = None) -> None:
    parser = make_parser()
    options = vars(parser.parse_args(argv))
    prefer_to_be_killed()
    with user_errors_exit(parser):
        session = session_from_flags(options)
        with stopped_by_signals(session):
            follow(session)


@contextlib.contextmanager
def stopped_by_signals(session: Session) -> Iterator[None]:
    """Ctrl+C, SIGTERM or a closed terminal saves and ends the run. A second one, or one before training begins, when there is nothing to
    save, ends the process at once, with exit code 130."""
    requested, heard = False, threading.Event()

    def at_once() -> None:
        session.end_at_once()
        run = session.writer
        goes_on = f"--run {run.name} --resume goes on from its last save" if run.path.exists() else "nothing had begun"
        end_at_once(f"python -m gpt.pretrain: stopped at once; {goes_on}")

    def stop(*_) -> None:
        nonlocal requested
        heard.set()
        if requested or not session.trains:
            at_once()
        requested = True
        session.stop()

    numbers = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]  # Windows has no SIGHUP
    before = {number: signal.getsignal(number) for number in numbers}
    for number in numbers:
        if number in (signal.SIGINT, signal.SIGTERM) or before[number] != signal.SIG_IGN:  # nohup ignores SIGHUP
            signal.signal(number, stop)
    with unheard_signals_call(lambda: None if session.trains else at_once(), heard):
        yield
    for number in numbers:
        signal.signal(number, before[number])


def follow(session: Session) -> None:
    """Train, and show how it goes. An error while something is shown ends the run, with that reason in its folder; output that nobody
    reads any more does not."""
    progress, events = Progress(session), session.events()
    for event in events:
        try:
            progress.show(event)
        except Exception as error:
            events.throw(error)
    progress.close()


class Progress:
    """A bar of the steps with a line for each evaluation, sample and warning; all lines also go to log.txt. Control characters in the
    model's text are escaped, so that they cannot affect the terminal."""

    def __init__(self, session: Session):
        self.session, self._bar = session, None

    def show(self, event: Event) -> None:
        with self._output_may_be_gone():
            if self._bar is None:
                steps = self.session.trainer.steps or None
                self._bar = tqdm(total=steps, initial=self.session.trainer.step, unit="step", disable=None)
                self._say(describe(self.session))
            row = event.row
            if event.kind == "step":
                self._bar.total = self.session.trainer.steps or None  # it may be extended
                self._bar.update()
                if row:
                    self._bar.set_postfix(loss=f"{row['loss']:.3f}", tokens_per_second=f"{row['tokens_per_second']:,.0f}")
            elif event.kind == "evaluation":
                self._say(f"step {row['step']:>6}  validation loss {row['val_loss']:.4f}  {row['bits_per_byte']:.4f} bits per byte  "
                          f"{row['seconds']:.1f} s")
            else:  # a sample, a warning, or a head that has formed
                self._say(f"step {row['step']:>6}  {row.get('prompt', '')}{row['text']}".replace("\n", "\n             "))

    def close(self) -> None:
        """End the bar, and say how the run went, if it was evaluated."""
        with self._output_may_be_gone():
            if self._bar is not None:
                self._bar.close()
            evaluations = [row for row in self.session.writer.rows()[0] if "val_loss" in row]
            if evaluations:
                last = evaluations[-1]
                self._say(f"validation loss {last['val_loss']:.4f}, {last['bits_per_byte']:.4f} bits per byte, "
                          f"{last['tokens'] / last['seconds']:,.0f} tokens per second, {self.session.writer.path}")

    def _say(self, line: str) -> None:
        line = escaped(line)
        self.session.writer.append_log(line)
        tqdm.write(line)
        sys.stdout.flush()

    @contextlib.contextmanager
    def _output_may_be_gone(self) -> Iterator[None]:
        try:
            yield
        except OSError:  # a closed terminal, or the end of a pipe: log.txt has every line
            throw_output_away()


if __name__ == "__main__":
    main()
