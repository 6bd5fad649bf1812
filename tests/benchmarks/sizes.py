"""`python -m tests.benchmarks.sizes --text tinyshakespeare.txt`: how well models of several sizes learn for several numbers of steps.

Repeats, with one thread each, the runs that sizes.json holds: quick with other sizes, on the text and on its first quarter. It writes what
comes out over what was there, and prints the law that fits it best, by which gpt/estimate/plan.py chooses. Without --text nothing is
trained. A run that is to be added is a line with its text and its settings. The rows on the stories of before 30 November 2026, which
another grammar wrote, cannot be repeated, and stay as they are.
"""

import itertools
import json
import statistics
import time
from pathlib import Path
from typing import Any

import torch

from gpt.cli import Parser, user_errors_exit
from gpt.config import CONFIG, PRESETS
from gpt.data.corpus import Corpus
from gpt.data.sources import read_corpus
from gpt.estimate.plan import Law
from gpt.model.flops import count_parameters
from gpt.training.trainer import tokens_per_step
from tests.benchmarks import ours
from tests.benchmarks.row import say
from tests.benchmarks.timing import in_fresh_process

DATA = Path(__file__).with_name("sizes.json")
QUARTER = 280_000  # characters
SAME_CONTEXT, SAME_VOCABULARY = 128, 1024  # of the runs that the law is fitted to: it says nothing of either
EARLIER_STORIES = "earlier stories"
EXPONENTS = [0.05 * i for i in range(2, 41)]
REUSES = [1.0, 2.0, 3.0, 4.5, 6.5, 10.0, 15.0, 22.0]


def corpus_named(text: str, source: str) -> Corpus:
    """The text of a row, where Tiny Shakespeare is the file `source`."""
    whole = read_corpus(source)
    return whole if text == "tinyshakespeare" else Corpus.of_text(text, "".join(whole.strings())[:QUARTER], whole.prompt)


def run(row: dict[str, Any], source: str) -> dict[str, Any]:
    """The run of a row, made anew: what the law needs, and the bits per byte of the whole validation text at its end."""
    torch.set_num_threads(1)
    settings = {name: value for name, value in row.items() if name in CONFIG and name != "precision"}
    config = {**PRESETS["quick"].config, "eval_every": ours.NEVER, "eval_tokens": 0, **settings}
    config, text = ours.encode(config, corpus_named(row["text"], source))
    trainer, begin = ours.make_trainer(config, text), time.process_time()
    evaluations = [event.row for event in trainer.events() if event.kind == "evaluation"]
    return {"text": row["text"], **settings, "parameters": sum(count_parameters(config).values()),
            "tokens": config["max_steps"] * tokens_per_step(config), "distinct": len(text.train), "precision": trainer.precision,
            "bits_per_byte": round(evaluations[-1]["bits_per_byte"], 5), "core_seconds": round(time.process_time() - begin)}


def fitted(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What the law is fitted to: rows of the whole texts, one context and one vocabulary; the mean of those that differ only in the seed,
    and of those that differ only in weight decay or in the number of heads, the best."""
    usual = [row for row in rows if row["context_length"] == SAME_CONTEXT and row["vocab_size"] == SAME_VOCABULARY
             and row["text"] in ("tinyshakespeare", EARLIER_STORIES)]
    alike = grouped(usual, "text", "parameters", "tokens", "weight_decay", "n_heads")
    means = [{**rows[0], "bits_per_byte": statistics.mean(row["bits_per_byte"] for row in rows)} for rows in alike]
    return [min(rows, key=lambda row: row["bits_per_byte"]) for rows in grouped(means, "text", "parameters", "tokens")]


def grouped(rows: list[dict[str, Any]], *names: str) -> list[list[dict[str, Any]]]:
    """The rows that have the same values under `names`, together."""
    groups: dict[tuple, list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault(tuple(row[name] for name in names), []).append(row)
    return list(groups.values())


def fit(rows: list[dict[str, Any]]) -> tuple[Law, dict[str, float], float]:
    """The law with the smallest squared error, found on a grid of its exponents and r; the lowest loss that it grants each text; and the
    root of the mean squared error, in bits per byte."""
    texts = sorted({row["text"] for row in rows})
    losses = torch.tensor([row["bits_per_byte"] for row in rows], dtype=torch.float64)
    lowest = torch.tensor([[float(row["text"] == text) for text in texts] for row in rows], dtype=torch.float64)
    found = []
    for alpha, beta, r in itertools.product(EXPONENTS, EXPONENTS, REUSES):
        terms = torch.tensor([[law.excess(row["parameters"], row["tokens"], row["distinct"]) for row in rows] for law in (
            Law(1.0, alpha, 0.0, beta, r), Law(0.0, alpha, 1.0, beta, r))], dtype=torch.float64).T
        matrix = torch.cat((terms, lowest), dim=1)
        solved = torch.linalg.lstsq(matrix, losses[:, None]).solution[:, 0]
        error = float((matrix @ solved - losses).square().mean().sqrt())
        if (solved > 0).all():
            law = Law(float(solved[0]), round(alpha, 2), float(solved[1]), round(beta, 2), r)
            found.append((error, law, dict(zip(texts, solved[2:].tolist(), strict=True))))
    error, law, by_text = min(found, key=lambda one: one[0])
    return law, by_text, error


def main(argv: list[str] | None = None) -> None:
    parser = Parser(prog="python -m tests.benchmarks.sizes", description="How well models of several sizes learn, and the law behind it.")
    parser.add_argument("--text", metavar="PATH", help="Tiny Shakespeare; without it, nothing is trained")
    given = parser.parse_args(argv)
    rows = read()
    with user_errors_exit(parser):
        for i, row in enumerate(rows if given.text else ()):
            if row["text"] == EARLIER_STORIES:
                continue
            rows[i] = in_fresh_process(run, row, given.text)
            say(str(rows[i]))
            DATA.write_text("[\n" + ",\n".join(map(json.dumps, rows)) + "\n]\n")
    law, lowest, error = fit(fitted(rows))
    print(f"{law}, the lowest losses {lowest}, root of the mean squared error {error:.4f} bits per byte")


def read() -> list[dict[str, Any]]:
    """The rows of sizes.json."""
    return json.loads(DATA.read_text())


if __name__ == "__main__":
    main()
