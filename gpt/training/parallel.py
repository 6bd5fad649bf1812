"""How a model lies in the processes that train it: whole in the only one, whole in each of several, or in parts, one in each of several.

The trainer needs three things of it: a loss whose backward pass averages gradients, all weights, to be looked at or saved, and the states
of the optimizers. What is saved is the same in all three cases, so that a run may go on in another one.
"""

import contextlib
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_optimizer_state_dict,
    set_model_state_dict,
    set_optimizer_state_dict,
)
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard, register_fsdp_forward_method
from torch.distributed.tensor import DTensor, Replicate
from torch.nn.parallel import DistributedDataParallel
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


class DataParallel(OneProcess):
    """Each process has the whole model. DistributedDataParallel averages the gradients while they are computed (Li et al. 2020,
    2006.15704)."""

    def __init__(self, model: GPT2, compiled: Callable[[Callable], Callable]):
        self.model = model
        with warnings.catch_warnings(action="ignore", category=FutureWarning):  # PyTorch 2.13 has another name for it, 2.11 only this
            self.loss = DistributedDataParallel(_LossModule(model, compiled(model.loss)), broadcast_buffers=False,  # they are constants
                                                gradient_as_bucket_view=True)

    def not_averaging(self) -> contextlib.AbstractContextManager:
        return self.loss.no_sync()

    def load_weights(self, weights: dict[str, Tensor]) -> None:
        set_model_state_dict(self.model, weights, options=StateDictOptions(full_state_dict=True, broadcast_from_rank0=True))

    def load_optimizer(self, optimizer: Optimizer, state: dict[str, Any]) -> None:
        options = StateDictOptions(full_state_dict=True, broadcast_from_rank0=True)
        set_optimizer_state_dict(self.model, optimizer, with_names(state, self._names(optimizer)) if state else {}, options=options)

    def _names(self, optimizer: Optimizer) -> list[str]:
        """The names of the parameters that `optimizer` moves, in its own order."""
        names = {parameter: name for name, parameter in self.model.named_parameters()}
        return [names[parameter] for group in optimizer.param_groups for parameter in group["params"]]


class FullySharded(DataParallel):
    """Each process has a part of every parameter, of its gradient and of the optimizer's state. A layer is put together when it is needed,
    and taken apart again after it (Zhao et al. 2023, 2304.11277, and `fully_shard`)."""

    def __init__(self, model: GPT2, compiled: Callable[[Callable], Callable]):
        register_fsdp_forward_method(model, "loss")  # else only its forward pass would put the model together
        self.model, self.loss = model, compiled(model.loss)
        self._copy: GPT2 | None = None

    @contextlib.contextmanager
    def not_averaging(self):
        self.model.set_requires_gradient_sync(False)
        try:
            yield
        finally:
            self.model.set_requires_gradient_sync(True)

    def weights(self) -> dict[str, Tensor]:
        return get_model_state_dict(self.model, options=StateDictOptions(full_state_dict=True, cpu_offload=True))

    def whole_model(self) -> GPT2:
        """It lies in the CPU's memory, since a GPU may have no room for all of it."""
        weights = self.weights()
        if weights:  # only rank 0 is given them
            self._copy = self._copy or GPT2(self.model.config).eval()
            self._copy.load_state_dict(weights)
        return self._copy

    def optimizer_state(self, optimizer: Optimizer) -> dict[str, Any]:
        if not optimizer.state:  # before its first step, which PyTorch's helper would make
            return optimizer.state_dict()
        state = get_optimizer_state_dict(self.model, optimizer, options=StateDictOptions(full_state_dict=True, cpu_offload=True))
        return with_numbers(state, self._names(optimizer)) if state else {}


def placed(model: GPT2, device: torch.device, n_processes: int, sharded: bool) -> GPT2:
    """Put `model` on `device`; if it is to be sharded, only this process's part of each layer: there may be no room for all of it."""
    if not sharded:
        return model.to(device)
    mesh = init_device_mesh(device.type, (n_processes,))
    for module in (*model.blocks, model):
        fully_shard(module, mesh=mesh)
    return model


def parallel(model: GPT2, n_processes: int, compiled: Callable[[Callable], Callable]) -> OneProcess:
    """The one of them that suits `model`, as `placed` has left it."""
    if any(isinstance(parameter, DTensor) for parameter in model.parameters()):
        return FullySharded(model, compiled)
    return (DataParallel if n_processes > 1 else OneProcess)(model, compiled)


class _LossModule(nn.Module):
    """A module whose forward pass is a loss, since DistributedDataParallel averages gradients of what a module's forward pass returns."""

    def __init__(self, model: GPT2, loss: Callable):
        super().__init__()
        self.model, self._loss = model, loss

    def forward(self, ids: Tensor, targets: Tensor) -> Tensor:
        return self._loss(ids, targets)


def whole(tensor: Tensor) -> Tensor:
    """All of a tensor of which each process may have a part."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def part(tensor: Tensor, like: Tensor) -> Tensor:
    """Of a tensor that all processes have, what this one has of `like`."""
    if not isinstance(like, DTensor):
        return tensor
    everywhere = [Replicate()] * like.device_mesh.ndim
    return DTensor.from_local(tensor, like.device_mesh, everywhere, run_check=False).redistribute(placements=like.placements)


def with_names(state: dict[str, Any], names: list[str]) -> dict[str, Any]:
    """The state of an optimizer with its parameters' names, as PyTorch's helpers want it, instead of their numbers."""
    return {"state": {names[number]: value for number, value in state["state"].items()},
            "param_groups": [{**group, "params": [names[number] for number in group["params"]]} for group in state["param_groups"]]}


def with_numbers(state: dict[str, Any], names: list[str]) -> dict[str, Any]:
    """The inverse of with_names."""
    numbers = {name: number for number, name in enumerate(names)}
    return {"state": {numbers[name]: value for name, value in state["state"].items()},
            "param_groups": [{**group, "params": [numbers[name] for name in group["params"]]} for group in state["param_groups"]]}
