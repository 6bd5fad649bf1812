"""Bad inputs: what no person would send, thrown at a served page, one endpoint after the other, listed or not.

A bad input is accepted if it changed a file, started a process, or was answered as if it were right. Now and then a good one
shows that the endpoints do work: a page that refuses everything would not pass either.
"""

import hashlib
import http.client
import json
import os
import random
import re
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from gpt.config import CONFIG, FIELDS, problems_of
from gpt.model.sampling import SAMPLING_FIELDS
from gpt.ui.server.values import typed
from gpt.ui.tabs.generate import SAMPLES
from gpt.ui.tabs.settings import PROCESSES
from tests.reliability.hostile import LARGE, NUMBERS, PATHS, bad_body, bad_file, bad_value
from tests.reliability.page import API, Good, Page
from tests.serving import served

CANARY = "canary-4e1f outside the checkpoints folder"
LEAK = re.compile(r'Traceback|File \\?"/|site-packages|\b[A-Z]\w+(Error|Exception)\b|' + CANARY.split()[0] + r"|root:x:0")
GOOD_EVERY = 40  # bad inputs
ODD_ADDRESSES = (
    "/file=/etc/passwd", "/file=../../etc/passwd", "/file=http://127.0.0.1:1/x", "/file=demo.py", "/file/etc/passwd",
    "/proxy=http://127.0.0.1:1/", "/deep_link?session_hash=x", "/custom_component/x/client/../../x", "/stream/x/y/z/playlist.m3u8",
    "/upload_progress?upload_id=x", "/queue/data?session_hash=../x", "/call/start/../x", "/dev/reload", "/vibe-code/", "/none")


