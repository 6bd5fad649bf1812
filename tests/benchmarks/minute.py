"""What a minute is worth: the loss on the whole validation split after at most 60 s of wall time.

A run of gpt.runs.session.Session in a folder of its own, as `python -m gpt.pretrain` makes it. The minute holds everything from the
reading of the text: training the tokenizer (BPE on the training part alone), every step, sample and save, the first and the last
evaluation, and loading the best weights back. Starting Python and importing PyTorch come before it. After the minute the loaded
weights are evaluated once more by another loop, in float32, as a check.
"""

import math
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from gpt.config import CONFIG, PRESETS
from gpt.data.corpus import Corpus
from gpt.data.dataset import TokenizedText
from gpt.runs.run import load_run
from gpt.runs.session import Session
from tests.benchmarks import ours
from tests.benchmarks.row import Result, Row, Setup, say, yes_no

LIMIT_SECONDS = 60.0
RESERVE_SECONDS = 4.0  # of the minute, for the last evaluation, saving and loading
ONLY_AT_THE_ENDS = {"max_steps": 0, "epoch": 0.0, "eval_every": ours.NEVER, "eval_tokens": 0}
OUR_HABITS = {name: CONFIG[name] for name in ("optimizer", "learning_rate", "weight_decay")}
CLASSIC = {**PRESETS["gpt2-classic"].changes, **OUR_HABITS}  # its layers alone
CHARACTERS = {"tokenizer": "char", "context_length": 64, "batch": 16, "weight_decay": 0.1}  # read twice in a minute, not four times
NATS, BITS = "nats_per_token", "bits_per_byte"


def one_run(config: dict) -> tuple[dict[str, Any], Any]:
    """Train `config` in a temporary folder. Returns what the run says of itself with the wall seconds of it all, and the model
    and tokenizer that were loaded back."""
    with tempfile.TemporaryDirectory() as root:
        begin = time.perf_counter()
        session, evaluations = Session(root, "minute", config), []
        for event in session.events():
            if event.kind == "evaluation":
                evaluations.append(event.row)
        loaded = load_run(f"{root}/minute")
        seconds = time.perf_counter() - begin
        best = min(evaluations, key=lambda row: row["val_loss"])
        return {"seconds": seconds, "steps": session.trainer.step, "precision": session.trainer.precision,
                NATS: best["val_loss"], BITS: best["bits_per_byte"], "evaluations": evaluations}, loaded


def checked(run: dict[str, Any], loaded: Any, corpus: Corpus) -> dict[str, Any]:
    """`run` with the loss of the loaded weights, computed anew, in each unit that others report."""
    model, tokenizer = loaded
    validation_text = corpus.strings()[1]
    text = TokenizedText.encode(corpus, tokenizer)
    nats = ours.whole_split(model, text.validation)
    n_bytes = int(text.byte_lengths[text.validation[1:].long()].sum())  # the first token is not predicted
    return {**run, "anew": {NATS: nats / (len(text.validation) - 1), BITS: nats / math.log(2) / n_bytes,
                            "nats_per_character": nats / n_bytes * len(validation_text.encode()) / len(validation_text),
                            "nats": nats, "tokens": len(text.validation) - 1, "bytes": n_bytes}}


def measure(setup: Setup, changes: dict, unit: str, target: float, limit: float = LIMIT_SECONDS,
            reserve: float = RESERVE_SECONDS) -> Result:
    """One run a seed."""
    config = {**PRESETS["quick"].config, **changes, **ONLY_AT_THE_ENDS, "max_minutes": (limit - reserve) / 60,
              "corpus": setup.source, "device": setup.device.type}
    runs = []
    for seed in setup.seeds:
        runs.append(checked(*one_run({**config, "seed": seed}), setup.corpus))
        say(f"  seed {seed}: {runs[-1][unit]:.4f} after {runs[-1]['steps']} steps and {runs[-1]['seconds']:.1f} s")
    values, late = [run[unit] for run in runs], [run["seconds"] for run in runs if run["seconds"] > limit]
    notes = [f"wall time {', '.join(format(run['seconds'], '.1f') for run in runs)} s, limit {limit:g}"]
    notes += [f"{len(late)} of {len(runs)} runs took longer: not reached"] if late else []
    apart = max(abs(run[NATS] - run["anew"][NATS]) for run in runs)
    if apart > 0.01:
        notes.append(f"evaluated anew in float32, the loaded weights are up to {apart:.3f} nats per token away from what the run says")
    return Result(yes_no(not late and statistics.median(values) <= target), values, notes=notes,
                  raw={"config": {**config, "corpus": setup.corpus.name}, "runs": runs})


def _row(name: str, what: str, unit: str, target: float, changes: dict) -> Row:
    run: Callable[[Setup], Result] = partial(measure, changes=changes, unit=unit, target=target)
    return Row(name, f"{what}, validation loss after a minute, {unit.replace('_', ' ')}", f"<= {target}", run)


ROWS = (
    _row("minute_bpe", "BPE learned from the training text", BITS, 2.04, {"tokenizer": "bpe"}),
    _row("minute_char", "characters, context 64", NATS, 1.50, CHARACTERS),
    _row("minute_char_classic", "characters, context 64, GPT-2's layers with Muon", NATS, 1.60, {**CLASSIC, **CHARACTERS}),
)
