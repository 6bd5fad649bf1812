"""The text that weights learned from before a run went on with them: the loss on it, which rises, is what the model forgets (McCloskey and
Cohen 1989 named it catastrophic interference)."""

from typing import Any

import torch
from torch import Tensor

from gpt.data.corpus import Corpus, CorpusError, read_corpus
from gpt.data.tokenizer import Tokenizer
from gpt.runs.run import Run

CHARACTERS_PER_TOKEN = 16  # more than any text needs, so that no more is encoded than is evaluated


def text_of(run: Run) -> dict[str, Any] | None:
    """Where to find the text that a run was trained on, {"name", "corpus", "seed", "sha256"}; None if its weights were made elsewhere."""
    about = run.config()
    if "imported_from" in about:
        return None
    return {"name": about["corpus"]["name"], "corpus": about["config"]["corpus"], "seed": about["config"]["seed"],
            "sha256": about["corpus"]["sha256"]}


def tokens_of(earlier: dict[str, Any] | None, corpus: Corpus, tokenizer: Tokenizer, at_most: int) -> tuple[Tensor | None, list[str]]:
    """The first `at_most` tokens of the validation part of the text `earlier`, and a note if they cannot be had. None if there is
    no such text, or if it is the `corpus` that the run learns from now."""
    if earlier is None or earlier["sha256"] == corpus.identity()["sha256"]:
        return None, []
    missing = f"what it forgets of {earlier['name']} is not measured, since that text"
    try:
        text = read_corpus(earlier["corpus"], earlier["seed"])
    except CorpusError:
        return None, [f"{missing} is not there any more"]
    if text.identity()["sha256"] != earlier["sha256"]:
        return None, [f"{missing} has changed"]
    _, validation = text.split()
    ids = tokenizer.encode(validation[:at_most * CHARACTERS_PER_TOKEN])[:at_most]
    return torch.tensor(ids, dtype=torch.long), []
