"""What it takes to find out what heads do: one taken out, every one in turn, and the importance of all by gradient."""

import functools
import statistics
from collections.abc import Callable

import torch

from gpt.interpret.ablation import ablated, affordable_windows, head_means, importance, measure, sweep_layer
from gpt.interpret.probes import LONGEST_WINDOW, N_WINDOWS
from gpt.model.gpt2 import GPT2
from tests.benchmarks.looking import LARGE, QUICK, model_of
from tests.benchmarks.row import NO_TARGET, Result, Row, Setup, say, yes_no
from tests.benchmarks.timing import seconds_of

SIXTEEN = {**QUICK, "n_layers": 4}  # quick's sizes with 4 x 4 heads
MOST_SECONDS = 3


def windows_of(model: GPT2, seed: int) -> torch.Tensor:
    """(M, T + 1) random tokens, as many as a model of this size is tried on."""
    T = min(model.context_length, LONGEST_WINDOW)
    return affordable_windows(model, torch.randint(model.vocab_size, (N_WINDOWS, T + 1), generator=torch.Generator().manual_seed(seed)))


def one_head(model: GPT2, windows: torch.Tensor) -> None:
    measure(model, ablated(model, [(0, 0)], head_means(model, windows[:, :-1])), windows)


def every_head(model: GPT2, windows: torch.Tensor) -> None:
    """As the page asks for it: layer by layer, with the means taken anew each time."""
    for layer in range(len(model.blocks)):
        sweep_layer(model, windows, layer, head_means(model, windows[:, :-1]))


def first_layer(model: GPT2, windows: torch.Tensor) -> None:
    sweep_layer(model, windows, 0, head_means(model, windows[:, :-1]))


def measure_ablating(setup: Setup, base: dict, work: Callable[[GPT2, torch.Tensor], object], rounds: int, most: float = 0) -> Result:
    """Seconds of `work`, once more than is counted."""
    model = model_of(setup, base)
    windows = windows_of(model, setup.seeds[0])
    found = []
    for i in range(rounds + 1):
        found.append(seconds_of(lambda: work(model, windows), setup.device))
        say(f"  round {i}: {found[-1]:.3g} s")
    found = found[1:]
    M, T = windows[:, 1:].shape
    return Result(yes_no(statistics.median(found) < most) if most else NO_TARGET, found, notes=[f"on {M} sequences of {T} tokens"],
                  raw={"config": model.config, "sequences": M, "tokens": T})


ROWS = (
    Row("sweep_quick", "quick's sizes, 4 x 4 heads: each taken out in turn, s", f"< {MOST_SECONDS}",
        functools.partial(measure_ablating, base=SIXTEEN, work=every_head, rounds=7, most=MOST_SECONDS)),
    Row("ablation_quick", "the same model: one head taken out by its mean, s", "-",
        functools.partial(measure_ablating, base=SIXTEEN, work=one_head, rounds=20)),
    Row("importance_quick", "the same model: the importance of 16 heads by gradient, s", "-",
        functools.partial(measure_ablating, base=SIXTEEN, work=importance, rounds=7)),
    Row("sweep_124m", "124 M parameters: the 12 heads of the first layer, the dearest, each taken out in turn, s", "-",
        functools.partial(measure_ablating, base=LARGE, work=first_layer, rounds=2)),
    Row("ablation_124m", "124 M parameters: one head taken out by its mean, s", "-",
        functools.partial(measure_ablating, base=LARGE, work=one_head, rounds=3)),
    Row("importance_124m", "124 M parameters: the importance of 144 heads by gradient, s", "-",
        functools.partial(measure_ablating, base=LARGE, work=importance, rounds=2)),
)
