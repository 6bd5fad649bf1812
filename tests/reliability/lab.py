"""Where faults are tried: small runs in processes of their own, each compared with one that nothing happened to.

A process is forked from one that has PyTorch loaded already, so that a hundred of them take seconds. The one that forks
should therefore have no other threads: the tests call `python -m tests.reliability`.
"""

import os
import signal
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch._dynamo  # PyTorch imports it at a process's first step: once here is faster than in every child

import gpt.runs.recorder
from gpt.config import CONFIG
from gpt.errors import UserError
from gpt.runs.run import Run
from gpt.runs.session import Session
from gpt.runs.storage import load_tensors

TEXT = "\n".join(f"{n} green bottles hanging on the wall" for n in range(60))
# All that has state of its own: dropout, two optimizers, gradients of two batches, rows that are means of several steps.
SMALL = {**CONFIG, "tokenizer": "char", "n_layers": 2, "n_heads": 2, "emb_dim": 16, "context_length": 8, "batch": 4, "grad_accum": 2,
         "dropout_rate": 0.1, "max_steps": 90, "warmup": 5, "eval_every": 15, "snapshots": 6, "precision": "float32", "device": "cpu"}
SAVE_SECONDS = 0.05  # between two saves, as everything here is smaller than life
SAMPLE_TOKENS = 8


def small_config(folder: Path, **changes: Any) -> dict[str, Any]:
    """SMALL on a text of its own below `folder`."""
    corpus = folder / "bottles.txt"
    if not corpus.exists():
        folder.mkdir(parents=True, exist_ok=True)
        corpus.write_text(TEXT, encoding="utf-8")
    return {**SMALL, "corpus": str(corpus), **changes}


def in_a_child(work: Callable[..., Any], *arguments: Any) -> int:
    """Fork; the child does `work(*arguments)` and ends with exit code 0, or 1; after a mistake of ours with a traceback. Returns
    its process id."""
    process = os.fork()
    if process:
        return process
    try:
        gpt.runs.recorder.SAVE_SECONDS = SAVE_SECONDS
        gpt.runs.recorder.SAMPLE_TOKENS = SAMPLE_TOKENS
        gpt.runs.recorder.SAVING_SHARE = 1.0  # save that often however long it takes
        work(*arguments)
        os._exit(0)
    except UserError:
        os._exit(1)
    except BaseException:
        traceback.print_exc()
        os._exit(1)


def train(root: Path, name: str, config: dict[str, Any] | None = None) -> None:
    """Begin a run, or without a `config` go on with one, to its end."""
    for _ in Session(root, name, config).events():
        pass


def ended(process: int) -> str:
    """Wait for a child: "killed", "done", or "failed"."""
    _, code = os.waitpid(process, 0)
    if os.WIFSIGNALED(code):
        return "killed" if os.WTERMSIG(code) == signal.SIGKILL else f"signal {os.WTERMSIG(code)}"
    return "failed" if os.WEXITSTATUS(code) else "done"


def timeless(run: Run, leave_out: tuple[str, ...] = ()) -> list[dict[str, Any]]:
    """The rows of a run without what the clock says, and without warnings that begin with one of `leave_out`."""
    return [{key: value for key, value in row.items() if key not in ("seconds", "tokens_per_second")} for row in run.rows()[0]
            if not (leave_out and row.get("kind") == "warning" and row["text"].startswith(leave_out))]


def differences(run: Run, whole: Run, leave_out: tuple[str, ...] = ()) -> list[str]:
    """What distinguishes a run from one that nothing happened to: rows, last state, best weights, snapshots; nothing, it is hoped."""
    found = [] if timeless(run, leave_out) == timeless(whole) else ["metrics.jsonl"]
    files = [path.relative_to(whole.path) for path in (whole.saves()[0], whole.weights(), *map(whole.weights, whole.snapshots()))]
    return found + [str(file) for file in files if not _same(run.path / file, whole.path / file)]


def _same(one: Path, other: Path) -> bool:
    if not one.exists():
        return False
    a, b = load_tensors(one)[0], load_tensors(other)[0]
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)
