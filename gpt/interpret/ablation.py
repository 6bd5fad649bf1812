"""What a model loses without a head.

An ablated model is again a GPT2. Each head's output passes through its own columns of the output projection. With these
columns at 0 the head adds nothing, and its mean output can be added to the projection's bias instead. So the loss, the generated text,
the attention maps and the logit lens of an ablated model need no extra code.
"""

import copy
import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gpt.interpret.trace import trace
from gpt.model.gpt2 import GPT2, LOGITS_AT_ONCE, evaluating

FLOPS_A_LAYER = 2e12  # limit for ablating each head of one layer in turn: ten to twenty seconds on two CPU cores
FEWEST_WINDOWS = 2  # without a second sequence there is no standard error
SMALLEST_CHANGE = 1e-4  # nats; less is rounding
STUDENT = (12.71, 4.30, 3.18, 2.78, 2.57, 2.45, 2.36, 2.31, 2.26, 2.23, 2.20, 2.18, 2.16, 2.14, 2.13)  # t, 95 %, 1 to 15 degrees of freedom


def ablated(model: GPT2, heads: Collection[tuple[int, int]], means: Tensor | None = None) -> GPT2:
    """A copy of `model` without `heads`, pairs (layer, head): each head's output is replaced by 0, or by its mean if `means`, (L, H, D)
    from `head_means`, is given. `model` is not changed; the two share every parameter except the output projections of these layers.

    Raises IndexError if there is no such head.
    """
    shared = {id(tensor): tensor for tensor in (*model.parameters(), *model.buffers())}
    copied = copy.deepcopy(model, shared)  # what the memo holds is shared, not copied
    for layer in {layer for layer, _ in heads}:
        attention = copied.blocks[layer].attention
        weight, bias = attention.projection.weight.detach().clone(), attention.projection.bias.detach().clone()
        columns = weight.view(-1, attention.n_heads, attention.head_dim)  # (C, H * D) -> (C, H, D), the same memory
        for head in {head for other_layer, head in heads if other_layer == layer}:
            if means is not None:
                bias += columns[:, head] @ means[layer, head]
            columns[:, head] = 0
        attention.projection.weight, attention.projection.bias = nn.Parameter(weight), nn.Parameter(bias)
    return copied


@torch.no_grad()
def head_means(model: GPT2, ids: Tensor) -> Tensor:
    """(M, T) ids -> (L, H, D): each head's output, on average over all sequences and positions."""
    forward_pass = trace(model, ids.to(_device(model)))
    return torch.stack([forward_pass.attend(layer).heads.mean(dim=(0, 2)) for layer in range(len(model.blocks))])


class KindEffect(NamedTuple):
    """What ablation does to the tokens of one kind: how many there are, and the mean increase of their loss in nats."""

    kind: str
    count: int
    change: float


class HarderToken(NamedTuple):
    """A token that is harder to predict after ablation: how often it is a target, and the mean increase of its loss in nats."""

    token: int
    count: int
    change: float


@dataclass(frozen=True)
class Effect:
    """The losses in nats of two models on the same tokens: `before` and `after`, both (M, T), for the tokens `targets`, (M, T)."""

    targets: np.ndarray
    before: np.ndarray
    after: np.ndarray

    @property
    def change(self) -> float:
        """Nats per token by which the loss is higher than before."""
        return float((self.after - self.before).mean())

    @property
    def error(self) -> float:
        """The standard error of that change, paired: over the differences of the M sequences, each read by both models. NaN for one."""
        differences = (self.after - self.before).mean(axis=1)
        return float(differences.std(ddof=1) / math.sqrt(len(differences))) if len(differences) > 1 else math.nan

    @property
    def could_be_chance(self) -> bool:
        """Whether 0 lies in the 95 % confidence interval of that change (Student 1908). Few sequences give a poor estimate of the
        spread: with two, the change must exceed 13 standard errors. False for one sequence, which has no standard error."""
        degrees = len(self.before) - 1
        return degrees > 0 and abs(self.change) <= STUDENT[min(degrees, len(STUDENT)) - 1] * self.error

    def by_kind(self, kinds: np.ndarray, names: Sequence[str]) -> list[KindEffect]:
        """The change for each kind of token, the largest first; `kinds`, (M, T), are those of the targets, as indices into `names`."""
        counts = np.bincount(kinds.ravel(), minlength=len(names))
        totals = np.bincount(kinds.ravel(), weights=(self.after - self.before).ravel(), minlength=len(names))
        return sorted((KindEffect(name, int(count), float(total / count)) for name, count, total in zip(names, counts, totals, strict=True)
                       if count), key=lambda effect: -effect.change)

    @property
    def harder_tokens(self) -> list[HarderToken]:
        """The tokens whose loss rose, sorted by the total increase over all their occurrences, largest first."""
        tokens, which, counts = np.unique(self.targets, return_inverse=True, return_counts=True)
        totals = np.bincount(which.ravel(), weights=(self.after - self.before).ravel())
        changes = totals / counts
        return [HarderToken(int(tokens[i]), int(counts[i]), float(changes[i])) for i in np.argsort(-totals, kind="stable")
                if changes[i] > SMALLEST_CHANGE]


