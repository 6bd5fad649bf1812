"""`python demo.py`: what it answers to an address that cannot be served. The page itself is tested in tests/browser."""

import socket

import pytest

from demo import is_loopback, main


@pytest.mark.parametrize(("flags", "told"), [
    (["--port", "0"], "--port is 0: choose one from 1 to 65535"), (["--port", "99999999"], "--port is 99999999"),
    (["--host", "256.1.1.1"], "the page cannot be served at 256.1.1.1"), (["--prot", "1"], "did you mean --port?"),
    (["--host", "0.0.0.0"], "anyone who reaches 0.0.0.0 could train on this machine and delete runs: add --auth NAME:PASSWORD"),
    (["--auth", "anna"], "--auth is not NAME:PASSWORD"), (["--auth", ":a long password"], "--auth is not NAME:PASSWORD"),
    (["--auth", ""], "--auth is not NAME:PASSWORD"), (["--auth", "anna:"], "the password of --auth has 0 characters: give it 8 or more"),
    (["--auth", "anna:short"], "has 5 characters"), (["--public", "--password", ""], "the password of --password has 0 characters"),
    (["--password", "a long password"], "add --public"),
])
def test_a_bad_address_is_told_in_one_line(capsys, flags, told):
    with pytest.raises(SystemExit) as caught:
        main(flags)
    err = capsys.readouterr().err
    assert caught.value.code == 2
    assert told in err
    assert err.count("\n") == 1


def test_a_port_in_use_is_told(capsys):
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(SystemExit):
        main(["--port", str(taken.getsockname()[1])])
    assert "Address already in use" in capsys.readouterr().err


@pytest.mark.parametrize(("host", "here"), [("127.0.0.1", True), ("127.3.4.5", True), ("::1", True), ("localhost", True),
                                            ("0.0.0.0", False), ("192.168.1.5", False), ("::", False),
                                            ("example.org", False), ("127.0.0.1.example.org", False)])
def test_only_addresses_of_this_machine_need_no_protection(host, here):
    assert is_loopback(host) is here
