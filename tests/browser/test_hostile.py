"""What a person, a file or a model has written shows as it stands, wherever the page shows it: no markup, no template, no command."""

import json
import re
import shutil
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from gpt.escape import escaped
from tests.browser.conftest import ACTING, HOSTILE
from tests.browser.test_page import PATIENT, choose_run, open_box, set_number, show

ALL = HOSTILE.strip() + ACTING
SHOWN = escaped(ALL)

# Text and attributes for people of everything in the page; what acts and does not show must be in none of them.
UNSEEN = r"""() => {
    const isText = (node) => node.nodeType === Node.TEXT_NODE && !/SCRIPT|STYLE/.test(node.parentNode.tagName);
    const told = [...document.querySelectorAll("body *")].flatMap((element) => [
        ...[...element.childNodes].filter(isText).map((node) => node.data),
        element.title, element.getAttribute("aria-label"), element.value && String(element.value)]);
    return told.filter((text) => text && /[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]/.test(text));
}"""


def nothing_acts(page: Page) -> None:
    assert page.evaluate(UNSEEN) == []
    assert page.locator("img[src=x]").count() == 0


@pytest.fixture
def broken(root) -> Path:
    """A run whose files say hostile things: its error, its log, the name of its text, a sample and a warning."""
    run = root / "broken"
    shutil.copytree(root / "hostile", run)
    saved = json.loads((run / "config.json").read_text())
    saved["corpus"]["name"] = ALL
    (run / "config.json").write_text(json.dumps(saved))
    status = json.loads((run / "status.json").read_text())
    (run / "status.json").write_text(json.dumps(status | {"state": "failed", "error": ALL}))
    (run / "log.txt").write_text(ALL)
    with open(run / "metrics.jsonl", "a", encoding="utf-8") as rows:
        for kind, more in (("sample", {"prompt": ALL}), ("warning", {})):
            rows.write(json.dumps({"step": 40, "tokens": 1, "seconds": 1, "kind": kind, "text": ALL, **more}) + "\n")
    yield run
    shutil.rmtree(run)


@pytest.mark.usefixtures("broken")
def test_what_a_runs_files_say(open_page):
    page = open_page()
    monitor = page.locator("#monitor")
    expect(monitor.locator(".gpt-error")).to_have_text(SHOWN, timeout=PATIENT)
    monitor.locator("summary").click()
    expect(monitor.locator("pre")).to_have_text(SHOWN)
    expect(monitor.locator(".gpt-warning")).to_have_text(SHOWN)
    expect(monitor.locator(".gpt-sample .gpt-written").first).to_have_text(SHOWN + SHOWN)
    nothing_acts(page)
    show(page, "Runs")
    expect(page.locator("#runs-table")).to_contain_text(SHOWN, timeout=PATIENT)
    nothing_acts(page)


def test_what_a_person_types_and_a_model_writes(open_page):
    page = open_page()
    show(page, "Generate")
    choose_run(page, "generate", "hostile")
    set_number(page, "max_new_tokens", 400)
    set_number(page, "temperature", 1)
    page.locator("#prompt textarea").fill(ALL)
    page.locator("#generate").click()
    writing = page.locator("#writing")
    expect(writing).to_contain_text("400 tokens", timeout=PATIENT)
    text = writing.locator(".gpt-written").inner_text()
    assert text.startswith(SHOWN)
    assert "␛" in text.removeprefix(SHOWN)
    writing.locator(".gpt-token").nth(5).hover()
    page.locator("#prompt textarea").fill("")
    nothing_acts(page)
    page.locator("#prompt textarea").fill("Ω<i>\x1b")
    page.locator("#generate").click()
    expect(writing.locator(".gpt-error")).to_contain_text("never saw 'Ω'", timeout=PATIENT)


def test_what_a_message_tells_and_what_is_pasted(open_page):
    page = open_page()
    open_box(page, "All settings")
    page.locator("#run-name textarea, #run-name input").fill("<img src=x onerror=alert(1)>${7*7}{{7*7}}")
    name = "'<img src=x onerror=alert(1)>${7*7}{{7*7}}'"
    expect(page.locator("#price .gpt-error")).to_contain_text(name, timeout=PATIENT)
    page.locator("#train").click()
    expect(page.get_by_test_id("toast-body")).to_contain_text(name, timeout=PATIENT)
    nothing_acts(page)

    open_box(page, "Your own text")
    page.locator("#pasted textarea").fill(f"{ALL}\n" * 60)
    page.locator("#keep").click()
    expect(page.locator("#preview .gpt-opening")).to_contain_text(SHOWN, timeout=PATIENT)
    expect(page.locator("#pasted textarea")).to_have_value("")
    nothing_acts(page)


def test_labels_of_tokens(open_page):
    page = open_page()
    show(page, "Attention")
    choose_run(page, "attention", "hostile")
    page.locator("#attention-prompt textarea").fill("<b>\x1b[2J</b>")
    page.locator("#inspect").click()
    page.wait_for_function("""() => document.querySelector("#explorer [data-shown] .gpt-head .js-plotly-plot")
        ?.layout?.meta.labels.join("") === "<b>U+001B[2J</b>" """, timeout=PATIENT)
    expect(page.locator("#explorer .gpt-sentence")).to_contain_text(re.compile("Layer 0 head 0"))
    page.locator("#attention-prompt textarea").fill("")
    nothing_acts(page)
