"""`python demo.py` in a process of its own, for those who look at the page from outside."""

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
SECONDS_TO_BEGIN = 120


@contextmanager
def served(root: Path | str, *flags: str, **environment: str) -> Iterator[str]:
    """The address at which the page over the folder `root` is served, with more flags of demo.py and variables of its environment.

    Raises RuntimeError if it never is, or does not end cleanly. What it prints goes to a file: nobody has to keep reading it.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = [sys.executable, "demo.py", "--port", str(port), "--checkpoints", str(root), *flags]
    with tempfile.NamedTemporaryFile() as printed:
        demo = subprocess.Popen(words, cwd=PROJECT, stdout=printed, stderr=subprocess.STDOUT,
                                env=os.environ | {"PYTHONUNBUFFERED": "1"} | environment)

        def said() -> str:
            return Path(printed.name).read_text(errors="replace")

        try:
            deadline = time.monotonic() + SECONDS_TO_BEGIN
            while "Running on" not in said():
                if demo.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError("demo.py does not serve the page:\n" + said())
                time.sleep(0.1)
            yield f"http://127.0.0.1:{port}"
        finally:
            demo.terminate()
            demo.wait(timeout=60)
        if demo.returncode != 0:
            raise RuntimeError(f"demo.py did not end cleanly: exit code {demo.returncode}\n" + said()[-2000:])
