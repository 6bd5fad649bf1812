"""How weights move: which parameters decay, AdamW and Muon, and the learning rate over the run."""

import torch
from torch import Tensor, nn

from gpt.model.flops import count_parameters
from gpt.model.gpt2 import GPT2

BETAS = (0.9, 0.99)  # AdamW's averages; 0.99 suits the small batches of short runs
MOMENTUM = 0.85  # Muon's; runs of hundreds of steps have no time for the usual 0.95
EMBEDDING_RATE = 2.0  # beside Muon, AdamW's part takes larger steps: a token's embedding is rarely its turn


def learning_rate_at(step: int, progress: float, peak: float, warmup: int) -> float:
    """The rate of `step` (from 0): up in a line over `warmup` steps, times down in a line to zero at progress 1.

    `progress` is the share of the run that is done, by whichever limit comes first. A line to zero beat cosine to a tenth at
    compute-optimal lengths and beyond (Bergsma et al. 2025, 2502.15938).
    """
    return peak * min((step + 1) / max(warmup, 1), 1.0) * max(1.0 - progress, 0.0)


def orthogonalise(matrices: Tensor) -> Tensor:
    """(N, rows, columns) -> the nearest matrices whose singular values, but for tiny ones, are about 1 (0.7 to 1.2).

    Five rounds of the Newton-Schulz iteration x <- (a + b g + c g^2) x, where g = x x', with Jordan's coefficients. Every
    round multiplies x from the left by a polynomial of g, and all these commute: so the rounds are computed on the small,
    square g alone, and x, up to four times as wide, is multiplied once by their product. In float32: g squares the singular
    values, and bfloat16 would lose the small ones.
    """
    a, b, c = 3.4445, -4.7750, 2.0315
    wide = matrices.shape[-2] <= matrices.shape[-1]
    x = matrices.float() if wide else matrices.float().mT  # (N, n, m) with n <= m
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    gram = x @ x.mT  # (N, n, n)
    product = None
    for i in range(5):
        polynomial = torch.baddbmm(gram, gram, gram, beta=b, alpha=c)
        polynomial.diagonal(dim1=-2, dim2=-1).add_(a)
        product = polynomial if product is None else polynomial @ product
        if i < 4:
            gram = polynomial @ gram @ polynomial
    x = product @ x
    return (x if wide else x.mT).to(matrices.dtype)


class Muon(torch.optim.Optimizer):
    """Momentum whose step is made orthogonal, so that it moves all directions of a matrix equally (Jordan et al. 2024).

    The step is scaled to AdamW's usual size, 0.2 * sqrt(max(rows, columns)) (Liu et al. 2025, 2502.16982), so that one
    learning rate serves both. torch.optim.Muon does the same, but always in bfloat16 and a matrix at a time: on a CPU
    without bfloat16 units it takes a hundred times as long as this one, which computes in float32 and handles all of one
    shape in one batched product.
    """

    def __init__(self, params, lr: float, weight_decay: float):
        super().__init__(params, {"lr": lr, "weight_decay": weight_decay, "factor": 1.0})

    @torch.no_grad()
    def step(self) -> None:
        for group in self.param_groups:
            by_shape: dict[torch.Size, list[nn.Parameter]] = {}
            for parameter in group["params"]:
                by_shape.setdefault(parameter.shape, []).append(parameter)
            for shape, parameters in by_shape.items():
                steps = orthogonalise(torch.stack([self._momentum(parameter) for parameter in parameters]))
                scale = group["lr"] * 0.2 * max(shape) ** 0.5
                for parameter, step in zip(parameters, steps, strict=True):
                    parameter.mul_(1 - group["lr"] * group["weight_decay"]).sub_(step, alpha=scale)

    def _momentum(self, parameter: nn.Parameter) -> Tensor:
        """Nesterov momentum: the running average of gradients, looked at one gradient ahead."""
        state = self.state[parameter]
        if not state:
            state["momentum"] = torch.zeros_like(parameter)
        state["momentum"].lerp_(parameter.grad, 1 - MOMENTUM)
        return parameter.grad.lerp(state["momentum"], MOMENTUM)


class AdamWAlone:
    """One choice of CONFIG's `optimizer`: AdamW for every parameter. And what it costs, for the estimate before anything is built.

    Weight decay is decoupled (Loshchilov and Hutter 2019, 1711.05101) and falls on matrices only: a bias or a norm's weight
    has no reason to be small. A group's `factor` multiplies the rate of the run.
    """

    embedding_rate = 1.0

    @classmethod
    def is_hidden(cls, name: str, parameter: Tensor) -> bool:
        """Whether a parameter is left to another optimizer than AdamW."""
        return False

    @classmethod
    def make(cls, model: GPT2, config: dict) -> list[torch.optim.Optimizer]:
        """The optimizers that together move every parameter of `model`."""
        ours = [parameter for name, parameter in model.named_parameters() if not cls.is_hidden(name, parameter)]
        groups = [
            {"params": [parameter for parameter in ours if parameter.ndim == 2], "weight_decay": config["weight_decay"]},
            {"params": [parameter for parameter in ours if parameter.ndim < 2], "weight_decay": 0.0},
        ]
        groups = [{**group, "factor": cls.embedding_rate} for group in groups]
        return [torch.optim.AdamW(groups, lr=config["learning_rate"], betas=BETAS, fused=True)]

    @classmethod
    def state_numbers(cls, config: dict) -> int:
        """Numbers kept from step to step: two averages of each parameter."""
        return 2 * sum(count_parameters(config).values())

    @classmethod
    def update_numbers(cls, config: dict) -> int:
        """Numbers that an update holds at once, beside gradients and state."""
        return 0

    @classmethod
    def update_flops(cls, config: dict) -> float:
        """Floating point operations of the matrix products in one update."""
        return 0


class MuonAndAdamW(AdamWAlone):
    """Muon for the matrices inside the blocks, AdamW for embeddings, head, norms and biases."""

    embedding_rate = EMBEDDING_RATE

    @classmethod
    def is_hidden(cls, name: str, parameter: Tensor) -> bool:
        return name.startswith("blocks.") and parameter.ndim == 2

    @classmethod
    def make(cls, model: GPT2, config: dict) -> list[torch.optim.Optimizer]:
        hidden = [parameter for name, parameter in model.named_parameters() if cls.is_hidden(name, parameter)]
        return [*super().make(model, config), Muon(hidden, lr=config["learning_rate"], weight_decay=config["weight_decay"])]

    @classmethod
    def state_numbers(cls, config: dict) -> int:
        """Of the matrices one average, not two: 12 C^2 numbers a layer."""
        return super().state_numbers(config) - 12 * config["n_layers"] * config["emb_dim"] ** 2

    @classmethod
    def update_numbers(cls, config: dict) -> int:
        """`orthogonalise` takes all matrices of one shape at once, of which the widest are (C, 4C). It holds momentum, stack, transpose,
        product and their like: six times as much."""
        return 6 * 4 * config["n_layers"] * config["emb_dim"] ** 2

    @classmethod
    def update_flops(cls, config: dict) -> float:
        """Each matrix, (C, side), is multiplied by itself and by the result, and 17 products of (C, C) matrices lie between
        (orthogonalise: 5 + 4 + 2 * 4)."""
        C = config["emb_dim"]
        return config["n_layers"] * sum(2 * 2 * C * C * side + 17 * 2 * C**3 for side in (C, 3 * C, 4 * C, 4 * C))


OPTIMIZERS = {"adamw": AdamWAlone, "muon": MuonAndAdamW}
