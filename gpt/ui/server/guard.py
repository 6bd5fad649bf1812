"""Middleware in front of Gradio's server: it passes on only requests with a size, a shape and an address that this page uses.

Gradio's server offers more than this page needs, and trusts its input more than a public page can. This middleware refuses
all other requests with a sentence, and never sends the text of a Python exception to the browser: that goes to the server's log.
"""

import asyncio
import contextlib
import json
import logging
import re
import traceback
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import gradio as gr
from starlette.datastructures import Headers
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gpt.ui.charts.component import SCRIPTS

API = "/gradio_api"
PACKED = "packed"  # the folder below Gradio's own whose zips and reports are handed out
LARGEST_REQUEST = 2_000_000  # bytes of anything but an upload
LARGEST_IN_PIECES = 21_000_000  # of an upload that does not say how long it is
AROUND_UPLOAD = 1_000_000  # what stands around the files of an upload
DRAINED_BYTES = 100_000_000  # bytes of a refused request that are still read: clients receive the answer only after sending all
DEEPEST = 32  # lists or objects inside each other in a request: the page's own have about ten
SERVER_FAULT = "this is a fault of the page, not yours: the server's log says more"
ERROR_FIELDS = b',"visible":true,"duration":10,"title":"Error"'  # without these Gradio's page keeps an error to itself; seconds
DIRECT = (f"{API}/run/", f"{API}/api/")  # calls that bypass Gradio's queue and its limits
MOST_DIRECT = 4  # of them at once
BUSY = "too many people ask at once: try again in a moment"
CALLS = ("run", "api", "call", "call/v2")  # Gradio's ways to call an endpoint by its name
POSTS = ("/login", *(f"{API}/{name}" for name in ("upload", "component_server", "cancel", "reset", "queue/join")))
AGENTS = (f"{API}/mcp", f"{API}/mcp/http")  # Model Context Protocol, streamable HTTP
UNUSED = tuple(f"{API}/{name}" for name in ("proxy=", "stream/", "custom_component/", "deep_link", "dev/", "monitoring", "file/"))

DEFAULT_PORTS = {"http": 80, "https": 443}
ENDPOINTS = re.compile(rb"window\.gradio_api_info = .*?;</script>", re.DOTALL)  # in Gradio's page


class Refused(Exception):
    """A request that goes no further: an HTTP status and a sentence."""

    def __init__(self, status: int, sentence: str):
        super().__init__(sentence)
        self.status = status


