"""Several processes that train one model together, on the GPUs of one machine or of many: torch.distributed and torchrun.

Each process computes the loss on its share of every batch, and their gradients are averaged before each update (data_parallel.py). torchrun
starts the processes and tells each its number, the rank. The process of rank 0 leads: it alone reads the text and writes the run's folder.
Between two events of the trainer the others wait for its orders, so that whatever somebody requests of the run reaches all of them between
the same two steps.
"""

import contextlib
import os
import sys
import time
import traceback
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from gpt.errors import UserError
from gpt.training.limits import own_cores

JOIN_SECONDS = 60  # all processes must have begun this soon after the first
ANSWER_SECONDS = 1800  # a process that does not answer for so long counts as lost; one that has ended is noticed at once
GO_ON, WAIT, CALL, END = range(4)  # orders


class Stop:
    """Whether somebody has asked training to end. Set by signal handlers and read between steps."""

    requested = False


class RunIsOver(Exception):
    """Rank 0 has ended the run; this process is not needed any more."""


class Processes:
    """The processes that train together, `count` of them, of which this is number `rank`. Here the usual case: there is only one, and
    nothing is communicated."""

    rank, count = 0, 1
    local_rank, local_count = 0, 1  # the same among those of this machine
    begun = False

    def __init__(self) -> None:
        self.stop = Stop()

    def use_own_gpu(self, device: torch.device) -> None:
        """Give each process of this machine a GPU of its own, if `device` is one. Raises UserError if that cannot be."""

    def begin(self, start: Any = None) -> Any:
        """On rank 0: give the others what they need to begin. On the others: wait for it. Returns it."""
        return start

    def meet(self) -> None:
        """Wait until all processes have come here. One that has ended is noticed, while a GPU would wait long for what it does not send."""

    def average(self, value: Tensor) -> Tensor:
        """The mean over all processes of a tensor on any device."""
        return value

    def sum(self, values: list[float]) -> list[float]:
        """The sums over all processes of numbers."""
        return values

    def of_rank_0(self, value: float) -> float:
        """The number that rank 0 has given."""
        return value

    def order(self, name: str, *arguments: Any) -> None:
        """On rank 0: tell the others to call this method of their trainer. On the others: nothing, they have been told."""

    def keep_waiting(self) -> None:
        """On rank 0, where it waits for somebody or something: tell the others to wait too."""

    def end(self) -> None:
        """On rank 0: tell the others that the run is over."""

    def leave(self) -> None:
        """On rank 0, when something went wrong: say nothing more to the others, which may not listen."""

    def orders(self) -> Iterator[tuple[str, tuple]]:
        """On rank 0: tell the others to go on. On the others: yield (name of a method, its arguments) until rank 0 says so.
        Raises RunIsOver."""
        yield from ()


