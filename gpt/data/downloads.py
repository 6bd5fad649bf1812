"""Known texts that are downloaded once, when somebody trains on them: whole and checked, or not there."""

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import filelock
import httpx

from gpt.data.corpus import CorpusError
from gpt.data.progress import Progress
from gpt.data.token_cache import cache_folder
from gpt.words import size

CONNECT_SECONDS, SILENT_SECONDS = 15.0, 60.0  # until a server answers, and between two pieces of what it sends
BLOCK = 1 << 16
HALF = ".part"


@dataclass(frozen=True)
class Download:
    """A file on a server: its size in bytes, its SHA-256, and its licence. With `first`, only so many of its bytes are wanted; of these the
    hash is not known, and it is checked that they are a part of a file of the right size."""

    name: str
    url: str
    bytes: int
    sha256: str
    licence: str
    first: int | None = None

    @property
    def wanted(self) -> int:
        """How many bytes are downloaded."""
        return min(self.first or self.bytes, self.bytes)

    def path(self) -> Path:
        """Where the file lies when it has been downloaded."""
        part = "" if self.wanted == self.bytes else f"-first-{self.wanted}"
        return cache_folder().parent / "downloads" / f"{self.name}-{self.sha256[:8]}{part}.txt"

    def sentence(self) -> str:
        """What somebody should know before."""
        there = "downloaded already" if self.path().exists() else "downloaded when training begins"
        return f"{size(self.wanted)} from {httpx.URL(self.url).host}, {there}; licence: {self.licence}"


def fetched(download: Download, progress: Progress) -> Path:
    """The file, from this disk or its server. What a broken connection has left is used when it is asked for again. Raises CorpusError."""
    path = download.path()
    if path.exists():
        return path
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(f"{path}.lock"):  # another process may be at it
            if not path.exists():
                _fetch(download, path, progress)
    except httpx.HTTPError as error:
        raise CorpusError(f"{download.name} cannot be downloaded from {httpx.URL(download.url).host} ({_reason(error)}): try again, or "
                          "give another text; what has come so far is kept") from None
    except OSError as error:
        raise CorpusError(f"{download.name} cannot be written to {path.parent} ({error.strerror or error}): make room there") from None
    return path


def _fetch(download: Download, path: Path, progress: Progress) -> None:
    half = path.with_name(path.name + HALF)
    done = half.stat().st_size if half.exists() else 0
    if done < download.wanted:
        with half.open("ab") as file:
            for block in _blocks(download, done):
                if block is None:  # the server begins anew
                    file.truncate(0)
                    continue
                file.write(block[:download.wanted - file.tell()])
                progress(f"downloading {download.name}", file.tell() / download.wanted)
            if file.tell() < download.wanted:
                raise httpx.ReadError(f"the server ended after {size(file.tell())} of {size(download.wanted)}")
    if download.wanted == download.bytes:
        with half.open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != download.sha256:
                half.unlink()
                raise CorpusError(f"what came from {httpx.URL(download.url).host} is not {download.name}, since its SHA-256 is another: "
                                  "nothing of it is kept; try again later")
    os.replace(half, path)


def _blocks(download: Download, done: int) -> Iterator[bytes | None]:
    """What the server sends from byte `done` on; None first if it sends all from the beginning instead."""
    timeout = httpx.Timeout(SILENT_SECONDS, connect=CONNECT_SECONDS)
    headers = {"Range": f"bytes={done}-{download.wanted - 1}", "Accept-Encoding": "identity"}
    with httpx.Client(follow_redirects=True, timeout=timeout) as client, client.stream("GET", download.url, headers=headers) as answer:
        answer.raise_for_status()
        goes_on = answer.status_code == 206  # else it sends all from the beginning
        total = answer.headers.get("content-range", "").rpartition("/")[2] if goes_on else answer.headers.get("content-length", "")
        if total.isdigit() and int(total) != download.bytes:
            raise CorpusError(f"{download.name} has {download.bytes:,} bytes, and what {answer.url.host} offers {int(total):,}: it is "
                              "another file now, give another text")
        if done and not goes_on:
            yield None
        left = download.wanted - (done if goes_on else 0)
        for block in answer.iter_bytes(BLOCK):
            yield block
            left -= len(block)
            if left <= 0:
                return


def _reason(error: httpx.HTTPError) -> str:
    """Why a request failed, in a few words."""
    if isinstance(error, httpx.HTTPStatusError):
        return f"the server answers {error.response.status_code}"
    if isinstance(error, httpx.TimeoutException):
        return "it does not answer"
    return "no connection" if isinstance(error, httpx.ConnectError) else str(error) or type(error).__name__
