"""Tokens that are single characters or single bytes."""

from collections.abc import Iterable

import numpy as np

from gpt.data.tokenizers.base import END_OF_TEXT, TextToLearn, Tokenizer, TokenizerError


class CharTokenizer(Tokenizer):
    """One token per character. The vocabulary is all characters of the whole text, so that every character of the validation part has
    a token."""

    name, made = "char", "one character"

    def __init__(self, characters: Iterable[str], has_end: bool = False):
        self.characters = sorted(set(characters))
        self.end = len(self.characters) if has_end else None
        self.n_vocab = len(self.characters) + has_end
        self.special = {END_OF_TEXT: self.end} if has_end else {}
        codes = np.array([ord(character) for character in self.characters], dtype=np.int64)
        self._ids = np.full(codes.max(initial=0) + 2, -1, dtype=np.int32)  # by code point; the last stands for all higher ones
        self._ids[codes] = np.arange(len(codes))

    @classmethod
    def make(cls, text: TextToLearn, vocab_size: int, has_end: bool = False) -> "CharTokenizer":
        characters: set[str] = set()
        for piece in text.everything():
            characters.update(piece)
        return cls(characters, has_end)

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

    name, n_vocab, made = "byte", 256, "one byte"

    def __init__(self, has_end: bool = False):
        self.end, self.n_vocab = (256, 257) if has_end else (None, 256)
        self.special = {END_OF_TEXT: 256} if has_end else {}

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
