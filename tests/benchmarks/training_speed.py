"""Training steps per second at equal sizes and equal arithmetic: GPT-2's own layers, AdamW and float32 on both sides.

Each side does whole steps: window, forward, loss, backward, clipping, optimizer; ours through its Trainer, the peer in the loop
that a user writes. The tokens are random: speed does not depend on what they say. Blocks of steps are taken in turn.
"""

import statistics

from gpt.config import PRESETS
from gpt.estimate.price import flops_per_token
from gpt.training.trainer import tokens_per_step
from tests.benchmarks import ours, peer
from tests.benchmarks.row import Result, Row, Setup, at_least, ratios, yes_no
from tests.benchmarks.timing import in_turn, seconds_of, take

TARGET_RATIO = 2.5
SIZES = {"tokenizer": "char", "vocab_size": 65, "n_layers": 4, "n_heads": 4, "emb_dim": 128, "context_length": 64, "batch": 12}


def measure(setup: Setup, sizes: dict = SIZES, blocks: int = 9, block: int = 50, warm: int = 20) -> Result:
    """`blocks` pairs of blocks of `block` steps, after `warm` steps of each side that do not count."""
    config = {**PRESETS["gpt2-classic"].config, **sizes, "precision": "float32", "device": setup.device.type, "seed": setup.seeds[0]}
    mine, theirs = ours.steps(config), peer.steps(config, peer.Recipe(batch=config["batch"]))
    for steps in (mine, theirs):
        take(steps, warm)

    def speed(steps) -> float:
        return block * tokens_per_step(config) / seconds_of(lambda: take(steps, block), setup.device)

    speeds = in_turn(blocks, lambda: speed(mine), lambda: speed(theirs))
    found = ratios(*speeds)
    shares = [statistics.median(side) * flops_per_token(config) / setup.rates["float32"] for side in speeds]
    note = (f"of the measured float32 matrix rate ours uses {shares[0]:.0%}, the peer {shares[1]:.0%}: at 100 % the ratio would be "
            f"{1 / shares[1]:.2f}, so no implementation of the same arithmetic can pass that here")
    return Result(yes_no(at_least(TARGET_RATIO, found)), *speeds, found, [note],
                  {"config": config, "flops_per_token": flops_per_token(config), "steps_a_block": block,
                   "share_of_float32_rate": {"ours": shares[0], "peer": shares[1]}})


ROWS = (Row("training_speed", "training GPT-2's layers, 4 layers, width 128, context 64, batch 12, AdamW, float32, tokens/s",
            f"ours / peer >= {TARGET_RATIO}", measure),)