def measure(model: GPT2, other: GPT2, windows: Tensor) -> Effect:
    """What `other` loses against `model` on (M, T + 1) `windows`: sequences of T tokens, each with the token that follows it."""
    return _effect(windows, token_losses(model, windows), token_losses(other, windows))


@torch.no_grad()
def token_losses(model: GPT2, windows: Tensor) -> Tensor:
    """(M, T + 1) windows -> (M, T): the loss of each token after the first, in nats."""
    windows = windows.to(_device(model))
    with evaluating(model):
        return _losses(model, model.stream(windows[:, :-1]), windows[:, 1:])


@torch.no_grad()
def sweep_layer(model: GPT2, windows: Tensor, layer: int, means: Tensor | None = None) -> list[Effect]:
    """The effect of taking out each head of one layer, one at a time; `windows` and `means` as above. Only the layers from there on
    are computed again for each head."""
    windows = windows.to(_device(model))
    forward_pass, targets = trace(model, windows[:, :-1]), windows[:, 1:]
    before = _losses(model, forward_pass.streams[-1], targets)
    effects = []
    with evaluating(model):
        for head in range(model.config["n_heads"]):
            edit = constant_output(head, 0.0 if means is None else means[layer, head])
            x, _ = model.blocks[layer].explicit(forward_pass.streams[layer], edit)
            for block in model.blocks[layer + 1:]:
                x = block(x)
            effects.append(_effect(windows, before, _losses(model, x, targets)))
    return effects


def constant_output(head: int, value: Tensor | float) -> Callable[[Tensor], Tensor]:
    """An edit of (B, H, T, D) outputs, for MultiHeadAttention.explicit: one head's output becomes the same everywhere, (D,) or a number."""
    def edit(heads: Tensor) -> Tensor:
        edited = heads.clone()
        edited[:, head] = value
        return edited

    return edit


def importance(model: GPT2, windows: Tensor) -> np.ndarray:
    """(M, T + 1) windows -> (L, H): the mean over sequences of |sum over positions of z . dL/dz|, where z is a head's output and L the
    sequence's loss in nats per token (Michel et al. 2019, 1905.10650). It is the first-order estimate of the change in loss
    without the head; one backward pass per sequence gives it for all heads.

    z . dL/dz is the derivative of the loss with respect to a factor, here 1, that multiplies a head's whole output. No parameter gets a
    gradient.
    """
    shape = (len(model.blocks), model.config["n_heads"])
    total = torch.zeros(shape, device=_device(model))
    with evaluating(model), torch.enable_grad():
        for window in windows.to(_device(model)).unsqueeze(1):  # (1, T + 1), one at a time: a backward pass keeps all it has computed
            factors = torch.ones(shape, device=window.device, requires_grad=True)
            x = model.embed(window[:, :-1])
            for block, of_layer in zip(model.blocks, factors, strict=True):
                x, _ = block.explicit(x, lambda heads, of_layer=of_layer: heads * of_layer.view(-1, 1, 1))  # (B, H, T, D) * (H, 1, 1)
            loss = _losses(model, x, window[:, 1:]).mean()
            total += torch.autograd.grad(loss, factors)[0].abs()
    return (total / len(windows)).cpu().numpy()


@torch.no_grad()
def next_tokens(model: GPT2, other: GPT2, ids: Tensor, most: int) -> list[tuple[int, float, float]]:
    """(token, probability in `model`, in `other`) after (1, T) ids: the `most` likeliest of either, those first that `model` expects."""
    probabilities = []
    for each in (model, other):
        with evaluating(each):
            probabilities.append(each.unembed(each.stream(ids)[0, -1]).softmax(dim=0))
    before, after = probabilities
    tokens = {token for each in probabilities for token in each.topk(min(most, len(each))).indices.tolist()}
    return sorted(((token, before[token].item(), after[token].item()) for token in tokens), key=lambda row: -row[1])


def affordable_windows(model: GPT2, windows: Tensor) -> Tensor:
    """Evenly spaced rows of (M, T + 1) windows, few enough to ablate every head of a layer in seconds: all of them for a small model."""
    H, T = model.config["n_heads"], windows.shape[1] - 1
    flops = 2 * sum(parameter.numel() for parameter in model.parameters()) * T * H  # a product and a sum a parameter and token
    count = min(len(windows), max(FEWEST_WINDOWS, int(FLOPS_A_LAYER / flops)))
    return windows[torch.linspace(0, len(windows) - 1, count).round().long()]


def _effect(windows: Tensor, before: Tensor, after: Tensor) -> Effect:
    return Effect(windows[:, 1:].cpu().numpy(), before.cpu().double().numpy(), after.cpu().double().numpy())


def _losses(model: GPT2, x: Tensor, targets: Tensor) -> Tensor:
    """(M, T, C) last stream and (M, T) targets -> (M, T) losses in nats. Logits are many: they are made for a portion at a time."""
    rows = max(1, LOGITS_AT_ONCE // model.vocab_size)
    portions = zip(x.flatten(0, 1).split(rows), targets.flatten().split(rows), strict=True)
    return torch.cat([F.cross_entropy(model.unembed(x), targets, reduction="none") for x, targets in portions]).view(targets.shape)


def _device(model: GPT2) -> torch.device:
    return next(model.parameters()).device
