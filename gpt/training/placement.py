"""Where a model goes, and what its processes do with it. What only several need is imported for them alone: it takes a second."""

from collections.abc import Callable

import torch

from gpt.model.gpt2 import GPT2
from gpt.training.parallel import OneProcess, is_sharded


def placed(model: GPT2, device: torch.device, n_processes: int, sharded: bool) -> GPT2:
    """Put `model` on `device`, or, if it is to be sharded, this process's part of it."""
    if not sharded:
        return model.to(device)
    from gpt.training.data_parallel import shard

    return shard(model, device, n_processes)


def parallel(model: GPT2, n_processes: int, compiled: Callable[[Callable], Callable]) -> OneProcess:
    """What suits `model` and the number of processes."""
    if n_processes == 1:
        return OneProcess(model, compiled)
    from gpt.training.data_parallel import DataParallel, FullySharded

    return (FullySharded if is_sharded(next(model.parameters())) else DataParallel)(model, compiled)
