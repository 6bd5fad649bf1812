"""Where to compute and in which number format: each decision comes with its reason in words."""

import contextlib
import functools
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import torch

from gpt.errors import UserError


def choose_device(wanted: str) -> torch.device:
    """`auto`, `cpu` or `cuda` -> a device. Raises UserError if cuda is requested but not available."""
    if wanted == "cuda" and not torch.cuda.is_available():
        raise UserError("device cuda was asked for, but PyTorch finds no CUDA GPU here: set device to auto or cpu")
    return torch.device("cuda" if wanted != "cpu" and torch.cuda.is_available() else "cpu")


def describe_device(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else f"CPU, {torch.get_num_threads()} threads"


def ran_out_of_memory(error: BaseException) -> bool:
    """Whether `error` is an out-of-memory error: Python's, a GPU's, or the plain RuntimeError of PyTorch's CPU allocator."""
    return (isinstance(error, (MemoryError, torch.OutOfMemoryError))
            or (isinstance(error, RuntimeError) and "DefaultCPUAllocator" in str(error)))


@contextlib.contextmanager
def enough_memory(remedy: str) -> Iterator[None]:
    """Turn an out-of-memory error inside the block into a UserError that ends with `remedy`."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not ran_out_of_memory(error):
            raise
        raise UserError(f"there is not enough memory for this: {remedy}") from error


def prefer_to_be_killed() -> None:
    """If memory runs out, Linux kills a process: make this one its first choice, because its run can be resumed."""
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("500")


def check_compiler() -> None:
    """Raise UserError if torch.compile would find no C++ compiler to build its kernels with."""
    if not any(shutil.which(name) for name in (os.environ.get("CXX", "g++"), "c++", "clang++", "cl")):
        raise UserError("compile needs a C++ compiler, and there is none here: install g++ or set compile to false")


def choose_precision(wanted: str, device: torch.device) -> tuple[str, str]:
    """`auto` or a number format -> (format of the matrix products, the reason in one phrase)."""
    if wanted != "auto":
        return wanted, f"{wanted}: asked for"
    if device.type == "cuda":
        if torch.cuda.is_bf16_supported(including_emulation=False):
            return "bfloat16", "bfloat16: this GPU has units for it"
        return "float16", "float16: this GPU has no bfloat16 units"
    gain = bfloat16_gain()
    if gain < 2:
        return "float32", f"float32: bfloat16 products are {_times(gain)} here"
    return "bfloat16", f"bfloat16: this CPU multiplies it {gain:.1f} times faster"


def _times(gain: float) -> str:
    return f"{1 / gain:.3g} times slower" if gain < 1 else f"only {gain:.1f} times faster"


@functools.cache
def bfloat16_gain() -> float:
    """How many times faster this CPU multiplies two 256 x 256 matrices in bfloat16 than in float32; takes about 0.1 s."""
    def best_time(dtype: torch.dtype) -> float:
        a = torch.ones(256, 256, dtype=dtype)
        times = []
        for _ in range(4):  # the first call initialises the kernels; the minimum has the least noise
            start = time.perf_counter()
            a @ a
            times.append(time.perf_counter() - start)
        return min(times)

    return best_time(torch.float32) / best_time(torch.bfloat16)
