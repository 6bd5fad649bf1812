"""What tests do with sessions: train them to their end or to a step, wait, and compare what is left of them."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from gpt.interpret.probes import Probes
from gpt.runs.run import Run
from gpt.runs.session import Session
from gpt.runs.storage import load_tensors

PROBES = Probes(torch.tensor([[0, 1, 0, 1]]), torch.tensor([[0, 1, 2]]))


def finish(session: Session) -> Run:
    for _ in session.events():
        pass
    return session.writer


def stop_after(session: Session, step: int) -> Run:
    for event in session.events():
        if event.kind == "step" and session.trainer.step == step:
            session.stop()
    return session.writer


def timeless(run: Run) -> list[dict]:
    """The rows of a run without what the clock says."""
    return [{key: value for key, value in row.items() if key not in ("seconds", "tokens_per_second")} for row in run.rows()[0]]


def until(condition: Callable[[], Any], seconds: float = 60) -> Any:
    """The first value of `condition()` that is true; fails after `seconds`."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, f"it did not come true in {seconds} s"
        time.sleep(0.01)
    return value


def while_it_moves(condition: Callable[[], Any], position: Callable[[], Any], seconds: float = 60) -> None:
    """Wait until `condition()` is true, however long that takes, as long as `position()` changes; fails `seconds` after it last did."""
    at = position()
    while not condition():
        until(lambda at=at: condition() or position() != at, seconds)
        at = position()


def same_weights(one: Path, other: Path) -> bool:
    one, other = load_tensors(one)[0], load_tensors(other)[0]
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)
