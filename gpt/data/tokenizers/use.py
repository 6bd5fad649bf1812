"""How a tokenizer cuts a text: how often each token occurs, and how a token came to be."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from gpt.data.tokenizers.base import Tokenizer
from gpt.data.tokenizers.bpe import BPETokenizer, merge_steps

MOST_SHOWN = 12  # of the most frequent and of the longest tokens


class Use(NamedTuple):
    """Of a text: `n_tokens`, bytes of the text per token, the share of the vocabulary that is `used`; the most `frequent` tokens with how
    often they occur, and the `longest` ones that occur, longest first."""

    n_tokens: int
    bytes_per_token: float
    used: float
    frequent: list[tuple[int, int]]
    longest: list[int]


def use_of(tokenizer: Tokenizer, text: str) -> Use:
    """Raises TokenizerError if characters of `text` have no token."""
    ids = tokenizer.encode_to_numpy(text)
    counts = np.bincount(ids, minlength=tokenizer.n_vocab)  # (V,)
    occurring = counts.nonzero()[0]
    by_count = occurring[np.argsort(-counts[occurring], kind="stable")]
    by_length = sorted(occurring.tolist(), key=lambda token: -len(tokenizer.token_bytes(token)))
    return Use(len(ids), len(text.encode("utf-8", errors="replace")) / max(len(ids), 1), len(occurring) / tokenizer.n_vocab,
               [(int(token), int(counts[token])) for token in by_count[:MOST_SHOWN]], by_length[:MOST_SHOWN])


def history_of(tokenizer: Tokenizer, token: int) -> Iterator[list[bytes]]:
    """How byte-pair encoding makes a token: its bytes, then its parts after each merge, the token itself at last. Of other tokenizers,
    which merge nothing, the token alone."""
    word = tokenizer.token_bytes(token)
    if isinstance(tokenizer, BPETokenizer) and word:
        yield from merge_steps(word, tokenizer.ranks, tokenizer.ranks[word] + 1)
    else:
        yield [word]
