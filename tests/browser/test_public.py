"""A page that anyone may use: two visitors, and one who knows the password."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from gpt.data.built_in import BUILT_IN
from gpt.runs.run import list_runs
from gpt.ui.server.access import OWNERS
from tests.browser.test_page import PATIENT, open_box, set_number, show, state
from tests.conftest import TEXT
from tests.serving import served
from tests.sessions import until

PASSWORD = "open sesame"


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("public") / "checkpoints"


@pytest.fixture(scope="module")
def address(root) -> str:
    with served(root, "--public", "--password", PASSWORD) as url:
        yield url


def offered(page: Page) -> list[str]:
    """The texts that the page offers."""
    page.locator("#source input").click()
    options = page.get_by_role("listbox").get_by_role("option")
    options.first.wait_for(timeout=PATIENT)
    names = options.all_inner_texts()
    page.keyboard.press("Escape")
    return [name.strip().removeprefix("✓").strip() for name in names]


def told(page: Page, sentence: str) -> None:
    """Wait for a message."""
    expect(page.get_by_test_id("toast-body").filter(has_text=sentence).first).to_be_visible(timeout=PATIENT)


def test_a_visitors_runs_and_texts_are_their_own(open_page, root):
    anna, bert = open_page(), open_page()
    expect(anna.locator("#public")).to_contain_text("This page is public")
    open_box(anna, "Your own text")
    anna.locator("#pasted textarea").fill(TEXT)
    anna.locator("#keep").click()
    expect(anna.locator("#source input")).to_have_value("pasted", timeout=PATIENT)
    for field, value in (("n_layers", 1), ("emb_dim", 32)):
        set_number(anna, field, value)
    set_number(anna, "max_steps", 20000)
    set_number(anna, "batch", 2)
    expect(anna.locator("#price .gpt-command")).to_contain_text("--max_minutes 10", timeout=PATIENT)
    expect(anna.locator("#price .gpt-command")).to_contain_text("--batch 2", timeout=PATIENT)
    anna.locator("#train").click()
    expect(state(bert)).to_have_text("Running", timeout=PATIENT)
    run = list_runs(root)[0]

    assert offered(bert) == [*BUILT_IN]
    for button in ("#stop", "#pause"):
        bert.locator(button).click()
        told(bert, f"run {run.name} is not yours")
    assert run.status()["state"] == "running"

    anna.reload()  # the browser has kept the key
    expect(state(anna)).to_have_text("Running", timeout=PATIENT)
    expect(anna.locator("#visitor textarea, #visitor input")).to_have_value(re.compile(".{20}"), timeout=PATIENT)
    until(lambda: "pasted" in offered(anna))  # the list comes with the form, a moment after the page
    anna.locator("#stop").click()
    expect(state(bert)).to_have_text("Stopped", timeout=PATIENT)

    show(bert, "Runs")
    bert.locator("#runs-table tbody input:checked").wait_for(timeout=PATIENT)
    bert.locator("#delete").click()
    bert.locator("#confirm-delete").click(timeout=PATIENT)
    told(bert, f"run {run.name} is not yours")
    assert run.path.exists()
    open_box(bert, "Limits, and the password of this page")
    bert.locator("#password input").fill("wrong sesame")
    bert.locator("#enter").click()
    told(bert, "that is not the page's password")
    bert.locator("#password input").fill(PASSWORD)
    bert.locator("#enter").click()
    told(bert, "You may now stop, change and delete all runs")
    bert.locator("#delete").click()
    bert.locator("#confirm-delete").click()
    expect(bert.locator("#runs-table")).not_to_contain_text(run.name, timeout=PATIENT)
    assert not run.path.exists()
    assert run.name not in (root / OWNERS).read_text()


def test_a_config_over_a_cap_is_told_before_and_refused(open_page, root):
    page = open_page()
    set_number(page, "emb_dim", 1024)
    expect(page.locator("#price .gpt-error").first).to_contain_text("a visitor of this page may take 10 million", timeout=PATIENT)
    page.locator("#train").click()
    told(page, "a visitor of this page may take 10 million")
    assert list_runs(root) == []
