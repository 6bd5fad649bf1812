"""How processes that train together join, what each is told, and what keeps them from it, without starting several."""

import socket
from collections.abc import Iterator

import pytest
import torch
import torch.distributed as dist

from gpt.errors import UserError
from gpt.estimate.price import optimizer_bytes
from gpt.model.flops import count_parameters
from gpt.model.gpt2 import GPT2
from gpt.pretrain import bytes_here
from gpt.runs.run import damage_as_run_error
from gpt.runs.session import Session
from gpt.training import device, distributed, follower
from gpt.training.distributed import ManyProcesses, Processes, joined_processes
from gpt.training.follower import follow
from gpt.training.trainer import Trainer
from tests.says import says
from tests.serving import free_port
from tests.sessions import finish


@pytest.mark.parametrize(("gain", "expected"), [(4.0, "bfloat16"), (0.5, "float32")])
def test_rank_0_chooses_number_format_and_device_for_all(tmp_path, config, monkeypatch, gain, expected):
    sent = []
    processes = Processes()
    monkeypatch.setattr(processes, "begin", sent.append)
    monkeypatch.setattr(device, "bfloat16_gain", lambda: gain)
    finish(Session(tmp_path, "a", {**config, "precision": "auto", "max_steps": 2}, processes=processes))
    (told, text, sharded), = sent
    assert (told["precision"], told["device"], sharded) == (expected, "cpu", False)
    assert told["vocab_size"] == len(text.byte_lengths)


@pytest.fixture
def group_of_one() -> Iterator[ManyProcesses]:
    """What each of several processes has, though there is no other."""
    store = dist.HashStore()
    dist.init_process_group("gloo", store=store, rank=0, world_size=1)
    yield ManyProcesses(store)
    dist.destroy_process_group()


def test_gradients_are_averaged_once_a_step_and_not_once_a_batch(group_of_one, tiny, tokens):
    """The trainer believes in a second process; the group has only this one."""
    group_of_one.count = 2

    def exchanges(grad_accum: int) -> int:
        config = {**tiny, "grad_accum": grad_accum, "max_steps": 3, "eval_every": 1000}
        trainer = Trainer(config, GPT2(config), tokens, processes=group_of_one)
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
            for _ in trainer.events():
                pass
        return sum(event.count for event in profile.key_averages() if "gloo:all_reduce" in event.key)

    assert exchanges(4) == exchanges(1) > 0


@pytest.mark.parametrize(("error", "reason"), [
    (MemoryError(), "process 0 of 1: its memory ran out (a lower batch needs less)"),
    (UserError("3 processes cannot share 2 GPUs"), "process 0 of 1: 3 processes cannot share 2 GPUs"),
    (ValueError("a bug"), "process 0 of 1: ValueError: a bug"),
    (RuntimeError("[gloo/pair.cc] Connection closed by peer"), "one of the 1 processes that trained together has ended"),
])
def test_the_reason_why_a_process_ended_reaches_rank_0(group_of_one, tiny, tokens, monkeypatch, error, reason):
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(follower, "Trainer", fail)
    monkeypatch.setattr(group_of_one, "begin", lambda: (tiny, tokens, False))
    with pytest.raises(type(error)):
        follow(group_of_one)
    assert group_of_one.reason() == reason


@pytest.mark.parametrize("rank", [0, 1])
def test_a_process_started_alone_says_so(monkeypatch, rank):
    monkeypatch.setattr(distributed, "JOIN_SECONDS", 1)
    for name, value in {"WORLD_SIZE": "2", "RANK": rank, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": free_port()}.items():
        monkeypatch.setenv(name, str(value))
    with pytest.raises(UserError, match=says("torchrun", "not all 2 processes" if rank == 0 else "process 1 of 2 finds nobody")), \
            joined_processes():
        pass


def test_a_port_in_use_is_told(monkeypatch):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        for name, value in {"WORLD_SIZE": "2", "RANK": "0", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}.items():
            monkeypatch.setenv(name, str(value))
        taken = says(f"another program uses the address 127.0.0.1:{port}", "--master_port")
        with pytest.raises(UserError, match=taken), joined_processes():
            pass


def test_processes_that_meet_but_cannot_reach_each_other_are_told(monkeypatch):
    def unreachable(*_: object, **__: object) -> None:
        raise RuntimeError("Gloo connectFullMesh failed with timed out connecting")

    store = dist.HashStore()
    store.set("attempt 0/here 1", "")
    monkeypatch.setattr(dist, "rendezvous", lambda *_, **__: iter([(store, 0, 2)]))
    monkeypatch.setattr(dist, "init_process_group", unreachable)
    for name, value in {"WORLD_SIZE": "2", "RANK": "0", "MASTER_ADDR": "10.0.0.1", "MASTER_PORT": "29500"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UserError, match=says("process 0 of 2", "10.0.0.1:29500", "cannot reach", "GLOO_SOCKET_IFNAME")), joined_processes():
        pass


@pytest.mark.parametrize(("environment", "facts"), [
    ({"WORLD_SIZE": "2"}, "RANK, MASTER_ADDR, MASTER_PORT is not set | torchrun"),
    ({"WORLD_SIZE": "two"}, "WORLD_SIZE is 'two' | torchrun"),
    ({"WORLD_SIZE": "2", "RANK": "2", "MASTER_ADDR": "a", "MASTER_PORT": "1"}, "2 processes | RANK is 2 | torchrun"),
])
def test_what_the_environment_says_wrongly_is_told(monkeypatch, environment, facts):
    for name in ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UserError, match=says(facts)), joined_processes():
        pass


