"""Processes that train together, started as torchrun would: each has its rank in the environment. A test begins them in hundredths of a
second where there is a fork server; torchrun itself takes seconds."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from gpt.config import CONFIG, as_flags
from tests import forkserver
from tests.serving import free_port


def words_of(config: dict, root: Path) -> list[str]:
    """The words of a command line that trains `config` below `root`, without a name."""
    changes = {name: value for name, value in config.items() if value != CONFIG[name] and name != "vocab_size"}
    return ["--checkpoints", str(root), *as_flags(changes)]


class Together:
    """`count` processes of `python -m gpt.pretrain` with the same words, each with what it printed in a file."""

    def __init__(self, words: list[str], count: int, folder: Path):
        folder.mkdir(exist_ok=True)
        self.ranks, port = range(count), free_port()
        self.files = {rank: folder / f"rank-{rank}-{port}.txt" for rank in self.ranks}
        shared = {"WORLD_SIZE": str(count), "LOCAL_WORLD_SIZE": str(count), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port),
                  "PYTHONUNBUFFERED": "1"}
        self.processes = {}
        for rank in self.ranks:
            with open(self.files[rank], "wb") as file:
                self.processes[rank] = forkserver.popen(
                    [sys.executable, "-m", "gpt.pretrain", *words], cwd=forkserver.PROJECT, stdin=subprocess.DEVNULL, stdout=file,
                    stderr=subprocess.STDOUT, env=os.environ | shared | {"RANK": str(rank), "LOCAL_RANK": str(rank)})

    def send(self, rank: int, number: int) -> None:
        self.processes[rank].send_signal(number)

    def codes(self, seconds: float = 120) -> list[int]:
        """The exit codes of all processes, as soon as they have ended. Raises subprocess.TimeoutExpired."""
        return [process.wait(seconds) for process in self.processes.values()]

    def printed(self, rank: int = 0) -> str:
        return self.files[rank].read_text()

    def kill(self) -> None:
        for process in self.processes.values():
            process.send_signal(signal.SIGKILL)


@contextlib.contextmanager
def together(words: list[str], count: int, folder: Path) -> Iterator[Together]:
    """Together, none of which outlives the block."""
    group = Together(words, count, folder)
    try:
        yield group
    finally:
        group.kill()


def end_well(words: list[str], count: int, folder: Path) -> str:
    """Train to the end, and return what rank 0 printed; the others print nothing."""
    with together(words, count, folder) as group:
        codes = group.codes()
        assert codes == [0] * count, [group.printed(rank) for rank in group.ranks]
        assert [group.printed(rank) for rank in group.ranks[1:]] == [""] * (count - 1)
        return group.printed()
