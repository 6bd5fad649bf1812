"""A real browser on the real page: `python demo.py` in a process of its own, over a folder with one small run."""

import os
import shutil
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from gpt.config import CONFIG
from gpt.runs.session import Session
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


@pytest.fixture(scope="session")
def context(browser) -> BrowserContext:
    """Where the first page of every test opens: what its browser has loaded and compiled once, it need not load and compile again."""
    context = browser.new_context()
    yield context
    context.close()


@pytest.fixture
def open_page(browser, context, address):
    """open_page(width, height, dark) -> a page that remembers nothing, also if it is the second of a test. The test fails on any console
    error, script error, or request elsewhere."""
    pages, contexts, faults = [], [], []

    def open_one(width: int = 1280, height: int = 800, dark: bool = False) -> Page:
        if pages:  # another person's
            contexts.append(browser.new_context())
        page = new_page(contexts[-1] if pages else context, address)
        pages.append(page)
        page.set_viewport_size({"width": width, "height": height})
        watch(page, address, faults)
        page.goto(address + ("/?__theme=dark" if dark else ""))
        wait_until_ready(page)
        return page

    yield open_one
    if pages:
        pages[0].close()
    for one in contexts:
        one.close()
    assert not faults, faults


def wait_until_ready(page: Page) -> None:
    """Until the page has fetched the last thing that it fetches when it opens, and its form may be filled."""
    page.wait_for_selector("#monitor .gpt-fact")
    page.wait_for_selector("#price .gpt-command")
    page.wait_for_selector(".gpt-form:not([inert])")


def new_page(context: BrowserContext, address: str) -> Page:
    """A page, empty yet, in a browser that remembers nothing of what pages at `address` have kept."""
    page = context.new_page()
    devtools = context.new_cdp_session(page)
    devtools.send("Storage.clearDataForOrigin", {"origin": address, "storageTypes": "local_storage"})
    devtools.detach()
    return page


def watch(page: Page, address: str, faults: list[str]) -> None:
    """Note in `faults` what no page may do: errors on the console and of scripts, dialogs, requests to elsewhere."""
    page.on("console", lambda message: faults.append(f"{message.text} {message.location['url']}") if message.type == "error" else None)
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("dialog", lambda dialog: (faults.append(f"dialog: {dialog.message}"), dialog.dismiss()))
    page.on("request", lambda request: faults.append(f"request to {request.url}") if _leaves(request.url, address) else None)


def _leaves(url: str, address: str) -> bool:
    return not url.startswith((address, "data:", "blob:"))
