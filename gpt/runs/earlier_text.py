"""The text that weights learned from before a run went on with them: the loss on it, which rises, is what the model forgets (McCloskey and
Cohen 1989 named it catastrophic interference)."""

from typing import Any

from torch import Tensor

from gpt.config import CONFIG
from gpt.data.corpus import Corpus, CorpusError
from gpt.data.length import beginning
from gpt.data.sources import corpus_of
from gpt.data.tokenising import ids_in_memory
from gpt.data.tokenizers.base import Tokenizer
from gpt.runs.run import Run

READ_BY = ("corpus", "seed", "validation", "documents", "text_field")  # settings
CHARACTERS_PER_TOKEN = 16  # more than any text needs, so that no more is encoded than is evaluated


def text_of(run: Run) -> dict[str, Any] | None:
    """Where to find the text that a run was trained on, and how it was read; None if its weights were made elsewhere."""
    about = run.config()
    if "imported_from" in about:
        return None
    return {"name": about["corpus"]["name"], "sha256": about["corpus"]["sha256"], **{name: about["config"][name] for name in READ_BY}}


def tokens_of(earlier: dict[str, Any] | None, corpus: Corpus, tokenizer: Tokenizer, at_most: int) -> tuple[Tensor | None, list[str]]:
    """The first `at_most` tokens of the validation part of the text `earlier`, and a note if they cannot be had. None if there is
    no such text, or if it is the `corpus` that the run learns from now."""
    if earlier is None or earlier["sha256"] == corpus.identity()["sha256"]:
        return None, []
    missing = f"what it forgets of {earlier['name']} is not measured, since that text"
    try:
        text = corpus_of({**CONFIG, **earlier})  # runs of before had fewer of the settings
    except CorpusError:
        return None, [f"{missing} is not there any more"]
    if text.identity()["sha256"] != earlier["sha256"]:
        return None, [f"{missing} has changed"]
    return ids_in_memory(beginning(text.validation(), at_most * CHARACTERS_PER_TOKEN), tokenizer, text.has_documents)[:at_most], []
