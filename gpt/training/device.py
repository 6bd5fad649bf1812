"""Where to compute and in which number format: each decision comes with its reason in words."""

import contextlib
import copy
import functools
import os
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import nn

from gpt.errors import UserError
from gpt.model.gpt2 import GPT2
from gpt.training.limits import allowed_cores, free_memory

WORTHWHILE = 1.5  # times faster than float32 must bfloat16 be to be chosen on a CPU: at 1.9 a step of quick takes two thirds of the time
LARGE = 50_000_000  # parameters: a smaller model writes fast enough as it is


def choose_device(wanted: str) -> torch.device:
    """`auto`, `cpu`, or a kind of GPU (`cuda`: NVIDIA and AMD, `mps`: Apple, `xpu`: Intel) -> a device; auto takes a GPU of any kind.
    Raises UserError if the kind that is requested is not available."""
    gpu = torch.accelerator.current_accelerator(check_available=True) if wanted != "cpu" else None
    if wanted not in ("auto", "cpu") and (gpu is None or gpu.type != wanted):
        here = f"only {gpu.type}" if gpu else "no GPU"
        raise UserError(f"device {wanted} was asked for, but PyTorch finds {here} here: set device to auto or cpu")
    return torch.device(gpu.type if gpu else "cpu")


def describe_device(device: torch.device) -> str:
    """What trains, in a few words: "NVIDIA H200", or "CPU, 1 thread (of 8 cores, 1.5 are allowed)"."""
    if device.type == "mps":
        return "Apple GPU"
    if device.type != "cpu":
        return torch.get_device_module(device).get_device_name()
    threads, cores, allowed = torch.get_num_threads(), os.cpu_count() or 1, allowed_cores()
    limit = f" (of {cores} cores, {allowed:g} {'is' if allowed == 1 else 'are'} allowed)" if allowed < cores else ""
    return f"CPU, {threads} {'thread' if threads == 1 else 'threads'}{limit}"


def free_bytes(device: torch.device) -> int:
    """Memory that could still be taken on a device: what is available without swapping and is allowed, or what its GPU has left."""
    if device.type == "cpu":
        return free_memory()
    if device.type == "mps":  # it shares the machine's memory
        return min(free_memory(), torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory())
    if device.type == "xpu":  # not all of Intel's tell what other programs take
        return torch.xpu.get_device_properties().total_memory - torch.xpu.memory_reserved()
    return torch.get_device_module(device).mem_get_info()[0]


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


@contextlib.contextmanager
def working_compiler() -> Iterator[None]:
    """Turn the error of a compiler that is missing or does not work, met by torch.compile inside the block, into a UserError."""
    try:
        yield
    except Exception as error:
        if ran_out_of_memory(error) or not type(error).__module__.startswith(("torch._dynamo", "torch._inductor")):
            raise
        reason = str(error).strip().partition("\n")[0][:200]
        raise UserError(f"compile does not work here ({reason}): set compile to false, or install a compiler that works, on a CPU such as "
                        "g++") from error


def choose_precision(wanted: str, device: torch.device) -> tuple[str, str]:
    """`auto` or a number format -> (format of the matrix products, the reason in one phrase)."""
    if wanted != "auto":
        return wanted, f"{wanted}: asked for"
    if device.type == "cuda":
        if torch.cuda.is_bf16_supported(including_emulation=False):
            return "bfloat16", "bfloat16: this GPU has units for it"
        return "float16", "float16: this GPU has no bfloat16 units"
    if device.type != "cpu":
        return "float32", "float32: nobody has tried this project on this kind of GPU (device cpu is tested)"
    gain = bfloat16_gain()
    if gain < WORTHWHILE:
        return "float32", f"float32: bfloat16 products are {_times(gain)} here"
    return "bfloat16", f"bfloat16: this CPU multiplies it {gain:.1f} times faster"


def for_writing(model: GPT2) -> tuple[GPT2, str]:
    """The model that writes in place of `model`, and what to say of it: where this CPU multiplies bfloat16 faster, a copy of a large one
    with its weights in that format. Each token reads all weights once, and they are half as many bytes."""
    on_cpu = next(model.parameters()).device.type == "cpu"
    if not on_cpu or sum(map(torch.numel, model.parameters())) < LARGE or bfloat16_gain() < WORTHWHILE:
        return model, ""
    with contextlib.suppress(UserError), enough_memory("close other programs"):  # else it writes as it is
        halved = {id(weight): nn.Parameter(weight.detach().bfloat16(), requires_grad=False) for weight in model.parameters()}
        return copy.deepcopy(model, halved), "weights in bfloat16"  # with these in place of its own; the rotation keeps its digits
    return model, ""


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
