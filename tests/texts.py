"""Short texts as the trainer has them."""

import numpy as np

from gpt.data.corpus import Corpus, fingerprint_of
from gpt.data.dataset import TokenizedText
from gpt.data.documents import Split
from gpt.data.files.formats import Part
from gpt.data.tokenizers.base import Tokenizer


def tokenized(train: str, validation: str, tokenizer: Tokenizer) -> TokenizedText:
    """A text of one document whose parts for training and validation are given."""
    return TokenizedText.encode(corpus_of(train, validation), tokenizer)


def corpus_of(train: str, validation: str) -> Corpus:
    """The same before it is tokenised."""
    def documents():
        yield Part(train + validation, True)

    fingerprint = fingerprint_of(documents())
    none = np.zeros(1, dtype=bool)
    split = Split(none, none, len(train))
    return Corpus("text", documents, fingerprint, split, "")


def as_documents(*texts: str) -> list[Part]:
    """Documents, each in one part."""
    return [Part(text, True) for text in texts]
