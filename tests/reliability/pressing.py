"""Beginning a run from outside: the endpoint for programs, called over HTTP."""

import http.client
import json
from urllib.parse import urlparse

from gpt.config import CONFIG

# A model so small that its steps take no time, and a hundred minutes of them: it does not end by itself. Of a run whose steps are not
# known beforehand each of the first ones has a row, so one sees at once that it has begun and that it goes on.
ENDLESS = {**CONFIG, "corpus": "repeats", "tokenizer": "byte", "n_layers": 1, "n_heads": 1, "emb_dim": 8, "context_length": 8, "batch": 1,
           "optimizer": "adamw", "max_steps": 0, "max_minutes": 100.0, "eval_every": 1_000_000, "eval_tokens": 64, "snapshots": 0,
           "precision": "float32", "device": "cpu"}


def press_train(url: str, name: str = "", config: dict = ENDLESS) -> str | None:
    """Begin a run on the page at `url`. Returns None if the training was started, else the sentence that the person is told."""
    connection = http.client.HTTPConnection(urlparse(url).netloc, timeout=60)
    connection.request("POST", "/gradio_api/call/start", json.dumps({"data": ["", "", "quick", config, name, ""]}),
                       {"content-type": "application/json"})
    event = json.loads(connection.getresponse().read())["event_id"]
    connection.request("GET", f"/gradio_api/call/start/{event}")
    for line in connection.getresponse():
        if line.startswith(b"event: complete"):
            return None
        if line.startswith(b"data: {"):
            return json.loads(line.removeprefix(b"data: "))["error"]
    raise RuntimeError("the page gave no answer to start")
