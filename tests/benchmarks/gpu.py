"""What a CUDA GPU reaches: nanoGPT's character model to its published loss, and the share of the GPU that GPT-2 124M keeps busy."""

import statistics
import time

from gpt.config import PRESETS
from gpt.estimate.price import flops_per_token
from gpt.training.trainer import tokens_per_step
from tests.benchmarks import ours
from tests.benchmarks.row import NOT_MEASURED, Result, Row, Setup, say, yes_no
from tests.benchmarks.timing import in_fresh_process, seconds_of, take

TARGET_LOSS, TARGET_SECONDS = 1.4697, 20  # nats per character, from nanoGPT's README for these sizes
SIZE_FIELDS = ("tokenizer", "n_layers", "n_heads", "emb_dim", "context_length", "batch", "dropout_rate")
SHAKESPEARE = {**{name: PRESETS["shakespeare-char"].config[name] for name in SIZE_FIELDS}, "eval_tokens": 0,
               "optimizer": "muon", "learning_rate": 0.01, "max_steps": 600, "warmup": 50, "eval_every": 50}  # over the preset quick
TARGET_SHARE = 50  # per cent
LARGE = {"batch": 32, "grad_accum": 1}  # over the preset gpt2-124m


def shakespeare(setup: Setup, changes: dict = SHAKESPEARE) -> Result:
    """One run a seed, each in a fresh process: the seconds include waking the GPU and making its kernels ready, the tokenizer, the
    model and every evaluation. Only Python's start and the imports come before."""
    if setup.device.type != "cuda":
        return _no_gpu()
    config, runs = {**PRESETS["quick"].config, **changes, "device": "cuda"}, []
    for seed in setup.seeds:
        runs.append(in_fresh_process(ours.train_to_loss, {**config, "seed": seed}, setup.corpus, TARGET_LOSS))
        say(f"  seed {seed}: {runs[-1]['seconds']:.1f} s, {runs[-1]['steps']} steps, loss {runs[-1]['evaluations'][-1]['val_loss']:.4f}")
    seconds, missed = [run["seconds"] for run in runs], sum(not run["reached"] for run in runs)
    notes = [f"{missed} of {len(runs)} runs ended above the loss: not reached"] if missed else []
    return Result(yes_no(not missed and statistics.median(seconds) < TARGET_SECONDS), seconds, notes=notes,
                  raw={"config": config, "target_loss": TARGET_LOSS, "runs": runs})


def utilisation(setup: Setup, changes: dict = LARGE, blocks: int = 5, seconds: float = 3.0, warm: int = 10) -> Result:
    """Model FLOPs of real Trainer steps on random tokens, over the bfloat16 rate that this GPU showed in one matrix product.

    The count is gpt.estimate.price.flops_per_token: 6 for each weight, and attention as if it were not causal, as PaLM counts it.
    """
    if setup.device.type != "cuda":
        return _no_gpu()
    config = {**PRESETS["gpt2-124m"].config, **changes, "device": "cuda", "seed": setup.seeds[0]}
    steps = ours.steps(config, n_tokens=4_000_000)
    begin = time.perf_counter()
    take(steps, warm)
    say(f"  {warm} steps to get warm took {time.perf_counter() - begin:.1f} s")
    once = seconds_of(lambda: take(steps, 3), setup.device) / 3
    block = max(3, round(seconds / once))
    speeds = [block * tokens_per_step(config) / seconds_of(lambda: take(steps, block), setup.device) for _ in range(blocks)]
    shares = [100 * speed * flops_per_token(config) / setup.rates["bfloat16"] for speed in speeds]
    note = f"{statistics.median(speeds):,.0f} tokens/s; the rate of a bfloat16 product is {setup.rates['bfloat16'] / 1e12:.0f} TFLOP/s"
    return Result(yes_no(statistics.median(shares) >= TARGET_SHARE), shares, notes=[note],
                  raw={"config": config, "tokens_per_second": speeds, "flops_per_token": flops_per_token(config), "steps_a_block": block})


def _no_gpu() -> Result:
    return Result(NOT_MEASURED, notes=["needs --device cuda"])


ROWS = (
    Row("gpu_shakespeare", f"one GPU: 6 layers, width 384, context 256, characters, time to validation loss {TARGET_LOSS} nats, s",
        f"< {TARGET_SECONDS}", shakespeare),
    Row("gpu_124m", "one GPU: GPT-2 124M, context 1,024, model FLOP utilisation, %", f">= {TARGET_SHARE}", utilisation),
)
