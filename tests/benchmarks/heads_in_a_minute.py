"""`python -m tests.benchmarks.heads_in_a_minute`: which heads form while the preset quick learns the stories, when the page says so, how
near the loss comes to perfect, and what is lost without the induction head. One run a seed, with all cores, one after the other.
"""

import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from gpt.cli import Parser, user_errors_exit
from gpt.config import PRESETS
from gpt.data.baselines import FREQUENCIES
from gpt.interpret.ablation import ablated, head_means, measure
from gpt.interpret.heads import score_heads
from gpt.runs.run import load_run
from gpt.runs.session import Session
from tests.benchmarks.machine import hardware
from tests.benchmarks.report import markdown
from tests.benchmarks.row import say
from tests.benchmarks.timing import in_fresh_process

PREVIOUS, ON_TEXT, ON_RANDOM = "previous token", "induction on text", "induction"
AGAIN = ("refrain again", "name again")  # kinds of token that an induction head should be needed for


class Best(NamedTuple):
    """The head with the highest score, and the step at which the page first said that some head has this role (None: never)."""

    layer: int
    head: int
    score: float
    told: int | None

    def __str__(self) -> str:
        return f"{self.score:.2f} ({self.layer}.{self.head}, step {self.told or '-'})"


class Outcome(NamedTuple):
    """What one run came to. Losses are nats per token; `lost` is by which they rise for tokens of AGAIN without the head `on_text`."""

    seconds: float
    previous: Best
    on_text: Best
    on_random: float
    loss: float
    perfect: float
    frequencies: float
    lost: dict[str, float]

    def cells(self) -> tuple[str, ...]:
        way = (self.frequencies - self.loss) / (self.frequencies - self.perfect)
        return (f"{self.seconds:.0f}", str(self.previous), str(self.on_text), f"{self.on_random:.2f}", f"{self.loss:.4f}",
                f"{self.perfect:.4f}", f"{100 * (self.loss / self.perfect - 1):.1f} %", f"{100 * way:.1f} %",
                *(f"+{self.lost[kind]:.2f}" for kind in AGAIN))


COLUMNS = ("seed", "seconds of work", "previous-token head", "induction head on text", "it on random tokens", "loss", "perfect", "above it",
           "of the way", *(f"without it, {kind}" for kind in AGAIN))


def run(seed: int, changes: dict[str, Any]) -> Outcome:
    """Quick, with `changes` of its settings, as the page would train it."""
    with tempfile.TemporaryDirectory() as folder:
        session = Session(folder, "quick", {**PRESETS["quick"].config, **changes, "seed": seed})
        for _ in session.events():
            pass
        model, _ = load_run(Path(folder) / "quick")
        rows, probes = session.writer.rows()[0], session.writer.probes()
    scores = score_heads(model, probes)
    previous, on_text = best(scores.values[PREVIOUS], rows, PREVIOUS), best(scores.values[ON_TEXT], rows, ON_TEXT, ON_RANDOM)
    induction = on_text.layer, on_text.head
    effect = measure(model, ablated(model, [induction], head_means(model, probes.windows[:, :-1])), probes.windows)
    lost = {kind: change for kind, _, change in effect.by_kind(probes.kinds[:, 1:].numpy(), probes.names)}
    last = [row for row in rows if "val_loss" in row][-1]
    frequencies = next(row[FREQUENCIES] for row in rows if row.get("kind") == "baselines")
    return Outcome(last["seconds"], previous, on_text, float(scores.values[ON_RANDOM][induction]), last["val_loss"], last["perfect"],
                   frequencies, lost)


def best(values: np.ndarray, rows: list[dict[str, Any]], *roles: str) -> Best:
    """Of (L, H) scores, and when the rows of the run first report a head with one of `roles`."""
    layer, head = np.unravel_index(int(values.argmax()), values.shape)
    told = next((row["step"] for row in rows if row.get("kind") == "formed" and row["role"] in roles), None)
    return Best(int(layer), int(head), float(values[layer, head]), told)


def main(argv: list[str] | None = None) -> None:
    parser = Parser(prog="python -m tests.benchmarks.heads_in_a_minute", description="Which heads form while quick learns the stories.")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3, 4, 5], metavar="SEED", help="a run each (default 1 2 3 4 5)")
    parser.add_argument("--max_steps", type=int, default=PRESETS["quick"].config["max_steps"], help="of each run (default %(default)d)")
    given = parser.parse_args(argv)
    lines = []
    with user_errors_exit(parser):
        for seed in given.seeds:
            lines.append((str(seed), *in_fresh_process(run, seed, {"max_steps": given.max_steps}).cells()))
            say(" | ".join(lines[-1]))
    print(hardware(torch.device("cpu"))["cpu"], *hardware(torch.device("cpu"))["flags"])
    print(markdown(COLUMNS, lines))


if __name__ == "__main__":
    main()
