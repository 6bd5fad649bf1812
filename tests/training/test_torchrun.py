"""torchrun itself, as the README names it: on one machine, with a restart, and as two groups that stand for two machines. Each begins its
processes anew, which takes seconds: that is why the rest of what several processes do is tested without it, in test_distributed.py."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from gpt.runs.run import Run
from gpt.runs.session import Session
from tests.forkserver import PROJECT
from tests.serving import free_port
from tests.sessions import finish, same_weights, timeless, until
from tests.training.test_distributed import assert_same_curve, in_training
from tests.training.together import end_well, words_of

TWO = ["--standalone", "--nproc_per_node", "2"]


@pytest.fixture
def words(config, tmp_path) -> list[str]:
    return [*words_of({**config, "dropout_rate": 0.2, "max_steps": 50}, tmp_path / "runs"), "--run", "two"]


@pytest.fixture
def run(tmp_path) -> Run:
    return Run(tmp_path / "runs" / "two")


@contextlib.contextmanager
def torchrun(options: list[str], words: list[str], printed: Path) -> Iterator[subprocess.Popen]:
    """torchrun with `options` for `python -m gpt.pretrain` with `words`. Nothing that it has begun outlives the block."""
    with open(printed, "wb") as file:
        process = subprocess.Popen([sys.executable, "-m", "torch.distributed.run", *options, "-m", "--", "gpt.pretrain", *words],
                                   cwd=PROJECT, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT,
                                   env=os.environ | {"PYTHONUNBUFFERED": "1", "PYTHONFAULTHANDLER": "1"})
    begun = []
    try:
        yield process
    finally:
        with contextlib.suppress(psutil.NoSuchProcess):
            begun = psutil.Process(process.pid).children(recursive=True)
        for left in [psutil.Process(process.pid), *begun] if process.poll() is None else []:
            with contextlib.suppress(psutil.NoSuchProcess):
                left.kill()
        process.wait(60)


def codes(groups: list[subprocess.Popen], folder: Path) -> list[int]:
    """The exit codes of torchruns as soon as all have ended. If one does not, the test fails with all that was printed into `folder`, and
    with where in their code their processes stand: Python prints that when they get SIGABRT."""
    _, hanging = psutil.wait_procs([psutil.Process(group.pid) for group in groups], 120)
    if hanging:
        for process in [child for parent in hanging for child in [*parent.children(recursive=True), parent]]:
            process.send_signal(signal.SIGABRT)
        psutil.wait_procs(hanging, 10)
        pytest.fail("\n".join(f"{path.name}:\n{path.read_text()}" for path in sorted(folder.glob("node-*"))))
    return [group.wait(1) for group in groups]


def process_of_rank(parent: subprocess.Popen, rank: int) -> psutil.Process:
    """The process below torchrun that has this rank."""
    return next(child for child in psutil.Process(parent.pid).children(recursive=True) if child.environ().get("RANK") == str(rank))


def paused_with_a_save(run: Run) -> None:
    """Pause a run, which saves it, and let it go on."""
    until(lambda: in_training(run))
    run.request("pause")
    until(lambda: run.status()["state"] == "paused")
    run.request("resume")
    until(lambda: run.status()["state"] == "running")


def test_a_restart_goes_on_from_the_last_save_bit_for_bit(words, run, tmp_path):
    with torchrun([*TWO, "--max-restarts", "1"], [*words, "--max_steps", "150"], tmp_path / "out") as group:
        paused_with_a_save(run)
        saved = run.saved_step()
        process_of_rank(group, 1).kill()
        assert group.wait(120) == 0, (tmp_path / "out").read_text()
    assert 0 < saved < 150
    assert (run.status()["state"], run.status()["step"]) == ("done", 150)
    end_well([*words, "--run", "whole", "--max_steps", "150"], 2, tmp_path / "whole")
    assert timeless(run) == timeless(Run(run.path.with_name("whole")))
    assert same_weights(run.saves()[0], Run(run.path.with_name("whole")).saves()[0])


def test_ctrl_c_in_torchruns_terminal_saves_the_run(words, run, tmp_path):
    with torchrun(TWO, [*words, "--max_steps", "1000000"], tmp_path / "out") as group:
        until(lambda: in_training(run))
        children = psutil.Process(group.pid).children(recursive=True)
        group.send_signal(signal.SIGINT)
        group.wait(60)
        assert psutil.wait_procs(children, 10)[1] == []
    assert run.status()["state"] == "stopped"
    assert run.saved_step() == run.status()["step"]


@contextlib.contextmanager
def two_nodes(words: list[str], folder: Path) -> Iterator[list[subprocess.Popen]]:
    """Two torchruns on this machine, each with one process, that meet at a port of it, as two machines would at one of the first."""
    meeting = ["--nnodes", "2", "--nproc_per_node", "1", "--master_addr", "127.0.0.1", "--master_port", str(free_port())]
    with torchrun([*meeting, "--node_rank", "0"], words, folder / "node-0") as first, \
            torchrun([*meeting, "--node_rank", "1"], ["--checkpoints", str(folder / "nowhere")], folder / "node-1") as second:
        yield [first, second]


def test_two_nodes_train_one_run_which_the_first_writes(words, run, tmp_path, config):
    words = [*words, "--dropout_rate", "0"]
    with two_nodes(words, tmp_path) as nodes:
        assert codes(nodes, tmp_path) == [0, 0], (tmp_path / "node-0").read_text() + (tmp_path / "node-1").read_text()
    assert run.status()["state"] == "done"
    assert not (tmp_path / "nowhere").exists()
    finish(Session(run.path.parent, "one", {**config, "max_steps": 50}))
    assert_same_curve(Run(run.path.with_name("one")), run)


@pytest.mark.parametrize("dying", [0, 1])
def test_a_node_that_dies_ends_the_run_on_the_other(words, run, tmp_path, dying):
    with two_nodes([*words, "--max_steps", "1000000"], tmp_path) as nodes:
        paused_with_a_save(run)
        for process in [*psutil.Process(nodes[dying].pid).children(recursive=True), psutil.Process(nodes[dying].pid)]:
            process.kill()
        other = psutil.Process(nodes[1 - dying].pid).children(recursive=True)
        assert nodes[1 - dying].wait(60) == 1
        assert psutil.wait_procs(other, 10)[1] == []
    assert run.status()["state"] == "failed"
    assert ("one of the 2 processes" if dying else "killed") in run.status()["error"]
    finish(Session(run.path.parent, "two", changes={"max_steps": run.status()["step"] + 3}))
    assert run.status()["state"] == "done"
