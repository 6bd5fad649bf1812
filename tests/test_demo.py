"""`python demo.py`: its options, and what it prints. The page itself is tested in tests/browser."""

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from demo import main
from gpt.runs.locks import start_time
from gpt.ui.server import options
from gpt.ui.server.options import has_desktop, is_loopback
from gpt.ui.server.pages import noted, other_pages
from tests.serving import PROJECT, free_port, serve, served
from tests.sessions import until


@pytest.mark.parametrize(("flags", "told"), [
    (["--port", "0"], "--port is 0: choose one from 1 to 65535"), (["--port", "99999999"], "--port is 99999999"),
    (["--host", "256.1.1.1"], "the page cannot be served at 256.1.1.1"), (["--prot", "1"], "did you mean --port?"),
    (["--host", "0.0.0.0"], "anyone who reaches 0.0.0.0 could train on this machine and delete runs: add --auth NAME:PASSWORD"),
    (["--auth", "anna"], "--auth is not NAME:PASSWORD"), (["--auth", ":a long password"], "--auth is not NAME:PASSWORD"),
    (["--auth", ""], "--auth is not NAME:PASSWORD"), (["--auth", "anna:"], "the password of --auth has 0 characters: give it 8 or more"),
    (["--auth", "anna:short"], "has 5 characters"), (["--public", "--password", ""], "the password of --password has 0 characters"),
    (["--root-path", "gpt"], "--root-path is 'gpt': write it as /gpt"), (["--root-path", "/gpt/"], "none at the end"),
    (["--root-path", "//gpt"], "none at the end"), (["--root-path", "http://example.org/gpt"], "write it as /gpt"),
    (["--password", "a long password"], "add --public"), (["--share"], "anyone who gets the public address could train on this machine"),
])
def test_a_bad_address_is_told_in_one_line(capsys, flags, told):
    with pytest.raises(SystemExit) as caught:
        main(flags)
    err = capsys.readouterr().err
    assert caught.value.code == 2
    assert told in err
    assert err.count("\n") == 1


def has_ipv6() -> bool:
    """Whether this machine has the address ::1; many containers don't."""
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


with_ipv6 = pytest.mark.skipif(not has_ipv6(), reason="there is no IPv6 here")


@with_ipv6
def test_ipv6_proxies_and_a_gradio_folder_of_another_user_are_lived_with(tmp_path):
    """The real command, where http_proxy, a SOCKS proxy and an exception that httpx does not understand are named."""
    (tmp_path / "gradio").touch()  # nothing can be written below it
    port = free_port()
    demo = serve(tmp_path / "runs", port, "--host", "[::1]", forked=False, http_proxy="http://127.0.0.1:9",
                 ALL_PROXY="socks5://127.0.0.1:9", no_proxy="fe80::/10", TMPDIR=str(tmp_path))
    try:
        assert (tmp_path / "gradio").is_file()
        with httpx.Client(trust_env=False, base_url=f"http://[::1]:{port}") as http:
            assert http.get("/").status_code == 200
            answer = http.post("/gradio_api/upload", files={"files": ("a.txt", b"some text")})
        assert answer.status_code == 200
        assert Path(answer.json()[0]).read_bytes() == b"some text"
    finally:
        demo.terminate()
        assert demo.wait(timeout=60) == 0


@pytest.mark.parametrize("host", [pytest.param("::1", marks=with_ipv6), pytest.param("[::1]", marks=with_ipv6), "127.0.0.1", "localhost"])
def test_an_address_is_taken_as_it_is_written(host):
    chosen, _ = options.parse(["--host", host])
    assert chosen.host == host.strip("[]")
    assert (chosen.port in options.PORTS) is (":" in host)


def test_a_port_in_use_is_told(capsys):
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(SystemExit):
        main(["--port", str(taken.getsockname()[1])])
    assert "Address already in use" in capsys.readouterr().err


@pytest.mark.parametrize(("host", "here"), [("127.0.0.1", True), ("127.3.4.5", True), ("::1", True), ("localhost", True),
                                            ("0.0.0.0", False), ("192.168.1.5", False), ("::", False),
                                            ("example.org", False), ("127.0.0.1.example.org", False)])
def test_only_addresses_of_this_machine_need_no_protection(host, here):
    assert is_loopback(host) is here


def test_a_shared_page_is_protected_one_way_or_the_other():
    for flags in (["--auth", "anna:a long password"], ["--public"]):
        assert options.parse(["--share", *flags])[0].share


@pytest.mark.parametrize(("terminal", "variables", "wanted"), [
    (True, {"DISPLAY": ":0"}, True), (True, {"WAYLAND_DISPLAY": "wayland-0"}, True), (True, {}, False), (False, {"DISPLAY": ":0"}, False),
    (True, {"DISPLAY": ":10", "SSH_CONNECTION": "10.0.0.1"}, False)])
def test_a_browser_is_opened_where_somebody_sees_it(monkeypatch, terminal, variables, wanted):
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "SSH_CONNECTION"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: terminal)
    assert has_desktop() is wanted
    assert options.parse([])[0].open is wanted
    assert options.parse(["--open"])[0].open is True
    assert options.parse(["--no-open"])[0].open is False


def test_it_prints_one_line_with_the_address_and_where_another_page_over_the_folder_is(tmp_path):
    """The real command, as a person sees it."""
    port = free_port()
    with served(tmp_path) as first:
        demo = subprocess.Popen([sys.executable, "demo.py", "--port", str(port), "--checkpoints", str(tmp_path)], cwd=PROJECT,
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        lines = [demo.stdout.readline().strip() for _ in range(2)]
        demo.send_signal(signal.SIGINT)
        rest, _ = demo.communicate(timeout=60)
    assert lines == [f"Another page over this folder of runs is at {first}/", f"The page is at http://127.0.0.1:{port}/ (Ctrl+C ends it)"]
    assert rest.splitlines() == ["Stopping: a run in progress is saved first."]
    assert until(lambda: not list(tmp_path.glob(".page-*")))


def test_notes_of_processes_that_are_gone_and_damaged_ones_are_no_pages(tmp_path):
    (tmp_path / ".page-1.json").write_text(json.dumps({"pid": os.getpid(), "began": 5.0, "address": "http://gone"}))
    for i, text in enumerate(("", "[]", "{}", '{"pid": "x", "began": null, "address": 5}')):
        (tmp_path / f".page-9{i}.json").write_text(text)
    with noted(tmp_path, "http://here"):
        assert other_pages(tmp_path) == []
    parent = os.getppid()
    (tmp_path / ".page-2.json").write_text(json.dumps({"pid": parent, "began": start_time(parent), "address": "http://there"}))
    assert other_pages(tmp_path) == ["http://there"]
    assert not (tmp_path / ".page-1.json").exists()


def test_a_folder_that_cannot_be_written_gets_no_note():
    with noted(Path("/proc/nowhere"), "http://here"):
        assert other_pages(Path("/proc/nowhere")) == []
