"""Texts that need no file: generated ones, and the source code of Python's standard library."""

import sysconfig
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from gpt.data.files.listing import Entry, entries
from gpt.data.known import Known
from gpt.data.repeats import repeats
from gpt.data.stories import stories
from gpt.data.tasks import TASKS

GENERATED_SIZE = 2_000_000  # characters of a generated text
NOT_PYTHON_ITSELF = {"site-packages", "dist-packages", "test", "tests", "idlelib", "idle_test"}  # folders


@dataclass(frozen=True)
class BuiltIn:
    """A one-sentence description, a prompt, and how to get the text: the function `make(size, seed)` generates it, with what is known about
    it, or `files()` lists the files that it is in."""

    sentence: str
    prompt: str
    make: Callable[[int, int], tuple[str, Known]] | None = None
    files: Callable[[], Iterator[Entry]] | None = None


def python_source() -> Iterator[Entry]:
    """The modules of the standard library of the Python that runs this, without its tests."""
    folder = Path(sysconfig.get_path("stdlib"))
    return (entry for entry in entries(folder, without=NOT_PYTHON_ITSELF) if entry.ending == ".py")


BUILT_IN = {
    "stories": BuiltIn("Short stories generated here; names are invented afresh in each and recur in it.", "Once there was", stories),
    "repeats": BuiltIn("Lines of random letters written twice: only looking back helps.", "qwertyuiopqwer", repeats),
    "python": BuiltIn("The standard library of the Python that runs this; each module is a document.", "def ", files=python_source),
    **{name: BuiltIn(task.sentence, task.prompt, task.make) for name, task in TASKS.items()},
}
