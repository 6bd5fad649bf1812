"""What a command does before it imports PyTorch, which takes seconds: from then on Ctrl+C ends it in one line, and a character that the
terminal cannot show ends nothing.

Only the standard library is imported here, so that this is ready a few hundredths of a second after the start.
"""

import contextlib
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import NoReturn, TextIO

INTERRUPTED = 130  # exit code of a program that Ctrl+C ended: 128 + SIGINT, as in shells
HANDLED_SECONDS = 0.5  # a signal whose handler has not run by then came while a library's code ran


def prepare_terminal(name: str) -> None:
    """Prepare the terminal for the command `name`: a character that it cannot show becomes "?", output that is closed is discarded, and
    Ctrl+C ends the command at once."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:  # a stream that is closed: no other file may get its number
        pass
    os.close(descriptor)
    for stream in ("stdout", "stderr"):
        if getattr(sys, stream) is None:  # it was closed, or this is a program without a console on Windows
            setattr(sys, stream, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115 - as long as the process
        getattr(sys, stream).reconfigure(errors="replace")
    if signal.getsignal(signal.SIGINT) != signal.SIG_IGN:  # as in the background of a script
        signal.signal(signal.SIGINT, lambda *_: end_at_once(f"{name}: ended by Ctrl+C"))


def stop_signals() -> list[int]:
    """The signals that ask a program to end: Ctrl+C, a service's or a system's request, and a terminal that is closed; `nohup` ignores
    the last, and Windows has none."""
    hang_up = [signal.SIGHUP] if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) != signal.SIG_IGN else []
    return [signal.SIGINT, signal.SIGTERM, *hang_up]


def end_at_once(line: str) -> NoReturn:
    """Print `line` and end the process. It may be called in the middle of a print, and so writes past Python's own buffers."""
    with contextlib.suppress(OSError):
        os.write(2, f"{line}\n".encode(sys.stderr.encoding, errors="replace"))
    os._exit(INTERRUPTED)


@contextlib.contextmanager
def output_may_end(stream: TextIO) -> Iterator[None]:
    """Leave the block when whoever reads `stream` has gone: a terminal that was closed, the end of a pipe. What is written later is
    discarded."""
    try:
        yield
    except OSError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


class SignalHandler:
    """Counts how often the handler of a signal was called; see `call_if_not_handled`."""

    handled = 0


@contextlib.contextmanager
def call_if_not_handled(act: Callable[[], None], handler: SignalHandler) -> Iterator[None]:
    """Within the block, call `act` in another thread for each signal whose handler does not run soon: Python runs handlers only between
    two of its own instructions, so never while the main thread is inside a library for long. The system's own handler runs at once, and
    writes a byte into the socket that is given to it here."""
    reader, writer = socket.socketpair()
    writer.setblocking(False)

    def watch() -> None:
        came = 0
        while reader.recv(1):
            came, deadline = came + 1, time.monotonic() + HANDLED_SECONDS
            while handler.handled < came and time.monotonic() < deadline:
                time.sleep(0.01)
            if handler.handled < came:
                act()

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
