"""How weights are updated: which are AdamW's and which Muon's (muon.py), which get weight decay, and the learning rate over the run."""

import torch
from torch import Tensor, nn

from gpt.model.flops import count_parameters
from gpt.model.gpt2 import GPT2
from gpt.training.muon import NUMBERS_AT_ONCE, Muon, orthogonalise_flops

BETAS = (0.9, 0.99)  # AdamW's averages; 0.99 suits the small batches of short runs
ADAMW_LR_FACTOR = 2.0  # factor on AdamW's learning rate when used with Muon: a given token is rarely in the batch


def learning_rate_at(step: int, progress: float, peak: float, warmup: int) -> float:
    """The learning rate of `step` (from 0): linear warmup over `warmup` steps, times a linear decay to zero at progress 1.

    `progress` is the share of the run that is done, by the limit that comes first. At compute-optimal lengths and beyond, linear
    decay to zero was better than cosine decay to a tenth of the peak (Bergsma et al. 2025, 2502.15938).
    """
    return peak * min((step + 1) / max(warmup, 1), 1.0) * max(1.0 - progress, 0.0)


def learning_parameters(model: GPT2) -> list[tuple[str, nn.Parameter]]:
    """The parameters, with their names, that are not frozen."""
    return [(name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad]


class AdamWAlone:
    """A choice of CONFIG's `optimizer`: AdamW for every parameter. Also its cost in memory and operations, which `estimate` needs. The
    other choices derive from it.

    Weight decay is decoupled (Loshchilov and Hutter 2019, 1711.05101) and applies to matrices only: a bias or a norm's weight
    has no reason to be small. The learning rate of a group is that of the run times the group's `factor`.
    """

    lr_factor = 1.0

    @classmethod
    def is_left_to_others(cls, name: str, parameter: Tensor) -> bool:
        """Whether a parameter is updated by another optimizer, not by AdamW."""
        return False

    @classmethod
    def make(cls, model: GPT2, config: dict, dtype: torch.dtype = torch.float32) -> list[torch.optim.Optimizer]:
        """The optimizers that together move every parameter of `model` that is not frozen. `dtype` is the run's number format, for the
        products of an update that has any."""
        ours = [parameter for name, parameter in learning_parameters(model) if not cls.is_left_to_others(name, parameter)]
        groups = [
            {"params": [parameter for parameter in ours if parameter.ndim == 2], "weight_decay": config["weight_decay"]},
            {"params": [parameter for parameter in ours if parameter.ndim < 2], "weight_decay": 0.0},
        ]
        groups = [{**group, "factor": cls.lr_factor} for group in groups]
        return [torch.optim.AdamW(groups, lr=config["learning_rate"], betas=BETAS, fused=True)]

    @classmethod
    def state_numbers(cls, config: dict) -> int:
        """Numbers kept from step to step: two averages of each parameter."""
        return 2 * sum(count_parameters(config).values())

    @classmethod
    def update_numbers(cls, config: dict) -> int:
        """Temporary numbers that an update holds at the same time, in addition to gradients and state."""
        return 0

    @classmethod
    def update_flops(cls, config: dict) -> float:
        """Floating point operations of the matrix products in one update."""
        return 0


class MuonAndAdamW(AdamWAlone):
    """Muon for the matrices inside the blocks, AdamW for embeddings, head, norms and biases."""

    lr_factor = ADAMW_LR_FACTOR

    @classmethod
    def is_left_to_others(cls, name: str, parameter: Tensor) -> bool:
        return name.startswith("blocks.") and parameter.ndim == 2

    @classmethod
    def make(cls, model: GPT2, config: dict, dtype: torch.dtype = torch.float32) -> list[torch.optim.Optimizer]:
        hidden = [parameter for name, parameter in learning_parameters(model) if cls.is_left_to_others(name, parameter)]
        muon = [Muon(hidden, config["learning_rate"], config["weight_decay"], dtype)] if hidden else []
        return super().make(model, config) + muon

    @classmethod
    def state_numbers(cls, config: dict) -> int:
        """Muon keeps one average of each matrix, AdamW two: this saves 12 C^2 numbers per layer. It also keeps one number of each row:
        3C of queries, keys and values, 4C that the feed-forward layer expands to, and C of each projection."""
        C = config["emb_dim"]
        return super().state_numbers(config) - config["n_layers"] * (12 * C * C - 9 * C)

    @classmethod
    def update_numbers(cls, config: dict) -> int:
        """Of the matrices that are made orthogonal together, the largest being (C, 4C), two a layer: momentum, stack, transpose, product
        and other temporary copies take six times their size."""
        largest = 4 * config["emb_dim"] ** 2
        return 6 * max(largest, min(2 * config["n_layers"] * largest, NUMBERS_AT_ONCE))

    @classmethod
    def update_flops(cls, config: dict) -> float:
        """In each layer queries, keys, values and the heads' projection are (C, C), and the feed-forward layer's two are (C, 4C)."""
        C = config["emb_dim"]
        return config["n_layers"] * (4 * orthogonalise_flops(C, C) + 2 * orthogonalise_flops(C, 4 * C))


OPTIMIZERS = {"adamw": AdamWAlone, "muon": MuonAndAdamW}
