"""How a model lies in the processes that train it: whole in the only one, which is here, or shared by several (data_parallel.py).

The trainer needs three things of it: a loss whose backward pass averages gradients, all weights, to be looked at or saved, and the states
of the optimizers. What is saved is the same in all cases, so that a run may go on in another one.
"""

import contextlib
from collections.abc import Callable
from typing import Any

from torch import Tensor
from torch.optim import Optimizer

from gpt.model.gpt2 import GPT2


class OneProcess:
    """The model lies in the only process. `compiled` is applied to its loss: torch.compile, or nothing."""

    def __init__(self, model: GPT2, compiled: Callable[[Callable], Callable]):
        self.model, self.loss = model, compiled(model.loss)

    def not_averaging(self) -> contextlib.AbstractContextManager:
        """Within the block, backward passes leave each process its own gradients, to be added to."""
        return contextlib.nullcontext()

    def weights(self) -> dict[str, Tensor]:
        """All weights by parameter, on rank 0."""
        return self.model.state_dict()

    def whole_model(self) -> GPT2:
        """A model to be looked at, on rank 0."""
        return self.model

    def load_weights(self, weights: dict[str, Tensor]) -> None:
        """Take over the weights that rank 0 has."""
        self.model.load_state_dict(weights)

    def optimizer_state(self, optimizer: Optimizer) -> dict[str, Any]:
        """What `optimizer` keeps from step to step, as its state_dict describes it, on rank 0."""
        return optimizer.state_dict()

    def load_optimizer(self, optimizer: Optimizer, state: dict[str, Any]) -> None:
        """Take over the state that rank 0 has."""
        optimizer.load_state_dict(state)


def is_sharded(tensor: Tensor) -> bool:
    """Whether each process has a part of it: a DTensor of PyTorch."""
    return hasattr(tensor, "full_tensor")


def whole(tensor: Tensor) -> Tensor:
    """All of a tensor of which each process may have a part."""
    return tensor.full_tensor() if is_sharded(tensor) else tensor


def part(tensor: Tensor, like: Tensor) -> Tensor:
    """Of a tensor that all processes have, what this one has of `like`."""
    if not is_sharded(like):
        return tensor
    from torch.distributed.tensor import distribute_tensor

    return distribute_tensor(tensor, like.device_mesh, like.placements, src_data_rank=None)
