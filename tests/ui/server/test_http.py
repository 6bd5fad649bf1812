"""The page over HTTP, as other programs reach it: what it answers, what it refuses, and what it never hands out."""

import ipaddress
import json
import re
import socket
from shutil import copytree

import httpx
import pytest

import demo
from gpt.ui.server.jobs import Jobs
from gpt.ui.tabs.attention import ANSWERS, ANSWERS_WITH_OTHER_WEIGHTS
from tests.ui.conftest import unpacked

BEST = 99  # a place at the right end of the slider
PROMPT = "7 green"


def is_here(host: str | None) -> bool:
    return host in (None, "", "localhost") or ipaddress.ip_address(host).is_loopback


@pytest.fixture(scope="module")
def jobs(root, tmp_path_factory) -> Jobs:
    return Jobs(copytree(root, tmp_path_factory.mktemp("served") / "checkpoints"))


@pytest.fixture(scope="module")
def url(jobs):
    """The address of a page over two finished runs. No connection that leaves this machine is made while it is served."""
    left = []

    def only_here(real, host_of):
        def call(*arguments, **options):
            if not is_here(host := host_of(arguments)):
                left.append(host)
                raise OSError(f"{host} is not this machine")
            return real(*arguments, **options)

        return call

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", only_here(socket.socket.connect, lambda arguments: arguments[1][0]))
        patch.setattr(socket, "getaddrinfo", only_here(socket.getaddrinfo, lambda arguments: arguments[0]))
        page = demo.launch(jobs, "127.0.0.1", None)
        yield page.local_url.rstrip("/")
        page.close()
    assert left == []


@pytest.fixture(scope="module")
def http(url):
    with httpx.Client(base_url=url) as http:
        yield http


@pytest.fixture(scope="module")
def config(http) -> dict:
    return http.get("/config").json()


def test_the_page_asks_for_a_prompt_and_for_a_head(http, config):
    """What its buttons and scripts do, by the number of the endpoint."""
    ids = {one["props"].get("elem_id"): one["id"] for one in config["components"]}
    button, explorer = ids["inspect"], ids["explorer"]
    endpoint = next(one for one in config["dependencies"] if [button, "click"] in one["targets"])
    shown, = http.post("/gradio_api/run/predict", json={"fn_index": endpoint["id"], "data": ["bottles", BEST, PROMPT]}).json()["data"]
    assert shown["mosaic"]["layout"]["meta"]["heads"] == 2
    answer = ask(http, explorer, "head", {"key": shown["key"], "layer": 1, "head": 1, "scale": "linear", "view": "weights"})
    weights = unpacked(answer.json()["figure"]["layout"]["meta"]["weights"])
    assert weights.shape == (28,)  # what a causal head has of 7 x 7
    assert weights[0] == 1


def ask(http: httpx.Client, component: int, function: str, data) -> httpx.Response:
    """What the page's JavaScript does when it calls a server function."""
    body = json.dumps({"data": data, "component_id": component, "fn_name": function, "session_hash": "test"})
    return http.post("/gradio_api/component_server", content=body, headers={"content-type": "application/json"})


