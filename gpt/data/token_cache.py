"""The tokens of long texts, in files in this user's cache folder: made once, and mapped into memory by every run that reads the same text
with the same tokenizer, so that a text may be longer than memory."""

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import platformdirs
import torch
from torch import Tensor

from gpt.data.corpus import Corpus, CorpusError
from gpt.data.progress import Progress
from gpt.data.tokenising import dtype_of, write_ids
from gpt.data.tokenizers.base import Tokenizer
from gpt.words import size

VARIABLE = "GPT2_FROM_SCRATCH_CACHE"  # names another folder, as for processes on several machines that share one
MOST_BYTES = 20_000_000_000  # of all texts in the folder; the ones not used for the longest time go first
SPARE_BYTES = 200_000_000  # that a disk keeps free
ABANDONED_SECONDS = 24 * 3600.0  # after so long, what is half written belongs to nobody any more
FORMAT = 1
PARTS = ("train", "validation")
HALF_WRITTEN = ".new-"


def cache_folder() -> Path:
    """Where the tokens of long texts lie."""
    return Path(os.environ.get(VARIABLE) or platformdirs.user_cache_path("gpt2-from-scratch") / "tokens")


def mapped_ids(corpus: Corpus, tokenizer: Tokenizer, has_documents: bool, progress: Progress) -> tuple[Path, list[str]]:
    """The folder with the token ids of a text, from the cache or made anew, and notes about it. Raises CorpusError if there is no room for
    them, and what reading and tokenising raise; nothing half-written is left behind."""
    folder = cache_folder() / key_of(corpus, tokenizer, has_documents)
    notes = []
    if folder.exists():
        if is_sound(folder, progress):
            with contextlib.suppress(OSError):
                os.utime(folder)
            return folder, ["its tokens were made before, and come from the cache"]
        shutil.rmtree(folder, ignore_errors=True)
        notes = ["its tokens in the cache were damaged, and are made anew"]
    with _half_written(folder.parent, corpus, tokenizer) as half:
        _write(half, corpus, tokenizer, has_documents, progress)
        with contextlib.suppress(OSError):  # another process was faster
            half.rename(folder)
    make_room(folder.parent, folder)
    return folder, notes


def load_ids(folder: Path, part: str) -> Tensor:
    """(N,) the ids of one of PARTS, mapped from the file: what is not read takes no memory. Raises CorpusError."""
    try:
        about = json.loads((folder / "about.json").read_text(encoding="utf-8"))
        return torch.from_numpy(np.memmap(folder / f"{part}.ids", dtype=about["dtype"], mode="c"))  # "c": what is written stays in memory
    except (OSError, ValueError, KeyError) as error:
        raise CorpusError(f"the tokens in {folder} cannot be read ({error}): where processes run on several machines, let {VARIABLE} name "
                          "a folder that all of them share") from None


def key_of(corpus: Corpus, tokenizer: Tokenizer, has_documents: bool) -> str:
    """The same for the same tokens: of this text, split like this, with this tokenizer."""
    key = hashlib.sha256(json.dumps([FORMAT, corpus.identity()["sha256"], corpus.held_out and corpus.held_out.fingerprint.sha256,
                                     corpus.split.cut, has_documents, tokenizer.name, tokenizer.state()]).encode())
    key.update(corpus.split.validation.tobytes() + corpus.split.left_out.tobytes())
    return key.hexdigest()[:32]


def is_sound(folder: Path, progress: Progress) -> bool:
    """Whether the ids are all there, as they were written."""
    try:
        about = json.loads((folder / "about.json").read_text(encoding="utf-8"))
        for i, part in enumerate(PARTS):
            progress("checking its tokens", i / len(PARTS))
            with (folder / f"{part}.ids").open("rb") as file:
                if hashlib.file_digest(file, "sha256").hexdigest() != about["sha256"][part]:
                    return False
        return np.dtype(about["dtype"]).itemsize in (2, 4)
    except (OSError, ValueError, KeyError, TypeError):
        return False


@contextlib.contextmanager
def _half_written(parent: Path, corpus: Corpus, tokenizer: Tokenizer) -> Iterator[Path]:
    """A folder to write into, which is gone afterwards if it still has its name. A full disk is a CorpusError."""
    needed = dtype_of(tokenizer.n_vocab).itemsize * corpus.bytes / tokenizer.bytes_per_token
    try:
        parent.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(parent).free
        if free < needed + SPARE_BYTES:
            raise CorpusError(f"the tokens of this text take about {size(needed)}, and {size(free)} is free in {parent}: free some, or let "
                              f"{VARIABLE} name a folder on another disk")
        half = Path(tempfile.mkdtemp(prefix=HALF_WRITTEN, dir=parent))
        try:
            yield half
        finally:
            shutil.rmtree(half, ignore_errors=True)
    except OSError as error:
        raise CorpusError(f"the tokens of this text cannot be written into {parent} ({error.strerror or error}): free some room, or let "
                          f"{VARIABLE} name another folder") from None


def _write(folder: Path, corpus: Corpus, tokenizer: Tokenizer, has_documents: bool, progress: Progress) -> None:
    n_train, n_validation = corpus.characters()
    before, about = 0, {"dtype": dtype_of(tokenizer.n_vocab).str, "name": corpus.name, "sha256": {}}
    for part, parts in zip(PARTS, (corpus.train(), corpus.validation()), strict=True):
        def tell(n_characters: int, before: int = before) -> None:
            progress("tokenising", (before + n_characters) / (n_train + n_validation))

        with _Hashed(folder / f"{part}.ids") as file:
            write_ids(parts, tokenizer, has_documents, file, tell)
        about["sha256"][part], before = file.sha256.hexdigest(), n_train
    (folder / "about.json").write_text(json.dumps(about), encoding="utf-8")


class _Hashed:
    """A file to write, and the SHA-256 of what was written."""

    def __init__(self, path: Path):
        self._file, self.sha256 = path.open("wb"), hashlib.sha256()

    def __enter__(self) -> "_Hashed":
        return self

    def __exit__(self, *_: Any) -> None:
        self._file.close()

    def write(self, data: bytes) -> None:
        self.sha256.update(data)
        self._file.write(data)


def make_room(parent: Path, used: Path) -> None:
    """Remove the texts not used for the longest time, but never `used`, until all take MOST_BYTES at most, and what was never finished."""
    entries = []
    for path in parent.iterdir():
        with contextlib.suppress(OSError):
            changed = path.stat().st_mtime
            if path.name.startswith(HALF_WRITTEN) and time.time() - changed > ABANDONED_SECONDS:
                shutil.rmtree(path, ignore_errors=True)
            elif (path / "about.json").exists():
                entries.append((path == used, changed, sum(file.stat().st_size for file in path.iterdir()), path))
    left = MOST_BYTES
    for is_used, _, n_bytes, path in sorted(entries, reverse=True):
        left -= n_bytes
        if left < 0 and not is_used:
            shutil.rmtree(path, ignore_errors=True)
