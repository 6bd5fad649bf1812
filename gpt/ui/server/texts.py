"""Texts on the page: the built-in ones, and what a person uploads or pastes, kept below the runs."""

import functools
import hashlib
import re
from pathlib import Path

from gpt.data.corpus import BUILT_IN, CorpusError, read_corpus
from gpt.data.length import length
from gpt.data.tokenizer import load_tokenizer

LARGEST = 20_000_000  # bytes of an uploaded or pasted text
FOLDER = ".texts"


def save_text(root: Path, name: str, data: bytes) -> Path:
    """Keep a person's text below `root` under its own name and its hash; the same text is kept once. Raises CorpusError."""
    if len(data) > LARGEST:
        raise CorpusError(f"the text has {len(data) / 1e6:.1f} MB; this page takes up to {LARGEST / 1e6:.0f} MB: "
                          "train larger ones with python -m gpt.pretrain --corpus FILE")
    if not data.strip():
        raise CorpusError("the text is empty: give one with a few hundred characters at least")
    if b"\0" in data[:8192]:
        raise CorpusError(f"{name} is not a text file: save it as plain text (.txt) first")
    stem = re.sub(r"[^A-Za-z0-9]+", "-", Path(name).stem).strip("-")[:32] or "text"
    path = root / FOLDER / f"{stem}-{hashlib.sha256(data).hexdigest()[:8]}.txt"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    except OSError as error:
        raise CorpusError(f"the text cannot be kept in {path.parent} ({error.strerror}): "
                          "start the page with another --checkpoints") from None
    return path


def choices(root: Path) -> list[tuple[str, str]]:
    """(label, source) of every text that can be chosen on the page."""
    own = sorted((root / FOLDER).glob("*.txt"), key=lambda path: path.stat().st_mtime, reverse=True)
    return [(name, name) for name in BUILT_IN] + [(path.stem.rsplit("-", 1)[0], str(path)) for path in own]


def check_source(root: Path, source: str) -> str:
    """Return `source` if it is one of `choices`. Raises CorpusError: the page reads no other file."""
    if source not in [choice for _, choice in choices(root)]:
        raise CorpusError("that text is not on this page: choose one from the list, upload or paste it")
    return source


@functools.lru_cache(maxsize=32)
def preview(source: str, tokenizer: str, vocab_size: int, seed: int, tokens: Path | None = None, _modified: int = 0) -> dict:
    """Size of a text, its beginning, its notes, its (for long texts: estimated) training tokens, and the vocabulary size; with the tokens
    of the file `tokens`, if it is given. Raises UserError if these cannot write the text."""
    corpus = read_corpus(source, seed)
    found = length(corpus, tokenizer, vocab_size, load_tokenizer(tokens) if tokens else None)
    return {"characters": len(corpus.text), "opening": corpus.text[:280], "notes": corpus.notes, **found._asdict()}
