"""What a run's config.json says of its model, text and tokens, whoever made the weights."""

import platform
import time
from typing import Any

import torch

from gpt.data.corpus import Corpus
from gpt.data.dataset import TokenizedText
from gpt.data.tokenizers.base import Tokenizer
from gpt.model.gpt2 import GPT2


def description(config: dict[str, Any], corpus: Corpus, text: TokenizedText, tokenizer: Tokenizer, model: GPT2) -> dict[str, Any]:
    """CONFIG, the identity of the text and of the tokens, the number of parameters, and what made it when."""
    return {
        "config": config, "corpus": corpus.identity(),
        "tokenizer": {"name": tokenizer.name, "n_vocab": tokenizer.n_vocab,
                      "train_tokens": len(text.train), "validation_tokens": len(text.validation)},
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "versions": {"python": platform.python_version(), "torch": torch.__version__}, "created": time.time(),
    }
