"""Proxies that the environment names, made such that Gradio can live with them.

Gradio makes an HTTP client while it is imported, and asks for its own page when it has begun to serve it. The client cannot be made where
`http_proxy` or `no_proxy` holds something that httpx does not understand, and no proxy can reach this machine's own address.
"""

import contextlib
import os
import sys
from collections.abc import Iterable
from urllib.request import getproxies

import httpx

LOOPBACK = ("localhost", "127.0.0.1", "::1")


def prepare_proxies(own: Iterable[str] = LOOPBACK) -> None:
    """Let the hosts `own` be asked without a proxy, and leave out what httpx does not understand: of proxies with a line about it."""
    given = getproxies()
    no_proxy_hosts = given.pop("no", "").split(",")
    if not given.keys() & {"http", "https", "all"}:
        return
    understood = [host for host in map(str.strip, no_proxy_hosts) if host and is_understood(no_proxy=host)]
    _set("no", ",".join(dict.fromkeys([*understood, *own])))
    for scheme in given.keys() & {"http", "https", "all"}:
        address = given[scheme].strip()
        if address.startswith("socks://"):  # as GNOME's settings say it
            address = address.replace("socks://", "socks5://", 1)
        if is_understood(all_proxy=address):
            _set(scheme, address)
        else:
            kind = f"{address.partition('://')[0]}://" if "://" in address else "no scheme"  # no more of it: it may hold a password
            print(f"{scheme}_proxy names a proxy that is not understood ({kind[:20]}): the page does without it", file=sys.stderr)
            _set(scheme, None)


def is_understood(**variables: str) -> bool:
    """Whether httpx can make a client where these are the only variables that say something of proxies."""
    before = dict(os.environ)
    try:
        for name in before:
            if name.lower().endswith("_proxy"):
                del os.environ[name]
        os.environ.update({"all_proxy": "http://127.0.0.1", **variables})
        httpx.Client(verify=False).close()
    except (ValueError, httpx.InvalidURL):
        return False
    finally:
        os.environ.clear()
        os.environ.update(before)
    return True


def _set(scheme: str, value: str | None) -> None:
    """Set a variable under both its names, of which some programs read one and some the other; None: take it away."""
    for name in (f"{scheme}_proxy", f"{scheme.upper()}_PROXY"):
        with contextlib.suppress(KeyError):
            del os.environ[name]
        if value is not None:
            os.environ[name] = value
