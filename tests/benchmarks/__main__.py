"""`python -m tests.benchmarks --text PATH`: measure the rows one after the other, print the table, keep every raw value as JSON.

The text is Tiny Shakespeare where the targets are to mean anything; its last tenth is the validation split. A row that fails says
why and the rest goes on; the exit code is then 1. The JSON is written anew after each row, so a stop loses one row at most.
"""

import datetime
import shlex
import sys
import time
import traceback
from pathlib import Path

from gpt.cli import Parser, user_errors_exit
from gpt.data.sources import read_corpus
from gpt.training.device import choose_device
from tests.benchmarks import (
    ablating,
    five_minutes,
    generation,
    gpu,
    looking,
    memory,
    minute,
    published_heads,
    scaling,
    time_to_loss,
    together,
    training_speed,
    watching,
)
from tests.benchmarks.machine import hardware, matrix_rates, versions
from tests.benchmarks.report import as_json, table, write_json
from tests.benchmarks.row import Result, Row, Setup, say

PARTS = (time_to_loss, minute, five_minutes, training_speed, generation, looking, ablating, watching, gpu, memory, together,
         published_heads, scaling)
ROWS = tuple(row for part in PARTS for row in part.ROWS)
LATEST = Path(__file__).with_name("latest.json")


def make_parser() -> Parser:
    parser = Parser(prog="python -m tests.benchmarks", description="Measure this project against its targets and against transformers.")
    parser.add_argument("--text", required=True, metavar="PATH", help="the text to train on: Tiny Shakespeare")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="where all rows run (default %(default)s)")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3], metavar="SEED",
                        help="one repetition each where training is random (default 1 2 3)")
    parser.add_argument("--only", nargs="+", choices=[row.name for row in ROWS], metavar="NAME",
                        help=f"only these rows, of {', '.join(row.name for row in ROWS)}")
    parser.add_argument("--json", type=Path, default=LATEST, metavar="PATH", help="where to write every raw value (default: %(default)s)")
    return parser


def measured(row: Row, setup: Setup) -> Result:
    """What `row` finds, or why it could not: the table and the JSON tell it, so nothing is hidden by going on."""
    begin = time.perf_counter()
    try:
        result = row.measure(setup)
    except Exception as error:
        traceback.print_exc()
        result = Result("no", notes=[f"failed: {type(error).__name__}: {error}"], raw={"traceback": traceback.format_exc()})
    result.raw["seconds_of_the_row"] = time.perf_counter() - begin
    return result


def measure_all(rows: list[Row], setup: Setup, conditions: dict, path: Path) -> dict[str, Result]:
    results: dict[str, Result] = {}
    for row in rows:
        say(f"{row.name}: {row.what}; target {row.target}")
        results[row.name] = measured(row, setup)
        write_json(path, as_json(rows, results, conditions))
    return results


def conditions_of(setup: Setup, argv: list[str]) -> dict:
    """All that a reader needs to judge the numbers, or to take them again."""
    corpus = setup.corpus.identity()
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    return {"command": f"python -m tests.benchmarks {shlex.join(argv)}", "date": now,
            "text": {name: corpus[name] for name in ("bytes", "sha256")}, "device": setup.device.type, "seeds": setup.seeds,
            "hardware": hardware(setup.device), "versions": versions(),
            "matrix_products_GFLOP_per_s": {name: rate / 1e9 for name, rate in setup.rates.items()}}


def main(argv: list[str] | None = None) -> int:
    argv = sys.argv[1:] if argv is None else argv
    parser = make_parser()
    given = parser.parse_args(argv)
    with user_errors_exit(parser):
        device, corpus = choose_device(given.device), read_corpus(given.text)
    if not given.json.parent.is_dir():
        parser.error(f"--json: there is no folder {given.json.parent}: make it, or name another")
    rows = [row for row in ROWS if not given.only or row.name in given.only]
    setup = Setup(corpus, given.text, device, tuple(given.seeds), matrix_rates(device))
    conditions = conditions_of(setup, argv)
    say(", ".join(f"{name} products {rate:,.0f} GFLOP/s" for name, rate in conditions["matrix_products_GFLOP_per_s"].items()))
    results = measure_all(rows, setup, conditions, given.json)
    print(table(rows, results))
    say(f"every raw value: {given.json}")
    return int(any("traceback" in result.raw for result in results.values()))


if __name__ == "__main__":
    sys.exit(main())
