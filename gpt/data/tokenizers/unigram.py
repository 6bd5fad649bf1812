"""Pieces of words from a unigram language model, learned and run by the library sentencepiece."""

import base64
import functools
import io
import re
from collections.abc import Iterable
from typing import Any

import numpy as np

from gpt.data.cutting import cut_runs
from gpt.data.tokenizers.base import END_OF_TEXT, TextToLearn, Tokenizer, TokenizerError

SPACE = "\u2581"  # how sentencepiece writes a blank; where a text has this sign itself, it is read byte by byte
LONGEST_SENTENCE = 4000  # characters; longer lines are cut for learning
NEW_LINE = "\n"


class UnigramTokenizer(Tokenizer):
    """A unigram language model over pieces of words (Kudo 2018, 1804.10959): of all ways to cut a text into pieces, the one whose pieces
    are the most probable together. What no piece stands for is read as bytes, so any text can be read. It learns from the training part
    alone. `model` is what sentencepiece calls a model: the contents of a .model file.
    """

    name, learns_vocab_size, bytes_per_token, learning_bytes = "sentencepiece", True, 3.0, 200e6
    made = "a piece as it is: nothing is merged, a text is cut into the pieces that are the most probable together"

    def __init__(self, model: bytes, has_end: bool = False):
        self.model = model
        self._processor = library().SentencePieceProcessor(model_proto=model)
        n_pieces = self._processor.get_piece_size()
        self.end = n_pieces if has_end else None
        self.n_vocab, self.special = n_pieces + has_end, {END_OF_TEXT: n_pieces} if has_end else {}
        self._bytes = [_bytes_of(self._processor, i) for i in range(n_pieces)]
        self._space = [self._bytes.index(bytes([byte])) for byte in SPACE.encode()]

    @classmethod
    def make(cls, text: TextToLearn, vocab_size: int, has_end: bool = False) -> "UnigramTokenizer":
        return cls(learn_unigram(text.sample(), vocab_size - has_end), has_end)

    @classmethod
    def from_state(cls, state: dict) -> "UnigramTokenizer":
        try:
            return cls(base64.b64decode(state["model"], validate=True), bool(state.get("has_end")))
        except RuntimeError as error:  # of sentencepiece
            raise ValueError(str(error)[:100]) from None

    @classmethod
    def problem(cls, vocab_size: int) -> str | None:
        limits = "sentencepiece keeps 256 for bytes, set it to 300 to 65536"
        return None if 300 <= vocab_size <= 65536 else f"vocab_size is {vocab_size}: {limits}"

    def encode_to_numpy(self, text: str) -> np.ndarray:
        ids: list[int] = []
        for i, part in enumerate(text.encode("utf-8", errors="replace").decode().split(SPACE)):
            ids += self._space if i else []
            for piece in cut_runs(part):
                ids += self._processor.encode(piece)
        return np.array(ids, dtype=np.int32)

    def token_bytes(self, token: int) -> bytes:
        return b"" if token == self.end else self._bytes[token]

    def state(self) -> dict:
        return {"model": base64.b64encode(self.model).decode(), **({} if self.end is None else {"has_end": True})}


def _bytes_of(processor: Any, piece: int) -> bytes:
    written = processor.id_to_piece(piece)
    if processor.is_unknown(piece):  # it stands for nothing, since bytes stand for all that is unknown
        return "\ufffd".encode()
    return bytes([int(written[3:-1], 16)]) if processor.is_byte(piece) else written.replace(SPACE, " ").encode()


def learn_unigram(text: Iterable[str], vocab_size: int) -> bytes:
    """Learn up to `vocab_size` pieces from the pieces of a `text`; a short text gives fewer. Returns the model."""
    model = io.BytesIO()
    sentences = (line[i:i + LONGEST_SENTENCE] for part in text for line in part.split(NEW_LINE) if line.strip()
                 for i in range(0, len(line), LONGEST_SENTENCE))
    try:
        library().SentencePieceTrainer.train(
            sentence_iterator=sentences, model_writer=model, model_type="unigram", vocab_size=vocab_size, hard_vocab_limit=False,
            byte_fallback=True, character_coverage=0.9995, user_defined_symbols=[NEW_LINE], normalization_rule_name="identity",
            add_dummy_prefix=False, remove_extra_whitespaces=False, max_sentence_length=4 * LONGEST_SENTENCE + 1, bos_id=-1, eos_id=-1,
            pad_id=-1, unk_id=0, unk_surface="", num_threads=2, minloglevel=2)
    except RuntimeError as error:
        found = re.search(r"required_chars|Vocabulary size is smaller", str(error))
        raise TokenizerError("this text has more different characters than vocab_size leaves room for: raise vocab_size" if found else
                             f"sentencepiece cannot learn from this text ({str(error)[-120:]})") from None
    return model.getvalue()


@functools.cache
def library() -> Any:
    """The package sentencepiece. Raises TokenizerError if it is not installed."""
    try:
        import sentencepiece
    except ImportError:
        raise TokenizerError("the tokenizer sentencepiece needs a package that is not installed: pip install sentencepiece") from None
    return sentencepiece
