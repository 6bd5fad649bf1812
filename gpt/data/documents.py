"""Documents: which of them are for validation, and so never trained on."""

from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from gpt.data.files.formats import Part

VALIDATION_SHARE = 0.1  # of the characters of a text
NEARLY_FULL = 0.01  # of that share may stay empty
MOST_VALIDATION = 0.4  # a single document with more than this share of the text is cut instead


@dataclass(frozen=True)
class Split:
    """How a text of D documents is split: `validation`, (D,) whether each is for validation, `left_out`, (D,) whether neither, since it
    says the same as one that is. Or the last document is cut at character `cut`, and what follows is for validation."""

    validation: np.ndarray
    left_out: np.ndarray
    cut: int | None = None

    def part_for(self, validation: bool, documents: Iterable[Part]) -> Iterator[Part]:
        """Of all documents, those that are for validation, or those that are for training."""
        index, place = 0, 0  # of the document, and within it
        for part in documents:
            is_last = index == len(self.validation) - 1
            if self.cut is not None and is_last:
                split = min(max(self.cut - place, 0), len(part.text))
                text = part.text[split:] if validation else part.text[:split]
                ends = part.ends
                if text or ends:
                    yield Part(text, ends)
            elif not self.left_out[index] and self.validation[index] == validation:
                yield part
            place = 0 if part.ends else place + len(part.text)
            index += part.ends

    def characters(self, lengths: array) -> tuple[int, int]:
        """How many characters are for training, and for validation, of documents of these `lengths`."""
        lengths = np.frombuffer(lengths, np.int64)
        validation = int(lengths[self.validation].sum()) if self.cut is None else int(lengths[-1]) - self.cut
        return int(lengths[~self.left_out].sum()) - validation, validation

    def sentences(self, lengths: array) -> list[str]:
        """What a reader should know about it, where there are several documents."""
        if len(lengths) == 1:
            return []
        train, validation = self.characters(lengths)
        share = f"{100 * validation / (train + validation):.0f} % of the text"
        if self.cut is not None:
            return [f"the documents are too few and too long to hold out a whole one: the end of the last is for validation, {share}"]
        held_out, same = int(self.validation.sum()), int(self.left_out.sum())
        documents = f"{held_out:,} {'document' if held_out == 1 else 'documents'}, drawn at random,"
        return [f"{documents} {'is' if held_out == 1 else 'are'} for validation, {share}"
                + (f"; {same:,} that say the same as one of them are left out" if same else "")]


def split_documents(lengths: array, hashes: array, seed: int) -> Split:
    """Hold out whole documents, in an order drawn from the seed, as long as they have no more than VALIDATION_SHARE of all characters
    together; if the first few are all too long for that, the shortest document. If that has more than MOST_VALIDATION, or is the only
    one, the end of the last document is held out. `lengths` are in characters; documents of equal hashes are the same."""
    lengths, hashes = np.frombuffer(lengths, np.int64), np.frombuffer(hashes, np.uint64)
    none, room = np.zeros(len(lengths), dtype=bool), int(VALIDATION_SHARE * lengths.sum())
    chosen = _fill(np.random.default_rng(seed).permutation(len(lengths)), lengths, room) if len(lengths) > 1 else []
    if not chosen and len(lengths) > 1 and lengths.min() <= MOST_VALIDATION * lengths.sum():
        chosen = [lengths.argmin()]
    if not chosen:
        same = hashes == hashes[-1]
        same[-1] = False
        return Split(none, same, int(lengths[-1] - room) if len(lengths) > 1 else int(lengths[0] * (1 - VALIDATION_SHARE)))
    validation = none.copy()
    validation[chosen] = True
    return Split(validation, ~validation & _among(hashes, hashes[chosen]))


def _among(hashes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """(D,) whether each hash is one of the `others`; with little memory, since there may be millions."""
    others = np.sort(others)
    return others[np.searchsorted(others, hashes).clip(max=len(others) - 1)] == hashes


def _fill(order: np.ndarray, lengths: np.ndarray, room: int) -> list[int]:
    """Those documents that fit into `room`, one after the other, until it is nearly full."""
    chosen, left = [], room
    for document in order:
        if lengths[document] <= left:
            chosen.append(document)
            left -= lengths[document]
            if left < NEARLY_FULL * room:
                break
    return chosen


def split_from(hashes: array, held_out: array) -> Split:
    """All documents of these `hashes` are for training, but for those that are also among the ones `held_out`."""
    hashes, held_out = np.frombuffer(hashes, np.uint64), np.frombuffer(held_out, np.uint64)
    return Split(np.zeros(len(hashes), dtype=bool), _among(hashes, held_out))
