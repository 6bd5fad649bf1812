"""What a container allows: read from groups that are played with files, and, where root may make one, from a real one."""

import json
import math
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import psutil
import pytest
import torch

from gpt.training import limits
from gpt.training.device import describe_device, free_bytes
from gpt.training.limits import allowed_cores, free_memory, memory_limit, use_allowed_cores

MB = 1_000_000
TOTAL = psutil.virtual_memory().total


@pytest.fixture
def played(tmp_path, monkeypatch):
    """A function that plays groups: the lines of /proc/self/cgroup, and files below /sys/fs/cgroup."""
    def play(own: str, files: dict[str, str]) -> None:
        (tmp_path / "own").write_text(own)
        for name, content in files.items():
            path = tmp_path / "groups" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)

    monkeypatch.setattr(limits, "GROUPS", tmp_path / "groups")
    monkeypatch.setattr(limits, "OWN_GROUPS", tmp_path / "own")
    return play


VERSION_1 = "4:memory:/job\n3:cpuset:/\n2:cpu,cpuacct:/job\n0::/\n"


@pytest.mark.parametrize(("own", "files", "free"), [
    ("0::/\n", {"memory.max": f"{900 * MB}\n", "memory.current": f"{100 * MB}\n"}, 800),
    ("0::/\n", {"memory.max": f"{900 * MB}", "memory.current": f"{300 * MB}", "memory.stat": f"anon 5\ninactive_file {200 * MB}\n"}, 800),
    ("0::/a/b\n", {"memory.max": f"{500 * MB}", "memory.current": "0", "a/memory.max": "max", "a/memory.current": "0",
                   "a/b/memory.max": f"{900 * MB}", "a/b/memory.current": "0"}, 500),
    ("0::/a/b\n", {"a/memory.max": f"{900 * MB}", "a/memory.current": f"{1000 * MB}"}, 0),
    ("0::/of/the/host\n", {"memory.max": f"{900 * MB}\n", "memory.current": "0\n"}, 900),  # a container that sees its own group as the top
    (VERSION_1, {"memory/job/memory.limit_in_bytes": f"{900 * MB}", "memory/job/memory.usage_in_bytes": f"{500 * MB}",
                 "memory/job/memory.stat": f"cache 5\ntotal_inactive_file {400 * MB}\n",
                 "memory/memory.limit_in_bytes": "9223372036854771712", "memory/memory.usage_in_bytes": "5"}, 800),
])
def test_memory_is_the_smaller_of_what_is_free_and_what_is_allowed(played, own, files, free):
    played(own, files)
    assert free_memory() == free_bytes(torch.device("cpu")) == free * MB
    assert memory_limit() <= 900 * MB


@pytest.mark.parametrize(("own", "files"), [
    ("0::/\n", {"memory.max": "max\n", "memory.current": "5\n", "cpu.max": "max 100000\n"}), ("0::/\n", {}), ("", {}),
    (VERSION_1, {"memory/job/memory.limit_in_bytes": "9223372036854771712", "memory/job/memory.usage_in_bytes": "5",
                 "cpu/job/cpu.cfs_quota_us": "-1", "cpu/job/cpu.cfs_period_us": "100000"}),
    ("0::/\n", {"memory.max": "", "memory.current": "x", "cpu.max": "5"}), ("nonsense\n", {}),
])
def test_where_nothing_is_limited_all_may_be_used(played, own, files):
    played(own, files)
    assert memory_limit() is None
    assert 0.5 * psutil.virtual_memory().available < free_memory() < TOTAL
    assert allowed_cores() == math.inf


@pytest.mark.parametrize(("own", "files", "cores"), [
    ("0::/\n", {"cpu.max": "100000 100000\n"}, 1), ("0::/a\n", {"cpu.max": "50000 100000", "a/cpu.max": "150000 100000"}, 0.5),
    (VERSION_1, {"cpu/job/cpu.cfs_quota_us": "150000\n", "cpu/job/cpu.cfs_period_us": "100000\n"}, 1.5),
])
def test_threads_follow_the_quota_and_it_is_told(played, monkeypatch, own, files, cores):
    played(own, files)
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        use_allowed_cores()
        assert allowed_cores() == cores
        assert torch.get_num_threads() == 1
        assert describe_device(torch.device("cpu")).startswith("CPU, 1 thread (")
        assert f"{cores:g}" in describe_device(torch.device("cpu"))
    finally:
        torch.set_num_threads(before)


class Limits(NamedTuple):
    """A real group: the folders of its two trees."""

    memory: Path
    cpu: Path


@pytest.fixture
def real() -> Iterator[Limits]:
    folders = Limits(*(Path(f"/sys/fs/cgroup/{kind}/gpt-test-{os.getpid()}") for kind in ("memory", "cpu")))
    try:
        for folder in folders:
            folder.mkdir()
        (folders.memory / "memory.limit_in_bytes").write_text(str(900 * 2**20))
        (folders.cpu / "cpu.cfs_quota_us").write_text("100000")
    except OSError:
        for folder in folders:
            if folder.exists():
                folder.rmdir()
        pytest.skip("only root may make groups, and these are of version 1")
    yield folders
    for folder in folders:
        folder.rmdir()


def inside(group: Limits, program: str) -> str:
    """What a program prints that runs within the group, with as many threads as PyTorch chooses."""
    def join() -> None:
        for folder in group:
            (folder / "cgroup.procs").write_text(str(os.getpid()))

    environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    return subprocess.run([sys.executable, "-c", program], preexec_fn=join, env=environment, capture_output=True, text=True, check=True,
                          timeout=300).stdout


def test_a_real_group_is_understood(real):
    program = ("import json, torch; from gpt.training.limits import *; use_allowed_cores(); "
               "print(json.dumps([memory_limit(), free_memory(), allowed_cores(), torch.get_num_threads()]))")
    limit, free, cores, threads = json.loads(inside(real, program))
    assert (limit, cores, threads) == (900 * 2**20, 1.0, 1)
    assert 0.2 * limit < free < limit
