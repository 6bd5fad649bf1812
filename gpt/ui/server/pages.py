"""Which pages are served over a folder of runs: each leaves a note there, so that the next can say where it is."""

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path

from gpt.runs.locks import same_process, start_time
from gpt.runs.storage import write_atomically


def _note(root: Path, pid: int) -> Path:
    return root / f".page-{pid}.json"


def other_pages(root: Path) -> list[str]:
    """The addresses of the pages that other processes of this machine serve over `root`. Notes of processes that are gone are removed."""
    addresses = []
    for path in sorted(root.glob(".page-*.json")):
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            note = json.loads(path.read_text(encoding="utf-8"))
            if not same_process((note["pid"], note["began"]), (note["pid"], start_time(note["pid"]))):
                path.unlink()
            elif note["pid"] != os.getpid():
                addresses.append(str(note["address"]))
    return addresses


@contextlib.contextmanager
def noted(root: Path, address: str) -> Iterator[None]:
    """A note that this process serves a page over `root` at `address`, as long as the block runs. A folder that cannot be written gets
    none."""
    pid = os.getpid()
    with contextlib.suppress(OSError):
        root.mkdir(parents=True, exist_ok=True)
        write_atomically(_note(root, pid), json.dumps({"pid": pid, "began": start_time(pid), "address": address}).encode(), durable=False)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            _note(root, pid).unlink()
