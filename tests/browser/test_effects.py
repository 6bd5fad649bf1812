"""What a head does, in a real browser: heads taken out by mouse and keyboard, and every head in turn."""

import re

from playwright.sync_api import Page, expect

from tests.browser.test_page import PATIENT, look_at, show


def in_panel(page: Page, of: str):
    """The panel, once it shows what happens without these heads."""
    panel = page.locator(".gpt-panel-content")
    expect(panel).to_have_attribute("data-shown", of, timeout=PATIENT)
    return panel


def marks(page: Page) -> list[str]:
    """What the corners of the mosaic's four tiles tell."""
    told = "(document.querySelector('#explorer .gpt-mosaic .js-plotly-plot').layout.annotations ?? []).map(({ text }) => text)"
    page.wait_for_function(f"{told}.length === 4", timeout=PATIENT)
    return page.evaluate(told)


def test_heads_are_taken_out(open_page):
    page = open_page()
    show(page, "Attention")
    look_at(page, "<b>")
    page.get_by_role("tab", name="What it does").click()

    panel = in_panel(page, "0,0 mean")  # the selected head, by its mean, is what a person is shown first
    told = re.compile(r"Without layer 0 head 0 \(replaced by the mean\) the loss .* nats per token")
    expect(panel.locator(".gpt-sentence")).to_contain_text(told)
    assert panel.locator(".gpt-written").count() == 2
    assert panel.locator(".gpt-written .gpt-prompt").first.text_content() == "<b>"
    assert panel.locator(".gpt-both").count() >= 5

    page.locator("#explorer .gpt-mosaic").focus()
    page.keyboard.press("ArrowRight")
    in_panel(page, "0,1 mean")

    whole = panel.get_by_role("button", name="all of layer 1")
    panel.get_by_role("button", name="layer 0 head 1").focus()  # two heads and a layer, by the keyboard
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Enter")
    in_panel(page, "0,1 0,0 mean")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowLeft")
    expect(whole).to_be_focused()
    page.keyboard.press("Enter")
    expect(whole).to_have_attribute("aria-pressed", "true")
    in_panel(page, "0,1 0,0 1,0 1,1 mean")
    panel.locator("select").select_option("zero")
    in_panel(page, "0,1 0,0 1,0 1,1 zero")
    expect(panel.locator(".gpt-sentence")).to_contain_text("Without all of layer 0 and all of layer 1 (replaced by zero)")
    panel.get_by_role("button", name="Only the selected head").click()
    in_panel(page, "0,1 zero")

    panel.get_by_role("button", name="Try every head").click()
    expect(panel.locator(".gpt-every")).to_contain_text("Each of 4 heads replaced by zero, on ", timeout=PATIENT)
    assert panel.locator(".gpt-bar-row", has_text="±").count() == 4
    assert all(re.search("[+−]0", mark) for mark in marks(page)), marks(page)
    panel.locator(".gpt-bar-row", has_text="layer 1 head 0").first.get_by_role("button").click()
    in_panel(page, "1,0 zero")
    expect(page.locator("#explorer .gpt-view")).to_have_attribute("data-shown", "1,0", timeout=PATIENT)
