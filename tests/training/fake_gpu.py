"""A GPU played on the CPU, as strict as Apple's: it knows no float64, and whoever calls CUDA meanwhile fails.

Each of its tensors wraps one of the CPU, which computes what is asked of it; to PyTorch and to this project it is of another device, so
that whatever is on the wrong side, or is asked of CUDA alone, fails as it would there. `install` changes PyTorch for good: call it in a
process of its own.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch.utils._pytree import tree_leaves, tree_map_only
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

NAME = "fake"


class Backend:
    """What torch.get_device_module returns for it, as torch.mps and torch.xpu are for theirs."""

    def is_available(self) -> bool:
        return True

    def is_initialized(self) -> bool:
        return True

    def _is_in_bad_fork(self) -> bool:
        return False

    def current_device(self) -> int:
        return 0

    def device_count(self) -> int:
        return 1

    def get_device_name(self) -> str:
        return "Fake GPU"

    def mem_get_info(self) -> tuple[int, int]:
        return 1_000_000_000, 2_000_000_000

    def manual_seed_all(self, seed: int) -> None:
        """The CPU's generator is used, which torch.manual_seed has seeded already."""

    def manual_seed(self, seed: int) -> None:
        torch.default_generator.manual_seed(seed)


class FakeTensor(torch.Tensor):
    """A tensor of the fake GPU around one of the CPU, `raw`. Raises TypeError for float64."""

    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, raw: torch.Tensor) -> "FakeTensor":
        if raw.dtype == torch.float64:
            raise TypeError("this GPU knows no float64")
        made = torch.Tensor._make_wrapper_subclass(cls, raw.size(), strides=raw.stride(), storage_offset=raw.storage_offset(),
                                                   dtype=raw.dtype, device=torch.device(NAME, 0))
        made.raw = raw
        return made

    @classmethod
    def __torch_dispatch__(cls, operation: Any, types: Any, args: tuple = (), kwargs: dict[str, Any] | None = None) -> Any:
        return compute(operation, args, kwargs or {})

    def tolist(self) -> list:
        return self.raw.tolist()


def compute(operation: Any, args: tuple, kwargs: dict[str, Any]) -> Any:
    """Let the CPU do an operation of the fake GPU; its results are of the fake GPU, unless another device is asked for."""
    given = {id(leaf.raw): leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, FakeTensor)}
    device = kwargs.get("device")
    here = bool(given) if device is None else torch.device(device).type == NAME
    if here and device is not None:
        kwargs = {**kwargs, "device": "cpu"}
    args, kwargs = tree_map_only(FakeTensor, lambda leaf: leaf.raw, (args, kwargs))
    result = operation(*args, **kwargs)
    # An operation in place returns the very tensor that it was given.
    return tree_map_only(torch.Tensor, lambda raw: given[id(raw)] if id(raw) in given else FakeTensor(raw), result) if here else result


class CpuGenerator(torch.Generator):
    """The fake GPU has no generators of its own."""

    def __new__(cls, device: Any = "cpu") -> "CpuGenerator":
        return super().__new__(cls)


def install() -> None:
    """Let PyTorch find the fake GPU, and CUDA fail."""
    _setup_privateuseone_for_python_backend(NAME, backend_module=Backend())
    install.library = torch.library.Library("_", "IMPL")  # which is in force as long as it lives
    install.library.fallback(lambda operation, *args, **kwargs: compute(operation, args, kwargs), "PrivateUse1")
    torch.Generator = CpuGenerator
    torch.inference_mode = torch.no_grad  # tensors of inference cannot be wrapped

    def refusing(name: str) -> Callable:
        def refused(*_: Any, **__: Any) -> None:
            raise AssertionError(f"torch.cuda.{name} was called")

        return refused

    for name in ("current_device", "synchronize", "get_device_name", "mem_get_info", "get_rng_state", "set_rng_state", "is_bf16_supported"):
        setattr(torch.cuda, name, refusing(name))
