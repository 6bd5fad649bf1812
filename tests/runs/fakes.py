"""Folders that look like runs, made in a moment."""

import json
import os
import time
from pathlib import Path

from gpt.runs.run import Run

ALWAYS_KEPT = ("config.json", "tokenizer.json", "metrics.jsonl", "status.json", "log.txt", "best.safetensors")


def fake_run(root: Path, name: str, age: float = 0, state: str = "done", snapshots: int = 3,
             saves: tuple[str, ...] = ("last/step-000001",)) -> Run:
    """A folder like a run's, each snapshot of 1,000 bytes and each save of 5,000; `age` in seconds."""
    folder = root / name
    for path, n_bytes in [*((f"snapshots/step-{10 ** i:06d}.safetensors", 1000) for i in range(snapshots)),
                          *((f"{saved}.safetensors", 5000) for saved in saves), ("best.safetensors", 2000)]:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(b"w" * n_bytes)
    for file in ("tokenizer.json", "metrics.jsonl", "log.txt"):
        (folder / file).write_text("{}")
    (folder / "config.json").write_text(json.dumps({"config": {}}))
    (folder / "status.json").write_text(json.dumps({"state": state, "step": 1, "steps": 1}))
    then = time.time() - age
    os.utime(folder / "status.json", (then, then))
    return Run(folder)


def files(folder: Path) -> set[str]:
    """What lies below a folder, locks aside."""
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file() and path.name not in (".lock", ".tidying")}