class Guard:
    """The middleware for `page`. With `locked`, clients that are not logged in can post nothing but the login.
    `hosts` are the accepted host names (None: any): without this check, another site whose name points to this machine's
    address (DNS rebinding) could use the page. `largest_upload` is in bytes."""

    def __init__(self, app: ASGIApp, page: gr.Blocks, locked: bool = False, hosts: Collection[str] | None = None,
                 largest_upload: int = LARGEST_IN_PIECES):
        self.app, self.page, self.locked, self.hosts, self.largest_upload = app, page, locked, hosts, largest_upload + AROUND_UPLOAD
        self.direct = asyncio.Semaphore(MOST_DIRECT)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        path, headers = path_here(scope), Headers(scope=scope)
        answer = Answer(send, hides=self.locked and not self.is_logged_in(headers))
        try:
            self.check_address(scope["method"], path, headers)
            if scope["method"] == "POST":
                receive = await self.checked(path, headers, receive)
            async with self.direct if path.startswith(DIRECT) else contextlib.nullcontext():
                await self.app(scope, receive, answer.send)
        except Refused as refused:
            await answer.refuse(refused.status, str(refused))
        except Exception:  # all details go to the log, none to the client
            logging.getLogger(__name__).error("%s %s failed:\n%s", scope["method"], scope["path"][:200], traceback.format_exc())
            await answer.refuse(500, SERVER_FAULT)

    def check_address(self, method: str, path: str, headers: Headers) -> None:
        """Raise Refused for what this page never asks of its server."""
        if self.hosts is not None and host_and_port(f"//{headers.get('host', '')}")[0] not in self.hosts:
            raise Refused(403, "this page is one person's own: open it as localhost, or start it with --auth or --public")
        if path.startswith(f"{API}/file=") and not self.may_serve(path.removeprefix(f"{API}/file=")):
            raise Refused(403, "this page hands out no files but its own scripts, and the zips and reports of runs")
        if path.startswith(UNUSED):
            raise Refused(404, "this page has nothing at that address")
        is_followed_link = method == "GET" and headers.get("sec-fetch-mode") == "navigate"
        if not (is_followed_link or comes_from_here(headers)) and (method == "POST" or self.hosts is not None):
            raise Refused(403, "another site has sent this request: open the page itself; a proxy in front of it must pass on the header "
                               "Host, or set X-Forwarded-Host to what the browser asked for")
        if method != "POST":
            return
        if path not in POSTS and not self.is_for_agents(path) and not path.startswith(tuple(f"{API}/{way}/" for way in CALLS)):
            raise Refused(404, "nothing can be posted to that address")
        if self.locked and path != "/login" and not self.is_logged_in(headers):
            raise Refused(401, "log in first: open the page")

    def is_for_agents(self, path: str) -> bool:
        """Whether this is where agents send what they want, on a page that was started with --mcp."""
        return bool(self.page.mcp_server) and path in AGENTS

    def may_serve(self, path: str) -> bool:
        """Whether a file is the page's own: one of its scripts, or a zip or a report that it has made, in a folder that cannot be
        guessed. Uploads are stored elsewhere and never served: one might be a page with scripts."""
        return path in map(str, SCRIPTS) or (path.endswith((".zip", ".html")) and self.is_stored(path, PACKED))

    def is_stored(self, path: str, folder: str = "") -> bool:
        """Whether a file lies where Gradio keeps what goes through it, or in `folder` there."""
        try:
            found = Path(path).resolve()
            return found.is_file() and found.is_relative_to((Path(self.page.app.uploaded_file_dir) / folder).resolve())
        except (OSError, ValueError):  # a name that is too long, or none
            return False

    def is_logged_in(self, headers: Headers) -> bool:
        """Whether a request carries the cookie that Gradio gives at login."""
        name = f"access-token-{self.page.app.cookie_id}"
        cookies = dict(word.strip().partition("=")[::2] for word in headers.get("cookie", "").split(";"))
        return any(cookies.get(given) in self.page.app.tokens for given in (name, name.replace("access-token", "access-token-unsecure")))

    async def checked(self, path: str, headers: Headers, receive: Receive) -> Receive:
        """Read the body of a request, and give it to be read again. Raises Refused if it is too large or has the wrong shape."""
        if path == f"{API}/upload":
            return await self.checked_upload(headers, receive)
        body = await read(receive, LARGEST_REQUEST)
        if self.is_for_agents(path):
            parsed(body)  # the tools that it calls come back to this server as calls of endpoints
        elif path != "/login":
            self.check_call(path, parsed(body))
        return again(receive, body)

    async def checked_upload(self, headers: Headers, receive: Receive) -> Receive:
        """An upload is read by Gradio, which writes it into files; only its length and its kind are checked before. Raises Refused."""
        length = headers.get("content-length", "")
        if not length.isdigit():  # it comes in pieces, and says nothing of how many: only browsers upload large ones, and they do
            receive = again(receive, await read(receive, LARGEST_IN_PIECES))
        elif int(length) > self.largest_upload:
            await read(receive, self.largest_upload)
        if not headers.get("content-type", "").startswith("multipart/form-data"):
            raise Refused(400, "an upload is a form with a file: send multipart/form-data")
        return receive

    def check_call(self, path: str, body: Any) -> None:
        """Raise Refused if a call names no endpoint of the page, has too few or too many values, or files it does not take."""
        if not isinstance(body, dict):
            raise Refused(422, "the request is no JSON object: send one")
        for name in ("session_hash", "event_id", "fn_name"):
            value = body.get(name)
            if value is not None and not (isinstance(value, str) and len(value) <= 100 and value.isascii()):
                raise Refused(422, f"{name} is not what this page gives out: it is a short plain text")
        if path == f"{API}/component_server":
            self.check_component(body)
        elif path not in (f"{API}/cancel", f"{API}/reset"):
            self.check_values(self.endpoint(path, body), body, path)

    def check_component(self, body: dict[str, Any]) -> None:
        component, name = body.get("component_id"), body.get("fn_name")
        known = self.page.blocks.get(component) if type(component) is int else None
        if known is None or name not in [function.__name__ for function in getattr(known, "server_fns", [])]:
            raise Refused(404, "the page has no such function: reload it")
        if not isinstance(body.get("session_hash"), str) or "data" not in body:
            raise Refused(422, "a call of a function needs data and a session_hash")

    def endpoint(self, path: str, body: dict[str, Any]) -> Any:
        """The endpoint that a call means, by its number if it gives one."""
        number = body.get("fn_index")
        name = next((path.removeprefix(f"{API}/{way}/") for way in reversed(CALLS) if path.startswith(f"{API}/{way}/")), None)
        if number is not None and name in (None, "predict"):
            endpoint = self.page.fns.get(number) if type(number) is int else None
        else:
            endpoint = next((fn for fn in self.page.fns.values() if fn.api_name == name and isinstance(name, str)), None)
        if endpoint is None or (number is not None and endpoint._id != number):
            raise Refused(404, "the page has no such endpoint: reload it, or see which there are with gradio_client's view_api()")
        return endpoint

    def check_values(self, endpoint: Any, body: dict[str, Any], path: str) -> None:
        if path.startswith(f"{API}/call/v2/"):  # values by name, which Gradio itself knows; absent ones have defaults
            return
        values, wanted = body.get("data"), len(endpoint.inputs)
        if not isinstance(values, list):
            raise Refused(422, f"data is missing: send a list of {wanted} values")
        if len(values) != wanted and not endpoint.cancels:
            raise Refused(422, f"{len(values)} values came, and this endpoint takes {wanted}: see gradio_client's view_api()")
        takes_files = any(isinstance(block, gr.UploadButton) for block in endpoint.inputs)
        if not takes_files and any(isinstance(part, dict) and "path" in part and "meta" in part for part in parts(values)):
            raise Refused(422, "this endpoint takes no files")
        if takes_files and not all(map(self.was_uploaded, values[0] if isinstance(values[0], list) else values[:1])):
            raise Refused(422, "that is no file that was uploaded to this page: upload it first")

    def was_uploaded(self, value: Any) -> bool:
        """Whether `value` describes, in Gradio's format, a file in Gradio's file cache. Gradio itself would also fetch URLs."""
        if not (isinstance(value, dict) and value.get("meta") == {"_type": "gradio.FileData"} and isinstance(value.get("path"), str)):
            return False
        return self.is_stored(value["path"])


