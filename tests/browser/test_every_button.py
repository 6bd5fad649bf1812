"""Every button, link and list of every tab, pressed once, as by a person who tries everything: nothing may answer with a fault."""

import re
import shutil
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from gpt.run import list_runs
from tests.browser.test_page import PATIENT, choose_run, open_box, set_number, show, state
from tests.serving import PROJECT, served

ALIKE = 2  # of things that differ in their words only, such as the tokens of a prompt, so many are pressed
MOST = 400  # presses: far more than there are things to press

# Marks the next thing in sight that has not been pressed, and says what it is; nothing if there is none. Panels, which hide what the one
# before showed, come when all else is done.
NEXT = """(alike) => {
    window.pressed ??= new Map();
    document.querySelectorAll("[data-next]").forEach((element) => element.removeAttribute("data-next"));
    const inSight = (element) => element.offsetParent && !element.disabled && element.getClientRects().length
        && getComputedStyle(element).visibility === "visible" && !element.closest(".gpt-hidden");
    const all = [...document.querySelectorAll("[role=tabpanel]")].filter((panel) => panel.offsetParent)
        .flatMap((panel) => [...panel.querySelectorAll("button, a[href], select, summary, input[type=checkbox]")]).filter(inSight);
    const kind = (element) => [element.tagName, element.id || element.className, element.closest("[id]")?.id].join(" ");
    const name = (element) => element.getAttribute("aria-label") || element.textContent.trim();
    const isNew = (element) => {
        const names = window.pressed.get(kind(element)) ?? new Set();
        return !names.has(name(element)) && (names.size < alike || element.role === "tab");
    };
    const next = all.find((element) => isNew(element) && element.role !== "tab") ?? all.find(isNew);
    if (!next) return null;
    window.pressed.set(kind(next), (window.pressed.get(kind(next)) ?? new Set()).add(name(next)));
    next.setAttribute("data-next", "");
    return [next.tagName, next.id, name(next).slice(0, 60)];
}"""

# What the page tells for a moment only, and how many answers it waits for. That it asks how its run does, again and again, does not count.
WATCH = """
    window.toasts = [], window.waiting = 0;
    new MutationObserver(() => document.querySelectorAll("[data-testid=toast-body]").forEach(({ textContent }) => {
        if (!window.toasts.includes(textContent)) window.toasts.push(textContent);
    })).observe(document, { childList: true, subtree: true });
    const fetched = window.fetch;
    window.fetch = (resource, options) => {
        const counts = !String(options?.body).includes('"poll"') && !/queue\\/data|heartbeat/.test(resource?.url ?? resource);
        window.waiting += counts;
        const answer = fetched(resource, options);
        answer.finally(() => { window.waiting -= counts; }).catch(() => {});
        return answer;
    };
"""


@pytest.fixture(scope="module")
def own_root(root, tmp_path_factory) -> Path:
    """A folder of runs that may all be deleted."""
    folder = tmp_path_factory.mktemp("buttons") / "checkpoints"
    shutil.copytree(root / "hostile", folder / "hostile")
    shutil.copytree(root / "hostile", folder / "another")
    shutil.copytree(PROJECT / "checkpoints" / "stories", folder / "stories")
    return folder


@pytest.fixture(scope="module")
def address(own_root) -> str:
    with served(own_root) as url:
        yield url


@pytest.fixture
def walked(open_page, tmp_path):
    """A page that takes note of what it is told, and fails afterwards if an answer was an error or a toast told of a fault."""
    text = tmp_path / "upload.txt"
    text.write_text("a text to upload, of some sixty letters and a few more\n" * 30)
    page, refused = open_page(), []
    page.evaluate(WATCH)
    page.on("response", lambda answer: refused.append(f"{answer.status} {answer.url}") if answer.status >= 400 else None)
    page.on("filechooser", lambda chooser: chooser.set_files(text))
    yield page
    assert refused == []
    toasts = page.evaluate("window.toasts")
    assert [toast for toast in toasts if re.search("fault|error of the page", toast)] == [], toasts


def press(page: Page, tag: str) -> None:
    element = page.locator("[data-next]")
    if tag == "SELECT":
        for option in element.evaluate("(list) => [...list.options].filter(({ disabled }) => !disabled).map(({ value }) => value)"):
            element.select_option(option, timeout=PATIENT)
            page.wait_for_function("window.waiting === 0", timeout=PATIENT)
    else:
        element.click(timeout=PATIENT, force=True)  # whether it is covered, other tests ask
    page.wait_for_function("window.waiting === 0", timeout=PATIENT)


def press_all(page: Page) -> list[str]:
    """Press everything in the tab that is shown. Returns what was pressed."""
    told = []
    while found := page.evaluate(NEXT, ALIKE):
        tag, elem_id, name = found
        press(page, tag)
        told.append(elem_id or name)
        if elem_id == "train":
            expect(state(page)).to_have_text("Running", timeout=PATIENT)
        if elem_id == "stop":
            expect(state(page)).to_have_text("Stopped", timeout=PATIENT)
        assert len(told) < MOST, told[-20:]
    print(len(told), told)
    return told


def test_train(walked, own_root):
    page = walked
    open_box(page, "Model")
    for field, value in (("n_layers", 1), ("emb_dim", 32)):
        set_number(page, field, value)
    pressed = press_all(page)
    assert {"train", "pause", "stop", "grow", "extend", "snapshot", "keep", "upload"} <= set(pressed)
    for run in list_runs(own_root):
        if run.is_alive():
            run.stop_now()


def test_generate(walked):
    show(walked, "Generate")
    choose_run(walked, "generate", "hostile")
    assert {"generate", "stop-writing"} <= set(press_all(walked))


def test_attention(walked):
    show(walked, "Attention")
    choose_run(walked, "attention", "hostile")
    walked.locator("#explorer [data-shown]").wait_for(timeout=PATIENT)
    pressed = press_all(walked)
    assert {"look", "PNG", "SVG", "Play", "Try every head", "Download as CSV", "Save as an animation"} <= set(pressed)
    panels = walked.locator("#explorer [role=tab]").all_inner_texts()
    assert set(panels) <= set(pressed)


def test_runs(walked, own_root):
    show(walked, "Runs")
    walked.locator("#runs-table table").wait_for(timeout=PATIENT)
    assert {"resume", "rename", "report", "download", "delete", "confirm-delete", "keep-runs", "accept-name",
            "leave-name"} <= set(press_all(walked))
