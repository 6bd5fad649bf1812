"""Whether the memory that the page tells before a run is the memory that the run takes."""

import resource
import sys
from pathlib import Path

import torch

from gpt.config import PRESETS
from gpt.estimate.price import training_bytes
from tests.benchmarks import ours
from tests.benchmarks.row import Result, Row, Setup, yes_no
from tests.benchmarks.timing import in_fresh_process, take

MOST_APART = 0.2
CHANGES = {"batch": 8, "grad_accum": 1}  # over the preset gpt2-124m: accumulating takes no more memory


def peak_bytes(config: dict, steps: int) -> int:
    """Peak memory of this process after `steps` steps: resident on a CPU, PyTorch's own on a GPU. To be called in a fresh process."""
    take(ours.steps(config, n_tokens=4 * config["batch"] * config["context_length"]), steps)
    return torch.cuda.max_memory_allocated() if config["device"] == "cuda" else peak_resident_bytes()


def peak_resident_bytes() -> int:
    """VmHWM of this process. ru_maxrss only where there is none: on Linux a child inherits it from the process that started it,
    so it would tell the benchmark's own peak."""
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    for line in lines:
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def measure(setup: Setup, changes: dict = CHANGES, steps: int = 2) -> Result:
    """One fresh process: memory does not vary from run to run."""
    config = {**PRESETS["gpt2-124m"].config, **changes, "device": setup.device.type, "seed": setup.seeds[0]}
    measured, told = in_fresh_process(peak_bytes, config, steps), training_bytes(config)
    kind = "PyTorch's peak on the GPU" if setup.device.type == "cuda" else "peak resident memory of the process"
    return Result(yes_no(abs(measured / told - 1) <= MOST_APART), [measured / 1e9], [told / 1e9], [measured / told],
                  [f"ours is {kind} after {steps} steps; the peer is what gpt.estimate tells before"], {"config": config, "steps": steps})


ROWS = (Row("memory_124m", "training GPT-2 124M, batch 8, context 1,024: memory taken, against memory told, GB",
            f"within {MOST_APART:.0%}", measure),)
