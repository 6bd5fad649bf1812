"""The address says where one is, and leads back there, in a real browser."""

import re

from playwright.sync_api import Page, expect

from gpt.ui.server.links import PANELS
from tests.browser.test_page import PATIENT, choose_run, look_at, open_box, set_number, show

WHERE = "#v=1&tab="


def place(page: Page) -> str:
    return page.evaluate("location.hash")


def address_says(page: Page, pattern: str) -> None:
    page.wait_for_function("(pattern) => new RegExp(pattern).test(location.hash)", arg=pattern, timeout=PATIENT)


def follow(page: Page, fragment: str) -> None:
    """Open a link in a page that is open."""
    page.evaluate("(fragment) => { location.hash = fragment; }", fragment)


def opened(page: Page, fragment: str) -> Page:
    """The page, opened anew with a link."""
    page.goto(page.url.split("#")[0] + "?anew" + fragment)
    page.wait_for_function("window.gpt?.link && !gpt.link.isOpening", timeout=PATIENT)
    return page


def shown_tab(page: Page):
    return page.locator("#tabs [role=tab][aria-selected=true]").first


def head_is_shown(page: Page, head: str) -> None:
    page.locator(f"#explorer [data-shown='{head}']").wait_for(timeout=PATIENT)


def test_a_place_on_attention_is_found_again_by_another_person(open_page):
    page = open_page()
    show(page, "Attention")
    look_at(page, "<b>tick")
    page.locator("#attention-weights input[type=range]").press("ArrowLeft")
    expect(page.locator("#explorer .gpt-film b")).to_have_text(re.compile(r"step \d+"), timeout=PATIENT)
    page.get_by_role("tab", name="Scores").click()
    page.get_by_role("button", name="1.0", exact=True).click()
    page.get_by_label("show").select_option("lines")
    page.locator("#explorer .gpt-words .gpt-word").nth(2).click()
    address_says(page, r"step=\d+&prompt=%3Cb%3Etick&head=1\.0&token=2&view=lines&panel=scores$")
    link = place(page)
    step = page.locator("#explorer .gpt-film b").inner_text()

    other = opened(open_page(), link)
    expect(shown_tab(other)).to_have_text("Attention")
    head_is_shown(other, "1,0")
    expect(other.locator("#attention-prompt textarea")).to_have_value("<b>tick")
    expect(other.locator("#explorer .gpt-film b")).to_have_text(step)
    expect(other.get_by_label("show")).to_have_value("lines")
    expect(other.get_by_role("tab", name="Scores")).to_have_attribute("aria-selected", "true")
    expect(other.locator("#explorer .gpt-words .gpt-word[aria-pressed=true]")).to_have_text(">")
    address_says(other, "panel=scores$")
    assert place(other) == link


def test_every_panel_has_a_link(open_page):
    page = opened(open_page(), f"{WHERE}attention&run=hostile&prompt=%3Cb%3E")
    panels = page.locator("#explorer .gpt-tabs [role=tab]")
    expect(panels).to_have_count(len(PANELS), timeout=PATIENT)
    for panel in PANELS:
        follow(page, f"{WHERE}attention&run=hostile&prompt=%3Cb%3E&head=0.1&panel={panel}")
        title = panel.replace("-", " ").capitalize()
        expect(panels.and_(page.get_by_text(title, exact=True))).to_have_attribute("aria-selected", "true", timeout=PATIENT)
    expect(page.locator("#link")).to_be_hidden()


def test_settings_that_differ_are_in_the_link_and_fill_the_form(open_page):
    page = open_page()
    set_number(page, "n_layers", 5)
    set_number(page, "batch", 24)
    address_says(page, "^#v=1&tab=train&preset=quick&n_layers=5&batch=24$")
    link = place(page)
    other = opened(open_page(), link)
    command = other.locator("#price .gpt-command")
    expect(command).to_contain_text("--n_layers 5 --batch 24", timeout=PATIENT)
    follow(other, f"{WHERE}train&preset=induction&seed=7")
    expect(command).to_contain_text("--preset induction", timeout=PATIENT)
    expect(command).to_contain_text("--seed 7")
    expect(command).not_to_contain_text("--batch")
    open_box(other, "All settings")
    expect(other.locator("#search-settings")).to_contain_text("1 changed: seed.")


def test_back_and_forward_walk_through_the_tabs(open_page):
    page = open_page()
    show(page, "Generate")
    choose_run(page, "generate", "hostile")
    page.locator("#prompt textarea").fill("<b>tick")
    address_says(page, "tab=generate&run=hostile&prompt=%3Cb%3Etick$")
    show(page, "Runs")
    page.get_by_label("select run hostile", exact=True).check()
    address_says(page, "tab=runs&run=hostile")
    page.go_back()
    expect(shown_tab(page)).to_have_text("Generate")
    expect(page.locator("#prompt textarea")).to_have_value("<b>tick")
    page.go_back()
    expect(shown_tab(page)).to_have_text("Train")
    page.go_forward()
    page.go_forward()
    expect(shown_tab(page)).to_have_text("Runs")
    expect(page.get_by_label("select run hostile", exact=True)).to_be_checked()


def test_what_a_link_names_and_is_not_here_is_told(open_page):
    page = opened(open_page(), "#v=9&tab=attention&run=hostile")
    told = page.locator("#link .gpt-warning")
    expect(told).to_contain_text("version 9", timeout=PATIENT)
    expect(shown_tab(page)).to_have_text("Train")
    for fragment, words, tab in (
        (f"{WHERE}<img src=x onerror=alert(1)>", "no tab '<img src=x onerror=alert(1)>'", "Train"),
        (f"{WHERE}train&batch=0&nonsense=1", "batch is 0", "Train"),
        (f"{WHERE}generate&prompt={'x' * 10_000}", "10,024 characters", "Train"),
        (f"{WHERE}attention&run=gone&prompt=%3Cb%3E&head=1.1", "'gone'", "Attention"),
        (f"{WHERE}attention&run=hostile&head=7.7", "no head '7.7'", "Attention"),
        (f"{WHERE}attention&run=hostile&panel=%3Cb%3E%00", r"no panel '<b>\x00'", "Attention"),
    ):
        follow(page, fragment)
        expect(told).to_contain_text(words, timeout=PATIENT)
        expect(shown_tab(page)).to_have_text(tab)
    page.locator("#explorer [data-shown]").wait_for(timeout=PATIENT)
    expect(page.locator("#attention-run input")).to_have_value("hostile")
    assert page.locator("img[src=x]").count() == 0
    show(page, "Runs")  # the page can be used, and the sentence goes
    expect(page.locator("#link")).to_be_hidden()
    expect(page.get_by_label("select run hostile", exact=True)).to_be_visible()


def test_the_link_is_copied(open_page):
    page = open_page()
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    show(page, "Generate")
    choose_run(page, "generate", "hostile")
    page.locator("#prompt textarea").fill("<b>")
    page.locator("#writing").get_by_role("button", name="Copy link").click()
    expect(page.locator("#writing").get_by_role("button", name="Copied")).to_be_visible()
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied.endswith(f"{WHERE}generate&run=hostile&prompt=%3Cb%3E")
    page.evaluate("Object.defineProperty(navigator, 'clipboard', { value: undefined })")  # a page that comes over plain HTTP
    page.locator("#prompt textarea").fill("x" * 9000)
    page.locator("#writing").get_by_role("button", name="Copy link").click()
    expect(page.locator("#writing").get_by_role("button", name="without the long prompt")).to_be_visible()
    address_says(page, "tab=generate&run=hostile$")
