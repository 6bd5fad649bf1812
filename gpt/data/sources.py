"""From a name or a path to a text: `read_corpus`."""

import os
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import Any

from gpt.data.built_in import BUILT_IN, GENERATED_SIZE, BuiltIn, built_in
from gpt.data.corpus import Corpus, CorpusError, first_words
from gpt.data.documents import split_documents, split_from
from gpt.data.downloads import Download, fetched
from gpt.data.files.formats import Reading
from gpt.data.files.listing import MOST_BYTES, Entry, entries
from gpt.data.files.survey import EMPTY, Survey, survey
from gpt.data.progress import Progress, silent
from gpt.words import listed, size

AS_FILES = Reading()


def corpus_of(config: dict[str, Any], progress: Progress = silent) -> Corpus:
    """The text that CONFIG names, with its own for validation if it names one. Raises CorpusError."""
    reading = Reading(config["documents"], config["text_field"])
    return read_corpus(config["corpus"], config["seed"], reading, config["validation"], progress)


def read_corpus(source: str, seed: int = 0, reading: Reading = AS_FILES, validation: str = "", progress: Progress = silent,
                most_bytes: int = MOST_BYTES) -> Corpus:
    """The text named `source`: a built-in one, or what a file, an archive or a folder holds, read as `reading` says. With the text
    `validation`, all that `source` holds is for training, but for documents that stand in both. Of `source`, no more than
    `most_bytes` are read. Raises CorpusError."""
    corpus = _read(source, seed, reading, progress, most_bytes)
    own = built_in(source)
    if validation:
        held_out = _read(validation, seed, reading, progress)
    elif own and own.validation:
        held_out = _downloaded(own, own.validation, seed, progress)
    else:
        return corpus
    split = split_from(corpus.fingerprint.hashes, held_out.fingerprint.hashes)
    if split.left_out.all():
        raise CorpusError(f"the text {corpus.name!r} holds nothing that is not in {held_out.name!r} too: give another text for validation")
    same = int(split.left_out.sum())
    notes = [*corpus.notes, f"{held_out.name} is for validation, {size(held_out.fingerprint.bytes)}"
             + (f"; {same:,} documents that say the same as one of it are left out" if same else ""), *held_out.notes]
    return replace(corpus, split=split, held_out=held_out, known=None, notes=notes)


def _read(source: str, seed: int, reading: Reading, progress: Progress, most_bytes: int = MOST_BYTES) -> Corpus:
    if own := built_in(source):
        if own.make:
            text, known = own.make(GENERATED_SIZE, seed)
            return Corpus.of_text(source, text, own.prompt, known)
        if own.files:
            return of_files(source, list(own.files()), seed, reading, progress, own.prompt)
        return _downloaded(own, own.download, seed, progress)
    if not source or not os.path.exists(source):  # Path.exists raises for a name that is too long, os.path.exists does not
        raise CorpusError(f"there is no text {source[:200]!r}: give a file, a folder, or one of {', '.join(BUILT_IN)}")
    try:
        return of_files(Path(os.path.abspath(source)).name, list(entries(Path(source), most_bytes=most_bytes)), seed, reading, progress,
                        most_bytes=most_bytes)
    except OSError as error:
        raise CorpusError(f"the text {source[:200]!r} cannot be read ({error.strerror or error})") from None


def _downloaded(own: BuiltIn, download: Download, seed: int, progress: Progress) -> Corpus:
    path = fetched(download, progress)
    corpus = of_files(download.name, [*entries(path)], seed, Reading(own.documents), progress, own.prompt)
    return replace(corpus, notes=[f"{download.name} has the licence: {download.licence}", *corpus.notes])


def of_files(name: str, files: Collection[Entry], seed: int, reading: Reading, progress: Progress, prompt: str = "",
             most_bytes: int = MOST_BYTES) -> Corpus:
    """The text in some files. Raises CorpusError if none of them can be read."""
    total = max(sum(entry.bytes for entry in files), 1)
    found = survey(files, reading, lambda n_bytes: progress(f"reading {name}", min(n_bytes / total, 1.0)), most_bytes)
    if not found.files:
        raise CorpusError(f"the text {name!r} {_why_nothing(name, found)}")
    split = split_documents(found.text.lengths, found.text.hashes, seed)
    if len(found.text.lengths) > 1 and not split.characters(found.text.lengths)[0]:
        raise CorpusError(f"all documents of the text {name!r} say the same, so nothing is left to learn beside validation: add others")
    return Corpus(name, found.documents, found.text, split, prompt or first_words(found.text.opening), found.sentences())


def _why_nothing(source: str, found: Survey) -> str:
    if not found.unreadable:
        return "is a folder without files: put text files in, or name another"
    if len(found.unreadable) == 1:
        (name, reason), = found.unreadable
        remedy = ": give one with a few hundred characters at least" if reason == EMPTY else ""
        return f"cannot be trained on: {reason if name == source else f'{name}: {reason}'}{remedy}"
    return f"has no file that can be read: {listed([f'{name} ({reason})' for name, reason in found.unreadable], 4)}"
