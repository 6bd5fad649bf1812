"""How long a text is in tokens, before all of it is tokenised."""

from typing import Any, NamedTuple

from gpt.data.corpus import Corpus
from gpt.data.tokenizer import TOKENIZERS, Tokenizer, make_tokenizer

SAMPLE = 300_000  # characters from which the number of tokens is estimated


class Length(NamedTuple):
    """`train_tokens` of the training part, `exact` if it has no more than SAMPLE characters, with `bytes_per_token`; `vocab_size` is the
    number of different tokens."""

    train_tokens: int
    exact: bool
    bytes_per_token: float
    vocab_size: int


def length(corpus: Corpus, tokenizer: str, vocab_size: int, tokens: Tokenizer | None = None) -> Length:
    """In the `tokens` of a run, or else in those that the `tokenizer` of CONFIG would have after learning them from the beginning of the
    text. Raises UserError if these cannot write the text."""
    train_text, _ = corpus.split()
    sample = train_text[:SAMPLE]
    tokens = tokens or make_tokenizer(tokenizer, sample, corpus.text, vocab_size)
    n_tokens = len(tokens.encode(sample))
    share = len(train_text) / max(len(sample), 1)
    return Length(round(n_tokens * share), share == 1, len(sample.encode("utf-8")) / max(n_tokens, 1), tokens.n_vocab)


def likely_vocab_size(config: dict[str, Any], exact: bool, vocab_size: int) -> int:
    """Of what `length` has found, the vocabulary size of a run with `config`: the one that was found; or, if the tokens were learned from
    the beginning of the text only, the one that `config` asks for, since the whole text may reach it."""
    return config["vocab_size"] if TOKENIZERS[config["tokenizer"]].learns_vocab_size and not exact else vocab_size
