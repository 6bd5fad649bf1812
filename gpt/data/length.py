"""How long a text is in tokens, before all of it is tokenised."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any, NamedTuple

from gpt.data.corpus import Corpus
from gpt.data.files.formats import Part
from gpt.data.tokenising import ids_in_memory
from gpt.data.tokenizers.base import Tokenizer
from gpt.data.tokenizers.table import TOKENIZERS, make_tokenizer

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
    sample = list(beginning(corpus.train(), SAMPLE))
    tokens = tokens or learned_from(sample, corpus, tokenizer, vocab_size)
    n_tokens = len(ids_in_memory(sample, tokens, corpus.has_documents))
    n_bytes = sum(len(part.text.encode()) for part in sample)
    share = corpus.characters()[0] / max(sum(len(part.text) for part in sample), 1)
    return Length(round(n_tokens * share), share == 1, n_bytes / max(n_tokens, 1), tokens.n_vocab)


def learned_from(sample: list[Part], corpus: Corpus, tokenizer: str, vocab_size: int) -> Tokenizer:
    """The tokenizer that a text would have after learning it from its beginning `sample`."""
    to_learn = replace(corpus.to_learn(), train=lambda: (part.text for part in sample), characters=sum(len(part.text) for part in sample))
    return make_tokenizer(tokenizer, to_learn, vocab_size, corpus.has_documents)


def beginning(parts: Iterable[Part], n_characters: int) -> Iterator[Part]:
    """The first `n_characters` of a text, or all if it has fewer."""
    for part in parts:
        yield Part(part.text[:n_characters], part.ends)
        n_characters -= len(part.text)
        if n_characters <= 0:
            return


def likely_vocab_size(config: dict[str, Any], exact: bool, vocab_size: int) -> int:
    """Of what `length` has found, the vocabulary size of a run with `config`: the one that was found; or, if the tokens were learned from
    the beginning of the text only, the one that `config` asks for, since the whole text may reach it."""
    return config["vocab_size"] if TOKENIZERS[config["tokenizer"]].learns_vocab_size and not exact else vocab_size
