"""Several processes with one model: each has all of it, or each has a part of it. For the first, PyTorch's DistributedDataParallel; for the
second, its `fully_shard`; its helpers for distributed checkpoints bring what is saved into one form, and back."""

import contextlib
import warnings
from collections.abc import Callable, Iterator
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
from torch.nn.parallel import DistributedDataParallel
from torch.optim import Optimizer

from gpt.model.gpt2 import GPT2
from gpt.training.parallel import OneProcess


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
    def not_averaging(self) -> Iterator[None]:
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


def shard(model: GPT2, device: torch.device, n_processes: int) -> GPT2:
    """Put this process's part of each layer of `model` on `device`, layer by layer: there may be no room for all of it."""
    mesh = init_device_mesh(device.type, (n_processes,))
    for module in (*model.blocks, model):
        fully_shard(module, mesh=mesh)
    return model


class _LossModule(nn.Module):
    """A module whose forward pass is a loss, since DistributedDataParallel averages gradients of what a module's forward pass returns."""

    def __init__(self, model: GPT2, loss: Callable):
        super().__init__()
        self.model, self._loss = model, loss

    def forward(self, ids: Tensor, targets: Tensor) -> Tensor:
        return self._loss(ids, targets)


def with_names(state: dict[str, Any], names: list[str]) -> dict[str, Any]:
    """The state of an optimizer with its parameters' names, as PyTorch's helpers want it, instead of their numbers."""
    return {"state": {names[number]: value for number, value in state["state"].items()},
            "param_groups": [{**group, "params": [names[number] for number in group["params"]]} for group in state["param_groups"]]}


def with_numbers(state: dict[str, Any], names: list[str]) -> dict[str, Any]:
    """The inverse of with_names."""
    numbers = {name: number for number, name in enumerate(names)}
    return {"state": {numbers[name]: value for name, value in state["state"].items()},
            "param_groups": [{**group, "params": [numbers[name] for name in group["params"]]} for group in state["param_groups"]]}
