"""Many pages watch one run: what that costs the training, and whether the server's memory stays flat.

Time on a shared machine is noisy. The processor time that the server's process uses is not: as a share of all cores it bounds what
watching can take from a training, so both are told.
"""

import os
import statistics
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from gpt.config import CONFIG
from gpt.runs.run import Run, find_run
from tests.benchmarks.clients import Page
from tests.benchmarks.watching import polled
from tests.reliability.pressing import press_train
from tests.serving import free_port, serve

PAGES = 30
OPENING = 12.0  # seconds until 30 pages are open and look as rarely as the server asks them to
HOUR = 7200  # looks of one page in an hour, one each half a second
SMALL = {**CONFIG, "n_layers": 2, "emb_dim": 64, "context_length": 32, "max_steps": 300_000, "eval_every": 1_000_000, "snapshots": 0,
         "precision": "float32", "device": "cpu"}


class Watched:
    """A server over a folder of its own, and a run that it trains. A context manager that ends both."""

    def __init__(self, seed: int):
        self._held = ExitStack()
        self.root = self._held.enter_context(tempfile.TemporaryDirectory())
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self.demo = serve(self.root, port)
        self._held.callback(self._end)
        if told := press_train(self.url, "watched", {**SMALL, "seed": seed}):
            raise RuntimeError(told)
        wait_for(lambda: (Path(self.root) / "watched" / "status.json").exists() and self.run().status()["step"] > 10)

    def __enter__(self) -> "Watched":
        return self

    def __exit__(self, *exc) -> None:
        self._held.close()

    def _end(self) -> None:
        self.demo.terminate()
        self.demo.wait(timeout=60)

    def run(self) -> Run:
        return find_run(self.root, "watched")

    def speed(self, seconds: float) -> dict[str, float]:
        """Over so many seconds: steps of the training per second, and per second of processor time of its own, which other programs on
        the machine disturb less; seconds of processor time that the server uses per second."""
        training = self.run().status()["pid"]

        def now() -> tuple[float, ...]:  # the moment the run's folder tells of another step: it does so every few hundred steps
            told = self.run().status()["step"]
            wait_for(lambda: self.run().status()["step"] > told)
            return time.perf_counter(), self.run().status()["step"], cpu_seconds(training), cpu_seconds(self.demo.pid)

        begin = now()
        time.sleep(seconds)
        took, steps, worked, served = (after - before for before, after in zip(begin, now(), strict=True))
        return {"steps": steps / took, "steps_of_its_own": steps / worked, "server": served / took}


def thirty_pages(seconds: float, seed: int) -> dict[str, Any]:
    """Train with 30 pages watching and with none, in turn, for about `seconds` in all; then an hour's looks as fast as they are answered.

    Returns the training's slowdown (median of the pairs, and each; by wall time, and by its own processor time), the share of all
    cores that the server uses with and without pages, how the pages were answered, and the server's resident bytes before and after
    the hour.
    """
    pairs = max(1, round(seconds / 40))
    with_pages, alone, answers = [], [], []
    with Watched(seed) as watched:
        for _ in range(pairs):
            with polled(watched.url, PAGES) as told:
                time.sleep(OPENING)
                with_pages.append(watched.speed(seconds / pairs / 2))
            answers.append(told)
            alone.append(watched.speed(seconds / pairs / 2))
        memory = hour_of_looks(watched)
    wall, own = (slowdowns(with_pages, alone, kind) for kind in ("steps", "steps_of_its_own"))
    return {
        "pages": PAGES, "slowdown": statistics.median(wall), "slowdowns": wall,
        "slowdown_own": statistics.median(own), "slowdowns_own": own,
        "server_share": core_share(with_pages), "server_share_alone": core_share(alone),
        "looks": sum(told["looks"] for told in answers), "faults": [fault for told in answers for fault in told["faults"]],
        "memory": memory,
    }


def hour_of_looks(watched: Watched, looks: int = HOUR) -> dict[str, Any]:
    """Resident bytes of the server after a warm-up, and after one page has looked `looks` times; what a look costs it."""
    page = Page(watched.url, 0)
    for _ in range(looks // 5):
        page.look()
    before, used = resident_bytes(watched.demo.pid), cpu_seconds(watched.demo.pid)
    for _ in range(looks):
        page.look()
    used = cpu_seconds(watched.demo.pid) - used
    return {"looks": looks, "before": before, "after": resident_bytes(watched.demo.pid), "cpu_ms_a_look": 1000 * used / looks,
            "faults": page.faults}


def slowdowns(with_pages: list[dict[str, float]], alone: list[dict[str, float]], kind: str) -> list[float]:
    """By how much each training with pages is slower than the one without that followed it."""
    return [1 - a[kind] / b[kind] for a, b in zip(with_pages, alone, strict=True)]


def core_share(measured: list[dict[str, float]]) -> float:
    """The server's part of all cores' time."""
    return statistics.mean(one["server"] for one in measured) / os.cpu_count()


def cpu_seconds(pid: int) -> float:
    """Processor time that a process has used until now, all its threads together."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")  # utime and stime, fields 14 and 15 of the file


def resident_bytes(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")


def wait_for(condition: Any, seconds: float = 120) -> None:
    """Raises TimeoutError if `condition()` has not come true after so long."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"it did not come true in {seconds} s")
        time.sleep(0.01)


if __name__ == "__main__":
    import json

    print(json.dumps(thirty_pages(120, 1), indent=1))