def path_here(scope: Scope) -> str:
    """The path that a request asks for, without the prefix of a reverse proxy: Starlette takes one as well as the other."""
    path, prefix = scope["path"], scope.get("root_path", "")
    return (path.removeprefix(prefix) if prefix and f"{path}/".startswith(f"{prefix}/") else path).rstrip("/")


def comes_from_here(headers: Headers) -> bool:
    """Whether a request was sent by the page that it is sent to, as its browser says: in the header Sec-Fetch-Site (over HTTPS, and to this
    machine itself), and in Origin (Fetch Standard), whose host must be the one that is asked for. Each proxy on the way may add the host
    that it was asked for, and may leave out the port."""
    if headers.get("sec-fetch-site", "none") not in ("same-origin", "none"):
        return False
    if "origin" not in headers:
        return True
    origin, origin_port = host_and_port(headers["origin"])
    names = ",".join([*headers.getlist("host"), *headers.getlist("x-forwarded-host")]).split(",")
    return origin is not None and any(host == origin and port in (None, origin_port)
                                      for host, port in (host_and_port(f"//{name.strip()}") for name in names))


def host_and_port(address: str) -> tuple[str | None, int | None]:
    """The host in an address, in small letters, and its port or that of its scheme; None for what is not there."""
    try:
        split = urlsplit(address)
        return split.hostname, split.port or DEFAULT_PORTS.get(split.scheme)
    except ValueError:  # half a bracket, or a port that is no number
        return None, None


def parts(value: Any) -> Iterator[Any]:
    """A nested value and everything inside it. Not by recursion, whose depth a visitor could exhaust."""
    for level in levels(value):
        yield from level


def levels(value: Any) -> Iterator[list[Any]]:
    """A nested value, then what it holds, then what that holds, and so on."""
    level = [value]
    while level:
        yield level
        level = [inner for part in level if isinstance(part, (dict, list)) for inner in (part.values() if isinstance(part, dict) else part)]


def parsed(body: bytes) -> Any:
    """The JSON in `body`. Raises Refused if it is not JSON, is nested deeper than any request of this page (Gradio would process it by
    recursion), or has a value that an answer cannot contain: half a surrogate pair, or an integer of more than 64 bits."""
    try:
        value = json.loads(body, parse_int=whole_number)
        if any(depth > DEEPEST for depth, _ in enumerate(levels(value))):
            raise RecursionError
        if b"\\u" in body:  # only so can half of a pair of surrogates come
            json.dumps(value, ensure_ascii=False).encode()
        return value
    except RecursionError:
        raise Refused(422, "the request is nested too deeply") from None
    except UnicodeEncodeError:
        raise Refused(422, "the request holds half a character: send whole ones") from None
    except ValueError:
        raise Refused(400, "the request is no JSON: send a JSON object in UTF-8") from None


