"""What is known about a generated text: how probable each part of it was, and so the loss of perfect prediction.

A generator draws with known probabilities. The logarithm of one over the probability of what it drew, in nats, is the least that any
model can lose there on average (Shannon 1948), and where it drew nothing a model can lose nothing.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from gpt.errors import UserError

MOST_CHARACTERS = 200_000_000  # of a generated text: with what is known about it, it takes about 4 GB while it is made
ANSWER = "answer"  # the kind of what is all right or all wrong


def nats_of_going_on(i: int, shortest: int, longest: int) -> float:
    """Of a text that does not end after i characters, where each length from `shortest` to `longest` is equally likely."""
    return math.log((longest + 1 - i) / (longest - i)) if i >= shortest else 0.0


def nats_of_ending(i: int, longest: int) -> float:
    """Of one that ends there; i is at least the shortest length."""
    return math.log(longest + 1 - i)


class Piece(NamedTuple):
    """A stretch of a document. `nats` belong to what was drawn to write it, and count at its first character; `kind` says what it asks of
    a reader, as an index into Known.names."""

    text: str
    nats: float
    kind: int


@dataclass(frozen=True)
class Known:
    """Of each character of a text, which is all ASCII: its `nats`, (N,), and its kind, (N,), an index into `names`. `starts`, (S,), are
    the first characters of its documents."""

    nats: np.ndarray
    kinds: np.ndarray
    starts: np.ndarray
    names: tuple[str, ...]

    def start_after(self, character: int) -> int:
        """The first start of a document at `character` or after it; `character` if there is none."""
        later = self.starts[self.starts >= character]
        return int(later[0]) if len(later) else character

    def split(self, cut: int) -> tuple["Known", "Known"]:
        """The same about the text up to, and without, character `cut`, and about the rest."""
        before = self.starts < cut
        return (Known(self.nats[:cut], self.kinds[:cut], self.starts[before], self.names),
                Known(self.nats[cut:], self.kinds[cut:], self.starts[~before] - cut, self.names))

    def by_token(self, lengths: Tensor) -> "Floor":
        """The same about each token of the text, whose lengths in bytes are `lengths`, (M,). A token has the kind of its last character."""
        ends = lengths.cumsum(0).numpy()  # (M,), and a byte is a character
        nats = np.diff(np.concatenate(([0.0], self.nats.cumsum(dtype=np.float64)))[ends], prepend=0.0)
        return Floor(torch.from_numpy(nats), torch.from_numpy(self.kinds[ends - 1]).long(), self.first_tokens(lengths), self.names)

    def first_tokens(self, lengths: Tensor) -> Tensor:
        """(S,) the tokens with which documents start, of a text whose tokens have these lengths in bytes, (M,)."""
        begins = (lengths.cumsum(0) - lengths).numpy()  # (M,)
        return torch.from_numpy(np.isin(begins, self.starts).nonzero()[0])


@dataclass(frozen=True)
class Floor:
    """Of each token of a text: the `nats` that perfect prediction loses there, (M,), and its kind, (M,), an index into `names`. `starts`,
    (S,), are the first tokens of its documents. All are on the CPU."""

    nats: Tensor
    kinds: Tensor
    starts: Tensor
    names: tuple[str, ...]

    def starts_within(self, n_tokens: int) -> list[int]:
        """The first tokens of the documents among the first `n_tokens`."""
        return self.starts[self.starts < n_tokens].tolist()

    def end_of_documents(self, n_tokens: int) -> int:
        """How many of the first `n_tokens` belong to whole documents; all of them if the first document is longer."""
        ends = [end for end in (*self.starts.tolist(), len(self.nats)) if 1 < end <= n_tokens]
        return max(ends, default=n_tokens)

    def longer_than(self, context_length: int) -> float:
        """The share of documents of which a model cannot see the whole before their last token."""
        ends = torch.cat((self.starts[1:], torch.tensor([len(self.nats)])))
        return ((ends - self.starts) > context_length).double().mean().item()

    def answers(self, places: Tensor) -> Tensor:
        """(B, T) places of tokens -> (B, T) the number of the document that each belongs to, or -1 for a token that is no answer."""
        if ANSWER not in self.names:
            return torch.full_like(places, -1)
        documents = torch.searchsorted(self.starts, places, right=True) - 1
        return documents.where(self.kinds[places] == self.names.index(ANSWER), -1)

    def perfect(self, n_tokens: int) -> float:
        """The loss of perfect prediction of the first `n_tokens` but the first, in nats per token."""
        return self.nats[1:n_tokens].mean().item()

    def excess(self, nats_by_kind: list[float], n_tokens: int) -> dict[str, float]:
        """By kind, what a model has lost above perfect prediction of the first `n_tokens` but the first, (K,) nats, divided by the number
        of all tokens predicted: together they are its loss above perfect."""
        kinds = self.kinds[1:n_tokens]
        perfect = torch.zeros(len(self.names), dtype=torch.float64).index_add_(0, kinds, self.nats[1:n_tokens])  # (K,)
        excess = (torch.tensor(nats_by_kind, dtype=torch.float64) - perfect) / (n_tokens - 1)
        return {self.names[kind]: round(excess[kind].item(), 4) for kind in kinds.unique().tolist()}


def write_down(documents: Iterable[list[Piece]], size: int, names: tuple[str, ...]) -> tuple[str, Known]:
    """The text of so many `documents` that it has at least `size` characters, and what is known about it. Raises UserError for a size that
    is negative or above MOST_CHARACTERS."""
    if not 0 <= size <= MOST_CHARACTERS:
        raise UserError(f"{size:,} characters of a generated text cannot be made: ask for 0 to {MOST_CHARACTERS:,}")
    pieces_by_document, length = [], 0
    for document in documents:
        if length >= size:
            break
        pieces_by_document.append(document)
        length += sum(len(piece[0]) for piece in document)
    pieces = list(chain.from_iterable(pieces_by_document))
    text = "".join(piece[0] for piece in pieces)
    lengths = np.array([len(piece[0]) for piece in pieces], dtype=np.int64)
    begins = lengths.cumsum() - lengths  # (P,) the first character of each piece
    nats = np.zeros(len(text), dtype=np.float32)
    nats[begins] = [piece[1] for piece in pieces]
    kinds = np.repeat(np.array([piece[2] for piece in pieces], dtype=np.uint8), lengths)
    n_pieces = np.array([len(document) for document in pieces_by_document], dtype=np.int64)
    return text, Known(nats, kinds, begins[n_pieces.cumsum() - n_pieces], names)  # a document starts with its first piece
