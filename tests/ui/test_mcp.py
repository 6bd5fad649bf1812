"""The page's endpoints as tools of an agent, over the Model Context Protocol."""

import asyncio
import importlib.util
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from shutil import copytree
from typing import Any

import httpx
import pytest
from mcp import ClientSession
from mcp.client.streamable_http import streamable_http_client

import demo
from gpt.ui.server import options
from gpt.ui.server.jobs import Jobs
from tests.conftest import TEXT
from tests.sessions import until
from tests.ui.test_endpoints import ENDPOINTS, SMALL


@pytest.fixture(scope="module")
def jobs(root, tmp_path_factory):
    jobs = Jobs(copytree(root, tmp_path_factory.mktemp("mcp") / "checkpoints"))
    yield jobs
    jobs.close()


@pytest.fixture(scope="module")
def url(jobs) -> str:
    page = demo.launch(jobs, "127.0.0.1", None, mcp_server=True)
    yield page.local_url.rstrip("/")
    page.close()


@pytest.fixture
def agent(url) -> Callable:
    """Calls methods of a session: agent("call_tool", "runs", {})."""
    def ask(method: str, *arguments: Any) -> Any:
        async def session():
            there = streamable_http_client(f"{url}/gradio_api/mcp/")
            async with there as (reading, writing, _), ClientSession(reading, writing) as session:
                await session.initialize()
                return await getattr(session, method)(*arguments)
        with ThreadPoolExecutor(1) as thread:  # in this one, browsers of other tests may have an event loop
            return thread.submit(asyncio.run, session()).result()
    return ask


def words(result) -> str:
    """What a tool has answered. Fails if it has refused."""
    assert not result.isError, result.content
    return result.content[0].text


def test_the_tools_are_the_endpoints_each_described_for_a_stranger(agent):
    tools = agent("list_tools").tools
    assert {f"/{tool.name}" for tool in tools} == ENDPOINTS
    for tool in tools:
        assert len(tool.description) > 60
        for name, parameter in tool.inputSchema.get("properties", {}).items():
            assert len(parameter.get("description", "")) > 15, (tool.name, name)


def test_a_model_writes_and_is_taken_apart(agent):
    assert "'bottles'" in words(agent("call_tool", "runs", {}))
    assert words(agent("call_tool", "generate", {"run": "bottles", "prompt": "7 green", "max_new_tokens": 4})).startswith("7 green")
    assert "Layer 1 head 1" in words(agent("call_tool", "attention", {"run": "bottles", "prompt": "7 green"}))
    assert "'previous token'" in words(agent("call_tool", "scores", {"run": "bottles"}))
    assert "Without layer 0 head 1" in words(agent("call_tool", "ablate", {"run": "bottles", "heads": [[0, 1]]}))


def test_an_agent_trains_a_model_and_the_tools_work_meanwhile(agent):
    settings = {**SMALL, "max_steps": 0, "max_minutes": 10.0}
    assert "mine" in words(agent("call_tool", "start", {"text": TEXT, "settings": settings, "run": "mine"}))
    until(lambda: "'running'" in words(agent("call_tool", "status", {})))
    refused = agent("call_tool", "start", {"text": TEXT, "settings": settings})
    assert refused.isError
    assert "run mine is training: wait for it, or stop it first" in refused.content[0].text
    assert words(agent("call_tool", "generate", {"run": "bottles", "prompt": "7", "max_new_tokens": 2})).startswith("7")
    assert "mine" in words(agent("call_tool", "stop", {}))
    until(lambda: "'stopped'" in words(agent("call_tool", "status", {"run": "mine"})))


@pytest.mark.parametrize(("tool", "arguments", "told"), [
    ("scores", {"run": "cups"}, "no run cups"), ("scores", {}, "'run' is a required property"),
    ("scores", {"run": 5}, "5 is not of type 'string'"), ("stop", {}, "nothing is training"),
    ("start", {"settings": {"n_layers": 0}}, "n_layers is 0: set it to a whole number from 1 to 48"),
    ("start", {"corpus": "/etc/passwd"}, "that text is not on this page"),
    ("generate", {"run": "../x", "prompt": "7"}, "cannot name a run"),
    ("generate", {"run": "bottles", "prompt": "7" * 1_000_000}, "1,000,000 characters"),
    ("generate", {"run": "bottles", "prompt": "7", "max_new_tokens": 10**12}, "1 to 2000"),
    ("fly", {}, "Unknown tool")])
def test_a_mistake_is_one_sentence(agent, tool, arguments, told):
    result = agent("call_tool", tool, arguments)
    assert result.isError
    assert told in result.content[0].text
    assert "Traceback" not in result.content[0].text
    assert 'File "' not in result.content[0].text


def test_other_sites_cannot_call_the_tools(url):
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "stop", "arguments": {}}}
    kinds = {"accept": "application/json, text/event-stream"}
    for headers in ({"origin": "http://evil.example"}, {"sec-fetch-site": "cross-site"}, {"host": "evil.example"}):
        assert httpx.post(f"{url}/gradio_api/mcp/", json=body, headers=kinds | headers).status_code == 403
    assert httpx.post(f"{url}/gradio_api/mcp/", json=body, headers=kinds).status_code == 200
    assert httpx.post(f"{url}/gradio_api/mcp/", content=b"[" * 100_000, headers=kinds).status_code == 422
    assert httpx.post(f"{url}/gradio_api/mcp/", content=b"x" * 3_000_000, headers=kinds).status_code == 413


def test_without_the_option_there_are_no_tools(tmp_path, monkeypatch):
    monkeypatch.setenv("GRADIO_MCP_SERVER", "True")  # by which Gradio would offer them too
    page = demo.launch(Jobs(tmp_path), "127.0.0.1", None)
    try:
        assert httpx.post(f"{page.local_url}gradio_api/mcp/", json={}).status_code == 404
    finally:
        page.close()


@pytest.mark.parametrize("flags", [["--public"], ["--auth", "anna:a long password"], ["--host", "0.0.0.0", "--public"],
                                   ["--share", "--public"]])
def test_tools_are_for_a_page_of_this_machine_alone(flags, capsys):
    with pytest.raises(SystemExit) as caught:
        options.parse(["--mcp", *flags])
    assert caught.value.code == 2
    assert "leave out --auth, --public and --share" in capsys.readouterr().err


def test_a_missing_package_is_named(monkeypatch, capsys):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SystemExit):
        options.parse(["--mcp"])
    assert "pip install 'gradio[mcp]'" in capsys.readouterr().err
