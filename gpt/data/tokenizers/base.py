"""What every tokenizer is: text to token ids and back.

It has `name`, `n_vocab`, `encode(text) -> ids`, `decode(ids) -> text`, `token_bytes(id) -> bytes`, `end` and `save(path)`. `end` is the
token that stands between documents, <|endoftext|>. Written in a text, it is text like any other.
"""

import json
import random
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gpt.errors import UserError

END_OF_TEXT = "<|endoftext|>"
MOST_LEARNED = 10_000_000  # characters that a tokenizer learns from, of a longer text a random choice


class TokenizerError(UserError):
    """A text this tokenizer cannot read, or a saved tokenizer that cannot be loaded."""


@dataclass(frozen=True)
class TextToLearn:
    """What a tokenizer is made from: functions that give a text in pieces, its training part, of so many `characters`, or all of it."""

    train: Callable[[], Iterable[str]]
    characters: int
    everything: Callable[[], Iterable[str]]

    @classmethod
    def of(cls, train: str, everything: str | None = None) -> "TextToLearn":
        """Of strings; without `everything`, all is for training."""
        return cls(lambda: [train], len(train), lambda: [train if everything is None else everything])

    def sample(self) -> Iterator[str]:
        """Pieces of the training part: all of them, or a random choice of about MOST_LEARNED characters, always the same one."""
        rng, share = random.Random(0), MOST_LEARNED / max(self.characters, 1)
        return (piece for piece in self.train() if share >= 1 or rng.random() < share)


class Tokenizer:
    """Base class of all tokenizers; it decodes ids from the bytes of single tokens. TOKENIZERS, in table.py, maps `name` to class."""

    name: str
    n_vocab: int
    learns_vocab_size = False  # whether CONFIG's vocab_size sets the number of tokens; otherwise the tokenizer sets it
    learning_bytes = 0.0  # memory that the process still holds after `make`
    bytes_per_token = 1.0  # of a text, about
    made: str  # how a token comes to be, in words
    end: int | None = None  # the token that ends a document; it stands for no text
    special: dict[str, int]  # tokens that stand for nothing that is written in a text, by name, `end` among them

    @classmethod
    def make(cls, text: TextToLearn, vocab_size: int, has_end: bool = False) -> "Tokenizer":
        """A tokenizer for a text, with a token that ends a document if it `has_end`."""
        raise NotImplementedError

    @classmethod
    def from_state(cls, state: dict) -> "Tokenizer":
        """The inverse of `state`. Raises KeyError, TypeError or ValueError for anything else."""
        raise NotImplementedError

    @classmethod
    def problem(cls, vocab_size: int) -> str | None:
        """What is wrong with CONFIG's vocab_size for this tokenizer, in one sentence, or None."""
        return None

    def encode(self, text: str) -> list[int]:
        """Raises TokenizerError if characters of `text` have no token."""
        return self.encode_to_numpy(text).tolist()

    def encode_to_numpy(self, text: str) -> np.ndarray:
        """The same as `encode`, (N,)."""
        raise NotImplementedError

    def token_bytes(self, token: int) -> bytes:
        """What the token stands for; nothing, b"", for `end`."""
        raise NotImplementedError

    def state(self) -> dict:
        """What `load_tokenizer` needs beside the name."""
        return {}

    def decode(self, ids: Iterable[int]) -> str:
        """The text of `ids`; bytes that are no UTF-8 become U+FFFD."""
        return b"".join(map(self.token_bytes, ids)).decode("utf-8", errors="replace")

    def unknown(self, text: str) -> list[str]:
        """Characters of `text` that have no token, each once, in order."""
        return []

    def save(self, path: Path | str) -> None:
        Path(path).write_text(json.dumps({"name": self.name, **self.state()}), encoding="utf-8")
