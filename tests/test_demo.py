"""`python demo.py`: what it answers to an address that cannot be served. The page itself is tested in tests/browser."""

import socket

import pytest

from demo import main


@pytest.mark.parametrize(("flags", "told"), [
    (["--port", "0"], "--port is 0: choose one from 1 to 65535"), (["--port", "99999999"], "--port is 99999999"),
    (["--host", "256.1.1.1"], "the page cannot be served at 256.1.1.1"), (["--prot", "1"], "did you mean --port?"),
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
