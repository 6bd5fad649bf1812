"""What this process may use of the machine: a container, a batch system or a service may allow less memory and fewer cores than there are.

Linux keeps such limits in folders of control groups (cgroups(7)), in version 1 one tree for each kind of limit, in version 2 one for all.
A process is bound by the limits of its own group and of all groups around it. Other systems have none of these files.
"""

import contextlib
import math
import os
from collections.abc import Iterator
from pathlib import Path

import psutil
import torch

GROUPS, OWN_GROUPS = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")


def groups(kind: str) -> Iterator[Path]:
    """Folders of the groups that limit the `kind` (memory or cpu) of this process, from its own to the outermost."""
    with contextlib.suppress(OSError, ValueError):
        for line in OWN_GROUPS.read_text(encoding="utf-8").splitlines():
            _, kinds, path = line.split(":", 2)
            if kinds == "" or kind in kinds.split(","):
                top = GROUPS / kind if kinds else GROUPS
                folder = top / path.lstrip("/")
                yield from (group for group in (folder, *folder.parents) if group.is_relative_to(top))


def read_integer(path: Path) -> int | None:
    """The number in a file, or None if it holds another word, such as "max", or there is none."""
    try:
        return int(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def memory_limits() -> Iterator[tuple[int, int]]:
    """(bytes allowed, bytes still free) of each group that limits memory. What it holds of files that were read (`inactive_file`) makes
    way when memory is needed."""
    for group in groups("memory"):
        for limit_name, used_name, cached_name in (("memory.max", "memory.current", "inactive_file"),
                                                   ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")):
            limit, used = read_integer(group / limit_name), read_integer(group / used_name)
            if limit is not None and used is not None and limit < psutil.virtual_memory().total:
                with contextlib.suppress(OSError):
                    rows = dict(line.split() for line in (group / "memory.stat").read_text(encoding="utf-8").splitlines())
                    used -= int(rows.get(cached_name, 0))
                yield limit, max(0, limit - used)


def memory_limit() -> int | None:
    """The bytes that this process and what runs with it may take, or None where all of the machine's memory is allowed."""
    return min((limit for limit, _ in memory_limits()), default=None)


def free_memory() -> int:
    """Bytes that this process can still take: what is available without swapping, and is allowed."""
    return min([psutil.virtual_memory().available, *(free for _, free in memory_limits())])


def allowed_cores() -> float:
    """How many cores' time this process may take; infinity where nothing limits it."""
    quotas = [math.inf]
    for group in groups("cpu"):
        with contextlib.suppress(OSError, ValueError):
            quota, period = map(int, (group / "cpu.max").read_text(encoding="utf-8").split())  # version 2
            quotas.append(quota / period)
        quota, period = read_integer(group / "cpu.cfs_quota_us"), read_integer(group / "cpu.cfs_period_us")  # version 1; -1: no limit
        if quota is not None and period and quota > 0:
            quotas.append(quota / period)
    return min(quotas)


def own_cores() -> int:
    """How many cores this process may use, at least one: of those of the machine, those that it is bound to, or as much of their time."""
    here = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, int(min(allowed_cores(), here)))


def use_allowed_cores(n_processes: int = 1) -> None:
    """Let PyTorch use no more threads than this process may use cores: with more, all of them are halted for part of the time. Several
    processes that train together share the cores evenly (torchrun would leave each of them one)."""
    if n_processes > 1:
        torch.set_num_threads(max(1, own_cores() // n_processes))
    elif (cores := allowed_cores()) < torch.get_num_threads():
        torch.set_num_threads(max(1, int(cores)))
