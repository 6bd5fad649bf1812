"""Texts that a person need not have: generated ones, the source code of Python's standard library, and known ones that are downloaded."""

import re
import sysconfig
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from gpt.data.downloads import Download
from gpt.data.files.listing import Entry, entries
from gpt.data.known import Known
from gpt.data.repeats import repeats
from gpt.data.stories import stories
from gpt.data.tasks import TASKS

GENERATED_SIZE = 2_000_000  # characters of a generated text
GITHUB = "https://raw.githubusercontent.com"
TINY_STORIES = "https://huggingface.co/datasets/roneneldan/TinyStories/resolve/f54c09fd23315a6f9c86f9dc80f725de7d8f9c64"
PART = re.compile(r"tinystories-(\d{1,4})MB")  # as in tinystories-500MB: so much of the training part
NOT_PYTHON_ITSELF = {"site-packages", "dist-packages", "test", "tests", "idlelib", "idle_test"}  # folders


@dataclass(frozen=True)
class BuiltIn:
    """A one-sentence description, a prompt, and how to get the text: the function `make(size, seed)` generates it, with what is known about
    it; or `files()` lists the files that it is in; or there is one to `download`, in which documents are parted as `documents` says, and
    maybe one for `validation`."""

    sentence: str
    prompt: str
    make: Callable[[int, int], tuple[str, Known]] | None = None
    files: Callable[[], Iterator[Entry]] | None = None
    download: Download | None = None
    validation: Download | None = None
    documents: str = "files"


def python_source() -> Iterator[Entry]:
    """The modules of the standard library of the Python that runs this, without its tests."""
    folder = Path(sysconfig.get_path("stdlib"))
    return (entry for entry in entries(folder, without=NOT_PYTHON_ITSELF) if entry.ending == ".py")


def built_in(source: str) -> BuiltIn | None:
    """The text of this name, if there is one: also tinystories-500MB, of which so much is for training."""
    if source in BUILT_IN:
        return BUILT_IN[source]
    if (asked := PART.fullmatch(source)) and int(asked[1]):
        whole = BUILT_IN["tinystories"]
        return replace(whole, download=replace(whole.download, first=int(asked[1]) * 1_000_000))
    return None


def to_download(source: str) -> Download | None:
    """The file that has to be downloaded before the text of this name can be read; None if none has."""
    own = built_in(source)
    return own.download if own and own.download and not own.download.path().exists() else None


BUILT_IN = {
    "stories": BuiltIn("Short stories generated here; names are invented afresh in each and recur in it.", "Once there was", stories),
    "repeats": BuiltIn("Lines of random letters written twice: only looking back helps.", "qwertyuiopqwer", repeats),
    "python": BuiltIn("The standard library of the Python that runs this; each module is a document.", "def ", files=python_source),
    "shakespeare": BuiltIn("Tiny Shakespeare, scenes from his plays, which many tutorials train on.", "First Citizen:", download=Download(
        "shakespeare", f"{GITHUB}/karpathy/char-rnn/master/data/tinyshakespeare/input.txt", 1_115_394,
        "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed", "public domain")),
    "tinystories": BuiltIn("TinyStories (Eldan and Li 2023, 2305.07759): stories in the words of a small child, written by GPT-4.",
                           "Once upon a time", documents="endoftext", download=Download(
        "tinystories", f"{TINY_STORIES}/TinyStoriesV2-GPT4-train.txt", 2_227_753_162,
        "6418d412de72888f52b5142c761ac21a582f7d1166f0bfbdb5f03ccfdec90443", "CDLA-Sharing-1.0", first=100_000_000),
        validation=Download("tinystories-validation", f"{TINY_STORIES}/TinyStoriesV2-GPT4-valid.txt", 22_502_601,
                            "6874bae9a4c1a4e7edcf0e53b86c17817e9cf881fc75ff2368da457b80c0585d", "CDLA-Sharing-1.0")),
    **{name: BuiltIn(task.sentence, task.prompt, task.make) for name, task in TASKS.items()},
}