GOOD = json.dumps(["bottles", BEST, PROMPT])
GARBAGE = [
    None, True, 5, -1, 1.5, "", "x", "\0", [], [[]], [1, 2, 3, 4], {},
    *({"run": run, "cursor": 0} for run in ({}, [], None, 5, "", "../../etc/passwd", "\0", "\ud800")),
    *({"page": page} for page in ({}, [], None, 5, "", "x" * 10_000, "\ud800", float("nan"))),
    *({"run": "bytes", "cursor": cursor} for cursor in ({}, [], None, "x", True, -1, 7, 10**18, 2**62, float("inf"), float("nan"))),
    *({"key": key, "layer": 0, "head": 0, "scale": "linear"} for key in (
        None, {}, "[", "[" * 100_000, '["/etc/passwd", 1, "a"]', '["bottles", 1e999, "7"]', '["bytes", 1, 5]', '["bytes", 1, null]',
        '["bytes", 1, {}]', '["bytes", 1, "\ud800"]')),
    *({"key": GOOD, "layer": layer, "head": 0, "scale": "linear"} for layer in (float("inf"), float("nan"), 2**62, "a", None, -1, {})),
    *({"key": GOOD, "layer": 0, "head": 0, "scale": scale} for scale in ("pink", None, {}, [])),
    *({"key": GOOD, "with": "weights", "run": "bytes", "step": step} for step in ("0", -1, {}, 2**62, True, 7)),
    *({"key": GOOD, "with": "without", "heads": heads} for heads in (None, [], [[0]], [[0, 2**62]], ["ab"], {}, [[0, 0]] * 99)),
]


def test_garbage_for_server_functions_gets_a_plain_answer(http, config):
    functions = [(one["id"], name) for one in config["components"] for name in one["props"].get("server_fns") or []]
    assert {name for _, name in functions} >= {"poll", *ANSWERS, *ANSWERS_WITH_OTHER_WEIGHTS}
    for component, name in functions:
        for data in GARBAGE:
            answer = ask(http, component, name, data)
            half_a_character = "ud800" in json.dumps(data)
            assert answer.status_code == (422 if half_a_character else 200), (name, repr(data)[:80])
            assert isinstance(answer.json(), dict)
            assert "Traceback" not in answer.text


@pytest.mark.parametrize("body", [
    b"", b"{", b"null", b"[]", b"{}", b"\xff", b'{"data": 1}', b'{"data": 1, "component_id": 1, "fn_name": "poll"}',
    b'{"data": 1, "component_id": "x", "fn_name": "poll", "session_hash": "a"}',
    b'{"data": 1, "component_id": 99999, "fn_name": "poll", "session_hash": "a"}'])
def test_a_malformed_request_is_refused_without_a_traceback_and_the_page_lives_on(url, body):
    answer = httpx.post(f"{url}/gradio_api/component_server", content=body, headers={"content-type": "application/json"})
    assert answer.status_code >= 400
    assert "Traceback" not in answer.text
    assert 'File "' not in answer.text
    assert httpx.get(f"{url}/config").status_code == 200


@pytest.mark.parametrize("name", ["__class__", "__init__", "preprocess", "postprocess", "get_config", "head_", ""])
def test_only_server_functions_can_be_called(http, config, name):
    for component in config["components"]:
        if component["props"].get("server_fns"):
            assert ask(http, component["id"], name, {}).status_code == 404


def test_files_that_are_not_the_pages_own_are_refused(http, jobs):
    run = jobs.root / "bottles"
    secrets = ["/etc/passwd", run / "config.json", run / "best.safetensors", run / "metrics.jsonl", jobs.root, demo.__file__, "demo.py",
               "../../etc/passwd", "%2e%2e/%2e%2e/etc/passwd", "/etc//passwd", "/proc/self/environ", f"{jobs.root}/../../../etc/passwd",
               "gpt/ui/tabs/train.py"]
    for path in secrets:
        answer = http.get(f"/gradio_api/file={path}")
        assert answer.status_code in (403, 404), path
        assert "root:" not in answer.text


def test_the_scripts_of_the_page_come_from_this_machine(http, config):
    scripts = re.findall(r'<script defer src="(.*?)"></script>', config["head"])
    assert len(scripts) == config["head"].count("<script") >= 7
    for source in scripts:
        assert source.startswith("gradio_api/file=")
        answer = http.get(f"/{source}")
        assert answer.status_code == 200
        assert "javascript" in answer.headers["content-type"]


def test_nobody_is_told_about_the_person(config):
    assert config["analytics_enabled"] is False
    assert config["space_id"] is None
    assert config["root"].startswith("http://127.0.0.1:")
