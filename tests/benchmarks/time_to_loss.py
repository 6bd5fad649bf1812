"""How long it takes to a given validation loss: ours with its habits, the peer with its recipe, on the same characters.

Both models have the same sizes and read the same training text; both are evaluated on the whole validation split in the same
windows. Habits are what is compared: each side has its own batch, learning rate, optimizer, number format and number of steps.
Both clocks start before the tokenizer is made and include every evaluation.
"""

from typing import Any

from gpt.config import PRESETS
from tests.benchmarks import ours, peer
from tests.benchmarks.row import Result, Row, Setup, at_least, ratios, say, yes_no

TARGET_LOSS = 1.886  # nats per character: what nanoGPT's README tells of the same sizes on a CPU
TARGET_RATIO = 14
SIZES = {"tokenizer": "char", "n_layers": 4, "n_heads": 4, "emb_dim": 128, "context_length": 64, "eval_tokens": 0}
OURS = {"batch": 12, "max_steps": 230, "eval_every": ours.NEVER, "weight_decay": 0.1}  # our habits beyond the preset quick
RECIPE = peer.Recipe()


def measure(setup: Setup, target: float = TARGET_LOSS, sizes: dict = SIZES, habits: dict = OURS, recipe: peer.Recipe = RECIPE) -> Result:
    """One pair a seed."""
    base = {**PRESETS["quick"].config, **sizes, "device": setup.device.type}
    mine, theirs = [], []
    for seed in setup.seeds:
        mine.append(ours.train_to_loss({**base, **habits, "seed": seed}, setup.corpus, target))
        say(f"  seed {seed}: ours {_told(mine[-1])}")
        theirs.append(peer.train_to_loss({**base, "seed": seed}, setup.corpus, target, recipe))
        say(f"  seed {seed}: peer {_told(theirs[-1])}")
    seconds = [[run["seconds"] for run in runs] for runs in (mine, theirs)]
    found = ratios(seconds[1], seconds[0])
    reached = all(run["reached"] for run in mine)
    return Result(yes_no(reached and at_least(TARGET_RATIO, found)), *seconds, found, _notes(mine, theirs, target),
                  {"target_loss": target, "config": {**base, **habits}, "recipe": recipe.__dict__, "ours": mine, "peer": theirs})


def _told(run: dict[str, Any]) -> str:
    return f"{run['seconds']:.1f} s, {run['steps']} steps, loss {run['evaluations'][-1]['val_loss']:.4f}"


def _notes(mine: list[dict], theirs: list[dict], target: float) -> list[str]:
    """What the seconds alone do not say: who missed the target, and how much the times between evaluations matter."""
    notes = []
    for side, runs in (("ours", mine), ("the peer", theirs)):
        if missed := sum(not run["reached"] for run in runs):
            notes.append(f"{side} missed the loss in {missed} of {len(runs)} runs: its seconds there are those of the whole run, "
                         "less than it needs")
    if not notes:
        exact = [[crossing(run["evaluations"], target) for run in runs] for runs in (mine, theirs)]
        shown = ", ".join(f"{ratio:.3g}" for ratio in ratios(exact[1], exact[0]))
        notes.append(f"interpolated between evaluations the ratios are {shown}")
        bare = [[run["seconds"] - sum(one["took"] for one in run["evaluations"]) for run in runs] for runs in (mine, theirs)]
        notes.append(f"without the time of evaluations they are {', '.join(f'{ratio:.3g}' for ratio in ratios(bare[1], bare[0]))}")
    return notes


def crossing(evaluations: list[dict[str, Any]], target: float) -> float:
    """Seconds at which the loss passed `target`, on a line between the last evaluation above it and the first at or below."""
    last = evaluations[-1]
    if len(evaluations) < 2:
        return last["seconds"]
    before = evaluations[-2]
    share = (before["val_loss"] - target) / (before["val_loss"] - last["val_loss"])
    return before["seconds"] + share * (last["seconds"] - before["seconds"])


ROWS = (Row("time_to_loss", f"characters, 4 layers, 4 heads, width 128, context 64: time to validation loss {TARGET_LOSS} nats, s",
            f"peer / ours >= {TARGET_RATIO}", measure),)