def whole_number(digits: str) -> int:
    """The number of these digits. Raises Refused if it has more than 64 bits."""
    number = int(digits)
    if not -2**63 <= number < 2**63:
        raise Refused(422, f"the request holds the number {digits[:20]}...: send whole numbers of up to 64 bits")
    return number


def again(receive: Receive, body: bytes | None) -> Receive:
    """Gives the body of a request that has been read, and then what else comes."""
    async def given() -> Message:
        nonlocal body
        if body is None:
            return await receive()
        message, body = {"type": "http.request", "body": body, "more_body": False}, None
        return message

    return given


async def read(receive: Receive, limit: int) -> bytes:
    """The whole body of a request, however it is sent. Raises Refused once it has been read if it is longer than `limit` bytes."""
    pieces, size = [], 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Refused(400, "the request ended before it was whole")
        size += len(message.get("body", b""))
        if size <= limit:
            pieces.append(message.get("body", b""))
        elif size > DRAINED_BYTES:
            break
        if not message.get("more_body"):
            break
    if size > limit:
        raise Refused(413, f"the request has more than {limit / 1e6:g} MB: this page takes no more at once")
    return b"".join(pieces)


class Answer:
    """The response. The body of an error is collected first, and sent only if it is a sentence of this page or of Gradio.
    With `hides`, HTML is collected too, and its list of endpoints removed: it would show names of texts and runs before login."""

    def __init__(self, send: Send, hides: bool = False):
        self._send, self._hides = send, hides
        self._began = False  # something has gone out
        self._streams = False  # events, as Gradio's queue sends them
        self._start: Message | None = None
        self._body: list[bytes] | None = None

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._start = message
            kind = Headers(raw=message["headers"]).get("content-type", "")
            self._streams = kind.startswith("text/event-stream")
            if message["status"] >= 400 or (self._hides and kind.startswith("text/html")):
                self._body = []
                return
        elif self._body is not None:
            self._body.append(message.get("body", b""))
            if message.get("more_body"):
                return
            body, self._body = b"".join(self._body), None
            if (status := self._start["status"]) >= 400:
                sentence = in_a_sentence(status, body)
                await self._whole(JSONResponse(sentence, 422 if status == 500 and sentence["error"] != SERVER_FAULT else status))
            else:
                await self._whole(HTMLResponse(ENDPOINTS.sub(b"window.gradio_api_info = {};</script>", body)))
            return
        elif self._streams:
            message = message | {"body": without_exceptions(message.get("body", b""))}
        self._began = True
        await self._send(message)

    async def refuse(self, status: int, sentence: str) -> None:
        """End with `sentence`, or, if part of another answer has gone out, with nothing more."""
        if not self._began:
            await self._whole(JSONResponse({"error": sentence, "detail": sentence}, status))
        elif self._start is not None:
            await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _whole(self, response: Response) -> None:
        self._began = True
        await self._send({"type": "http.response.start", "status": response.status_code, "headers": response.raw_headers})
        await self._send({"type": "http.response.body", "body": response.body, "more_body": False})


def without_exceptions(event: bytes) -> bytes:
    """An event of Gradio's queue, with a readable message in place of an empty or a Python exception."""
    if event.startswith(b'data: {"msg":"unexpected_error"'):
        answer = json.loads(event.removeprefix(b"data: "))
        answer["message"] = "the page does not know this session: reload it" if answer.get("session_not_found") else SERVER_FAULT
        return b"data: " + json.dumps(answer).encode() + b"\n\n"
    return event.replace(b'"error":null', b'"error":' + json.dumps(SERVER_FAULT).encode() + ERROR_FIELDS)


def in_a_sentence(status: int, body: bytes) -> dict[str, Any]:
    """The body of an error as it may be read: what is a sentence already stays, anything else becomes one."""
    try:
        answer = json.loads(body)
    except ValueError:
        answer = None
    if isinstance(answer, dict):
        detail = answer.get("detail")
        if isinstance(answer.get("error"), str):  # a UserError, told by gr.Error; Gradio answers as if it were the server's fault
            return answer
        if isinstance(detail, dict) and isinstance(detail.get("error"), str):  # Gradio's page expects this of a missing login
            return {"error": detail["error"], **answer}
        if isinstance(detail, str) and status < 500:
            return {"error": detail[:300], "detail": detail[:300]}
    if status == 503:
        return {"error": BUSY, "detail": BUSY}
    sentence = SERVER_FAULT if status >= 500 else "the request has not the shape that this page understands: reload the page and try again"
    return {"error": sentence, "detail": sentence}