class ManyProcesses(Processes):
    """The same for several processes, which have joined one group of torch.distributed. What is lost in between is an error of
    PyTorch's; `lost_contact` recognises it."""

    def __init__(self, store: dist.Store):
        super().__init__()
        self.rank, self.count, self._store = dist.get_rank(), dist.get_world_size(), store
        self.local_rank, self.local_count = _number("LOCAL_RANK", 0), _number("LOCAL_WORLD_SIZE", 1)
        self._has_left = self._has_asked_to_stop = False

    def use_own_gpu(self, device: torch.device) -> None:
        if device.type == "cpu":
            return
        if dist.Backend.default_device_backend_map.get(device.type, "gloo") == "gloo":
            raise UserError(f"processes on GPUs of the kind {device.type} cannot exchange gradients: set device to cpu, or train with one")
        n_gpus = torch.accelerator.device_count()
        if self.local_count > n_gpus:
            raise UserError(f"{self.local_count} processes cannot share {n_gpus} GPU{'' if n_gpus == 1 else 's'}: start at most {n_gpus} "
                            "on this machine, or set device to cpu")
        torch.accelerator.set_device_index(self.local_rank)

    def begin(self, start: Any = None) -> Any:
        if self.rank == 0:
            self._store.set("begun", "")
        while not self._store.check(["begun"]):  # a collective's time limit is too short for a long text, and it would delay signals
            if self._store.check(["sent away"]):
                self._store.set(f"left {self.rank}", "")
                raise RunIsOver
            time.sleep(0.05)
        message = [start]
        dist.broadcast_object_list(message, 0)
        self.begun = True
        return message[0]

    def meet(self) -> None:
        self.sum([0.0])

    def average(self, value: Tensor) -> Tensor:
        value = value.clone()
        dist.all_reduce(value)
        return value / self.count

    def sum(self, values: list[float]) -> list[float]:
        total = torch.tensor(values, dtype=torch.float64)
        dist.all_reduce(total)
        return total.tolist()

    def of_rank_0(self, value: float) -> float:
        value = torch.tensor(value, dtype=torch.float64)
        dist.broadcast(value, 0)
        return value.item()

    def order(self, name: str, *arguments: Any) -> None:
        if self.rank == 0:
            self._exchange(CALL)
            dist.broadcast_object_list([name, arguments], 0)

    def keep_waiting(self) -> None:
        if not self._has_left:
            self._exchange(WAIT)

    def end(self) -> None:
        self._exchange(END)
        self.leave()

    def leave(self) -> None:
        self._has_left = True

    def orders(self) -> Iterator[tuple[str, tuple]]:
        if self.rank == 0:
            self._exchange(GO_ON)
            return
        while (order := self._exchange()) != GO_ON:
            if order == END:
                raise RunIsOver
            if order == CALL:
                message = [None, None]
                dist.broadcast_object_list(message, 0)
                yield tuple(message)

    def _exchange(self, order: int = 0) -> int:
        """Give rank 0's order to all, and to rank 0, once, that another process was asked to stop, by a signal."""
        asks_to_stop = self.rank > 0 and self.stop.requested and not self._has_asked_to_stop
        self._has_asked_to_stop |= asks_to_stop
        values = torch.tensor([order, asks_to_stop])
        dist.all_reduce(values)
        order, stops = values.tolist()
        if self.rank == 0 and stops:
            self.stop.requested = True
        return order

    def send_away(self) -> None:
        """On rank 0, which cannot begin: let the others end."""
        self._store.set("sent away", "")
        with contextlib.suppress(dist.DistError):  # whoever does not listen loses contact in a moment
            self._store.wait([f"left {other}" for other in range(1, self.count)], timedelta(seconds=1))

    def give_reason(self, reason: str) -> None:
        """Before this process ends: leave the reason to rank 0."""
        self._store.set("reason", f"process {self.rank} of {self.count}: {reason}")

    def reason(self) -> str:
        """Why another process has ended, as far as is known."""
        with contextlib.suppress(RuntimeError):  # the store may have ended with it
            if self._store.check(["reason"]):
                return self._store.get("reason").decode()
        return f"one of the {self.count} processes that trained together has ended"


def check_processes(count: int, batch: int, device: torch.device) -> None:
    """Raise UserError if `count` processes of this machine cannot train on batches of `batch` windows on its CPU, or its GPUs."""
    most = own_cores() if device.type == "cpu" else torch.accelerator.device_count()
    if count > max(most, 1):
        what = "core" if device.type == "cpu" else "GPU"
        raise UserError(f"{count} processes cannot train on {most} {what}{'' if most == 1 else 's'}: start at most {most}")
    check_batch(batch, count)


def check_batch(batch: int, count: int) -> None:
    """Raise UserError if a batch of `batch` windows cannot be shared out evenly to `count` processes."""
    if batch % count:
        remedy = f"{batch - batch % count} or " if batch > count else ""
        raise UserError(f"batch {batch} cannot be shared out to {count} processes: set it to {remedy}{batch + count - batch % count}")


def usual_processes(device: torch.device, batch: int) -> int:
    """How many processes are best on this machine for batches of `batch` windows: as many as it has GPUs, if they can share a batch out;
    one on a CPU, since it uses all cores."""
    n_gpus = 1 if device.type == "cpu" else torch.accelerator.device_count()
    return max(count for count in range(1, n_gpus + 1) if batch % count == 0)


def lost_contact(error: BaseException) -> bool:
    """Whether `error` says that another process cannot be reached any more. gloo's errors are plain RuntimeErrors."""
    return isinstance(error, dist.DistError) or (isinstance(error, RuntimeError) and "gloo" in str(error))


def rank_here() -> int:
    """The rank that torchrun has given to this process; 0 without torchrun."""
    return _number("RANK", 0)


