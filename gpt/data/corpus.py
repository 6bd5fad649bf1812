"""Where text comes from: a file, a folder, generated text, or the source code of Python's standard library."""

import hashlib
import os
import sysconfig
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from gpt.data.known import Known
from gpt.data.repeats import repeats
from gpt.data.stories import stories
from gpt.data.tasks import TASKS
from gpt.errors import UserError

VALIDATION_SHARE = 0.1  # the last tenth of a text is never trained on
GENERATED_SIZE = 2_000_000  # characters of a generated text


class CorpusError(UserError):
    """A text that cannot be read or is empty."""


@dataclass
class Corpus:
    """A text, where it came from, a prompt that suits it, what a reader should know about it (`notes`), and what is known about each of
    its characters, if it was generated so that this can be known."""

    name: str
    text: str
    prompt: str
    notes: list[str] = field(default_factory=list)
    known: Known | None = None

    def split(self) -> tuple[str, str]:
        """(training text, validation text)."""
        cut = self._cut()
        return self.text[:cut], self.text[cut:]

    def split_known(self) -> tuple[Known, Known] | None:
        """What is known about the training text, and about the validation text."""
        return self.known and self.known.split(self._cut())

    def _cut(self) -> int:
        """The character at which the validation text begins: after nine tenths of the text; if it has documents, where the next begins."""
        cut = int(len(self.text) * (1 - VALIDATION_SHARE))
        return self.known.start_after(cut) if self.known else cut

    def identity(self) -> dict:
        """What the run folder stores about the text: enough to detect later that it has changed."""
        data = self.text.encode("utf-8")
        return {"name": self.name, "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest(),
                "prompt": self.prompt, "notes": self.notes}


def _python_source(size: int, seed: int) -> tuple[str, None]:
    """The top-level modules of the standard library of the Python that runs this, in alphabetical order."""
    folder = Path(sysconfig.get_path("stdlib"))
    return "\n\n".join(_decode(path.read_bytes())[0] for path in sorted(folder.glob("*.py"))), None


@dataclass(frozen=True)
class BuiltIn:
    """A text that needs no file: a one-sentence description, a prompt, and the function `make(size, seed)` that returns it with what is
    known about it."""

    sentence: str
    prompt: str
    make: Callable[[int, int], tuple[str, Known | None]]


BUILT_IN = {
    "stories": BuiltIn("Short stories generated here; names are invented afresh in each and recur in it.", "Once there was",
                       stories),
    "repeats": BuiltIn("Lines of random letters written twice: only looking back helps.", "qwertyuiopqwer", repeats),
    "python": BuiltIn("The top-level modules of the standard library of the Python that runs this.", "def ", _python_source),
    **{name: BuiltIn(task.sentence, task.prompt, task.make) for name, task in TASKS.items()},
}


def read_corpus(source: str, seed: int = 0) -> Corpus:
    """The text named `source`: a built-in one, a text file, or all .txt files of a folder. Raises CorpusError."""
    if source in BUILT_IN:
        built_in = BUILT_IN[source]
        text, known = built_in.make(GENERATED_SIZE, seed)
        return Corpus(source, text, built_in.prompt, known=known)
    path = Path(source)
    if source and os.path.isdir(source):  # Path.is_dir raises for a name too long, os.path.isdir does not
        paths = sorted(file for file in path.rglob("*.txt") if file.is_file())
        if not paths:
            raise CorpusError(f"the folder {source} holds no .txt file: put one in, or name a file")
    else:
        paths = [path]
    texts, notes = [], []
    for path in paths:
        try:
            text, damaged = _decode(path.read_bytes())
        except (OSError, ValueError) as error:
            names = ", ".join(BUILT_IN)
            reason = getattr(error, "strerror", None) or error
            raise CorpusError(f"the text {source[:200]!r} cannot be read ({reason}): "
                              f"give a text file, a folder, or one of {names}") from error
        texts.append(text)
        if damaged:
            notes.append(f"{path.name} is not all UTF-8: {damaged:,} bytes could not be read and were replaced")
    text = "\n\n".join(texts)
    if not text.strip():
        raise CorpusError(f"the text {source!r} is empty: give one with a few hundred characters at least")
    return Corpus(Path(source).name, text, _opening(text), notes)


def _decode(data: bytes) -> tuple[str, int]:
    """Bytes -> (text with plain line feeds, number of bytes that were not UTF-8 and were replaced by U+FFFD). Raises ValueError if there
    are zero bytes near the beginning, as in UTF-16 or binary files."""
    if b"\0" in data[:8192]:
        raise ValueError("it is no plain text: save it as .txt in UTF-8")
    data = data.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n")
    try:
        return data.decode("utf-8"), 0
    except UnicodeDecodeError:
        readable = data.decode("utf-8", errors="ignore")
        return data.decode("utf-8", errors="replace"), len(data) - len(readable.encode("utf-8"))


def _opening(text: str) -> str:
    """The first words of a text, at most 20 characters: a prompt that every tokenizer of this text can read."""
    first_line = text.strip().split("\n", 1)[0]
    return first_line[:20].rsplit(" ", 1)[0] if len(first_line) > 20 else first_line
