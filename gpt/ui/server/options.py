"""The options of `python demo.py`, and what must hold of them before a page is served."""

import argparse
import importlib.util
import ipaddress
import os
import re
import socket
import sys

from gpt.cli import Parser
from gpt.runs.run import DEFAULT_ROOT
from gpt.ui.server.access import SHORTEST_SECRET

PORTS = range(7860, 7960)  # those that Gradio tries


def parse(argv: list[str] | None) -> tuple[argparse.Namespace, tuple[str, str] | None]:
    """The options, and the (name, password) of --auth or None. Ends with one sentence if the page cannot be served so, or would be open
    to more people than was meant."""
    parser = Parser(prog="python demo.py", description="Open the page.")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default %(default)s: this machine only)")
    parser.add_argument("--port", type=int, default=None, help="port to listen on (default: the first free one from 7860)")
    parser.add_argument("--open", action=argparse.BooleanOptionalAction, default=None,
                        help="open the page in a browser (default: when started from a terminal on a desktop)")
    parser.add_argument("--share", action="store_true",
                        help="serve it at a public address of Gradio's too, for a week; needs --auth or --public")
    parser.add_argument("--checkpoints", default=DEFAULT_ROOT, help="folder that holds the runs (default %(default)s)")
    parser.add_argument("--auth", metavar="NAME:PASSWORD", help="let nobody in who does not log in with these")
    parser.add_argument("--public", action="store_true", help="let anyone use the page, within caps; they cannot touch others' runs")
    parser.add_argument("--password", metavar="WORD", help="with --public: whoever enters it on the page may stop and delete any run")
    parser.add_argument("--limit-gb", type=float, default=20.0, metavar="N",
                        help="room that the runs may take, in GB; beyond it, old snapshots make way (default %(default)g: hundreds of "
                             "small runs, or three of 124 million parameters; 0: no limit)")
    parser.add_argument("--keep-training", action="store_true", help="when the page ends, its run trains on: the next page shows it")
    parser.add_argument("--root-path", default="", metavar="/PREFIX",
                        help="where a reverse proxy shows the page: /gpt for example.org/gpt/")
    parser.add_argument("--mcp", action="store_true", help="offer the page's endpoints as tools to agents of this machine (MCP)")
    options = parser.parse_args(argv)
    if not 0 <= options.limit_gb < 1e6:
        parser.error(f"--limit-gb is {options.limit_gb:g}: choose a number from 0, which is no limit, to 1,000,000")
    options.host = options.host.removeprefix("[").removesuffix("]")  # as a browser shows an IPv6 address
    options.port = _checked_port(parser, options.host, options.port)
    if not re.fullmatch(r"(/[A-Za-z0-9._~-]+)*", options.root_path):
        parser.error(f"--root-path is {options.root_path[:60]!r}: write it as /gpt, with a slash before each name and none at the end")
    auth = _check_access(parser, options)
    if options.mcp:
        _check_mcp(parser, options)
    if options.open is None:
        options.open = has_desktop()
    return options, auth


def _check_access(parser: Parser, options: argparse.Namespace) -> tuple[str, str] | None:
    """(name, password) that --auth asks for, or None."""
    name, colon, word = (options.auth or "").partition(":")
    if options.auth is not None and not (name.strip() and colon):
        parser.error("--auth is not NAME:PASSWORD: give both, with a colon between them")
    if options.password is not None and not options.public:
        parser.error("--password is for the pages that --public opens: leave it out, or add --public")
    for flag, secret in (("--auth", word if options.auth is not None else None), ("--password", options.password)):
        if secret is not None and len(secret) < SHORTEST_SECRET:
            parser.error(f"the password of {flag} has {len(secret)} characters: give it {SHORTEST_SECRET} or more, hard to guess")
    if not (options.auth or options.public or (is_loopback(options.host) and not options.share)):
        who = "anyone who gets the public address" if options.share else f"anyone who reaches {options.host}"
        parser.error(f"{who} could train on this machine and delete runs: add --auth NAME:PASSWORD, or --public to let everyone in within "
                     f"caps, or leave out {'--share' if options.share else '--host'}")
    return (name.strip(), word) if options.auth is not None else None


def _check_mcp(parser: Parser, options: argparse.Namespace) -> None:
    """End with one sentence if tools cannot be offered, or would be offered to others than this machine: they need no login."""
    if options.auth or options.public or options.share:
        parser.error("--mcp lets every program that reaches the page train and inspect, without a login: it is for a page of this machine "
                     "alone, leave out --auth, --public and --share")
    if importlib.util.find_spec("mcp") is None:
        parser.error("--mcp needs a package that is not installed: pip install 'gradio[mcp]'")


def _checked_port(parser: Parser, host: str, port: int | None) -> int | None:
    """The port to listen on, or None if Gradio may choose one, which it can for IPv4 alone. Ends with one sentence if nothing can be
    served at this address."""
    if port is not None and not 1 <= port <= 65535:
        parser.error(f"--port is {port}: choose one from 1 to 65535")
    try:
        _listen(host, port or 0)
    except OSError as error:
        parser.error(f"the page cannot be served at {host}{f':{port}' if port else ''} ({error.strerror}): choose another --host or --port")
    if port or ":" not in host:
        return port
    free = next((port for port in PORTS if _is_free(host, port) and _is_free("127.0.0.1", port)), None)  # Gradio asks for both
    return free or parser.error(f"no port from {PORTS[0]} to {PORTS[-1]} is free at {host}: choose one with --port")


def _listen(host: str, port: int) -> None:
    """Listen at an address for a moment. Raises OSError if that cannot be."""
    family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0][0]
    with socket.create_server((host, port), family=family):
        pass


def _is_free(host: str, port: int) -> bool:
    try:
        _listen(host, port)
    except OSError:
        return False
    return True


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches `host`."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def has_desktop() -> bool:
    """Whether somebody sits at a terminal of this machine's own desktop, so that a browser opened here is one that they see."""
    if not sys.stdout.isatty() or "SSH_CONNECTION" in os.environ:
        return False
    return sys.platform in ("win32", "darwin") or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
