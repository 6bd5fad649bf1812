"""A real browser on the real page: `python demo.py` in a process of its own, over a folder with one small run."""

import os
import shutil
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from gpt.config import CONFIG
from gpt.session import Session
from tests.serving import served

PATIENT = 60_000  # milliseconds a step may take on a busy machine
expect.set_options(timeout=PATIENT)
CHROMIUM = next(filter(None, map(shutil.which, ("chromium-headless-shell", "chromium"))), "")  # the first opens pages three times faster
QUIET = ("--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-component-update "
         "--disable-sync").split()
HOSTILE = "<b>${1+1}</b> `tick` <img src=x onerror=alert(1)> {{value}}\n"  # must show as it stands, everywhere
ACTING = "\x1b[2J\x07\x9b\u202e"  # must show as signs of themselves
SMALL = {**CONFIG, "tokenizer": "char", "vocab_size": 40, "n_layers": 2, "n_heads": 2, "emb_dim": 32, "context_length": 64,
         "batch": 8, "max_steps": 40, "eval_every": 20, "snapshots": 5, "precision": "float32", "device": "cpu"}


@pytest.fixture(scope="session")
def browser() -> Browser:
    if not CHROMIUM:
        message = "no Chromium on this machine: install the system's package chromium or chromium-headless-shell"
        pytest.fail(message) if os.environ.get("CI") else pytest.skip(message)
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield opened
        opened.close()


@pytest.fixture(scope="session")
def root(tmp_path_factory) -> Path:
    """A folder of runs that holds one: `hostile`, trained on text full of markup and of commands to terminals."""
    folder = tmp_path_factory.mktemp("page") / "checkpoints"
    text = folder.parent / "hostile.txt"
    text.write_text((HOSTILE + ACTING + "\n") * 60, encoding="utf-8")
    for _ in Session(folder, "hostile", {**SMALL, "corpus": str(text)}).events():
        pass
    return folder


@pytest.fixture(scope="session")
def address(root) -> str:
    """Where `python demo.py` serves the page."""
    with served(root) as url:
        yield url


@pytest.fixture
def open_page(browser, address):
    """open_page(width, height, dark) -> a page. The test fails on any console error, script error, or request elsewhere."""
    contexts, faults = [], []

    def open_one(width: int = 1280, height: int = 800, dark: bool = False) -> Page:
        context = browser.new_context(viewport={"width": width, "height": height})
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: faults.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("dialog", lambda dialog: (faults.append(f"dialog: {dialog.message}"), dialog.dismiss()))
        page.on("request", lambda request: faults.append(f"request to {request.url}") if _leaves(request.url, address) else None)
        page.goto(address + ("/?__theme=dark" if dark else ""))
        page.wait_for_selector("#monitor .gpt-fact")
        page.wait_for_selector("#price .gpt-command")  # the last thing that a page fetches when it opens
        return page

    yield open_one
    for context in contexts:
        context.close()
    assert not faults, faults


def _leaves(url: str, address: str) -> bool:
    return not url.startswith((address, "data:", "blob:"))
