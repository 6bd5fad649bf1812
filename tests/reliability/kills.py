"""SIGKILL at random moments, before file operations and in the middle of writing; then resume, and compare."""

import os
import random
import signal
import tempfile
import time
from pathlib import Path
from typing import Any

from gpt.runs.run import Run, load_run, step_of
from tests.reliability.deaths import die_before_operation, die_in_write
from tests.reliability.lab import SAVE_SECONDS, differences, ended, in_a_child, small_config, train

KINDS = ("a random moment", "a file operation", "half a write")
RUN_SECONDS = 0.6  # about what the small run takes
OPERATIONS, WRITES = 150, 90  # of about the first third of it
BEGINS_AGAIN = ("nothing had been saved yet",)  # a warning that only a killed run has


def kills(rounds: int, seed: int) -> dict[str, Any]:
    """Kill a run again and again until it is done, then the next one, `rounds` kills in all.

    Returns how many kills, how many of each kind, how many times everything read back and went on, the most work lost at once in
    seconds, and what differed at the end of a run from one that was never killed.
    """
    rng = random.Random(seed)
    told = {"save_seconds": SAVE_SECONDS, "tried": 0, "survived": 0, "kinds": dict.fromkeys(KINDS, 0), "most_seconds_lost": 0.0,
            "most_steps_lost": 0, "runs": 0, "differences": []}
    with tempfile.TemporaryDirectory() as folder:
        root, config = Path(folder) / "runs", small_config(Path(folder))
        assert ended(in_a_child(train, root, "whole", config)) == "done"
        while told["tried"] < rounds:
            run = Run(root / f"killed-{told['runs']}")
            told["runs"] += 1
            _until_done(run, config, rng, told, rounds)
            if differing := differences(run, Run(root / "whole"), BEGINS_AGAIN):
                told["differences"].append(f"{run.name}: {', '.join(differing)}")
    return told


def _until_done(run: Run, config: dict, rng: random.Random, told: dict[str, Any], rounds: int) -> None:
    """One run, killed until `rounds` kills have been made, and then let be."""
    begun = False
    while True:
        kind = KINDS[told["tried"] % len(KINDS)] if told["tried"] < rounds else ""
        n, after = rng.randrange(1, WRITES if kind == "half a write" else OPERATIONS), rng.uniform(0, RUN_SECONDS)
        process = in_a_child(_doomed, kind, n, run, None if begun else config)
        if kind == "a random moment":
            time.sleep(after)
            os.kill(process, signal.SIGKILL)
        end = ended(process)
        if end == "done":
            return
        if end != "killed":
            raise RuntimeError(f"{run.name}, {kind} {n}: the process {end} by itself")
        told["tried"] += 1
        told["kinds"][kind] += 1
        begun = _reads_back(run, told)
        told["survived"] += 1


def _doomed(kind: str, n: int, run: Run, config: dict | None) -> None:
    """What the child does: train, and die as `kind` says."""
    if kind == "a file operation":
        die_before_operation(n, run.path)
    if kind == "half a write":
        die_in_write(n)
    train(run.path.parent, run.name, config)


def _reads_back(run: Run, told: dict[str, Any]) -> bool:
    """Check all that a reader may ask of a run whose process was killed. Returns whether it had begun."""
    if not (run.path / "config.json").exists():  # killed before it was a run: it can be begun again under the same name
        return False
    status = run.status()
    if status["state"] != "done":  # else it was killed after its last word
        assert status["state"] == "failed", status
        assert status["error"].startswith("its process ended without a word at "), status
    if (run.path / "best.safetensors").exists():
        load_run(run.path)
    for step in run.snapshots():
        load_run(run.path, step)
    rows, saves = run.rows()[0], run.saves()
    saved = step_of(saves[0]) if saves else 0
    if rows:
        since = next((row["seconds"] for row in reversed(rows) if row["step"] <= saved), 0.0)
        told["most_steps_lost"] = max(told["most_steps_lost"], rows[-1]["step"] - saved)
        told["most_seconds_lost"] = max(told["most_seconds_lost"], round(rows[-1]["seconds"] - since, 3))
    return True
