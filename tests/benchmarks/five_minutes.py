"""What a plan is worth (`--budget`, gpt/estimate/plan.py): five minutes as it says, against quick for five minutes, on the same text.

Both are runs of gpt.runs.session.Session, whose best weights count, and evaluate the whole validation text as often.
"""

import time
from functools import partial
from typing import Any

from gpt.config import PRESETS
from gpt.data.length import length
from gpt.data.sources import read_corpus
from gpt.estimate.plan import in_time, plan
from tests.benchmarks.minute import BITS, one_run
from tests.benchmarks.row import Result, Row, Setup, say, yes_no

MINUTES = 5.0
CLEAR = 0.02  # bits per byte: four times what two seeds of one run differ by
WITHIN = 0.25  # of its time a plan may end earlier or later


def pair(source: str, seed: int, minutes: float, device: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """What the plan and quick come to, with wall seconds; reading the text and planning belong to the plan's time."""
    begin = time.perf_counter()
    quick = {**PRESETS["quick"].config, "corpus": source, "seed": seed, "device": device, "eval_tokens": 0}
    found = length(read_corpus(source), quick["tokenizer"], quick["vocab_size"])
    chosen = plan(minutes, found.train_tokens, quick)
    planning = time.perf_counter() - begin
    say(f"  seed {seed}: {chosen.sentence()}")
    planned, _ = one_run(chosen.config)
    evaluated_as_often = in_time(quick, minutes, found.train_tokens).config
    usual, _ = one_run({**evaluated_as_often, "max_steps": 0, "max_minutes": minutes})
    return {**planned, "seconds": planning + planned["seconds"], "config": chosen.config}, usual


def measure(setup: Setup, source: str = "", minutes: float = MINUTES) -> Result:
    """One pair a seed, on `source` or on the text of the other rows."""
    pairs = []
    for seed in setup.seeds:
        pairs.append(pair(source or setup.source, seed, minutes, setup.device.type))
        say("  " + ", ".join(f"{run[BITS]:.4f} bits after {run['steps']} steps and {run['seconds']:.0f} s" for run in pairs[-1]))
    ours, peer = ([run[BITS] for run in runs] for runs in zip(*pairs, strict=True))
    shares = [planned["seconds"] / (60 * minutes) for planned, _ in pairs]
    reached = all(b - a >= CLEAR for a, b in zip(ours, peer, strict=True)) and all(abs(share - 1) <= WITHIN for share in shares)
    notes = [f"the plan ended after {', '.join(f'{share:.2f}' for share in shares)} of its time; the peer is quick, ended by the clock"]
    return Result(yes_no(reached), ours, peer, notes=notes, raw={"runs": pairs})


ROWS = tuple(Row(name, f"a plan for five minutes on {text}, against quick for five minutes, bits per byte",
                 f"{CLEAR:g} below, on time", partial(measure, source=source))
             for name, text, source in (("five_minutes", "the text", ""), ("five_minutes_stories", "the stories", "stories")))
