"""The page as any program may reach it, and requests that are right."""

import http.client
import json
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import quote, urlparse

from gpt.config import CONFIG
from gpt.model.sampling import SAMPLING_FIELDS
from gpt.ui.tabs.generate import SAMPLES

API = "/gradio_api"
TEXT = "\n".join(f"{n} green bottles hanging on the wall" for n in range(60))
SMALL = {"tokenizer": "char", "n_layers": 1, "n_heads": 2, "emb_dim": 16, "context_length": 8, "batch": 4, "max_steps": 12, "warmup": 2,
         "eval_every": 6, "snapshots": 2, "precision": "float32", "device": "cpu"}
PATIENCE = 60  # seconds for one answer: a page that takes longer hangs


class Page:
    """A connection to the page, its endpoints and the functions of its components."""

    def __init__(self, url: str):
        self.address = urlparse(url).netloc
        self._connection = http.client.HTTPConnection(self.address, timeout=PATIENCE)
        self.slowest = 0.0
        self.asked = ""  # what was asked last, in short
        config = json.loads(self.ask("GET", "/config")[1])
        self._calls = 0
        self.components = {one["id"]: one for one in config["components"]}
        self.endpoints = [one for one in config["dependencies"] if one["backend_fn"]]
        self.functions = [(one["id"], name) for one in config["components"] for name in one["props"].get("server_fns") or []]

    def ask(self, method: str, path: str, body: bytes | None = None, kind: str = "application/json",
            chunked: bool = False) -> tuple[int, str]:
        """(status, body). Raises OSError or http.client.HTTPException if there is no answer."""
        began, self.asked = time.monotonic(), f"{method} {path[:100]} {(body or b'')[:300]!r}"
        try:
            sent = iter([body]) if chunked else body
            self._connection.request(method, quote(path, safe="/=?&%:", errors="surrogatepass"), sent, {"content-type": kind},
                                     encode_chunked=chunked)
            answer, pieces = self._connection.getresponse(), []
            while piece := answer.read1():
                pieces.append(piece)
                if time.monotonic() - began > PATIENCE:  # a stream of events sends signs of life, and need not end
                    raise TimeoutError(f"the answer of {path[:60]} does not end")
            answer.read()  # nothing more comes: the connection is free again
            return answer.status, b"".join(pieces).decode(errors="replace")
        except (OSError, http.client.HTTPException):
            self._connection.close()
            raise
        finally:
            self.slowest = max(self.slowest, time.monotonic() - began)

    def elem_id(self, component: int) -> str:
        return self.components[component]["props"].get("elem_id") or ""

    def on(self, elem_id: str, event: str = "click") -> dict[str, Any]:
        """The endpoint that an event of a component calls."""
        triggers = [(one, self.elem_id(target), name) for one in self.endpoints for target, name in one["targets"] if target]
        return next(one for one, target, name in triggers if (target, name) == (elem_id, event))

    def call(self, endpoint: dict[str, Any], values: list[Any], queued: bool = False) -> tuple[int, str]:
        """Call an endpoint at once, or through the queue as the page does, where a failed event answers with status 500 here too."""
        self._calls += 1  # each has a session of its own: one that a bad input has confused hears nothing more
        body = {"fn_index": endpoint["id"], "data": values, "session_hash": f"bad{self._calls}", "event_data": None}
        if not queued:
            return self.ask("POST", f"{API}/run/predict", json.dumps(body).encode())
        status, text = self.ask("POST", f"{API}/queue/join", json.dumps(body).encode())
        if status != 200:
            return status, text
        status, events = self.ask("GET", f"{API}/queue/data?session_hash={body['session_hash']}")
        last = next(event for line in reversed(events.splitlines()) if line.startswith("data: ")
                    and (event := json.loads(line[6:]))["msg"] in ("process_completed", "unexpected_error"))
        return (200 if last.get("success") else 500), json.dumps(last.get("output") or last)

    def function(self, name: str, data: Any) -> tuple[int, str]:
        component = next(component for component, given in self.functions if given == name)
        body = {"data": data, "component_id": component, "fn_name": name, "session_hash": "bad"}
        return self.ask("POST", f"{API}/component_server", json.dumps(body).encode())


class Good:
    """Requests that are right, to begin from and to try now and then. Each of `tries` answers whether the page did what it should."""

    def __init__(self, page: Page):
        self.page = page
        source = data_of(page.call(page.on("keep"), [TEXT, ""]))[0]["value"]
        self.config = {**CONFIG, **SMALL, "corpus": source}
        self.sampling = [{"max_new_tokens": 4}.get(field.name, field.default) for field in (*SAMPLING_FIELDS, SAMPLES)]
        self.writing = ["good", 99, "7 green", *self.sampling, False, None, 0]  # beside no other
        self.train("good")
        self.tries: list[Callable[[], bool]] = [self.price, self.write, self.look, self.poll, self.table]

    def form(self, name: str) -> list[Any]:
        return ["quick", name, *self.config.values(), 1, ""]

    def train(self, name: str) -> bool:
        """Train a tiny run, and wait until it is done."""
        started = self.page.call(self.page.on("train"), self.form(name))
        deadline = time.monotonic() + 2 * PATIENCE
        while started[0] == 200 and time.monotonic() < deadline:
            seen = json.loads(self.page.function("poll", {"page": "good", "run": None, "cursor": 0})[1])
            if seen.get("run") == name and seen["state"] == "done":
                return True
            time.sleep(0.2)
        raise RuntimeError(f"a good run does not train: {started[1][:500]}")

    def delete(self, name: str) -> bool:
        return self.page.call(self.page.on("confirm-delete"), [name, ""])[0] == 200

    def price(self) -> bool:
        return bool(data_of(self.page.call(self.page.on("run-name", "change"), [1, *self.form("")]))[0].get("numbers"))

    def write(self) -> bool:
        status, text = self.page.call(self.page.on("generate"), self.writing, queued=True)
        return status == 200 and '"done": true' in text

    def look(self) -> bool:
        seen = data_of(self.page.call(self.page.on("inspect"), ["good", 99, "7 green"]))[0]
        head = json.loads(self.page.function("head", {"key": seen["key"], "layer": 0, "head": 0, "view": "weights", "scale": "linear"})[1])
        return "mosaic" in seen and "figure" in head

    def poll(self) -> bool:
        return json.loads(self.page.function("poll", {"page": "good", "run": None, "cursor": 0})[1])["run"] == "good"

    def table(self) -> bool:
        return "delete good for ever" in self.page.call(self.page.on("delete"), ["good"])[1]


def data_of(answer: tuple[int, str]) -> list[Any]:
    """What an endpoint answered. Raises RuntimeError if it refused."""
    if answer[0] != 200:
        raise RuntimeError(f"a good request was refused: {answer}")
    return json.loads(answer[1])["data"]
