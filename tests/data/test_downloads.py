"""Known texts from a server on this machine: one that is right, and ones that are not."""

import hashlib
import re
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from gpt.data import built_in as built_in_texts
from gpt.data import downloads
from gpt.data.built_in import BUILT_IN, BuiltIn, built_in
from gpt.data.corpus import CorpusError
from gpt.data.downloads import Download, fetched
from gpt.data.progress import silent
from gpt.data.sources import read_corpus
from tests.says import says

TEXT = b"".join(b"line %d of a text that is on a server\n" % i for i in range(20_000))


class Server:
    """Sends TEXT. `cut` and `wait` make it stop after so many bytes of an answer, or wait in the middle of one; `ranges` whether it can go
    on from a place; `body` what it sends instead; `status` another status. `asked` are the ranges that were asked for."""

    def __init__(self):
        self.body, self.cut, self.wait, self.ranges, self.status, self.asked = TEXT, None, 0.0, True, 200, []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                outer.answer(self)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/text"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        self.asked.append(handler.headers["Range"])
        begin, end = (int(place) for place in re.fullmatch(r"bytes=(\d+)-(\d+)", handler.headers["Range"]).groups())
        if self.status != 200:
            handler.send_error(self.status)
            return
        body = self.body[begin:end + 1] if self.ranges else self.body
        handler.send_response(206 if self.ranges else 200)
        if self.ranges:
            handler.send_header("Content-Range", f"bytes {begin}-{begin + len(body) - 1}/{len(self.body)}")
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        sent = body[:self.cut] if self.cut is not None else body
        handler.wfile.write(sent[:len(sent) // 2])
        time.sleep(self.wait)
        handler.wfile.write(sent[len(sent) // 2:])
        handler.wfile.flush()
        if self.cut is not None:
            handler.close_connection = True


@pytest.fixture
def server(monkeypatch, tmp_path) -> Iterator[Server]:
    monkeypatch.setenv("GPT2_FROM_SCRATCH_CACHE", str(tmp_path / "cache" / "tokens"))
    server = Server()
    yield server
    server.server.shutdown()
    server.server.server_close()


def known(server: Server, first: int | None = None, text: bytes = TEXT) -> Download:
    return Download("known", server.url, len(text), hashlib.sha256(text).hexdigest(), "public domain", first)


def left_over(download: Download) -> list[str]:
    folder = download.path().parent
    return sorted(path.name.rpartition(".")[2] for path in folder.iterdir() if path.suffix != ".lock") if folder.exists() else []


def test_a_known_text_is_downloaded_once(server):
    told = []
    path = fetched(known(server), lambda sentence, share: told.append((sentence, share)))
    assert path.read_bytes() == TEXT
    assert told[-1] == ("downloading known", 1.0)
    assert [share for _, share in told] == sorted(share for _, share in told)
    fetched(known(server), silent)
    assert server.asked == [f"bytes=0-{len(TEXT) - 1}"]
    assert left_over(known(server)) == ["txt"]


def test_what_broke_off_goes_on_from_there(server):
    server.cut = 300_000
    with pytest.raises(CorpusError, match=says("cannot be downloaded from 127.0.0.1", "kept")):
        fetched(known(server), silent)
    assert left_over(known(server)) == ["part"]
    server.cut = None
    assert fetched(known(server), silent).read_bytes() == TEXT
    begin = int(re.fullmatch(rf"bytes=(\d+)-{len(TEXT) - 1}", server.asked[1])[1])
    assert 0 < begin <= 300_000  # what had come is not asked for again


def test_a_server_that_cannot_go_on_begins_anew(server):
    server.cut = 300_000
    with pytest.raises(CorpusError):
        fetched(known(server), silent)
    server.cut, server.ranges = None, False
    assert fetched(known(server), silent).read_bytes() == TEXT


def test_wrong_bytes_are_refused_and_nothing_is_kept(server):
    server.body = TEXT[:-1] + b"!"
    with pytest.raises(CorpusError, match=says("is not known", "SHA-256", "nothing of it is kept")):
        fetched(known(server), silent)
    assert left_over(known(server)) == []


@pytest.mark.parametrize("ranges", [True, False])
def test_a_file_of_another_size_is_refused_before_it_is_read(server, ranges):
    server.body, server.ranges = TEXT + b"more", ranges
    with pytest.raises(CorpusError, match=says(f"{len(TEXT):,} bytes", f"{len(TEXT) + 4:,}", "another file now")):
        fetched(known(server), silent)


@pytest.mark.parametrize("ranges", [True, False])
def test_of_a_large_text_the_first_part_can_be_had(server, ranges):
    server.ranges = ranges
    download = known(server, first=100_000)
    assert fetched(download, silent).read_bytes() == TEXT[:100_000]
    assert "first-100000" in download.path().name
    assert known(server).path() != download.path()


def test_a_server_that_falls_silent_is_given_up(server, monkeypatch):
    monkeypatch.setattr(downloads, "SILENT_SECONDS", 0.2)
    server.wait = 1.0
    with pytest.raises(CorpusError, match=says("cannot be downloaded", "does not answer")):
        fetched(known(server), silent)


def test_a_slow_server_is_waited_for(server):
    server.wait = 0.3
    assert fetched(known(server), silent).read_bytes() == TEXT


@pytest.mark.parametrize("status", [403, 404, 500])
def test_an_error_of_the_server_is_said(server, status):
    server.status = status
    with pytest.raises(CorpusError, match=says(f"the server answers {status}")):
        fetched(known(server), silent)


def test_without_a_network_it_is_one_clear_sentence(server):
    download = Download("known", "http://127.0.0.1:9/text", 10, "0" * 64, "public domain")
    with pytest.raises(CorpusError, match=re.escape("known cannot be downloaded from 127.0.0.1 (no connection): try again")):
        fetched(download, silent)


def test_a_disk_that_refuses_is_said(server, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("GPT2_FROM_SCRATCH_CACHE", str(tmp_path / "file" / "tokens"))
    with pytest.raises(CorpusError, match=says("cannot be written to", "make room")):
        fetched(known(server), silent)


def test_a_downloaded_text_has_its_own_documents_and_validation(server, monkeypatch):
    stories = b"\n<|endoftext|>\n".join(b"story %d, about a cat" % i for i in range(50))
    own = b"\n<|endoftext|>\n".join(b"another story %d" % i for i in range(5))
    server.body = stories
    second = Server()
    second.body = own
    entry = BuiltIn("A sentence.", "story", documents="endoftext", download=known(server, text=stories), validation=known(second, text=own))
    monkeypatch.setitem(built_in_texts.BUILT_IN, "known", entry)
    corpus = read_corpus("known")
    assert (corpus.n_documents, corpus.held_out.n_documents, corpus.prompt) == (50, 5, "story")
    assert next(part.text for part in corpus.validation()) == "another story 0"
    assert "licence: public domain" in corpus.sentences()[0]
    second.server.shutdown()
    second.server.server_close()


def test_the_known_texts_say_what_they_are():
    for name in ("shakespeare", "tinystories"):
        download = BUILT_IN[name].download
        assert re.fullmatch("[0-9a-f]{64}", download.sha256)
        assert download.url.startswith("https://")
        assert "licence" in download.sentence()
        assert "downloaded when training begins" in download.sentence()
    assert BUILT_IN["shakespeare"].download.bytes == 1_115_394


def test_the_part_of_tinystories_can_be_chosen():
    assert built_in("tinystories").download.wanted == 100_000_000
    assert built_in("tinystories-5MB").download.wanted == 5_000_000
    assert built_in("tinystories-9999MB").download.wanted == built_in("tinystories").download.bytes
    assert built_in("tinystories-0MB") is built_in("tinystories-MB") is built_in("tinystories-5GB") is None
