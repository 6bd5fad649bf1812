"""Texts on the page: the built-in ones, and what a person uploads or pastes, kept below the runs."""

import contextlib
import functools
import hashlib
import itertools
import re
import shutil
import tempfile
import unicodedata
from pathlib import Path
from typing import NamedTuple

from gpt.data.built_in import BUILT_IN
from gpt.data.corpus import CorpusError
from gpt.data.documents import VALIDATION_SHARE
from gpt.data.downloads import Download
from gpt.data.files.listing import is_hidden
from gpt.data.length import SAMPLE, Length, beginning, learned_from, length
from gpt.data.sources import corpus_of, read_corpus
from gpt.data.tokenizers.base import Tokenizer
from gpt.data.tokenizers.table import TOKENIZERS, load_tokenizer
from gpt.runs import cleanup
from gpt.words import size

LARGEST = 1_000_000_000  # bytes of what is uploaded at once, or pasted
FOLDER = ".texts"
HASH = re.compile(r"-[0-9a-f]{8}(\.[a-z0-9.]+)?$")  # what follows the name of a text
LONGEST_NAME, LONGEST_INNER_NAME, LONGEST_ENDING = 32, 75, 10  # characters


def save_text(root: Path, name: str, data: bytes, most_bytes: int | None = None) -> Path:
    """Keep a text below `root` under its own name and its hash; the same text is kept once. Raises CorpusError."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "text"
        path.write_bytes(data)
        return save_files(root, {name: path}, most_bytes)


def save_files(root: Path, files: dict[str, Path], most_bytes: int | None = None) -> Path:
    """Keep files, by name, below `root` as one text: a file, or a folder if there are several. Raises CorpusError, and keeps nothing, if no
    text can be read from them, or more than `most_bytes`, unpacked."""
    n_bytes = sum(path.stat().st_size for path in files.values())
    if n_bytes > LARGEST:
        raise CorpusError(f"the text has {size(n_bytes)}; this page takes up to {size(LARGEST)}: train larger ones with "
                          "python -m gpt.pretrain --corpus and a file or folder")
    files = {name: path for name, path in files.items() if len(files) == 1 or not is_hidden(Path(name).name)}
    if not files:
        raise CorpusError("there are only hidden files, which are left out: choose others")
    folder = root / FOLDER
    try:
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / _name_of(files)
        if not path.exists():
            with tempfile.TemporaryDirectory(prefix=".new-", dir=folder) as half:
                _save(files, Path(half), path, most_bytes or LARGEST)
    except CorpusError:
        with contextlib.suppress(OSError):  # it holds others
            folder.rmdir()
        raise
    except OSError as error:
        raise CorpusError(f"the text cannot be kept in {folder} ({error.strerror}): start the page with another --checkpoints") from None
    return path


def _name_of(files: dict[str, Path]) -> str:
    """Of what is kept: the name of the first file, how many more there are, a hash of all, and the ending of a file that is alone."""
    digest = hashlib.sha256()
    for name, path in files.items():
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest() + Path(name).name.encode("utf-8", errors="replace"))
    first, more = next(iter(files), "text"), len(files) - 1
    stem = f"{slug(stem_of(first))}-and-{more}-more" if more > 0 else slug(stem_of(first))
    return f"{stem}-{digest.hexdigest()[:8]}" + ("" if more > 0 else ending(first))


def slug(name: str, longest: int = LONGEST_NAME) -> str:
    """A name as part of a file's name: its letters and digits, in any script."""
    return re.sub(r"[\W_]+", "-", unicodedata.normalize("NFC", name)).strip("-")[:longest].strip("-") or "text"


def ending(name: str) -> str:
    """The ending by which a file is read, .jsonl or .txt.gz."""
    inner, last = ["", "", *Path(name.lower()).suffixes][-2:]
    usual = re.compile(rf"\.[a-z0-9]{{1,{LONGEST_ENDING}}}")
    kinds = [suffix for suffix in ((inner, last) if last == ".gz" else (last,)) if usual.fullmatch(suffix)]
    return "".join(kinds) or (".txt" if last else "")


def stem_of(name: str) -> str:
    """A file's name without that ending."""
    return Path(name).name[:-len(ending(name))] if ending(name) and name.lower().endswith(ending(name)) else Path(name).stem


