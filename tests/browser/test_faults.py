"""A fault of the page itself, behind a button: a person sees that it is one, and the log has the rest."""

import pytest
from playwright.sync_api import expect

import demo
from gpt.ui.server.jobs import Jobs
from tests.browser.test_page import PATIENT, show


@pytest.fixture
def broken_page(root):
    """The page, served by this process, whose Delete button has a fault."""
    page = demo.launch(Jobs(root), "127.0.0.1", None)
    button = next(number for number, block in page.blocks.items() if block.elem_id == "delete")
    endpoint = next(fn for fn in page.fns.values() if (button, "click") in fn.targets and fn.fn)

    def fail(*_):
        raise RuntimeError("secret words")

    endpoint.fn = fail
    yield page
    page.close()


@pytest.fixture
def address(broken_page) -> str:
    return broken_page.local_url.rstrip("/")


def test_an_unforeseen_exception_is_shown_and_logged(open_page, capfd):
    page = open_page()
    show(page, "Runs")
    page.locator("#runs-table table").wait_for(timeout=PATIENT)
    page.locator("#delete").click()
    expect(page.get_by_test_id("toast-body")).to_contain_text("fault of the page", timeout=PATIENT)
    assert "secret" not in page.locator("body").inner_text()
    assert "secret words" in capfd.readouterr().err
    page.locator("#rename").click()  # the page lives on
    expect(page.locator("#new-name")).to_be_visible(timeout=PATIENT)
