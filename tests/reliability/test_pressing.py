"""Two people press Train at the same moment: one run, and one clear message."""

import os
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from gpt.run import Run, list_runs
from tests.reliability.pressing import press_train
from tests.serving import free_port, serve, served
from tests.ui.conftest import until


def at_once(urls: list[str], names: list[str]) -> list[str | None]:
    """What each of the people is told who press Train at the same moment."""
    together = threading.Barrier(len(urls))

    def press(url: str, name: str) -> str | None:
        together.wait()
        return press_train(url, name)

    with ThreadPoolExecutor(len(urls)) as people:
        return list(people.map(press, urls, names))


def one_run_and_one_message(root, told: list[str | None]) -> Run:
    """Check that one run trains, and that the person who did not begin it was told. Returns the run."""
    assert told.count(None) == 1, told
    message = next(one for one in told if one)
    assert "is training: wait for it, or stop it first" in message or "another program is training on this machine" in message
    run, = until(lambda: [run for run in list_runs(root) if run.status()["state"] == "running"])
    assert [run.name for run in list_runs(root)] == [run.name]
    return run


def lives(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.fixture(scope="class")
def root(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("pressing")


@pytest.fixture(scope="class")
def servers(root) -> list[str]:
    """The addresses of two servers over one folder. SIGTERM ends them, and with them what they train."""
    with ExitStack() as both:
        yield [both.enter_context(served(root)) for _ in range(2)]
    assert not any(run.is_alive() for run in list_runs(root))


class TestTwoPeople:
    """Who press Train at the same moment, on one page or on two servers over one folder."""

    def test_on_one_page(self, servers, root):
        run = one_run_and_one_message(root, at_once([servers[0]] * 2, ["", ""]))
        process = run.status()["pid"]
        run.ask("stop")
        until(lambda: not lives(process))
        run.delete()

    def test_on_two_servers_over_one_folder(self, servers, root):
        one_run_and_one_message(root, at_once(servers, ["", ""]))


def training_process(server: int) -> int:
    """The process in which the server with process id `server` trains."""
    for task in os.listdir(f"/proc/{server}/task"):
        with open(f"/proc/{server}/task/{task}/children", encoding="ascii") as file:
            for child in file.read().split():
                with open(f"/proc/{child}/cmdline", "rb") as words:
                    if b"gpt.pretrain" in words.read():
                        return int(child)
    raise RuntimeError("the server has started no training")


@pytest.mark.skipif(not os.path.exists("/proc/self/task"), reason="the processes are found in Linux's /proc")
class TestEnding:
    """What is left of a training when its page ends."""

    @pytest.fixture
    def training(self, tmp_path):
        """training(*options, begun) -> (the server's process, the training's process id), once it is `begun` or sooner."""
        started = []

        def begin(*options: str, begun: bool):
            port = free_port()
            demo = serve(tmp_path, port, *options, forked=False)
            assert press_train(f"http://127.0.0.1:{port}", "a") is None
            training = training_process(demo.pid)
            started.extend([demo.pid, training])
            if begun:
                until(lambda: any(run.status()["step"] > 0 for run in list_runs(tmp_path)))
            return demo, training

        yield begin
        for pid in started:
            if lives(pid):
                os.kill(pid, signal.SIGKILL)

    # SIGTERM while it trains is how the servers above end.
    @pytest.mark.parametrize(("signals", "begun"), [([signal.SIGINT], False), ([signal.SIGINT, signal.SIGINT], True)],
                             ids=["Ctrl+C while it starts", "Ctrl+C twice while it trains"])
    def test_no_process_stays_behind(self, training, tmp_path, signals, begun):
        demo, process = training(begun=begun)
        for one in signals:
            demo.send_signal(one)
        assert demo.wait(60) == 0
        assert not lives(process)
        assert [run.status()["state"] for run in list_runs(tmp_path)] == (["stopped"] if begun else [])

    def test_a_training_that_is_kept_goes_on_and_the_next_page_has_it(self, training, tmp_path):
        demo, process = training("--keep-training", begun=False)
        demo.send_signal(signal.SIGTERM)
        assert demo.wait(60) == 0
        run, = until(lambda: [run for run in list_runs(tmp_path) if run.status()["step"] > 0])
        step = run.status()["step"]
        until(lambda: run.status()["step"] > step)
        with served(tmp_path) as url:
            assert f"run {run.name} is training" in press_train(url, "b")
        assert lives(process)  # it was not begun by the second page, which leaves it alone
        run.ask("stop")
        until(lambda: not lives(process))
        assert run.status()["state"] == "stopped"
