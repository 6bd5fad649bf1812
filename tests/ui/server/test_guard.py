"""In front of the server: sizes, shapes, addresses; and what goes back when something fails all the same."""

import json
import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import gradio as gr
import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.datastructures import Headers

import demo
from gpt.ui.server import guard, texts
from gpt.ui.server.guard import API, AROUND_UPLOAD, DEEPEST, LARGEST_REQUEST, SERVER_FAULT, in_a_sentence, parsed, parts, without_exceptions
from gpt.ui.server.jobs import Jobs
from tests.says import says

UPLOAD = 21_000_000  # bytes of the largest upload


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> gr.Blocks:
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(texts, "LARGEST", UPLOAD)
        page = demo.launch(Jobs(tmp_path_factory.mktemp("guarded")), "127.0.0.1", None)
    yield page
    page.close()


@pytest.fixture(scope="module")
def http(page):
    with httpx.Client(base_url=page.local_url) as http:
        yield http


def sentence(answer: httpx.Response) -> str:
    told = answer.json()
    assert told["error"] == told["detail"]
    return told["error"]


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize(("path", "kind", "size"), [
    ("/run/predict", "application/json", LARGEST_REQUEST + 1), ("/component_server", "application/json", 10_000_000),
    ("/queue/join", "application/json", 10_000_000), ("/upload", "multipart/form-data; boundary=b", UPLOAD + AROUND_UPLOAD + 1)])
def test_what_is_too_large_is_refused_however_it_is_sent(http, path, kind, size, chunked):
    body = b"x" * size
    answer = http.post(API + path, content=iter([body]) if chunked else body, headers={"content-type": kind})
    assert answer.status_code == 413
    assert re.search(r"more than [\d.]+ MB", sentence(answer))


@pytest.mark.parametrize(("path", "body", "told"), [
    ("/api/start", {"data": ["quick"]}, "1 values | takes"),
    ("/run/predict", {"data": [], "fn_index": 10**6}, "no such endpoint"),
    ("/run/predict", {"data": [], "fn_index": "0"}, "no such endpoint"),
    ("/run/predict", {"data": [], "fn_index": True}, "no such endpoint"), ("/run/none", {"data": []}, "no such endpoint"),
    ("/call/none", {"data": []}, "no such endpoint"), ("/call/v2/none", {}, "no such endpoint"),
    ("/queue/join", {"data": []}, "no such endpoint"),
    ("/run/start", {"data": [], "fn_index": 0}, "no such endpoint"), ("/run/start", {"data": "x"}, "send a list of"),
    ("/api/stop", {"data": [{"path": "/etc/passwd", "meta": {"_type": "gradio.FileData"}}]}, "takes no files"),
    ("/api/stop", {"data": [""], "session_hash": ["x"]}, "session_hash"),
    ("/component_server", {"data": 1, "component_id": 10**9, "fn_name": "poll", "session_hash": "x"}, "no such function"),
    ("/cancel", [], "no JSON object"), ("/vibe-edit", {"prompt": "x"}, "posted | address"),
    ("/process_recording", {}, "posted | address"),
])
def test_what_has_the_wrong_shape_is_refused_with_a_sentence(http, path, body, told):
    answer = http.post(API + path, json=body)
    assert 400 <= answer.status_code < 500
    assert re.search(says(told), sentence(answer))


@pytest.mark.parametrize("path", ["/file=/etc/passwd", "/file=http://example.org/x", "/file=../../etc/passwd", "/proxy=http://example.org/",
                                  "/deep_link?session_hash=x", "/dev/reload", "/custom_component/x/client/y/z"])
def test_addresses_that_the_page_does_not_use_are_closed(http, path):
    assert http.get(API + path).status_code in (403, 404)


def test_another_site_cannot_post_in_a_visitors_name(http):
    answer = http.post(f"{API}/api/stop", json={"data": [""]}, headers={"sec-fetch-site": "cross-site"})
    assert answer.status_code == 403
    assert http.post(f"{API}/api/stop", json={"data": [""]}, headers={"sec-fetch-site": "same-origin"}).status_code == 422
    assert "nothing is training" in http.post(f"{API}/api/stop", json={"data": [""]}).json()["error"]


@pytest.mark.parametrize("headers", [
    {"host": "evil.example"}, {"host": "evil.example", "origin": "http://evil.example"}, {"host": ""},
    {"host": "127.0.0.1.evil.example:7860"},
])
def test_a_page_of_ones_own_has_no_other_name(http, headers):
    for answer in (http.get("/", headers=headers), http.post(f"{API}/api/stop", json={"data": [""]}, headers=headers)):
        assert answer.status_code == 403
        assert re.search(says("localhost", "--auth", "--public"), sentence(answer))


