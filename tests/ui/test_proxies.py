"""Proxies of the environment keep the page neither from starting nor from reaching itself."""

import os
from urllib.request import getproxies

import httpx
import pytest

from gpt.ui import proxies

NAMES = [name for scheme in ("http", "https", "all", "no", "ftp") for name in (f"{scheme}_proxy", f"{scheme.upper()}_PROXY")]


@pytest.fixture(autouse=True)
def own_environment(monkeypatch):
    """No proxies, and all as before in the end."""
    for name in NAMES:
        monkeypatch.setenv(name, "")
        del os.environ[name]


def proxied(url: str) -> bool:
    """Whether httpx, set up by the environment, would ask a proxy for `url`."""
    with httpx.Client(verify=False) as client:
        return client._transport_for_url(httpx.URL(url)) is not client._transport


@pytest.mark.parametrize("name", ["http_proxy", "HTTP_PROXY", "ALL_PROXY", "https_proxy"])
@pytest.mark.parametrize("address", ["http://127.0.0.1:9", "127.0.0.1:9", "socks5://127.0.0.1:9", "socks5h://127.0.0.1:9", "socks://127.0.0.1:9",
                                     " http://127.0.0.1:9 "])
def test_this_machine_is_asked_directly_and_others_through_the_proxy(monkeypatch, name, address):
    monkeypatch.setenv(name, address)
    proxies.prepare_proxies()
    for own in ("http://127.0.0.1:7860/", "http://localhost:7860/", "http://[::1]:7860/", "https://localhost/"):
        assert not proxied(own)
    assert proxied("https://example.org/" if name == "https_proxy" else "http://example.org/")


@pytest.mark.parametrize("exceptions", ["127.0.0.0/8", "fe80::/10", "[::1]", "::1/128", "é.fr", "a:b:c",
                                        "10.0.0.0/8, fe80::/10,,intern.example"])
def test_exceptions_of_all_forms_are_lived_with(monkeypatch, exceptions):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", exceptions)
    proxies.prepare_proxies()
    assert not proxied("http://127.0.0.1:7860/")
    assert proxied("http://example.org/")
    assert proxied("http://intern.example/") is ("intern" not in exceptions)


@pytest.mark.parametrize("address", ["socks4://anna:secret@x:9", "ftp://anna:secret@x", "direct://secret", "http://anna:secret@x:abc",
                                     "anna:secret@x:80a"])
def test_a_proxy_that_is_not_understood_is_left_out_with_a_line_that_holds_no_password(monkeypatch, capsys, address):
    monkeypatch.setenv("ALL_PROXY", address)
    proxies.prepare_proxies()
    assert not proxied("http://example.org/")
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "all_proxy" in err
    assert "secret" not in err


def test_where_there_are_none_nothing_changes(monkeypatch):
    monkeypatch.setenv("no_proxy", "fe80::/10")
    before = dict(os.environ)
    proxies.prepare_proxies()
    assert dict(os.environ) == before


def test_the_page_s_own_address_is_excepted_too(monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    proxies.prepare_proxies((*proxies.LOOPBACK, "192.168.7.7"))
    proxies.prepare_proxies((*proxies.LOOPBACK, "192.168.7.7"))
    assert not proxied("http://192.168.7.7:7860/")
    assert getproxies()["no"].split(",").count("192.168.7.7") == 1
