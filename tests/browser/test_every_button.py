"""Every button, link and list of every tab, pressed once, as by a person who tries everything: nothing may answer with a fault."""

import re
import shutil
from pathlib import Path

import pytest
from playwright.sync_api import FileChooser, Page, expect

from gpt.runs.run import list_runs
from tests.browser.test_page import PATIENT, choose_run, set_number, show, state
from tests.serving import PROJECT, served
from tests.sessions import until

ALIKE = 2  # of things that differ in a number or a token only, so many are pressed
MOST = 400  # presses: far more than there are things to press

# Presses the next thing in sight that has not been pressed, at once, before anything can draw it anew, and says what it is; nothing if
# there is none. A list is only marked. Panels, which hide what the one before showed, come when all else is done. Whatever is hidden or
# covered a moment later is pressed all the same: whether it can be is for other tests.
NEXT = """(alike) => {
    window.pressed ??= new Map();
    document.querySelectorAll("[data-next]").forEach((element) => element.removeAttribute("data-next"));
    const inSight = (element) => element.offsetParent && !element.disabled && element.getClientRects().length
        && getComputedStyle(element).visibility === "visible" && !element.closest(".gpt-hidden");
    const all = [...document.querySelectorAll("[role=tabpanel]")].filter((panel) => panel.offsetParent)
        .flatMap((panel) => [...panel.querySelectorAll("button, a[href], select, summary, input[type=checkbox]")]).filter(inSight);
    const name = (element) => element.getAttribute("aria-label") || element.textContent.trim();
    const isOneOfMany = (element) => /gpt-(word|take|picture)/.test(element.className);
    const kind = (element) => [element.tagName, element.id || element.closest("[id]")?.id,
        isOneOfMany(element) ? element.className : name(element).replace(/[0-9]+/g, "#")].join(" ");
    const isNew = (element) => {
        const names = window.pressed.get(kind(element)) ?? new Set();
        return !names.has(name(element)) && names.size < alike;
    };
    const next = all.find((element) => isNew(element) && element.role !== "tab") ?? all.find(isNew);
    if (!next) return null;
    window.pressed.set(kind(next), (window.pressed.get(kind(next)) ?? new Set()).add(name(next)));
    const pressed = [next.tagName, next.id, name(next).slice(0, 60)];    // as it is before: Play becomes Pause
    if (next.tagName === "SELECT") next.setAttribute("data-next", "");
    else next.click();
    return pressed;
}"""

# What the page tells for a moment only, and how many answers it waits for. That it asks how its run does, again and again, does not count.
WATCH = """() => {
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
}"""


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
    (tmp_path / "folder").mkdir()
    text = tmp_path / "folder" / "upload.txt"
    text.write_text("a text to upload, of some sixty letters and a few more\n" * 30)
    page, refused = open_page(), []
    page.evaluate(WATCH)
    page.on("response", lambda answer: refused.append(f"{answer.status} {answer.url}") if answer.status >= 400 else None)
    page.on("filechooser", lambda chooser: chooser.set_files(text.parent if takes_folder(chooser) else text))
    yield page
    assert refused == []
    toasts = page.evaluate("window.toasts")
    assert [toast for toast in toasts if re.search("fault|error of the page", toast)] == [], toasts


def takes_folder(chooser: FileChooser) -> bool:
    return chooser.element.evaluate("(input) => input.webkitdirectory")


def choose_all(page: Page, tag: str) -> None:
    """Choose everything that a marked list offers, one after the other, and wait until the page has its answers."""
    element = page.locator("[data-next]")
    if tag == "SELECT":
        for option in element.evaluate("(list) => [...list.options].filter(({ disabled }) => !disabled).map(({ value }) => value)"):
            element.select_option(option, timeout=PATIENT)
            page.wait_for_function("window.waiting === 0", timeout=PATIENT)
    page.wait_for_function("window.waiting === 0", timeout=PATIENT)


def press_all(page: Page, *expected: str) -> None:
    """Press everything in the tab that is shown. It must hold what is `expected`, ids or words, which may appear a little later."""
    pressed = []

    def found() -> list[str] | str:
        """What has just been pressed, or "all" if there is nothing more to press."""
        return page.evaluate(NEXT, ALIKE) or (set(expected) <= set(pressed) and "all")

    try:
        while (one := until(found, PATIENT / 1000)) != "all":
            tag, elem_id, name = one
            pressed.append(elem_id or name)
            choose_all(page, tag)
            if elem_id == "snapshot":  # of the run that was made longer: it must end before another can be grown
                page.locator("#stop").click()
                elem_id = "stop"
            if elem_id in ("train", "stop"):
                expect(state(page)).to_have_text("Running" if elem_id == "train" else "Stopped", timeout=PATIENT)
            assert len(pressed) < MOST, pressed[-20:]
    finally:
        print(len(pressed), pressed)


def test_train(walked, own_root):
    for field, value in (("n_layers", 1), ("emb_dim", 32)):
        set_number(walked, field, value)
    press_all(walked, "train", "pause", "stop", "grow", "extend", "snapshot", "keep", "upload", "upload-folder", "tokens-show")
    for run in list_runs(own_root):
        if run.is_alive():
            run.stop_now()


def test_generate(walked):
    show(walked, "Generate")
    choose_run(walked, "generate", "hostile")
    press_all(walked, "generate", "stop-writing")


def test_attention(walked):
    show(walked, "Attention")
    choose_run(walked, "attention", "hostile")
    walked.locator("#explorer [data-shown]").wait_for(timeout=PATIENT)
    panels = walked.locator("#explorer [role=tab]").evaluate_all("(panels) => panels.map(({ id }) => id)")
    press_all(walked, "inspect", "PNG", "SVG", "Play", "Try every head", "Download as CSV", "Save as an animation", *panels)


def test_runs(walked):
    show(walked, "Runs")
    walked.locator("#runs-table table").wait_for(timeout=PATIENT)
    press_all(walked, "resume", "rename", "report", "download", "delete", "export")  # what they ask before they act, test_runs.py answers
