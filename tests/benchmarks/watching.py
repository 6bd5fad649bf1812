"""What it costs that a run is watched and kept: processor time, not wall time, which differs by 13 % between two equal runs.

A Session writes metrics, status, snapshots, samples, head scores and saves, while `python demo.py` serves the same folder to ten clients
that ask as often as open pages do. In the process that trains, the time inside the Trainer (steps and evaluations) is the training;
the rest, and all that the server takes from the first step to the end, is the cost. A browser's own drawing is not part of it.
"""

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psutil

from gpt.config import PRESETS
from gpt.runs.session import Session
from gpt.training.trainer import Event, Trainer
from tests.benchmarks.machine import PROJECT
from tests.benchmarks.row import Result, Row, Setup, say, yes_no
from tests.serving import server

MOST_PERCENT = 3.0
CLIENTS = 10


class Meter:
    """Processor seconds of this process inside the Trainers' events, those that other threads take meanwhile included."""

    def __init__(self):
        self.seconds = 0.0

    def events(self, real: Iterator[Event]) -> Iterator[Event]:
        while True:
            begin = time.process_time()
            event = next(real, None)
            self.seconds += time.process_time() - begin
            if event is None:
                return
            yield event


@contextmanager
def metered() -> Iterator[Meter]:
    """Within the block, Trainers are metered."""
    meter, real = Meter(), Trainer.events
    Trainer.events = lambda trainer: meter.events(real(trainer))
    try:
        yield meter
    finally:
        Trainer.events = real


def server_seconds(page: psutil.Process) -> float:
    """Processor seconds of the server and the processes it has started."""
    times = [process.cpu_times() for process in (page, *page.children(recursive=True))]
    return sum(each.user + each.system for each in times)


def watched(config: dict) -> dict[str, Any]:
    """Processor seconds of a Session, by what they were spent on, while its folder is served and polled, and how the clients were
    answered."""
    with tempfile.TemporaryDirectory() as root, server(root, forked=False) as (url, demo), metered() as meter, polled(url) as answers:
        page = psutil.Process(demo.pid)
        session, own = Session(root, "watched", config), None
        for event in session.events():
            if own is None and event.kind == "step":  # what came before is no training yet
                own, training, serving = time.process_time(), meter.seconds, server_seconds(page)
        own, training = time.process_time() - own, meter.seconds - training
        serving = server_seconds(page) - serving
    if answers["faults"]:
        raise RuntimeError(f"clients were not answered: {answers['faults']}")
    if not answers["rows"]:
        raise RuntimeError("the clients saw no row of the run: they did not watch it")
    return {"training": training, "keeping": own - training, "serving": serving, "clients": answers}


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
    """One run of the preset quick a seed."""
    config = {**PRESETS["quick"].config, "corpus": setup.source, "device": setup.device.type, **(changes or {})}
    costs = []
    for seed in setup.seeds:
        costs.append(watched({**config, "seed": seed}))
        say(f"  seed {seed}: {percent(costs[-1], 'keeping'):.2f} % keeping, {percent(costs[-1], 'serving'):.2f} % serving")
    totals = [percent(cost, "keeping", "serving") for cost in costs]
    answers = [cost["clients"] for cost in costs]
    parts = {part: ", ".join(f"{percent(cost, part):.2f}" for cost in costs) for part in ("keeping", "serving")}
    notes = [f"scoring, samples, snapshots and saves take {parts['keeping']} %, the server {parts['serving']} %",
             f"{sum(told['looks'] for told in answers)} looks of {CLIENTS} clients were answered, "
             f"half of them within {1000 * max(told['median_seconds'] for told in answers):.0f} ms"]
    return Result(yes_no(statistics.median(totals) < MOST_PERCENT), totals, notes=notes,
                  raw={"config": {**config, "corpus": setup.corpus.name}, "runs": costs})


def percent(cost: dict[str, Any], *parts: str) -> float:
    """What the parts take of the training's own processor time, in percent."""
    return 100 * sum(cost[part] for part in parts) / cost["training"]


ROWS = (Row("watching", "ten pages, and all scoring, samples, snapshots and saves: processor time, % of the training's own",
            f"< {MOST_PERCENT:g}", measure),)
