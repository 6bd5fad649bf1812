"""A tokenizer as tokenizer.json, the format of the library `tokenizers`, which gives the same ids."""

import itertools
import json
from typing import Any

from gpt.data.tokenizer import BPETokenizer, CharTokenizer, Tokenizer, printable_bytes

END_OF_TEXT = "<|endoftext|>"


def tokenizer_json(tokenizer: Tokenizer) -> str:
    """The text of a tokenizer.json with the tokens of `tokenizer`."""
    from tokenizers import Regex, decoders, models, pre_tokenizers
    from tokenizers import Tokenizer as Theirs

    if isinstance(tokenizer, CharTokenizer):
        theirs = Theirs(models.WordLevel({character: i for i, character in enumerate(tokenizer.characters)}, unk_token=""))
        theirs.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
        theirs.decoder = decoders.Fuse()
    else:
        ranks = tokenizer.ranks if isinstance(tokenizer, BPETokenizer) else {bytes([byte]): byte for byte in range(256)}
        signs = {byte: sign for sign, byte in printable_bytes().items()}

        def written(token: bytes) -> str:
            return "".join(signs[byte] for byte in token)

        pairs = [(written(left), written(right)) for left, right in merges(ranks)]
        theirs = Theirs(models.BPE({written(token): rank for token, rank in ranks.items()}, pairs))
        theirs.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=isinstance(tokenizer, BPETokenizer))
        theirs.decoder = decoders.ByteLevel()
        if (end := end_of_text(tokenizer)) is not None:
            theirs.add_special_tokens([END_OF_TEXT])
            assert theirs.token_to_id(END_OF_TEXT) == end  # our own vocabulary, not a user's mistake
    return theirs.to_str(pretty=False)


def merges(ranks: dict[bytes, int]) -> list[tuple[bytes, bytes]]:
    """The two tokens that each token of byte-pair encoding is made of, in the order in which they are merged: what its bytes become
    when only tokens with a lower rank are used (Sennrich et al. 2016)."""
    return [pair_of(token, ranks, rank) for token, rank in sorted(ranks.items(), key=lambda item: item[1]) if len(token) > 1]


def pair_of(token: bytes, ranks: dict[bytes, int], rank: int) -> tuple[bytes, bytes]:
    """The last two parts into which `token` falls before it is merged. Raises ValueError if it cannot be made of tokens of lower rank."""
    parts = [token[i:i + 1] for i in range(len(token))]
    while len(parts) > 2:
        found = [(ranks.get(left + right, rank), i) for i, (left, right) in enumerate(itertools.pairwise(parts))]
        lowest, i = min(found)
        if lowest >= rank:
            raise ValueError(f"the token {token!r} is not made of two others")
        parts[i:i + 2] = [parts[i] + parts[i + 1]]
    return parts[0], parts[1]


def end_of_text(tokenizer: Tokenizer) -> int | None:
    """The id of GPT-2's token <|endoftext|>, if the tokenizer has one."""
    return tokenizer.n_vocab - 1 if tokenizer.name == "gpt2" else None


def tokenizer_config(tokenizer: Tokenizer, context_length: int) -> str:
    """The text of a tokenizer_config.json, by which `transformers` knows how to use a tokenizer.json."""
    special: dict[str, Any] = dict.fromkeys(("bos_token", "eos_token"), END_OF_TEXT) if end_of_text(tokenizer) is not None else {}
    return json.dumps({"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": context_length,
                       "clean_up_tokenization_spaces": False, **special}, indent=1)