def restarts_here() -> tuple[int, int]:
    """How often torchrun has started the processes anew, and how often it may."""
    return _number("TORCHELASTIC_RESTART_COUNT", 0), _number("TORCHELASTIC_MAX_RESTARTS", 0)


@contextlib.contextmanager
def joined_processes() -> Iterator[Processes]:
    """The processes that were started together by torchrun (https://pytorch.org/docs/stable/elastic/run.html), or this one alone.

    Raises UserError if the others do not come, or what the environment says of them cannot be.
    """
    count = _number("WORLD_SIZE", 1)
    if count == 1:
        yield Processes()
        return
    rank = rank_here()
    missing = [name for name in ("RANK", "MASTER_ADDR", "MASTER_PORT") if name not in os.environ]
    if missing or not 0 <= rank < count:
        raise UserError(f"this is to be one of {count} processes (WORLD_SIZE), but {', '.join(missing) or f'RANK is {rank}'}"
                        f"{' is not set' if missing else ''}: start them all with torchrun")
    processes = ManyProcesses(_join(rank, count))
    try:
        yield processes
    except BaseException:
        if rank == 0 and not processes.begun:
            processes.send_away()
        raise
    dist.destroy_process_group()


@contextlib.contextmanager
def ended_at_once() -> Iterator[None]:
    """If an error ends the block in one of several processes, end this process, without the destructors of PyTorch: one that holds Python's
    lock waits for a thread of gloo, which may wait for that lock (2.13)."""
    try:
        yield
    except BaseException as error:
        if not dist.is_initialized():
            raise
        if not isinstance(error, SystemExit):
            traceback.print_exc()
        _end_now(error.code if isinstance(error, SystemExit) else 1)


def end_process() -> None:
    """End a process that has trained together with others, without the destructors of PyTorch, which can abort it while a thread of gloo
    still runs (2.13). Functions registered with atexit are not called."""
    if _number("WORLD_SIZE", 1) > 1:
        _end_now(0)


def _end_now(code: int) -> None:
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(code)


def backends() -> str:
    """What carries tensors of each kind from process to process: gloo those of the CPU, NCCL those of NVIDIA's GPUs. By itself PyTorch
    would prepare one for the GPU alone."""
    gpu = torch.accelerator.current_accelerator(check_available=True)
    name = dist.Backend.default_device_backend_map.get(gpu.type) if gpu else None
    if name is None:
        return "gloo"
    return f"cpu:gloo,{gpu.type}:{name if dist.is_backend_available(name) else 'gloo'}"  # NCCL is not part of PyTorch on Windows


def _number(name: str, default: int) -> int:
    value = os.environ.get(name, str(default))
    if not value.isdecimal():
        raise UserError(f"{name} is {value[:40]!r} in the environment: start the processes with torchrun, which sets it to a number")
    return int(value)


def _join(rank: int, count: int) -> dist.Store:
    """Meet the other processes, and make one group of all. Returns the store that they share. Raises UserError."""
    where = f"{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}"
    soon = timedelta(seconds=JOIN_SECONDS)
    try:
        store, _, _ = next(dist.rendezvous("env://", rank, count, timeout=soon))
        store = dist.PrefixStore(f"attempt {restarts_here()[0]}", store)  # torchrun's own outlasts a restart, with what was said before it
        store.set(f"here {rank}", "")
        store.wait([f"here {other}" for other in range(count)], soon)
    except dist.DistNetworkError as error:
        if "EADDRINUSE" in str(error):
            raise UserError(f"another program uses the address {where}, where the {count} processes are to meet: choose another "
                            "--master_port, or give torchrun --standalone") from None
        raise UserError(f"process {rank} of {count} finds nobody at {where}: start all of them with torchrun") from None
    except dist.DistStoreError:
        raise UserError(f"not all {count} processes came to {where} within {JOIN_SECONDS} seconds: start all of them with "
                        "torchrun") from None
    try:
        dist.init_process_group(backends(), store=store, rank=rank, world_size=count, timeout=timedelta(seconds=ANSWER_SECONDS))
    except RuntimeError as error:
        raise UserError(f"process {rank} of {count} has met the others at {where}, but cannot reach them: let the machines connect to each "
                        "other at any port, or name the network to use in GLOO_SOCKET_IFNAME and NCCL_SOCKET_IFNAME") from error
    return store
