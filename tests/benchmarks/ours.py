"""Our side: this project's own Trainer and generation, driven as its Session drives them."""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from gpt.data.corpus import Corpus
from gpt.data.dataset import TokenizedText
from gpt.data.tokenizers.table import make_tokenizer
from gpt.model.gpt2 import GPT2, evaluating
from gpt.training.device import choose_device
from gpt.training.evaluation import evaluation_batches
from gpt.training.trainer import Trainer
from tests.benchmarks.timing import random_text
from tests.benchmarks.windows import sliding_windows

NEVER = 1_000_000  # eval_every of a run that shall not evaluate between its first step and its end
WINDOWS_AT_ONCE = 128  # of an evaluation of the whole split


def encode(config: dict, corpus: Corpus) -> tuple[dict, TokenizedText]:
    """The CONFIG with the vocabulary of its tokenizer, and the text in tokens; both sides begin with this."""
    tokenizer = make_tokenizer(config["tokenizer"], corpus.to_learn(), config["vocab_size"])
    text = TokenizedText.encode(corpus, tokenizer)
    return {**config, "vocab_size": tokenizer.n_vocab}, replace(text, train=text.train.long(), validation=text.validation.long())


def make_trainer(config: dict, text: TokenizedText) -> Trainer:
    return Trainer(config, GPT2(config).to(choose_device(config["device"])), text)


def train_to_loss(config: dict, corpus: Corpus, target: float) -> dict[str, Any]:
    """Train until the first evaluation at or below `target` nats per token, or to the end of the run.

    The clock starts before the tokenizer is made and runs through every evaluation. Whether `eval_tokens` asks for the whole
    split is for `config` to say.
    """
    begin = last = time.perf_counter()
    trainer = make_trainer(*encode(config, corpus))
    evaluations = []
    for event in trainer.events():
        now = time.perf_counter()
        if event.kind == "evaluation":
            evaluations.append({"step": trainer.step, "seconds": now - begin, "took": now - last, "val_loss": event.row["val_loss"]})
            if event.row["val_loss"] <= target:
                break
        last = now
    return {"seconds": time.perf_counter() - begin, "reached": evaluations[-1]["val_loss"] <= target, "steps": trainer.step,
            "precision": trainer.precision, "evaluations": evaluations}


def endless(config: dict) -> dict:
    """`config` without an end and without evaluations between steps: for blocks of steps."""
    return {**config, "epoch": 0.0, "max_steps": 10_000_000, "max_minutes": 0.0, "eval_every": NEVER}


def steps(config: dict, n_tokens: int = 200_000) -> Iterator:
    """Each `next` does one real step of a Trainer on random tokens: window, forward, loss, backward, clipping, optimizer."""
    config = endless(config)
    trainer = make_trainer(config, random_text(config, max(n_tokens, 4 * config["context_length"])))
    return (event for event in trainer.events() if event.kind == "step")


@torch.inference_mode()
def whole_split(model: GPT2, validation: Tensor) -> float:
    """Nats of every validation token but the first, summed in float32 by another loop than the Trainer's: a check on it."""
    nats = 0.0
    with evaluating(model):
        for batch in evaluation_batches(validation, model.context_length, WINDOWS_AT_ONCE):
            nats += model.loss(batch.ids, batch.targets, reduction="none")[batch.counts].sum().item()
    if not math.isfinite(nats):
        raise ValueError("the loss of the whole validation split is not a number")
    return nats


@torch.inference_mode()
def sliding(losses: Callable[[Tensor, Tensor], Tensor], validation: Tensor, context_length: int) -> float:
    """Nats of every validation token but the first, each, but for those of the first half context, with at least half a context before
    it. `losses` takes (B, T) ids and targets and returns (B, T) losses of a model in evaluation mode."""
    batches = sliding_windows(validation, context_length, WINDOWS_AT_ONCE)
    return sum(losses(ids, targets)[counts].double().sum().item() for ids, targets, counts in batches)