def _save(files: dict[str, Path], half: Path, path: Path, most_bytes: int) -> None:
    """Copy files into `half`, see whether they can be read, and only then move them to `path`."""
    saved = half / path.name
    if len(files) == 1:
        shutil.copyfile(next(iter(files.values())), saved)
    else:
        saved.mkdir()
        for name, source in files.items():
            shutil.copyfile(source, saved / _free_name(saved, name))
    try:
        read_corpus(str(saved), most_bytes=most_bytes)
    except CorpusError as error:
        raise CorpusError(str(error).replace(path.name, next(iter(files)))) from None
    try:
        saved.rename(path)
    except OSError:
        if not path.exists():  # else another upload of the same was faster
            raise


def _free_name(folder: Path, name: str) -> str:
    """A name of its own for a file in `folder`: of two that would be the same, the second has a number."""
    stem, numbers = slug(stem_of(name), LONGEST_INNER_NAME), itertools.count(2)
    free = f"{stem}{ending(name)}"
    while (folder / free).exists():
        free = f"{stem}-{next(numbers)}{ending(name)}"
    return free


def size_of(text: Path) -> int:
    """Bytes of a text that is kept here; 0 if it has just gone."""
    with contextlib.suppress(FileNotFoundError):
        return cleanup.size_of(text) if text.is_dir() else text.stat().st_size
    return 0


def changed_at(text: Path) -> float:
    """When a text was kept here, in seconds; 0 if it has just gone."""
    with contextlib.suppress(FileNotFoundError):
        return text.stat().st_mtime
    return 0.0


def delete(text: Path) -> None:
    """Remove a text that is kept here."""
    if text.is_dir():
        shutil.rmtree(text, ignore_errors=True)
    else:
        text.unlink(missing_ok=True)


def expected(download: Download, tokenizer: str, vocab_size: int) -> dict:
    """What `preview` will say, about, of a text that is not here yet."""
    kind = TOKENIZERS[tokenizer]
    n_tokens = round((1 - VALIDATION_SHARE) * download.wanted / kind.bytes_per_token)
    length = Length(n_tokens, False, kind.bytes_per_token, vocab_size if kind.learns_vocab_size else getattr(kind, "n_vocab", 100))
    return {"characters": download.wanted, "opening": "", "notes": [download.sentence()], "documents": 1, **length._asdict()}


def choices(root: Path) -> list[tuple[str, str]]:
    """(label, source) of every text that can be chosen on the page."""
    own = [path for path in (root / FOLDER).glob("*") if not is_hidden(path.name)]
    newest_first = sorted(own, key=changed_at, reverse=True)
    return [(name, name) for name in BUILT_IN] + [(HASH.sub("", path.name), str(path)) for path in newest_first]


def check_source(root: Path, source: str) -> str:
    """Return `source` if it is one of `choices`. Raises CorpusError: the page reads no other file."""
    if source not in [choice for _, choice in choices(root)]:
        raise CorpusError("that text is not on this page: choose one from the list, upload or paste it")
    return source


class Read(NamedTuple):
    """The settings by which a text is read, and its tokens made."""

    corpus: str
    validation: str
    documents: str
    text_field: str
    seed: int
    tokenizer: str
    vocab_size: int


@functools.lru_cache(maxsize=8)
def beginning_of(read: Read, tokens: Path | None = None, _modified: int = 0) -> tuple[Tokenizer, str]:
    """The tokenizer that a text would have after learning it from its beginning, or that of the file `tokens`, and this beginning. Raises
    UserError."""
    corpus = corpus_of(read._asdict())
    sample = list(beginning(corpus.train(), SAMPLE))
    tokenizer = load_tokenizer(tokens) if tokens else learned_from(sample, corpus, read.tokenizer, read.vocab_size)
    return tokenizer, "".join(part.text for part in sample)


@functools.lru_cache(maxsize=32)
def preview(read: Read, tokens: Path | None = None, _modified: int = 0) -> dict:
    """Size of a text, its beginning, its notes, its (for long texts: estimated) training tokens, and the vocabulary size; with the tokens
    of the file `tokens`, if it is given. Raises UserError if these cannot write the text."""
    corpus = corpus_of(read._asdict())
    found = length(corpus, read.tokenizer, read.vocab_size, load_tokenizer(tokens) if tokens else None)
    return {"characters": sum(corpus.characters()), "opening": corpus.fingerprint.opening[:280], "notes": corpus.sentences(),
            "documents": corpus.n_documents, **found._asdict()}
