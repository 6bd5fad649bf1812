"""`python demo.py` in a process of its own, for those who look at the page from outside."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]


@contextmanager
def served(root: Path | str) -> Iterator[str]:
    """The address at which the page over the folder `root` is served. Raises RuntimeError if it never is, or does not end cleanly."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = [sys.executable, "demo.py", "--port", str(port), "--checkpoints", str(root)]
    demo = subprocess.Popen(words, cwd=PROJECT, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                            env=os.environ | {"PYTHONUNBUFFERED": "1"})
    try:
        lines = []
        for line in demo.stdout:
            lines.append(line)
            if "Running on" in line:
                break
        else:
            raise RuntimeError("demo.py ended before it served the page:\n" + "".join(lines))
        yield f"http://127.0.0.1:{port}"
    finally:
        demo.terminate()
        demo.communicate(timeout=60)
    if demo.returncode != 0:
        raise RuntimeError(f"demo.py did not end cleanly: exit code {demo.returncode}")
