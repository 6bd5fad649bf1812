"""Choosing a run, in a real browser, while its answer is on the way."""

import shutil

import pytest
from playwright.sync_api import expect

from tests.browser.test_page import PATIENT, choose_run, show


@pytest.fixture
def two(root):
    """Another run beside `hostile`, as unable as it is to read the prompt that the page comes with."""
    shutil.copytree(root / "hostile", root / "twin")
    yield
    shutil.rmtree(root / "twin")


@pytest.mark.usefixtures("two")
def test_what_is_typed_while_a_run_is_being_chosen_stays(open_page):
    page = open_page()
    show(page, "Generate")
    choose_run(page, "generate", "hostile")
    box, prompt, other = page.locator("#generate-run input"), page.locator("#prompt textarea"), "twin"
    expect(prompt).not_to_have_value("Once there was", timeout=PATIENT)  # neither run can read it
    prompt.fill("Once there was")  # the page may change its own prompt, and no other
    held, typed = [], False

    def hold(route) -> None:
        if typed or f'"{other}"' not in (route.request.post_data or ""):
            route.continue_()
        else:
            held.append(route)

    page.route("**/gradio_api/**", hold)
    with page.expect_request(lambda request: f'"{other}"' in (request.post_data or "")):
        box.click()
        page.get_by_role("option", name=other).click()
    prompt.fill("<b>tick")
    typed = True
    with page.expect_response(lambda response: f'"{other}"' in (response.request.post_data or "")):
        for route in held:
            route.continue_()
    expect(page.locator("#generate-weights input[type=range]")).to_have_value("5", timeout=PATIENT)
    page.locator("#generate").click()
    expect(page.locator("#writing")).to_contain_text("per second", timeout=PATIENT)
    expect(page.locator("#writing")).to_contain_text(f"({other}, best weights)")
    expect(prompt).to_have_value("<b>tick")
    expect(page.locator("#writing .gpt-prompt")).to_have_text("<b>tick")


def test_a_tab_that_is_chosen_before_the_scripts_are_there_is_filled_once_they_are(browser, address):
    page, held = browser.new_page(), []
    page.route("**/keys.js", lambda route: held.append(route))  # the last of them
    page.goto(address, wait_until="commit")
    page.get_by_role("tab", name="Attention", exact=True).click(timeout=PATIENT)
    assert page.evaluate("!window.gpt?.complete")
    held[0].continue_()
    expect(page.locator("#attention-run input")).not_to_have_value("", timeout=PATIENT)
    page.close()
