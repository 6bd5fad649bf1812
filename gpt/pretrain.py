"""`python -m gpt.pretrain`: train from the command line; the run folder is the same kind that the page reads."""

import os
import signal
import sys
from typing import Any

from tqdm import tqdm

from gpt.cli import Parser, user_errors_exit
from gpt.config import CONFIG, FIELDS, PRESETS, add_flags
from gpt.errors import UserError
from gpt.escape import escaped
from gpt.estimate.calibration import free_bytes
from gpt.estimate.price import settings_to_lower, training_bytes
from gpt.runs.recorder import SAVE_SECONDS
from gpt.runs.run import DEFAULT_ROOT, new_name
from gpt.runs.session import Session
from gpt.training.device import prefer_to_be_killed


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
    run, needed, free = session.writer.config(), training_bytes(session.config), free_bytes(session.device)
    memory = f"; about {needed / 1e9:.1f} GB of memory"
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
        stop_on_signals(session)
        follow(session)


def stop_on_signals(session: Session) -> None:
    """The first Ctrl+C or SIGTERM saves and ends the run; the second ends the process at once, with exit code 130."""
    def at_once(*_) -> None:
        session.end_at_once()
        run = session.writer
        goes_on = f"--run {run.name} --resume goes on from its last save" if run.path.exists() else "nothing had begun"
        print(f"python -m gpt.pretrain: stopped at once; {goes_on}", file=sys.stderr, flush=True)
        os._exit(130)

    def first(*_) -> None:
        session.stop()
        for stop_signal in (signal.SIGINT, signal.SIGTERM):
            signal.signal(stop_signal, at_once)

    for stop_signal in (signal.SIGINT, signal.SIGTERM):
        signal.signal(stop_signal, first)


def follow(session: Session) -> None:
    """Show the session's events as a progress bar with a line for each evaluation; all lines also go to log.txt.

    Control characters in the model's text are escaped, so that they cannot affect the terminal."""
    bar = None

    def say(line: str) -> None:
        line = escaped(line)
        tqdm.write(line)
        session.writer.append_log(line)

    for event in session.events():
        if bar is None:
            bar = tqdm(total=session.trainer.steps or None, initial=session.trainer.step, unit="step", disable=None)
            say(describe(session))
        row = event.row
        if event.kind == "step":
            bar.total = session.trainer.steps or None  # it may be extended
            bar.update()
            if row:
                bar.set_postfix(loss=f"{row['loss']:.3f}", tokens_per_second=f"{row['tokens_per_second']:,.0f}")
        elif event.kind == "evaluation":
            say(f"step {row['step']:>6}  validation loss {row['val_loss']:.4f}  {row['bits_per_byte']:.4f} bits per byte  "
                f"{row['seconds']:.1f} s")
        else:  # a sample, a warning, or a head that has formed
            say(f"step {row['step']:>6}  {row.get('prompt', '')}{row['text']}".replace("\n", "\n             "))
    if bar is not None:
        bar.close()
    evaluations = [row for row in session.writer.rows()[0] if "val_loss" in row]
    if evaluations:  # none if the run stopped before its first evaluation
        last = evaluations[-1]
        say(f"validation loss {last['val_loss']:.4f}, {last['bits_per_byte']:.4f} bits per byte, "
            f"{last['tokens'] / last['seconds']:,.0f} tokens per second, {session.writer.path}")


if __name__ == "__main__":
    main()
