"""What a command does before it imports PyTorch, which takes seconds: Ctrl+C ends it in one line, and no character ends it.

Only the standard library is imported here, so that this is ready a few hundredths of a second after the start.
"""

import contextlib
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from typing import NoReturn

INTERRUPTED = 130  # exit code of a program that Ctrl+C ended: 128 + SIGINT, as in shells
HEARD_SECONDS = 0.5  # a signal that Python has not handled by then came while a library's code ran


def begin(name: str) -> None:
    """Prepare the terminal for the command `name`: a character that it cannot show becomes "?", output that is closed is thrown away,
    and Ctrl+C ends the command at once."""
    for stream in ("stdout", "stderr"):
        if getattr(sys, stream) is None:  # closed, or a program without a console on Windows
            setattr(sys, stream, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115 - as long as the process
        getattr(sys, stream).reconfigure(errors="replace")
    signal.signal(signal.SIGINT, lambda *_: end_at_once(f"{name}: ended by Ctrl+C"))


def end_at_once(line: str) -> NoReturn:
    """Print `line` and end the process. It may be called in the middle of a print, and so writes past Python's own buffers."""
    with contextlib.suppress(OSError):
        os.write(2, f"{line}\n".encode(sys.stderr.encoding, errors="replace"))
    os._exit(INTERRUPTED)


def throw_output_away() -> None:
    """From here on nothing is printed: the terminal, or whoever read the output, has gone."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for descriptor in (1, 2):
        os.dup2(nowhere, descriptor)
    os.close(nowhere)


@contextlib.contextmanager
def unheard_signals_call(act: Callable[[], None], heard: threading.Event) -> Iterator[None]:
    """Within the block, call `act` in another thread for each signal whose handler does not set `heard` soon: Python runs handlers only
    between two of its own instructions, so never while the main thread is inside a library for long. The system's own handler runs at
    once, and writes a byte into the socket that is given to it here."""
    reader, writer = socket.socketpair()
    writer.setblocking(False)

    def watch() -> None:
        while reader.recv(1):
            if not heard.wait(HEARD_SECONDS):
                act()
            heard.clear()

    before = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
        writer.close()  # ends the thread
        thread.join()
        reader.close()
