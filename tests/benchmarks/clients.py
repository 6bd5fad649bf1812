"""Open pages, without a browser: `python -m tests.benchmarks.clients URL COUNT` asks what the page's Train tab asks, until its
standard input ends, and then prints how it was answered as JSON."""

import http.client
import json
import statistics
import sys
import threading
import time
from typing import Any
from urllib.parse import urlparse

BEGINNING = 0.5  # seconds within which all pages are opened


class Page:
    """One open page: it asks for what is new since its last look, as monitor.js does."""

    def __init__(self, url: str, number: int):
        self.connection = http.client.HTTPConnection(urlparse(url).netloc, timeout=30)
        self.name, self.run, self.cursor = f"page{number}", None, 0
        self.wait = 0.0  # seconds until the next look, as the server asked for
        self.seconds: list[float] = []
        self.rows = 0
        self.faults: list[str] = []
        self.monitor = self._component("monitor")

    def _component(self, elem_id: str) -> int:
        config = self._ask("GET", "/config")
        return next(one["id"] for one in config["components"] if one["props"].get("elem_id") == elem_id)

    def _ask(self, method: str, path: str, body: dict | None = None) -> Any:
        """Raises OSError or http.client.HTTPException if there is no answer."""
        kept = self.connection.sock is not None
        try:
            answer = self._answer(method, path, body)
        except ConnectionError:  # the server hangs up on a connection that is silent for some seconds: a browser opens another, too
            if not kept:
                raise
            self.connection.close()
            answer = self._answer(method, path, body)
        data = answer.read()
        if answer.status != 200:
            raise http.client.HTTPException(f"{path} answers {answer.status}: {data[:200]!r}")
        return json.loads(data)

    def _answer(self, method: str, path: str, body: dict | None) -> http.client.HTTPResponse:
        self.connection.request(method, path, json.dumps(body) if body else None, {"content-type": "application/json"})
        return self.connection.getresponse()

    def look(self) -> None:
        begin = time.perf_counter()
        asked = {"data": {"page": self.name, "run": self.run, "cursor": self.cursor}, "component_id": self.monitor, "fn_name": "poll",
                 "session_hash": self.name}
        try:
            seen = self._ask("POST", "/gradio_api/component_server", asked)
            self.run, self.cursor, self.wait = seen["run"], seen["cursor"], seen["wait"]
            self.rows += len(seen["rows"])
        except (OSError, http.client.HTTPException, ValueError, LookupError) as error:
            self.faults.append(f"{type(error).__name__}: {error}")
            self.connection.close()  # the next look opens it again
        self.seconds.append(time.perf_counter() - begin)

    def keep_looking(self, ended: threading.Event) -> None:
        while not ended.wait(self.wait):
            self.look()


def main(url: str, count: int) -> None:
    pages, ended = [Page(url, number) for number in range(count)], threading.Event()
    threads = [threading.Thread(target=page.keep_looking, args=(ended,)) for page in pages]
    for thread in threads:
        thread.start()
        time.sleep(BEGINNING / count)  # pages are not opened at the same moment
    sys.stdin.read()
    ended.set()
    for thread in threads:
        thread.join()
    seconds = [one for page in pages for one in page.seconds]
    print(json.dumps({"clients": count, "looks": len(seconds), "rows": sum(page.rows for page in pages),
                      "median_seconds": statistics.median(seconds) if seconds else None,
                      "faults": [fault for page in pages for fault in page.faults][:10]}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
