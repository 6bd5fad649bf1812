"""`python demo.py` in a process of its own, for those who look at the page from outside."""

import contextlib
import os
import random
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests import forkserver
from tests.forkserver import PROJECT, SECONDS_TO_BEGIN


def free_port() -> int:
    """A port of this machine that nothing uses, and that no connection is given: systems take the ports of connections from above."""
    while True:
        with contextlib.suppress(OSError), socket.socket() as free:
            free.bind(("127.0.0.1", random.SystemRandom().randrange(10_000, 32_000)))
            return free.getsockname()[1]


def serve(root: Path | str, port: int, *flags: str, forked: bool = True, command: Sequence[str] = (), cwd: Path = PROJECT,
          **environment: str) -> subprocess.Popen:
    """A process that serves the page over the folder `root` by now, with more flags of demo.py and variables of its environment. Where
    there is a fork server, it is `forked`. With a `command`, the words after `python`, that is run in `cwd` instead.

    Raises RuntimeError if it does not. What it prints goes to a file until then: nobody has to keep reading it.
    """
    words = [sys.executable, *(command or ("demo.py", "--port", str(port), "--checkpoints", str(root), *flags))]
    with tempfile.NamedTemporaryFile() as printed:
        popen = forkserver.popen if forked and not command else subprocess.Popen
        demo = popen(words, cwd=cwd, stdout=printed, stderr=subprocess.STDOUT,
                     env=os.environ | {"PYTHONUNBUFFERED": "1"} | environment)
        deadline = time.monotonic() + SECONDS_TO_BEGIN
        while "The page is at" not in (said := Path(printed.name).read_text(errors="replace")):
            if demo.poll() is not None or time.monotonic() > deadline:
                demo.kill()
                raise RuntimeError("demo.py does not serve the page:\n" + said)
            time.sleep(0.02)
    return demo


@contextmanager
def served(root: Path | str, *flags: str, **more: str | bool) -> Iterator[str]:
    """The address at which `serve` serves the page. Raises RuntimeError if it never is, or does not end cleanly."""
    with server(root, *flags, **more) as (url, _):
        yield url


@contextmanager
def server(root: Path | str, *flags: str, forked: bool = True, **environment: str) -> Iterator[tuple[str, subprocess.Popen]]:
    """The same, with the process."""
    port = free_port()
    demo = serve(root, port, *flags, forked=forked, **environment)
    try:
        yield f"http://127.0.0.1:{port}", demo
    finally:
        demo.terminate()
        demo.wait(timeout=60)
    if demo.returncode != 0:
        raise RuntimeError(f"demo.py did not end cleanly: exit code {demo.returncode}")
