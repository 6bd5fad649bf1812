"""The heads of a prompt over the training: played, walked by hand, as a strip, and as a file that plays without the page."""

import pytest
from playwright.sync_api import Page, expect

from tests.browser.test_page import PATIENT, look_at, show

PROMPT = "<b>${1+1}"


@pytest.fixture
def page(open_page) -> Page:
    """The Attention tab, looking at a prompt in the best weights of a run with 5 snapshots."""
    page = open_page()
    show(page, "Attention")
    look_at(page, PROMPT)
    return page


def shown_step(page: Page):
    return page.locator(".gpt-film b")


def slider(page: Page):
    return page.locator("#attention-weights input[type=range]")


def test_a_run_is_played_to_its_end_stopped_in_between_and_the_slider_follows(page):
    page.evaluate("""() => {
        window.steps = [];
        new MutationObserver(() => {
            const step = document.querySelector(".gpt-film b").textContent;
            if (window.steps.at(-1) !== step) window.steps.push(step);
        }).observe(document.querySelector(".gpt-film b"), { childList: true });
    }""")
    play = page.get_by_role("button", name="Play", exact=True)
    play.click()
    expect(page.get_by_role("button", name="Pause", exact=True)).to_be_visible()
    expect(play).to_be_visible(timeout=PATIENT)
    marks = page.locator(".gpt-marks button").all_inner_texts()
    assert marks[0] == "0"
    assert marks[-1] == "best"
    assert [step for step in page.evaluate("window.steps") if step.startswith("step")] == [f"step {mark}" for mark in marks[:-1]]
    expect(shown_step(page)).to_have_text("best weights")
    expect(slider(page)).to_have_value("5")

    page.locator(".gpt-mosaic").focus()
    page.keyboard.press("Space")
    expect(shown_step(page)).to_have_text("step 0")
    page.keyboard.press("Space")
    expect(play).to_be_visible()
    step = shown_step(page).inner_text().removeprefix("step ")
    expect(slider(page)).to_have_value(str(marks.index(step)), timeout=PATIENT)
    expect(page.locator("#attention-weights")).to_contain_text(f"weights: at training step {step}", timeout=PATIENT)
    expect(page.locator(".gpt-marks [aria-pressed=true]")).to_have_text(step)


def test_a_strip_of_one_head_leads_to_each_step(page):
    page.get_by_role("tab", name="Over time").click()
    pictures = page.locator(".gpt-picture")
    expect(pictures).to_have_count(6, timeout=PATIENT)
    drawn = "document.querySelectorAll('.gpt-picture canvas')[0].toDataURL()"
    first = page.evaluate(drawn)
    assert first != page.evaluate(drawn.replace("[0]", "[5]"))
    pictures.nth(1).click()
    expect(shown_step(page)).to_have_text(pictures.nth(1).inner_text())
    expect(slider(page)).to_have_value("1", timeout=PATIENT)
    expect(page.locator(".gpt-picture[aria-pressed=true]")).to_have_count(1)
    page.locator(".gpt-mosaic").focus()
    page.keyboard.press("ArrowRight")
    page.wait_for_function(f"(before) => {drawn} !== before", arg=first)


def test_the_animation_plays_from_the_disk_without_a_network(page, browser, tmp_path):
    page.get_by_role("tab", name="Over time").click()
    with page.expect_download() as download:
        page.get_by_role("button", name="Save as an animation").click()
    assert download.value.suggested_filename == "hostile-heads.html"
    path = tmp_path / "film.html"
    download.value.save_as(path)

    faults, context = [], browser.new_context(offline=True, color_scheme="dark")
    alone = context.new_page()
    alone.on("console", lambda message: faults.append(message.text) if message.type == "error" else None)
    alone.on("pageerror", lambda error: faults.append(str(error)))
    alone.on("request", lambda request: faults.append(request.url) if request.url != path.as_uri() else None)
    alone.goto(path.as_uri())
    expect(alone.locator("h1")).to_have_text("hostile: heads that form")
    assert alone.locator("#tokens code").all_inner_texts() == list(PROMPT)
    cells = "document.querySelector('#cells').toDataURL()"
    best = alone.evaluate(cells)
    alone.keyboard.press("Space")
    expect(alone.locator("#play")).to_have_text("Pause")
    expect(alone.locator("#step")).to_have_text("step 0")
    assert alone.evaluate(cells) != best
    expect(alone.locator("#play")).to_have_text("Play", timeout=PATIENT)
    expect(alone.locator("#step")).to_have_text("best weights")
    assert alone.evaluate(cells) == best
    alone.locator("#place").fill("1")
    expect(alone.locator("#step")).not_to_have_text("best weights")
    context.close()
    assert not faults, faults
