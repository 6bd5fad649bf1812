"""For everyone: nothing that axe-core calls serious, everything by keyboard, nothing that scrolls sideways on a phone."""

import re

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.browser.conftest import PATIENT
from tests.browser.test_page import choose_run, look_at, open_box, prompted

MOST_STOPS = 120  # presses of Tab to any control


def violations(page: Page, within: str | None = None) -> list[str]:
    """What axe-core finds on the page as it is, or within an element: each serious fault with the first element that has it."""
    found = Axe().run(page, context=within, options={"resultTypes": ["violations"]}).response["violations"]
    return [f"{one['id']}: {one['nodes'][0]['html'][:200]}" for one in found if one["impact"] in ("serious", "critical")]


def fits(page: Page) -> bool:
    return page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def go(page: Page, tab: str) -> None:
    page.evaluate("(tab) => gpt.openTab(tab)", tab)
    expect(page.locator(f"#tabs [role=tab][data-tab-id={tab}]").first).to_have_attribute("aria-selected", "true")


@pytest.mark.parametrize(("width", "dark"), [(1280, False), (390, True)])
def test_every_tab_can_be_read_and_used_by_everyone(open_page, width, dark):
    page = open_page(width, 844, dark)
    page.emulate_media(reduced_motion="reduce")  # nothing is half faded when it is judged
    for box in ("Your own text", "All settings", "More steps, snapshots"):
        open_box(page, box)
    page.locator("#setting-seed").wait_for()
    seen = {"train": violations(page)}
    assert fits(page)
    go(page, "generate")
    choose_run(page, "generate", "hostile")
    page.locator("#beside input").check()
    page.locator("#beside-run input").wait_for()
    page.locator("#prompt textarea").fill("<b>")
    page.locator("#generate").click()
    expect(page.locator("#writing")).to_contain_text("per second", timeout=PATIENT)
    seen["generate"] = violations(page)
    assert fits(page)
    go(page, "runs")
    page.get_by_label("select run hostile", exact=True).wait_for()
    seen["runs"] = violations(page)
    assert fits(page)
    go(page, "attention")
    look_at(page, "<b>tick`tick`")
    seen["attention"] = violations(page)
    for panel in page.locator("#explorer .gpt-tabs [role=tab]").all():
        panel.click()
        page.wait_for_function("document.querySelector('#explorer .gpt-panel').innerText.length > 80", timeout=PATIENT)
        seen[panel.inner_text()] = violations(page, "#explorer .gpt-panel")
        assert fits(page), panel.inner_text()
    assert {place: found for place, found in seen.items() if found} == {}


def reach(page: Page, selector: str) -> None:
    """Press Tab until the control has the focus, which must show."""
    for _ in range(MOST_STOPS):
        page.keyboard.press("Tab")
        if page.evaluate("(selector) => document.activeElement.matches(selector)", selector):
            assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"
            return
    raise AssertionError(f"{selector} is not reached with {MOST_STOPS} presses of Tab")


def test_a_setting_is_changed_by_keyboard(open_page):
    page = open_page()
    reach(page, "#setting-n_layers input[type=range]")
    page.keyboard.press("ArrowRight")
    expect(page.locator("#price .gpt-command")).to_contain_text("--n_layers 4", timeout=PATIENT)
    reach(page, "#train")
    reach(page, "#search-settings input, button.label-wrap")


def test_a_text_is_written_and_inspected_by_keyboard(open_page):
    page = prompted(open_page())
    page.locator("#prompt textarea").focus()
    page.keyboard.press("Control+Enter")
    expect(page.locator("#writing")).to_contain_text("per second", timeout=PATIENT)
    reach(page, "#writing .gpt-token")
    page.keyboard.press("Enter")
    page.locator("#explorer [data-shown]").wait_for(timeout=PATIENT)
    expect(page.locator("#explorer")).to_contain_text("The step at which the model wrote", timeout=PATIENT)


def test_heads_tokens_and_panels_are_walked_by_keyboard(open_page):
    page = open_page()
    go(page, "attention")
    look_at(page, "<b>tick")
    explorer = page.locator("#explorer .gpt-view")
    layer, head = explorer.get_attribute("data-shown").split(",")
    page.locator("#inspect").focus()
    reach(page, "#explorer .gpt-mosaic")
    page.keyboard.press("ArrowLeft" if head == "1" else "ArrowRight")
    expect(explorer).to_have_attribute("data-shown", f"{layer},{1 - int(head)}", timeout=PATIENT)
    reach(page, "#explorer .gpt-words .gpt-word")
    page.keyboard.press("ArrowLeft")
    expect(page.locator("#explorer .gpt-word[aria-pressed=true]")).to_have_text("c")
    expect(page.locator("#explorer")).to_contain_text(re.compile(r"c \(position 5\) reads"))
    reach(page, "#explorer .gpt-tabs [role=tab]")
    page.keyboard.press("Enter")
    expect(page.get_by_role("tab", name="Scores")).to_have_attribute("aria-selected", "true")
