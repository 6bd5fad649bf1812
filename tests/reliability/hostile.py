"""What no page should believe: values of the wrong kind and size, names that are paths, bodies that are no requests."""

import json
import random
from typing import Any

PATHS = (
    "../../etc/passwd", "/etc/passwd", "..", ".", "../outside/canary.txt", "..%2f..%2fetc%2fpasswd", "a/../../b", "a\\..\\b", "~",
    "-rf", "nul\0byte", "\ud800", "run\nrun", "?", "q" * 300, "$(id)", "`id`", "<img src=x onerror=alert(1)>", "${7*7}", "{{7*7}}",
    "\x1b[2J", ".owners.json", "CON", "con/aux", "\u202ename", "%00", "file:///etc/passwd", "http://127.0.0.1:1/")
NUMBERS = (float("nan"), float("inf"), float("-inf"), -1, 1e308, -1e308, 10**400, -10**400, 2**63, 0.1 + 2**53, -0.5, 1e-320)
LARGE = 10_000_000  # characters


def nested(depth: int) -> Any:
    """A list in a list in a list, `depth` times."""
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


def bad_value(rng: random.Random) -> Any:
    """A value that is neither text that names anything here nor a number in any setting's range."""
    kind = rng.randrange(12)
    if kind < 3:
        return rng.choice(NUMBERS)
    if kind < 6:
        return rng.choice(PATHS)
    if kind == 6:
        return rng.choice([None, [], {}, [None], {"": None}, [[]], "", True, False])
    if kind == 7:
        return nested(rng.choice([2, 50, 400]))
    if kind == 8:
        return {rng.choice(["path", "value", "__type__", "meta", "__class__"]): rng.choice(PATHS), "meta": {"_type": "gradio.FileData"}}
    if kind == 9:
        return {"__type__": rng.choice(["update", "generator", "x"]), "value": rng.choice(PATHS)}
    if kind == 10:
        return "".join(chr(rng.choice([rng.randrange(32), rng.randrange(0x80, 0x2500), rng.randrange(0xD800, 0xE000)])) for _ in range(20))
    return rng.choice(["x", "é"]) * rng.choice([1000, 50_000, 400_000])


def bad_file(rng: random.Random, outside: str) -> Any:
    """A value for an upload that names no file that was uploaded."""
    path = rng.choice([*PATHS, outside, "", 5, None, [], {}])
    return rng.choice([
        {"path": path, "meta": {"_type": "gradio.FileData"}}, {"path": path}, {"path": path, "meta": 5}, path if path != "" else 5,
        {"path": outside, "url": "http://127.0.0.1:1/x", "meta": {"_type": "gradio.FileData"}}, [{"path": outside}], {"meta": {}}])


def bad_body(rng: random.Random, good: dict[str, Any]) -> bytes:
    """A body that is no request: what is left of a good one when it is cut, changed or replaced."""
    text = json.dumps(good).encode()
    kind = rng.randrange(8)
    if kind == 0:
        return rng.randbytes(rng.choice([0, 1, 20, 5000]))
    if kind == 1:
        return text[:rng.randrange(len(text))]
    if kind == 2:
        return json.dumps(rng.choice([None, 1, "x", [], [good], {}, {"data": 1}, {"data": None}, nested(900)])).encode()
    if kind == 3:
        return b"[" * rng.choice([2000, 200_000])
    if kind == 4:
        return json.dumps({key: value for key, value in good.items() if key not in ("data", "component_id")}).encode()
    if kind == 5:
        return json.dumps(good | {"data": "x" * LARGE if rng.random() < 0.2 else {}, "component_id": "x"}).encode()
    if kind == 6:
        changed = {"fn_index": rng.choice([-1, 10**6, "0", 0.5, True, [], {}]), "component_id": rng.choice([-1, 10**9, "1", [], {}, True])}
        return json.dumps(good | changed).encode()
    name = rng.choice(["__init__", "preprocess", "x", "\ud800", 5])
    return json.dumps(good | {"data": [1] * rng.choice([50, 1000]), "fn_name": name}).encode()