@pytest.mark.parametrize(("count", "batch", "kind", "facts"), [
    (3, 6, "cpu", "3 processes | 2 cores | at most 2"), (2, 5, "cpu", "batch 5 | 2 processes | 4 or 6"),
    (5, 5, "cuda", "5 processes | 4 GPUs | at most 4"),
])
def test_too_many_processes_are_told(monkeypatch, count, batch, kind, facts):
    monkeypatch.setattr(distributed, "own_cores", lambda: 2)
    monkeypatch.setattr(torch.accelerator, "device_count", lambda: 4)
    distributed.check_processes(2, 6, torch.device(kind))
    with pytest.raises(UserError, match=says(facts)):
        distributed.check_processes(count, batch, torch.device(kind))


@pytest.mark.parametrize(("kind", "batch", "expected"), [("cpu", 16, 1), ("cuda", 16, 4), ("cuda", 6, 3), ("cuda", 7, 1)])
def test_as_many_processes_are_usual_as_there_are_gpus_that_can_share_a_batch(monkeypatch, kind, batch, expected):
    monkeypatch.setattr(torch.accelerator, "device_count", lambda: 4)
    assert distributed.usual_processes(torch.device(kind), batch) == expected


def test_each_process_gets_a_gpu_of_its_own_or_a_sentence(group_of_one, monkeypatch):
    chosen = []
    monkeypatch.setattr(torch.accelerator, "device_count", lambda: 2)
    monkeypatch.setattr(torch.accelerator, "set_device_index", chosen.append)
    Processes().use_own_gpu(torch.device("cuda"))
    group_of_one.local_rank, group_of_one.local_count = 1, 2
    group_of_one.use_own_gpu(torch.device("cpu"))
    assert chosen == []
    group_of_one.use_own_gpu(torch.device("cuda"))
    assert chosen == [1]
    with pytest.raises(UserError, match=says("mps", "device to cpu")):
        group_of_one.use_own_gpu(torch.device("mps"))
    group_of_one.local_count = 3
    with pytest.raises(UserError, match=says("3 processes", "2 GPUs", "at most 2", "cpu")):
        group_of_one.use_own_gpu(torch.device("cuda"))


@pytest.mark.parametrize(("kind", "nccl", "expected"), [
    (None, True, "gloo"), ("cuda", True, "cpu:gloo,cuda:nccl"), ("cuda", False, "cpu:gloo,cuda:gloo"),
    ("mps", True, "cpu:gloo,mps:gloo"),
])
def test_what_lies_on_the_cpu_is_always_carried_by_gloo(monkeypatch, kind, nccl, expected):
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda check_available: torch.device(kind) if kind else None)
    monkeypatch.setattr(dist, "is_backend_available", lambda name: name == "gloo" or nccl)
    assert distributed.backends() == expected


def test_a_signal_to_another_process_asks_rank_0_once(group_of_one, monkeypatch):
    sent = []
    monkeypatch.setattr(dist, "all_reduce", lambda values: sent.append(values.tolist()))
    group_of_one.rank = 1
    group_of_one.stop.requested = True
    for _ in range(3):
        group_of_one.keep_waiting()
    assert [stops for _, stops in sent] == [1, 0, 0]
    group_of_one.leave()
    group_of_one.keep_waiting()
    assert len(sent) == 3


def test_a_lost_process_is_no_damaged_file(tmp_path):
    with pytest.raises(RuntimeError, match="gloo"), damage_as_run_error(tmp_path / "last"):
        raise RuntimeError("[gloo/pair.cc] Connection closed by peer")


@pytest.mark.parametrize("sharded", [False, True])
def test_memory_is_counted_for_each_process_and_shared_where_the_model_is(tmp_path, config, sharded):
    processes = Processes()
    session = Session(tmp_path, "a", {**config, "emb_dim": 512, "n_layers": 6, "vocab_size": 256}, processes=processes)
    one = bytes_here(session, session.config, 0)
    processes.count = processes.local_count = 4
    session.sharded = sharded
    model = 2 * 4 * sum(count_parameters(session.config).values()) + optimizer_bytes(session.config)
    assert bytes_here(session, session.config, 0) == pytest.approx(4 * one - (3 * model if sharded else 0), rel=0.15)