@pytest.mark.parametrize("origin", ["http://localhost:3000", "http://evil.example", "null", ""])
def test_a_page_of_another_origin_cannot_post(http, origin):
    answer = http.post(f"{API}/api/stop", json={"data": [""]}, headers={"origin": origin})
    assert answer.status_code == 403
    assert "another site" in sentence(answer)


@pytest.mark.parametrize("headers", [
    {}, {"origin": "https://page.example", "x-forwarded-host": "page.example"},
    {"origin": "http://lab.example:8080", "x-forwarded-host": "lab.example, lab.example"},
    {"origin": "http://Lab.example", "x-forwarded-host": "inner, lab.example:80"},
    {"origin": "http://[2001:db8::1]:8080", "x-forwarded-host": "[2001:db8::1]"},
])
def test_the_page_itself_may_post_also_from_behind_a_proxy(http, page, headers):
    answer = http.post(f"{API}/call/stop", json={"data": [""]}, headers={"origin": page.local_url.rstrip("/"), **headers})
    assert answer.status_code == 200


@pytest.mark.parametrize(("host", "origin", "here"), [
    ("lab.example", "http://lab.example:8080", True), ("lab.example", "https://lab.example", True),
    ("lab.example:80", "http://lab.example", True), ("lab.example:7860", "http://lab.example:8080", False),
    ("lab.example", "http://lab.example.evil.example", False), ("lab.example, evil.example", "http://lab.example", True),
    ("[::1]:7860", "http://[::1]:7860", True), ("[::1", "http://[::1", False), ("lab.example:x", "http://lab.example:x", False),
    ("", "null", False), ("", "", False), ("", "file://", False)])
def test_hosts_are_compared_and_ports_where_the_browser_s_own_is_known(host, origin, here):
    assert guard.comes_from_here(Headers({"host": host, "origin": origin})) is here


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_a_page_at_another_port_of_this_machine_cannot_forge_the_header_of_a_proxy(http, site):
    forged = {"origin": "http://localhost:8080", "x-forwarded-host": "localhost:8080", "sec-fetch-site": site}
    assert http.post(f"{API}/api/stop", json={"data": [""]}, headers=forged).status_code == 403
    assert http.get("/config", headers=forged).status_code == 403


