"""How weights are updated: AdamW and Muon, which parameters get weight decay, and the learning rate over the run."""

import torch
from torch import Tensor, nn

from gpt.model.flops import count_parameters
from gpt.model.gpt2 import GPT2
from gpt.training.parallel import part, whole

BETAS = (0.9, 0.99)  # AdamW's averages; 0.99 suits the small batches of short runs
MOMENTUM = 0.85  # of Muon; the usual 0.95 averages over too many steps for runs of a few hundred
ADAMW_LR_FACTOR = 2.0  # factor on AdamW's learning rate when used with Muon: a given token is rarely in the batch


def learning_rate_at(step: int, progress: float, peak: float, warmup: int) -> float:
    """The learning rate of `step` (from 0): linear warmup over `warmup` steps, times a linear decay to zero at progress 1.

    `progress` is the share of the run that is done, by the limit that comes first. At compute-optimal lengths and beyond, linear
    decay to zero was better than cosine decay to a tenth of the peak (Bergsma et al. 2025, 2502.15938).
    """
    return peak * min((step + 1) / max(warmup, 1), 1.0) * max(1.0 - progress, 0.0)


def orthogonalise(matrices: Tensor) -> Tensor:
    """(N, rows, columns) -> the same matrices with all singular values, except tiny ones, set to about 1 (0.7 to 1.2).

    Five rounds of the Newton-Schulz iteration x <- (a + b g + c g^2) x, where g = x x', with Jordan's coefficients. Each
    round multiplies x from the left by a polynomial of g, and these polynomials commute. So the rounds are computed on the small
    square matrix g only, and x, up to four times as wide, is multiplied once by their product. This needs float32: g holds the
    squares of the singular values, and bfloat16 would lose the small ones.
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
    learning rate works for both. torch.optim.Muon does the same, but always in bfloat16 and one matrix at a time: on a CPU
    without bfloat16 units it takes a hundred times as long as this class, which computes in float32 and updates all matrices
    of one shape in one batched product.
    """

    def __init__(self, params, lr: float, weight_decay: float):
        super().__init__(params, {"lr": lr, "weight_decay": weight_decay, "factor": 1.0})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # which PyTorch's helpers name when they call it
        for group in self.param_groups:
            by_shape: dict[torch.Size, list[nn.Parameter]] = {}
            for parameter in group["params"]:
                by_shape.setdefault(parameter.shape, []).append(parameter)
            for shape, parameters in by_shape.items():
                steps = orthogonalise(torch.stack([whole(self._momentum(parameter)) for parameter in parameters]))
                scale = group["lr"] * 0.2 * max(shape) ** 0.5
                for parameter, step in zip(parameters, steps, strict=True):
                    parameter.mul_(1 - group["lr"] * group["weight_decay"]).sub_(part(step, parameter), alpha=scale)

    def _momentum(self, parameter: nn.Parameter) -> Tensor:
        """Nesterov momentum: the running average of gradients, averaged once more with the current gradient."""
        state = self.state[parameter]
        if not state:
            state["momentum"] = torch.zeros_like(parameter)
        state["momentum"].lerp_(parameter.grad, 1 - MOMENTUM)
        return parameter.grad.lerp(state["momentum"], MOMENTUM)


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
    def make(cls, model: GPT2, config: dict) -> list[torch.optim.Optimizer]:
        """The optimizers that together move every parameter of `model` that is not frozen."""
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
    def make(cls, model: GPT2, config: dict) -> list[torch.optim.Optimizer]:
        hidden = [parameter for name, parameter in learning_parameters(model) if cls.is_left_to_others(name, parameter)]
        muon = [Muon(hidden, lr=config["learning_rate"], weight_decay=config["weight_decay"])] if hidden else []
        return super().make(model, config) + muon

    @classmethod
    def state_numbers(cls, config: dict) -> int:
        """Muon keeps one average of each matrix, AdamW two: this saves 12 C^2 numbers per layer."""
        return super().state_numbers(config) - 12 * config["n_layers"] * config["emb_dim"] ** 2

    @classmethod
    def update_numbers(cls, config: dict) -> int:
        """`orthogonalise` works on all matrices of one shape together; the largest shape is (C, 4C). Momentum, stack, transpose, product
        and other temporary copies take six times their size."""
        return 6 * 4 * config["n_layers"] * config["emb_dim"] ** 2

    @classmethod
    def update_flops(cls, config: dict) -> float:
        """Per matrix x of shape (C, side): x @ x.T, 17 products of (C, C) matrices (5 + 4 + 2 * 4 in orthogonalise), and the
        final product with x."""
        C = config["emb_dim"]
        return config["n_layers"] * sum(2 * 2 * C * C * side + 17 * 2 * C**3 for side in (C, 3 * C, 4 * C, 4 * C))


OPTIMIZERS = {"adamw": AdamWAlone, "muon": MuonAndAdamW}
