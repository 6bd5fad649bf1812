"""Two people press Train at the same moment: one run, and one clear message."""

import os
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest

from gpt.runs.run import Run, list_runs
from tests.reliability.pressing import press_train
from tests.serving import free_port, serve, served
from tests.sessions import until


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
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
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
        run.request("stop")
        until(lambda: not lives(process))
        run.delete()

    def test_on_two_servers_over_one_folder(self, servers, root):
        one_run_and_one_message(root, at_once(servers, ["", ""]))


class TestEnding:
    """What is left of a training when its page ends."""

    @pytest.fixture
    def begin(self, tmp_path):
        """begin(*options) -> (the server's process, and the run that it has begun to train)."""
        pids = []

        def begun(*options: str):
            port = free_port()
            demo = serve(tmp_path, port, *options)
            assert press_train(f"http://127.0.0.1:{port}", "a") is None
            run, = until(lambda: [run for run in list_runs(tmp_path) if run.status()["step"] > 0])
            pids.extend([demo.pid, run.status()["pid"]])
            return demo, run

        yield begun
        for pid in pids:
            if lives(pid):
                os.kill(pid, signal.SIGKILL)

    # SIGTERM while it trains is how the servers above end.
    def test_ctrl_c_twice_leaves_no_process_behind(self, begin):
        demo, run = begin()
        pid = run.status()["pid"]
        for _ in range(2):
            demo.send_signal(signal.SIGINT)
        assert demo.wait(60) == 0
        assert not lives(pid)
        assert run.status()["state"] == "stopped"

    def test_ctrl_c_while_it_starts_leaves_no_process_behind(self, tmp_path):
        """The real commands: a fork would have started before anybody could press Ctrl+C."""
        port = free_port()
        demo = serve(tmp_path, port, forked=False)
        assert press_train(f"http://127.0.0.1:{port}", "a") is None
        training, = psutil.Process(demo.pid).children()
        assert "gpt.pretrain" in training.cmdline()
        demo.send_signal(signal.SIGINT)
        assert demo.wait(60) == 0
        assert not lives(training.pid)
        assert list_runs(tmp_path) == []

    def test_a_training_that_is_kept_goes_on_and_the_next_page_has_it(self, begin, tmp_path):
        demo, run = begin("--keep-training")
        pid = run.status()["pid"]
        demo.send_signal(signal.SIGTERM)
        assert demo.wait(60) == 0
        step = run.status()["step"]
        until(lambda: run.status()["step"] > step)
        with served(tmp_path) as url:
            assert f"run {run.name} is training" in press_train(url, "b")
        assert lives(pid)  # it was not begun by the second page, which leaves it alone
        run.request("stop")
        until(lambda: not lives(pid))
        assert run.status()["state"] == "stopped"
