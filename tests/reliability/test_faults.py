"""The short form of the fault tests: `python -m tests.reliability` in a process of its own, since it forks."""

import json
import os
import subprocess
import sys

import pytest

from tests import forkserver
from tests.reliability.faults import FAULTS
from tests.serving import PROJECT

NEEDS_ROOT = ("disk full while training", "disk full, then killed", "folder read-only")


def reliability(*words: str, folder) -> dict:
    """What the command finds, as JSON."""
    command = [sys.executable, "-m", "tests.reliability", "--json", str(folder / "found.json"), *words]
    with open(folder / "printed.txt", "wb") as printed:
        forkserver.popen(command, cwd=PROJECT, stdout=printed, stderr=subprocess.STDOUT).wait()
    assert (folder / "found.json").exists(), (folder / "printed.txt").read_text()
    return json.loads((folder / "found.json").read_text())


@pytest.fixture(scope="module")
def found(tmp_path_factory, seed) -> dict:
    return reliability("--only", "faults", "--rounds", "1", "--seed", str(seed), folder=tmp_path_factory.mktemp("faults"))["faults"]


@pytest.mark.parametrize("fault", FAULTS)
def test_a_run_survives(found, fault):
    if fault in NEEDS_ROOT and os.geteuid() != 0:
        pytest.skip("only root may mount a file system or become another user")
    assert found[fault]["survived"] == found[fault]["tried"] == 1, found[fault]["problems"][0]


def test_kills_lose_nothing_but_the_work_since_the_last_save(tmp_path, seed):
    found = reliability("--only", "kills", "--rounds", "15", "--seed", str(seed), folder=tmp_path)["kills"]
    assert found["survived"] == found["tried"] == 15
    assert all(found["kinds"].values())
    assert found["differences"] == []
    assert found["most_seconds_lost"] < 5  # with a save every tenth of a second; the rest is for a busy machine
