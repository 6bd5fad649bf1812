"""What being watched costs the training: a whole Session, with the page's server and ten clients beside it, against a bare Trainer.

The watched side writes metrics, status, snapshots, samples and saves, while `python demo.py` serves the same folder to ten clients
that ask as often as open pages do. The bare side is the Trainer alone: no files, no server, nothing beside it. Samples belong
to evaluations, so both sides keep the CONFIG's evaluations; the watched side alone writes samples. What counts is tokens per second
of wall time from the end of the first step to the end of the last. A browser's own drawing is not part of it.
"""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from gpt.config import PRESETS
from gpt.runs.session import Session
from gpt.training.trainer import tokens_per_step
from tests.benchmarks import ours
from tests.benchmarks.machine import PROJECT
from tests.benchmarks.row import Result, Row, Setup, at_least, ratios, say, yes_no
from tests.serving import served

MOST_LOST = 0.03
CLIENTS = 10


def speed(events: Iterator, config: dict) -> float:
    """Tokens per second from the end of the first step to the end of the last."""
    times = [time.perf_counter() for event in events if event.kind == "step"]
    return (len(times) - 1) * tokens_per_step(config) / (times[-1] - times[0])


def bare(config: dict, setup: Setup) -> float:
    return speed(ours.make_trainer(*ours.encode(config, setup.corpus)).events(), config)


def watched(config: dict) -> tuple[float, dict[str, Any]]:
    """The speed of a Session while its folder is served and polled, and how the clients were answered."""
    with tempfile.TemporaryDirectory() as root, served(root) as url, polled(url) as answers:
        found = speed(Session(root, "watched", config).events(), config)
    if answers["faults"]:
        raise RuntimeError(f"clients were not answered: {answers['faults']}")
    if not answers["rows"]:
        raise RuntimeError("the clients saw no row of the run: they did not watch it")
    return found, answers


@contextmanager
def polled(url: str, count: int = CLIENTS) -> Iterator[dict[str, Any]]:
    """`count` clients poll `url` from one process. How they were answered stands in the dict afterwards."""
    clients = subprocess.Popen([sys.executable, "-m", "tests.benchmarks.clients", url, str(count)], cwd=PROJECT, text=True,
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    answers: dict[str, Any] = {}
    try:
        yield answers
    finally:
        told, _ = clients.communicate(timeout=60)  # closes its standard input, which ends it
    answers |= json.loads(told)


def measure(setup: Setup, changes: dict | None = None) -> Result:
    """One pair a seed: the run of the preset quick, watched and bare."""
    config = {**PRESETS["quick"].config, "corpus": setup.source, "device": setup.device.type, **(changes or {})}
    mine, theirs, answers = [], [], []
    for seed in setup.seeds:
        found, told = watched({**config, "seed": seed})
        mine.append(found)
        answers.append(told)
        theirs.append(bare({**config, "seed": seed}, setup))
        say(f"  seed {seed}: watched {mine[-1]:,.0f}, bare {theirs[-1]:,.0f} tokens/s; {told['looks']} looks")
    found = ratios(mine, theirs)
    notes = ["the peer is our own bare Trainer; both sides keep their evaluations, since samples belong to them",
             f"{sum(told['looks'] for told in answers)} looks of {CLIENTS} clients were answered, "
             f"half of them within {1000 * max(told['median_seconds'] for told in answers):.0f} ms"]
    return Result(yes_no(at_least(1 - MOST_LOST, found)), mine, theirs, found, notes,
                  {"config": {**config, "corpus": setup.corpus.name}, "clients": answers})


ROWS = (Row("watching", "training while the page and ten clients watch, against a bare Trainer, tokens/s",
            f"watched / bare > {1 - MOST_LOST:.2f}", measure),)
