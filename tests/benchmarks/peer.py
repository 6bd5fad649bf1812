"""The peer: GPT2LMHeadModel of `transformers`, as GPT2Config builds it, trained by a recipe in the manner of nanoGPT.

Nothing is downloaded. It gets what a careful user would give it: no cache while it trains, PyTorch's fused AdamW, the attention
kernel that transformers chooses, all T targets of a window of T + 1 tokens (transformers' own shift of the labels would drop
one), and the same validation windows as ours. Its activation is GPT2Config's own, gelu_new: the function that ours computes too.
"""

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gpt.data.corpus import Corpus
from gpt.training.device import choose_device
from gpt.training.evaluation import evaluation_batches
from tests.benchmarks.ours import WINDOWS_AT_ONCE, encode
from tests.benchmarks.timing import random_text


@dataclass(frozen=True)
class Recipe:
    """How the peer is trained: float32, AdamW with decay on matrices, up in a line, down by cosine to a tenth."""

    learning_rate: float = 1e-3
    final_rate: float = 1e-4
    max_steps: int = 2000
    warmup: int = 100
    batch: int = 12
    betas: tuple[float, float] = (0.9, 0.99)
    weight_decay: float = 0.1
    grad_clip: float = 1.0
    eval_every: int = 250

    def rate_at(self, step: int, progress: float | None = None) -> float:
        """The learning rate of `step`, from 0. `progress` is the share of the run that is done, where its length is not `max_steps`."""
        if step < self.warmup:
            return self.learning_rate * (step + 1) / self.warmup
        if progress is None:
            progress = (step - self.warmup) / max(self.max_steps - self.warmup, 1)
        return self.final_rate + (self.learning_rate - self.final_rate) * (1 + math.cos(math.pi * min(progress, 1))) / 2


def build(config: dict) -> nn.Module:
    """GPT2LMHeadModel of the sizes and the dropout in our CONFIG, weights drawn from its seed. No token ends a text."""
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(config["seed"])
    dropout = config["dropout_rate"]
    sizes = GPT2Config(vocab_size=config["vocab_size"], n_positions=config["context_length"], n_embd=config["emb_dim"],
                       n_layer=config["n_layers"], n_head=config["n_heads"], resid_pdrop=dropout, embd_pdrop=dropout,
                       attn_pdrop=dropout, bos_token_id=None, eos_token_id=None)
    return GPT2LMHeadModel(sizes).to(choose_device(config["device"]))


def loss_of(model: nn.Module, ids: Tensor, targets: Tensor, reduction: str = "mean") -> Tensor:
    """(B, T) ids and the tokens that follow them -> cross-entropy in nats; with reduction "none", (B, T)."""
    logits = model(input_ids=ids, use_cache=False).logits  # (B, T, V)
    losses = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction=reduction)
    return losses.view(targets.shape) if reduction == "none" else losses


class Training:
    """The loop a user writes around the peer: one `step` after the other on windows drawn at random."""

    def __init__(self, config: dict, tokens: Tensor, recipe: Recipe):
        self.model, self.recipe, self.T, self.at = build(config).train(), recipe, config["context_length"], 0
        self.device = self.model.device
        self.tokens = tokens.to(self.device)
        self.generator = torch.Generator().manual_seed(config["seed"])
        matrices = [parameter for parameter in self.model.parameters() if parameter.ndim >= 2]
        vectors = [parameter for parameter in self.model.parameters() if parameter.ndim < 2]
        groups = [{"params": matrices, "weight_decay": recipe.weight_decay}, {"params": vectors, "weight_decay": 0.0}]
        self.optimizer = torch.optim.AdamW(groups, lr=recipe.learning_rate, betas=recipe.betas, fused=True)

    def windows(self) -> tuple[Tensor, Tensor]:
        """(B, T) ids and targets from random places."""
        starts = torch.randint(len(self.tokens) - self.T, (self.recipe.batch, 1), generator=self.generator)
        windows = self.tokens[(starts + torch.arange(self.T + 1)).to(self.device)].long()
        return windows[:, :-1], windows[:, 1:]

    def step(self, progress: float | None = None) -> Tensor:
        """One update; returns the loss before it. `progress` is that of Recipe.rate_at."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.recipe.rate_at(self.at, progress)
        loss = loss_of(self.model, *self.windows())
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), self.recipe.grad_clip)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.at += 1
        return loss.detach()

    @torch.inference_mode()
    def validation_loss(self, validation: Tensor) -> float:
        """Mean nats per token over the same windows that ours is evaluated on."""
        self.model.eval()
        nats = sum(loss_of(self.model, batch.ids, batch.targets, reduction="none")[batch.counts].sum().double()
                   for batch in evaluation_batches(validation.to(self.device), self.T, WINDOWS_AT_ONCE))
        self.model.train()
        return float(nats) / (len(validation) - 1)


def train_to_loss(config: dict, corpus: Corpus, target: float, recipe: Recipe) -> dict[str, Any]:
    """As ours.train_to_loss: the same clock, the same split, stopped at the first evaluation at or below `target`."""
    begin = time.perf_counter()
    config, text = encode(config, corpus)
    training, evaluations = Training(config, text.train, recipe), []
    while not evaluations or (evaluations[-1]["val_loss"] > target and training.at < recipe.max_steps):
        for _ in range(min(recipe.eval_every, recipe.max_steps - training.at)):
            training.step()
        before = time.perf_counter()
        loss = training.validation_loss(text.validation)
        now = time.perf_counter()
        evaluations.append({"step": training.at, "seconds": now - begin, "took": now - before, "val_loss": loss})
    return {"seconds": time.perf_counter() - begin, "reached": evaluations[-1]["val_loss"] <= target, "steps": training.at,
            "precision": "float32", "attention": training.model.config._attn_implementation, "evaluations": evaluations}


def steps(config: dict, recipe: Recipe, n_tokens: int = 200_000) -> Iterator[Tensor]:
    """Each `next` does one real step on random tokens."""
    training = Training(config, random_text(config, n_tokens).train, recipe)
    while True:
        yield training.step()


def write(model: nn.Module, ids: Tensor, count: int, temperature: float, top_k: int) -> Tensor:
    """(1, N) ids -> (1, N + count) ids by transformers' own `generate` with its key-value cache."""
    return model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=count, do_sample=True, temperature=temperature,
                          top_k=top_k, use_cache=True, eos_token_id=None, pad_token_id=0)
