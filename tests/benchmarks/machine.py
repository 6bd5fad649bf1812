"""What the figures were taken on: hardware, versions, and how fast this machine multiplies matrices."""

import hashlib
import os
import platform
import subprocess
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from tests.benchmarks.timing import seconds_of
from tests.serving import PROJECT

TELLING_FLAGS = {"avx2", "fma", "f16c", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16", "avx512_fp16", "amx_tile", "amx_bf16",
                 "asimd", "sve", "sve2", "bf16", "svebf16"}  # those that decide how fast matrix products can be
PACKAGES = ("torch", "transformers", "numpy", "tokenizers", "tiktoken", "safetensors", "gradio")


def hardware(device: torch.device) -> dict[str, Any]:
    cpu, memory = _pairs("/proc/cpuinfo"), _pairs("/proc/meminfo")
    flags = set(cpu.get("flags", cpu.get("Features", "")).split())
    found = {
        "cpu": cpu.get("model name") or platform.processor() or platform.machine(), "cores": os.cpu_count(),
        "flags": sorted(flags & TELLING_FLAGS), "memory_GB": round(int(memory.get("MemTotal", "0").split()[0]) * 1024 / 1e9, 1),
        "torch_threads": torch.get_num_threads(), "load_average": os.getloadavg(), "gpu": None, "system": platform.platform(),
    }
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        found["gpu"] = {"name": properties.name, "memory_GB": round(properties.total_memory / 1e9, 1), "cuda": torch.version.cuda}
    return found


def _pairs(path: str) -> dict[str, str]:
    """The first `name: value` of each name in a file of /proc; nothing on a system without it."""
    found: dict[str, str] = {}
    if Path(path).exists():
        for line in Path(path).read_text().splitlines():
            name, _, value = line.partition(":")
            found.setdefault(name.strip(), value.strip())
    return found


def versions() -> dict[str, Any]:
    """Python, the packages that take part (None where one is absent), and the commit with a digest of what differs from it."""
    found: dict[str, Any] = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = None
    changes = _git("diff", "HEAD", "--", "gpt", "demo.py")
    digest = hashlib.sha256(changes.encode()).hexdigest()[:12] if changes else None
    return {**found, "commit": _git("rev-parse", "HEAD"), "changes_since": digest}


def _git(*words: str) -> str | None:
    try:
        return subprocess.run(["git", *words], cwd=PROJECT, capture_output=True, text=True, check=True).stdout.strip() or None
    except (OSError, subprocess.CalledProcessError):
        return None


def matrix_rates(device: torch.device, side: int | None = None, seconds: float = 1.0) -> dict[str, float]:
    """FLOP/s of square matrix products in float32 and in bfloat16: the fastest of several, the least disturbed.

    The side is 1,024 on a CPU, 8,192 on a GPU. A product runs ten times in a row on a GPU, so that launching it costs nothing.
    """
    side, repeats = side or (8192 if device.type == "cuda" else 1024), 10 if device.type == "cuda" else 1
    rates = {}
    for dtype in (torch.float32, torch.bfloat16):
        a, b = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
        times, begin = [], time.perf_counter()
        while len(times) < 3 or (time.perf_counter() - begin < seconds and len(times) < 1000):  # the first sets the kernels up
            times.append(seconds_of(lambda a=a, b=b: [a @ b for _ in range(repeats)], device) / repeats)
        rates[str(dtype).removeprefix("torch.")] = 2 * side**3 / min(times)
    return rates