class Thrower:
    """Throws one bad input after the other. Each method throws one, and returns (status, answer, whether it was taken for right)."""

    def __init__(self, page: Page, good: Good, outside: Path, rng: random.Random):
        self.page, self.good, self.outside, self.rng = page, good, str(outside / "canary.txt"), rng
        self.kinds = [self.config, self.config, self.price, self.writing, self.looking, self.any_endpoint, self.any_endpoint,
                      self.any_endpoint, self.any_function, self.head, self.name, self.file, self.count, self.body, self.address,
                      self.upload, self.huge]
        self._turn = 0

    def throw(self, i: int) -> tuple[str, int, str, bool]:
        kind = self.kinds[i % len(self.kinds)]
        return kind.__name__, *kind()

    def _form(self) -> list[Any]:
        """A form of the Train tab in which one setting, the name, or the number of processes is bad."""
        while True:
            values, place = self.good.form("new"), self.rng.randrange(len(FIELDS) + 2)
            values[1 + place] = bad_value(self.rng)
            bad_name = place == 0 and values[1] and not isinstance(values[1], bool)
            settings = dict(zip(CONFIG, values[2:-2], strict=True))
            if (bad_name and values[1] != " ") or problems_of(FIELDS, typed(FIELDS, list(settings.values()))) or (
                    settings["corpus"] != self.good.config["corpus"]) or problems_of((PROCESSES,), typed((PROCESSES,), values[-2:-1])):
                return values

    def config(self) -> tuple[int, str, bool]:
        status, text = self.page.call(self.page.on("train"), self._form(), queued=self.rng.random() < 0.3)
        return status, text, status == 200

    def price(self) -> tuple[int, str, bool]:
        status, text = self.page.call(self.page.on("run-name", "change"), [1, *self._form()])
        return status, text, status == 200 and '"problems":["' not in text.replace(" ", "")

    def writing(self) -> tuple[int, str, bool]:
        values = list(self.good.writing)
        fields = [None, None, None, *SAMPLING_FIELDS, SAMPLES]
        while True:
            place, value = self.rng.randrange(len(fields)), bad_value(self.rng)
            if place in (0, 2) or (place == 1 and not _is_place(value)) or (place > 2 and problems_of(
                    (fields[place],), typed((fields[place],), [value]))):
                break
        values[place] = value
        status, text = self.page.call(self.page.on("generate"), values, queued=self.rng.random() < 0.5)
        return status, text, status == 200 and '"error":"' not in text.replace('": ', '":')

    def looking(self) -> tuple[int, str, bool]:
        values, place = ["good", 99, "7 green"], self.rng.choice([0, 2])
        values[place] = bad_value(self.rng)
        status, text = self.page.call(self.page.on("inspect"), values, queued=self.rng.random() < 0.3)
        return status, text, status == 200 and '"error":"' not in text.replace('": ', '":')

    def any_endpoint(self) -> tuple[int, str, bool]:
        """Whatever there is, in turn, with a bad value among its own defaults. Some take anything; what counts is what they do."""
        endpoint = self.page.endpoints[self._turn % len(self.page.endpoints)]
        self._turn += 1
        if not endpoint["inputs"]:
            values, queued = [bad_value(self.rng)], False
        else:
            values = [self.page.components[component]["props"].get("value") for component in endpoint["inputs"]]
            queued = self.rng.random() < 0.2
            values[self.rng.randrange(len(values))] = bad_value(self.rng)
            if endpoint["inputs"] == self.page.on("train")["inputs"]:  # two buttons begin a run, and what is bad here need not matter to it
                values[1] = "../new"
            if endpoint["api_name"] == "start":  # the same of the endpoint for programs: corpus, text, preset, settings, run, key
                values[1], values[4] = "", "../new"
            if endpoint == self.page.on("extend"):
                values[0] = self.rng.choice([None, "x", -1, 0, 1.5, 10**30, float("nan"), [], {}, True])
            if endpoint == self.page.on("keep"):  # any text is right there
                values[0] = self.rng.choice([*NUMBERS, [], {}, True, "", " \n"])
        return *self.page.call(endpoint, values, queued), False

    def any_function(self) -> tuple[int, str, bool]:
        _, name = self.rng.choice(self.page.functions)
        data = self.rng.choice([bad_value, lambda rng: {key: bad_value(rng) for key in ("page", "run", "cursor", "key", "layer", "head")}])
        return *self.page.function(name, data(self.rng)), False

    def head(self) -> tuple[int, str, bool]:
        asked = {"key": json.dumps(["good", 99, "7 green"]), "layer": 0, "head": 0, "view": "weights", "scale": "linear"}
        asked[self.rng.choice(["layer", "head"])] = self.rng.choice(["x", None, [], {}, 10**6, -1, -(10**400), float("nan")])
        asked["key"] = self.rng.choice([asked["key"], json.dumps([self.rng.choice(PATHS), 99, "7"]), bad_value(self.rng)])
        status, text = self.page.function("head", asked)
        return status, text, status == 200 and '"error":"' not in text

    def name(self) -> tuple[int, str, bool]:
        """Runs that are to be deleted or to go on, by names that are paths."""
        endpoint = self.page.on(self.rng.choice(["confirm-delete", "resume"]))
        status, text = self.page.call(endpoint, [self.rng.choice([*PATHS, f"../{Path(self.outside).parent.name}"]), ""])
        return status, text, status == 200

    def file(self) -> tuple[int, str, bool]:
        values, queued = [bad_file(self.rng, self.outside), ""], self.rng.random() < 0.3
        status, text = self.page.call(self.page.on("upload", "upload"), values, queued)
        return status, text, status == 200

    def count(self) -> tuple[int, str, bool]:
        """Too few or too many values, by any way in."""
        endpoint = self.rng.choice(self.page.endpoints)
        wanted, name = len(endpoint["inputs"]), endpoint["api_name"]
        values = [None] * self.rng.choice([n for n in (0, 1, 2, wanted + 1, 500) if n != wanted])
        way = self.rng.choice([f"/run/{name}", f"/api/{name}", f"/call/{name}", "/queue/join"])
        body = {"data": values, "session_hash": "bad"} | ({"fn_index": endpoint["id"]} if way == "/queue/join" else {})
        status, text = self.page.ask("POST", API + way, json.dumps(body).encode())
        return status, text, status == 200

    def body(self) -> tuple[int, str, bool]:
        way = self.rng.choice(["/run/predict", "/run/x", "/api/start", "/call/start", "/call/v2/x", "/queue/join", "/component_server",
                               "/cancel"])
        good = {"data": self.good.form("new"), "session_hash": "bad", "fn_index": 10**5}
        if way == "/component_server":
            good = {"data": {"page": "x"}, "component_id": self.page.functions[0][0], "fn_name": "poll", "session_hash": "bad"}
        status, text = self.page.ask("POST", API + way, bad_body(self.rng, good), self.rng.choice(["application/json", "text/plain", "x"]),
                                     chunked=self.rng.random() < 0.2)
        return status, text, False

    def address(self) -> tuple[int, str, bool]:
        path = self.rng.choice([*ODD_ADDRESSES, f"/file={self.outside}", f"/file={self.outside}/../x", f"/{self.rng.choice(PATHS)}"])
        status, text = self.page.ask(self.rng.choice(["GET", "GET", "POST"]), API + path)
        return status, text, status == 200 and '"unexpected_error"' not in text

    def upload(self) -> tuple[int, str, bool]:
        """Forms that are none, too large, or named like a path. The last is kept by Gradio under a name of its own, away from the runs."""
        name = self.rng.choice(PATHS).encode(errors="replace").replace(b"\n", b"").replace(b'"', b"")
        head = b'--b\r\nContent-Disposition: form-data; name="files"; filename="' + name + b'"\r\n\r\n'
        form, kind = head + self.rng.randbytes(50) + b"\r\n--b--\r\n", "multipart/form-data; boundary=b"
        kind, body, wrong = self.rng.choice([
            (kind, form, False), ("multipart/form-data", form, True), ("application/json", form, True), (kind, b"--b\r\n\r\nx", True)])
        status, text = self.page.ask("POST", f"{API}/upload", body, kind, chunked=self.rng.random() < 0.3)
        return status, text, wrong and status == 200 and text != "[]"

    def huge(self) -> tuple[int, str, bool]:
        """Ten megabytes where a few words are expected; most of the time a tenth of it, which still passes as a request."""
        text = self.rng.choice("aé \n") * (LARGE if self.rng.random() < 0.1 else LARGE // 20)
        status, answer = self.page.call(self.page.on("inspect"), ["good", 99, text])
        return status, answer, status == 200 and '"error":"' not in answer


def _is_place(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < float("inf")


class Watch:
    """What must not change: the folder of the runs, a folder beside it, the training processes that exist."""

    def __init__(self, root: Path, outside: Path):
        self.root, self.outside = root, outside
        self.look()

    def look(self) -> None:
        self.seen = contents(self.root), contents(self.outside), processes(self.root)

    def changed(self) -> tuple[int, int, int]:
        """How many files of the runs, files outside and processes are not as they were at the last look."""
        before = self.seen
        self.look()
        return tuple(len(set(old.items()) ^ set(new.items())) for old, new in zip(before, self.seen, strict=True))


def contents(folder: Path) -> dict[str, str]:
    """Path -> digest of every file; folders too."""
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "a folder"
            for path in sorted(folder.rglob("*"))}


def processes(root: Path) -> dict[str, str]:
    """Process -> its command line, of the trainings in `root`, where /proc tells."""
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes()
        except OSError:  # it has ended meanwhile
            continue
        if b"gpt.pretrain" in words and os.fsencode(root) in words:
            found[process.name] = words.decode(errors="replace")
    return found


def is_a_sentence(text: str) -> bool:
    """Whether the body of an error tells something to a person."""
    try:
        told = json.loads(text)
    except ValueError:
        return 0 < len(text) < 300 and not text.startswith("<")
    told = told.get("error") or told.get("detail") if isinstance(told, dict) else None
    return isinstance(told, str) and bool(told.strip())


def bad_inputs(n: int, seed: int) -> dict[str, Any]:
    """Throw `n` bad inputs at a page served for this, and count: tried, by kind; accepted (changed something, or answered as right);
    tracebacks leaked; errors without a sentence; faults, told in a sentence but not foreseen; deaths of the server, hanging included;
    files touched outside; good requests tried in between, and those that failed. `examples` shows the first of what went wrong."""
    counts: Counter[str] = Counter(tried=0, accepted=0, tracebacks=0, without_a_sentence=0, faults=0, server_deaths=0, touched_outside=0,
                                   good_tried=0, good_failed=0)
    kinds: Counter[str] = Counter()
    examples: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        root, outside = Path(folder) / "checkpoints", Path(folder) / "outside"
        for made in (root, outside, Path(folder) / "tmp"):
            made.mkdir()
        (outside / "canary.txt").write_text(CANARY)
        with served(root, TMPDIR=str(Path(folder) / "tmp"), OMP_NUM_THREADS="1") as url:
            page = Page(url)
            good = Good(page)
            while processes(root):  # the first run has told that it is done, and ends
                time.sleep(0.1)
            thrower, watch = Thrower(page, good, outside, random.Random(seed)), Watch(root, outside)

            def note(what: str, told: str) -> None:
                counts[what] += 1
                examples.append(f"{what}: {told[:700]}")

            def check() -> None:
                inside, beyond, begun = watch.changed()
                if inside or begun:
                    note("accepted", f"{inside} files of the runs and {begun} processes changed at the latest by {page.asked}")
                if beyond:
                    note("touched_outside", f"{beyond} files")
                trial = good.tries[counts["good_tried"] % len(good.tries)]
                counts["good_tried"] += 1
                if not trial():
                    note("good_failed", trial.__name__)

            for i in range(n):
                counts["tried"] += 1
                try:
                    kind, status, text, taken = thrower.throw(i)
                except (OSError, http.client.HTTPException) as error:
                    note("server_deaths", f"{thrower.kinds[i % len(thrower.kinds)].__name__}: {type(error).__name__} {error}")
                    continue
                kinds[kind] += 1
                for what, wrong in (("accepted", taken), ("tracebacks", LEAK.search(text)), ("faults", "fault of the page" in text),
                                    ("without_a_sentence", status >= 400 and not is_a_sentence(text))):
                    if wrong:
                        note(what, f"{kind}: {page.asked} -> {status} {text}")
                if i % GOOD_EVERY == GOOD_EVERY - 1:
                    check()
            check()
            counts["good_tried"] += 1
            if not (good.train("last") and good.delete("last")):
                note("good_failed", "a run could not be trained and deleted at the end")
            return {**counts, "kinds": dict(kinds), "slowest_seconds": round(page.slowest, 2), "examples": examples[:20]}
