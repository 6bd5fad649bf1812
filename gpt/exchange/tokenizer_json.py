"""A tokenizer as tokenizer.json, the format of the library `tokenizers`, which gives the same ids; and back."""

import json
from typing import Any

from gpt.data.tokenizers.base import END_OF_TEXT, Tokenizer, TokenizerError
from gpt.data.tokenizers.bpe import BPETokenizer, as_printable, gpt2_tokenizer, merges, printable_bytes
from gpt.data.tokenizers.letters import ByteTokenizer, CharTokenizer
from gpt.data.tokenizers.unigram import UnigramTokenizer

ONE_CHARACTER = r"[\s\S]"
UNKNOWN = ("continuing_subword_prefix", "end_of_word_suffix", "byte_fallback", "ignore_merges", "dropout")  # of a model, if set


def tokenizer_json(tokenizer: Tokenizer) -> str:
    """The text of a tokenizer.json with the tokens of `tokenizer`. Raises TokenizerError for those of sentencepiece."""
    from tokenizers import Regex, decoders, models, pre_tokenizers
    from tokenizers import Tokenizer as Theirs

    if isinstance(tokenizer, UnigramTokenizer):
        raise TokenizerError("this format holds no tokens of sentencepiece: export them alone (--format tokenizer), as a .model")
    if isinstance(tokenizer, CharTokenizer):
        theirs = Theirs(models.WordLevel({character: i for i, character in enumerate(tokenizer.characters)}, unk_token=""))
        theirs.pre_tokenizer = pre_tokenizers.Split(Regex(ONE_CHARACTER), "isolated")
        theirs.decoder = decoders.Fuse()
    else:
        ranks = tokenizer.ranks if isinstance(tokenizer, BPETokenizer) else {bytes([byte]): byte for byte in range(256)}
        pairs = [(as_printable(left), as_printable(right)) for left, right in merges(ranks)]
        theirs = Theirs(models.BPE({as_printable(token): rank for token, rank in ranks.items()}, pairs))
        theirs.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=isinstance(tokenizer, BPETokenizer))
        theirs.decoder = decoders.ByteLevel()
    theirs.add_special_tokens(sorted(tokenizer.special, key=tokenizer.special.get))
    return theirs.to_str(pretty=False)


def tokenizer_config(tokenizer: Tokenizer, context_length: int) -> str:
    """The text of a tokenizer_config.json, by which `transformers` knows how to use a tokenizer.json."""
    special: dict[str, Any] = dict.fromkeys(("bos_token", "eos_token"), END_OF_TEXT) if tokenizer.end is not None else {}
    return json.dumps({"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": context_length,
                       "clean_up_tokenization_spaces": False, **special}, indent=1)


def read_tokenizer_json(text: str) -> Tokenizer:
    """The tokenizer of a tokenizer.json: byte-pair encoding over bytes with GPT-2's way of splitting words, single bytes, or single
    characters. Raises TokenizerError for any other, KeyError, TypeError or ValueError for what is no tokenizer.json."""
    saved = json.loads(text)
    model, splitting = saved["model"], saved.get("pre_tokenizer") or {}
    vocab, added = model["vocab"], {token["content"]: token["id"] for token in saved.get("added_tokens", [])}
    if found := [name for name in UNKNOWN if model.get(name)] + [name for name in ("normalizer",) if saved.get(name)]:
        raise TokenizerError(f"the tokenizer has {', '.join(found)}, which this does not know: it reads byte-level byte-pair encoding as "
                             "GPT-2's, single bytes and single characters")
    if (saved.get("post_processor") or {"type": "ByteLevel"})["type"] != "ByteLevel":
        raise TokenizerError("the tokenizer adds tokens to every text, and this reads only such as GPT-2's, which adds none")
    if model.get("type") == "WordLevel" and splitting.get("pattern") == {"Regex": ONE_CHARACTER}:
        return same_ids(CharTokenizer(vocab, END_OF_TEXT in added), {word.encode(): i for word, i in vocab.items()})
    if model.get("type", "BPE") != "BPE" or splitting.get("type") != "ByteLevel" or splitting.get("add_prefix_space"):
        raise TokenizerError(f"the tokenizer is of another kind ({model.get('type')}, {splitting.get('type')}): this reads byte-level "
                             "byte-pair encoding as GPT-2's, single bytes and single characters")
    bytes_of = printable_bytes()
    ranks = {bytes(bytes_of[sign] for sign in token): i for token, i in vocab.items() if token not in added}
    if not splitting.get("use_regex", True):
        return same_ids(ByteTokenizer(END_OF_TEXT in added), ranks)
    if (ranks, added) == (gpt2_tokenizer().ranks, gpt2_tokenizer().special):
        return gpt2_tokenizer()
    if not ranks.keys() >= {bytes([byte]) for byte in range(256)}:
        raise TokenizerError("the tokenizer lacks some of the 256 bytes, so there are texts that it cannot read")
    if sorted(ranks.values()) + sorted(added.values()) != list(range(len(ranks) + len(added))):
        raise TokenizerError("the special tokens do not stand after all others, with no number left out between: this keeps no other order")
    pairs = [tuple(pair.split(" ")) if isinstance(pair, str) else tuple(pair) for pair in model["merges"]]
    if [tuple(bytes(bytes_of[sign] for sign in half) for half in pair) for pair in pairs] != merges(ranks):
        raise TokenizerError("the tokenizer merges in another order than that of its tokens, and this reads only such as GPT-2's")
    return BPETokenizer(ranks, added)


def same_ids(tokenizer: Tokenizer, ids: dict[bytes, int]) -> Tokenizer:
    """Return `tokenizer` if its tokens have these ids. Raises TokenizerError."""
    if {tokenizer.token_bytes(i): i for i in range(tokenizer.n_vocab) if i != tokenizer.end} != ids:
        raise TokenizerError(f"the {len(ids):,} tokens have other ids than this project gives to single characters or bytes")
    return tokenizer
