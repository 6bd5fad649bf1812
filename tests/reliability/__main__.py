"""`python -m tests.reliability --rounds 200`: the long form of the fault tests, and one table of how they went."""

import argparse
import json
import os
import platform
import random
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import Any

import torch

from tests.reliability.faults import FAULTS
from tests.reliability.inputs import bad_inputs
from tests.reliability.kills import kills
from tests.reliability.report import rows, table
from tests.reliability.watching import thirty_pages

PARTS = ("kills", "faults", "inputs", "watching")


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.reliability", description=__doc__)
    parser.add_argument("--rounds", type=int, default=200, help="kills; of every other fault a twentieth as many (default %(default)s)")
    parser.add_argument("--inputs", type=int, default=5000, help="bad inputs (default %(default)s)")
    parser.add_argument("--seconds", type=float, default=240, help="of training with thirty pages and without (default %(default)s)")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS, help="some parts of the table")
    parser.add_argument("--seed", type=int, default=1, help="of all that is random here (default %(default)s)")
    parser.add_argument("--json", type=Path, help="a file for all that was found")
    options = parser.parse_args(argv)
    torch.set_num_threads(1)  # the models are tiny, and a process with threads could not fork
    found: dict[str, Any] = {"machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores", "seed": options.seed}
    parts = {"kills": lambda: kills(options.rounds, options.seed),
             "faults": lambda: {name: faults(name, max(1, options.rounds // 20), options.seed) for name in FAULTS},
             "inputs": lambda: bad_inputs(options.inputs, options.seed), "watching": lambda: thirty_pages(options.seconds, options.seed)}
    for part in options.only:
        found[part] = parts[part]()
        print(f"{part}: done", file=sys.stderr, flush=True)
        if options.json:  # after each part: the next may take long
            options.json.write_text(json.dumps(found, indent=1))
    print(table(found))
    sys.exit(any(tried != survived for _, tried, survived, _ in rows(found)))


def faults(name: str, times: int, seed: int) -> dict[str, Any]:
    """Try one fault so many times. Returns how often, how often all was as promised, and what was not."""
    told: dict[str, Any] = {"tried": times, "survived": 0, "problems": [], "seconds": 0.0}
    begin = time.monotonic()
    for i in range(times):
        with tempfile.TemporaryDirectory() as folder:
            try:
                FAULTS[name](Path(folder), random.Random(f"{seed} {name} {i}"))
                told["survived"] += 1
            except Exception:  # told in the table, and by the exit code
                told["problems"].append(traceback.format_exc())
    return {**told, "seconds": round(time.monotonic() - begin, 1)}


if __name__ == "__main__":
    main()
