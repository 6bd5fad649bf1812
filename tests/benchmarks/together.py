"""Two processes against one on the same cores, or on two GPUs: the same losses, and what it costs or gains to train together."""

import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from gpt.config import CONFIG, PRESETS, as_flags
from gpt.ui.server.jobs import training_arguments, with_processes
from tests.benchmarks.machine import PROJECT
from tests.benchmarks.row import Result, Row, Setup, ratios, yes_no

MOST_APART = 1e-4  # nats per token
WARM = 5  # steps that are not timed
ONLY_TRAINING = {"precision": "float32", "eval_every": 1_000_000, "eval_tokens": 4096, "head_scores": 0, "snapshots": 0}


def train(config: dict, root: Path, name: str, processes: int) -> list[dict]:
    """Train a run with so many processes, as the page would. Returns its training rows."""
    words = with_processes(training_arguments(config, "", name, root), processes)
    done = subprocess.run([sys.executable, *words], cwd=PROJECT, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{processes} processes ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")
    rows = [json.loads(line) for line in (root / name / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    return [row for row in rows if "loss" in row]


def apart(one: list[dict], other: list[dict]) -> float:
    """The largest difference of two curves of the training loss, in nats per token."""
    return max(abs(a["loss"] - b["loss"]) for a, b in zip(one, other, strict=True))


def speed(rows: list[dict]) -> float:
    return statistics.median(row["tokens_per_second"] for row in rows[WARM:])


def measure(setup: Setup, changes: dict | None = None, steps: int = 50) -> Result:
    """In turn for each seed: one process, two, and one that accumulates the gradients of two half batches."""
    base = {**PRESETS["quick"].config, **ONLY_TRAINING, "max_steps": steps, "corpus": str(Path(setup.source).resolve()),
            "device": setup.device.type, **(changes or {})}
    one, two, apart_two, apart_accumulated = [], [], [], []
    with tempfile.TemporaryDirectory() as root:
        for seed in setup.seeds:
            config = {**base, "seed": seed}
            halves = {**config, "batch": config["batch"] // 2, "grad_accum": 2 * config["grad_accum"]}
            alone, together = (train(config, Path(root), f"{n}-{seed}", n) for n in (1, 2))
            one.append(speed(alone))
            two.append(speed(together))
            apart_two.append(apart(alone, together))
            apart_accumulated.append(apart(alone, train(halves, Path(root), f"accumulated-{seed}", 1)))
    notes = [f"training losses over {steps} steps: two processes at most {max(apart_two):.1e} nats per token from one, "
             f"accumulated halves at most {max(apart_accumulated):.1e}", "the peer is one process of ours, with all cores"]
    reached = yes_no(max(apart_two + apart_accumulated) < MOST_APART)
    differing = {name: value for name, value in base.items() if value != CONFIG[name] and name != "corpus"}
    return Result(reached, two, one, ratios(two, one), notes,
                  {"flags": as_flags(differing), "apart_two": apart_two, "apart_accumulated": apart_accumulated})


ROWS = (Row("processes", "training quick in float32 with two processes, against one, tokens/s", f"losses within {MOST_APART:g}", measure),)
