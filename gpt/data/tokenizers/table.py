"""All tokenizers by name; `load_tokenizer(path)` loads any of them, without network and without the text it was made from."""

import json
from pathlib import Path

from gpt.data.tokenizers.base import TextToLearn, Tokenizer, TokenizerError
from gpt.data.tokenizers.bpe import BPETokenizer, GPT2Tokenizer
from gpt.data.tokenizers.letters import ByteTokenizer, CharTokenizer
from gpt.data.tokenizers.unigram import UnigramTokenizer

TOKENIZERS = {tokenizer.name: tokenizer for tokenizer in (BPETokenizer, GPT2Tokenizer, CharTokenizer, ByteTokenizer, UnigramTokenizer)}


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
