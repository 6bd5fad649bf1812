"""A server on this machine that hands out one folder as Hugging Face's hub does, and breaks off where it is told to."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

COMMIT = "1" * 40


@contextmanager
def hub(folder: Path, repository: str, breaks_off: dict[str, int]) -> Iterator[tuple[str, list[tuple[str, int]]]]:
    """(address of the server, (file, byte from which it was asked for) of each download so far). The first download of each file in
    `breaks_off` ends after so many bytes."""
    asked: list[tuple[str, int]] = []

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

        def do_HEAD(self) -> None:
            self.answer(with_body=False)

        def do_GET(self) -> None:
            self.answer(with_body=True)

        def answer(self, with_body: bool) -> None:
            if self.path.startswith(f"/api/models/{repository}"):
                files = sorted(folder.iterdir())
                tree = [{"type": "file", "path": path.name, "size": path.stat().st_size, "oid": path.name} for path in files]
                about = {"id": repository, "sha": COMMIT, "siblings": [{"rfilename": path.name} for path in files]}
                self.send(json.dumps(tree if "/tree/" in self.path else about).encode(), with_body)
                return
            path = folder / self.path.rsplit("/", 1)[-1]
            if not path.is_file():
                self.send_error(404)
                return
            data, begin = path.read_bytes(), int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").split("-")[0])
            if with_body:
                asked.append((path.name, begin))
            self.send(data[begin:], with_body, ends=breaks_off.pop(path.name, None) if with_body else None, begin=begin, whole=len(data),
                      ETag=f'"{path.name}"')

        def send(self, data: bytes, with_body: bool, ends: int | None = None, begin: int = 0, whole: int = 0, **headers: str) -> None:
            self.send_response(206 if begin else 200)
            for name, value in {"Content-Length": len(data), "X-Repo-Commit": COMMIT, "Accept-Ranges": "bytes", **headers}.items():
                self.send_header(name, str(value))
            if begin:
                self.send_header("Content-Range", f"bytes {begin}-{whole - 1}/{whole}")
            self.end_headers()
            if with_body:
                self.wfile.write(data[:ends])
            self.close_connection = ends is not None

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        server.server_close()
