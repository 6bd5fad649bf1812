"""How the time of a training step grows with each size, beside how its arithmetic grows.

One size changes at a time, the others stay at the preset quick; tokens per step stay the same, so the seconds of a step are seconds
per token. AdamW everywhere: gpt.estimate.price.flops_per_token, which is the theory, does not count Muon's own products. Where the
measured slope d log(time) / d log(size) is above the theory's, something beside the arithmetic grows; below it, something fixed
still weighs.
"""

import itertools
import math
import statistics
from typing import Any

from gpt.config import PRESETS
from gpt.estimate.price import flops_per_token
from gpt.training.trainer import tokens_per_step
from tests.benchmarks import ours
from tests.benchmarks.report import markdown, number
from tests.benchmarks.row import NO_TARGET, Result, Row, Setup, say
from tests.benchmarks.timing import seconds_of, take

TOKENS_PER_STEP = 1024
SIZES = {"context_length": (64, 128, 256, 512, 1024), "n_layers": (2, 4, 8, 12), "emb_dim": (64, 128, 256, 512),
         "vocab_size": (65, 1024, 8192, 50257)}


def speed(config: dict, setup: Setup, seconds: float) -> float:
    """Tokens per second: the median step of as many as fit into about `seconds`, but 5 at least, after 2 to get warm."""
    steps = ours.steps(config)
    take(steps, 2)
    times: list[float] = []
    while len(times) < 5 or sum(times) < seconds:
        times.append(seconds_of(lambda: next(steps), setup.device))
    return tokens_per_step(config) / statistics.median(times)


def measure(setup: Setup, sizes: dict = SIZES, tokens: int = TOKENS_PER_STEP, seconds: float = 3.0) -> Result:
    """Every size of every axis once."""
    base = {**PRESETS["quick"].config, "tokenizer": "char", "optimizer": "adamw", "device": setup.device.type, "seed": setup.seeds[0]}
    points = []
    for axis, values in sizes.items():
        for value in values:
            config = {**base, axis: value}
            config["batch"] = max(1, tokens // config["context_length"])
            found = speed(config, setup, seconds)
            points.append({"axis": axis, "size": value, "tokens_per_second": found, "flops_per_token": flops_per_token(config)})
            say(f"  {axis} {value}: {found:,.0f} tokens/s")
    pairs = [(axis, slopes(before, after)) for axis in sizes
             for before, after in itertools.pairwise(point for point in points if point["axis"] == axis)]
    steepest = {axis: max(found["measured"] - found["theory"] for name, found in pairs if name == axis) for axis in sizes}
    notes = [f"slopes are furthest above the theory's by {', '.join(f'{value:+.2f} ({axis})' for axis, value in steepest.items())}"]
    raw = {"base": base, "points": points, "slopes": [{"axis": axis, **found} for axis, found in pairs]}
    return Result(NO_TARGET, notes=notes, raw=raw, table=_table(points))


def slopes(before: dict[str, Any], after: dict[str, Any]) -> dict[str, float]:
    """From one size to the next: how many times the size, the time and the arithmetic of a token grow, and the slopes of both."""
    size = after["size"] / before["size"]
    time = before["tokens_per_second"] / after["tokens_per_second"]
    work = after["flops_per_token"] / before["flops_per_token"]
    slope = {"measured": math.log(time) / math.log(size), "theory": math.log(work) / math.log(size)}
    return {"size": size, "time": time, "work": work, **slope}


def _table(points: list[dict[str, Any]]) -> str:
    lines = []
    for i, point in enumerate(points):
        cells = ("-", "-", "-")
        if i and points[i - 1]["axis"] == point["axis"]:
            found = slopes(points[i - 1], point)
            cells = (f"{found['time']:.2f}", f"{found['measured']:.2f}", f"{found['theory']:.2f}")
        lines.append((f"`{point['axis']}`", str(point["size"]), number(point["tokens_per_second"]), *cells))
    header = ("size", "is", "tokens/s", "time per token, times the one before", "slope measured", "slope of the arithmetic")
    return markdown(header, lines)


ROWS = (Row("scaling", "training over context, layers, width and vocabulary, one at a time: the second table", "-", measure),)