def test_a_link_on_another_site_leads_to_the_page(http):
    assert http.get("/", headers={"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}).status_code == 200
    posted = http.post(f"{API}/api/stop", json={"data": [""]}, headers={"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"})
    assert posted.status_code == 403


def test_another_site_reads_nothing_of_a_page_of_one_s_own(http, page):
    assert http.get("/config", headers={"origin": "http://evil.example"}).status_code == 403
    assert http.get("/config", headers={"origin": page.local_url.rstrip("/")}).status_code == 200


def test_a_refusal_names_the_header_that_a_proxy_must_set(http):
    answer = http.post(f"{API}/api/stop", json={"data": [""]}, headers={"origin": "http://lab.example"})
    assert re.search(says("Host", "X-Forwarded-Host"), sentence(answer))


def test_calls_that_pass_the_queue_by_are_few_at_once(http, page, monkeypatch):
    now, most, lock = [0], [0], threading.Lock()

    def slow(*_):
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        time.sleep(0.05)
        with lock:
            now[0] -= 1

    attention = next(fn for fn in page.fns.values() if fn.api_name == "attention")
    monkeypatch.setattr(attention, "fn", slow)
    with ThreadPoolExecutor(12) as pool:
        body = {"data": ["", "", None, None, None]}
        answers = [*pool.map(lambda _: http.post(f"{API}/run/attention", json=body, timeout=60).status_code, range(12))]
    assert set(answers) == {200}
    assert 1 <= most[0] <= guard.MOST_DIRECT


def test_a_fault_of_ours_is_one_sentence_and_its_words_stay_in_the_log(http, page, monkeypatch, capsys):
    def fail(*_):
        raise RuntimeError("secret words")

    endpoint = next(fn for fn in page.fns.values() if fn.api_name == "stop")
    monkeypatch.setattr(endpoint, "fn", fail)
    answer = http.post(f"{API}/api/stop", json={"data": [""]})
    assert sentence(answer) == SERVER_FAULT
    joined = http.post(f"{API}/queue/join", json={"data": [""], "fn_index": endpoint._id, "session_hash": "faulty"})
    assert joined.status_code == 200
    events = http.get(f"{API}/queue/data", params={"session_hash": "faulty"}).text
    assert SERVER_FAULT in events
    assert "secret" not in answer.text + events
    assert "secret words" in capsys.readouterr().err


def test_a_session_that_nobody_knows_is_told_so(http):
    assert "the page does not know this session" in http.get(f"{API}/queue/data", params={"session_hash": "nobody"}).text


def test_with_a_login_nothing_else_can_be_had(tmp_path):
    page = demo.launch(Jobs(tmp_path), "127.0.0.1", None, auth=("anna", "correct horse"))
    try:
        with httpx.Client(base_url=page.local_url) as http:
            script = demo.script_tags().split('src="')[1].split('"')[0]
            for path in ("/config", f"{API}/info", f"/{script}", f"{API}/queue/data?session_hash=x"):
                assert http.get(path).status_code == 401, path
            for path in ("/api/stop", "/upload", "/component_server", "/queue/join", "/cancel", "/reset"):
                assert http.post(API + path, json={"data": [""]}).status_code == 401, path
            assert "stories" not in http.get("/").text
            assert http.post("/login", data={"username": "anna", "password": "wrong horse"}).status_code == 400
            assert http.post("/login", data={"username": "anna", "password": "correct horse"}).status_code == 200
            assert http.get("/config").status_code == 200
            assert http.get(f"/{script}").status_code == 200
            assert "nothing is training" in http.post(f"{API}/api/stop", json={"data": [""]}).json()["error"]
    finally:
        page.close()


@pytest.mark.parametrize(("status", "body", "told"), [
    (503, b'{"detail": "Queue is full. Max size is 32 and size is 32."}', "too many people ask at once: try again in a moment"),
    (500, b'{"error": "emb_dim is 5"}', "emb_dim is 5"), (500, b'{"error": null}', SERVER_FAULT),
    (500, b"Internal Server Error", SERVER_FAULT),
    (500, b'{"detail": "KeyError: 5"}', SERVER_FAULT), (404, b'{"detail": "Not Found"}', "Not Found"),
    (422, b'{"detail": [{"msg": "x"}]}', "reload the page"),
    (400, b"<html>", "reload the page"), (400, b"\xff", "reload the page"), (400, b"[" * 100, "reload the page")])
def test_an_error_goes_out_as_a_sentence(status, body, told):
    assert told in in_a_sentence(status, body)["error"]


@given(st.binary(max_size=50))
def test_no_body_of_an_error_is_without_a_sentence(body):
    told = in_a_sentence(500, body)
    assert isinstance(told["error"], str)


def test_events_that_are_no_failures_stay_as_they_are():
    for event in (b'data: {"msg":"heartbeat"}\n\n', b'data: {"msg":"process_completed","output":{"data":["\\"error\\":null"]}}\n\n', b""):
        assert without_exceptions(event) == event
    failed = b'data: {"msg":"process_completed","output":{"error":null},"success":false}\n\n'
    told = json.loads(without_exceptions(failed)[6:])["output"]
    assert told["error"] == SERVER_FAULT
    assert told["visible"] is True  # else Gradio's page says nothing
    assert told["duration"] > 0


@pytest.mark.parametrize("number", [2**63, -(2**63) - 1, 10**400])
def test_a_whole_number_that_no_answer_could_repeat_is_refused(number):
    with pytest.raises(guard.Refused, match=says(str(number)[:20], "64 bits")):
        parsed(json.dumps([{"a": number}]).encode())
    assert parsed(json.dumps([2**63 - 1, -(2**63), 1e300]).encode()) == [2**63 - 1, -(2**63), 1e300]


@pytest.mark.parametrize("depth", [DEEPEST + 2, 400])
def test_what_is_nested_deeper_than_any_request_of_the_page_is_refused(depth):
    with pytest.raises(guard.Refused, match=says("nested")):
        parsed(b"[" * depth + b"]" * depth)
    assert parsed(b"[" * DEEPEST + b"]" * DEEPEST)


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[" * 100_000, b'{"a": ' * 100_000])
def test_what_is_no_json_is_refused(body):
    with pytest.raises(guard.Refused):
        parsed(body)


@pytest.mark.parametrize("body", [b'["\\ud800"]', b'{"\\udfff": 1}', b'[[{"a": "x\\uDC00y"}]]'])
def test_half_a_character_is_refused(body):
    with pytest.raises(guard.Refused, match="holds half a character"):
        parsed(body)
    assert parsed(b'["\\ud83d\\ude00", "\\u00e4"]') == ["\U0001f600", "\u00e4"]


def test_all_parts_of_a_value_are_seen_however_deep():
    deep = value = []
    for _ in range(100_000):
        value.append([])
        value = value[0]
    assert sum(1 for _ in parts(deep)) == 100_001
    assert 7 in list(parts({"a": [{"b": 7}]}))
