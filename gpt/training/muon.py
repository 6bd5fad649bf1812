"""Muon: momentum whose step is made orthogonal, for the matrices inside the blocks."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from gpt.training.parallel import part, whole

MOMENTUM = 0.85  # the usual 0.95 averages over too many steps for runs of a few hundred
ROW_AVERAGE = 0.95  # of the mean square of each row of a step, from step to step
NUMBERS_AT_ONCE = 4_000_000  # of the matrices in one product: many small ones are faster together, large ones only take memory


def orthogonalise(matrices: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """(N, n, m) with n <= m -> about the nearest orthogonal matrices, in float32: their singular values, except tiny ones, are about 1
    (0.7 to 1.2), and the cosine to the nearest ones is above 0.95.

    Four rounds of the Newton-Schulz iteration x <- (a + b g + c g^2) x with g = x x' and Jordan's coefficients. Before the first, each
    row is divided by the root of its sum of |g|: then no singular value is above 1, and most are closer to it than after division by the
    norm, which saves the fifth round (Boissin et al. 2025, 2512.04632).

    Two rounds share one g: their polynomials p are computed from it on the small square side, and commute, so the g of the second round
    is p g p. From a third round without a new g, bfloat16 (`dtype` is that of the products) would lose the small singular values.
    """
    x = (matrices / (matrices.norm(dim=(-2, -1), keepdim=True) + 1e-7)).to(dtype)  # half precision would lose the squares of small numbers
    gram = x @ x.mT  # (N, n, n)
    scale = (gram.abs().sum(dim=-1, keepdim=True, dtype=torch.float32) + 1e-7).rsqrt().to(dtype)  # (N, n, 1)
    x = _two_rounds(x * scale, gram * scale * scale.mT)
    return _two_rounds(x, x @ x.mT).float()


def _two_rounds(x: Tensor, gram: Tensor) -> Tensor:
    """(N, n, m) and their x x', (N, n, n) -> (N, n, m)."""
    first = _polynomial(gram)
    second = _polynomial(first @ gram @ first)
    return second @ first @ x


def _polynomial(g: Tensor) -> Tensor:
    """a + b g + c g^2 of (N, n, n) matrices."""
    result = torch.baddbmm(g, g, g, beta=-4.7750, alpha=2.0315)
    result.diagonal(dim1=-2, dim2=-1).add_(3.4445)
    return result


def orthogonalise_flops(n: int, m: int) -> float:
    """Floating point operations of the products for one (n, m) matrix: twice x x', five products of squares, and one with x."""
    return 2 * (2 * 2 * n * n * m + 5 * 2 * n**3)


class Muon(torch.optim.Optimizer):
    """Momentum whose step is made orthogonal, so that it moves all directions of a matrix equally (Jordan et al. 2024), and then its rows
    alike (`_evened`).

    The step is scaled to AdamW's usual size, 0.2 * sqrt(max(n, m)) for a matrix of (n, m) (Liu et al. 2025, 2502.16982), so that one
    learning rate works for both. torch.optim.Muon is the plain form, always in bfloat16 and one matrix at a time: on a CPU without
    bfloat16 units it takes a hundred times as long as this class, which computes in the run's number format and updates the matrices of
    one shape together.
    """

    def __init__(self, params, lr: float, weight_decay: float, dtype: torch.dtype = torch.float32):
        super().__init__(params, {"lr": lr, "weight_decay": weight_decay, "factor": 1.0})
        self.dtype = dtype

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # which PyTorch's helpers name when they call it
        for group in self.param_groups:
            for parameters in portions(group["params"]):
                momenta = [as_matrices(whole(self._momentum(parameter))) for parameter in parameters]
                steps = orthogonalise(torch.cat(momenta), self.dtype)  # (N, n, m)
                scale = group["lr"] * 0.2 * steps.shape[-1] ** 0.5
                for parameter, step in zip(parameters, steps.split([len(each) for each in momenta]), strict=True):
                    step = self._evened(as_parameter(step, parameter.shape), parameter)
                    parameter.mul_(1 - group["lr"] * group["weight_decay"])
                    parameter.sub_(part(step, parameter), alpha=scale)

    def _momentum(self, parameter: nn.Parameter) -> Tensor:
        """Nesterov momentum: the running average of gradients, averaged once more with the current gradient."""
        state = self.state[parameter]
        if not state:
            state["momentum"] = torch.zeros_like(parameter)
        state["momentum"].lerp_(parameter.grad, 1 - MOMENTUM)
        return parameter.grad.lerp(state["momentum"], MOMENTUM)

    def _evened(self, step: Tensor, parameter: nn.Parameter) -> Tensor:
        """Divide each row of a step by the root of the running average of its mean square, and bring the whole back to its length (NorMuon,
        Li et al. 2025, 2510.05491): an orthogonal step still moves some neurons, the rows, more than others, for many steps in a row."""
        state, squares = self.state[parameter], step.square().mean(dim=1, keepdim=True)  # (rows, 1)
        state["row_squares"] = state["row_squares"].lerp(squares, 1 - ROW_AVERAGE) if "row_squares" in state else squares
        evened = step * (state["row_squares"] + 1e-10).rsqrt()
        return evened * (step.norm() / (evened.norm() + 1e-10))


def shape_of_matrices(rows: int, columns: int) -> tuple[int, int, int]:
    """(k, n, m) with n <= m: the matrices in a weight. It is one; but queries, keys and values, three times as high as wide, are three,
    which only lie in one so that they take one product."""
    return (3, columns, columns) if rows == 3 * columns else (1, min(rows, columns), max(rows, columns))


def as_matrices(weight: Tensor) -> Tensor:
    """(rows, columns) -> (k, n, m), as shape_of_matrices says."""
    k, n, m = shape_of_matrices(*weight.shape)
    return weight.mT[None] if weight.shape[1] < m else weight.view(k, n, m)


def as_parameter(matrices: Tensor, shape: torch.Size) -> Tensor:
    """The inverse of as_matrices."""
    return (matrices.mT if shape[1] < matrices.shape[-1] else matrices).reshape(shape)


def portions(parameters: list[nn.Parameter]) -> Iterator[list[nn.Parameter]]:
    """Parameters whose matrices have one shape, about NUMBERS_AT_ONCE numbers at a time."""
    by_shape: dict[tuple, list[nn.Parameter]] = {}
    for parameter in parameters:
        by_shape.setdefault(shape_of_matrices(*parameter.shape)[1:], []).append(parameter)
    for alike in by_shape.values():
        largest = max(parameter.numel() for parameter in alike)
        count = max(1, NUMBERS_AT_ONCE // largest)
        yield from (alike[i:i + count] for i in range(0, len(alike), count))
