"""Attention on a prompt longer than what a map shows whole, whose tokens are long too."""

import pytest
from playwright.sync_api import expect

from gpt.runs.session import Session
from tests.browser.conftest import PATIENT, SMALL
from tests.browser.test_page import show
from tests.serving import served

RULE = "=" * 60
TEXT = "".join(f"{RULE}\nline {i} of a text\n" for i in range(900))


@pytest.fixture(scope="module")
def address(tmp_path_factory) -> str:
    folder = tmp_path_factory.mktemp("long") / "checkpoints"
    text = folder.parent / "long.txt"
    text.write_text(TEXT)
    config = {**SMALL, "corpus": str(text), "tokenizer": "bpe", "vocab_size": 300, "context_length": 400, "max_steps": 2, "eval_every": 2,
              "eval_tokens": 1024, "head_scores": 0, "snapshots": 0}
    for _ in Session(folder, "long", config).events():
        pass
    with served(folder) as url:
        yield url


@pytest.fixture
def looking(open_page):
    def at(prompt: str, width: int = 1280):
        page = open_page(width)
        show(page, "Attention")
        page.locator("#explorer [data-shown]").wait_for(timeout=PATIENT)
        page.locator("#attention-prompt textarea").fill(prompt)
        page.locator("#inspect").click()
        page.wait_for_function("""(start) => [...document.querySelectorAll("#explorer .gpt-words .gpt-word")].map(({ title }) => title)
            .join("").startsWith(start)""", arg=prompt[:4], timeout=PATIENT)
        return page

    return at


def test_lines_have_the_rows_numbers_past_256_tokens(looking):
    page = looking(TEXT[:3000])
    page.wait_for_function("document.querySelectorAll('#explorer .gpt-words .gpt-word').length > 256", timeout=PATIENT)
    page.get_by_label("show").select_option("lines")
    expect(page.locator("#explorer .gpt-row .gpt-bar-row").first).to_be_visible(timeout=PATIENT)
    expect(page.locator("#explorer .gpt-row")).to_contain_text("of what")


def test_long_labels_leave_the_map_its_size_and_stick_out_nowhere(looking):
    page = looking(TEXT[:200], width=390)
    layout = "document.querySelector('#explorer .gpt-head .js-plotly-plot').layout"
    page.wait_for_function(f"{layout}.meta.labels.some((label) => label.length > 20)", timeout=PATIENT)
    ticks = page.evaluate(f"{layout}.yaxis.ticktext")
    assert max(map(len, ticks)) <= 7
    area = page.locator("#explorer .gpt-head .nsewdrag").bounding_box()
    assert area["width"] > 0.5 * 326
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    words = page.locator("#explorer .gpt-words .gpt-word")
    assert max(words.evaluate_all("(words) => words.map((word) => word.getBoundingClientRect().right)")) <= 390


def test_all_labels_of_a_prompt_of_forty_tokens_show_at_1280_pixels(looking):
    page = looking("textinof " * 12)
    labels = page.locator("#explorer .gpt-words .gpt-word").count()
    assert 30 <= labels <= 40
    page.wait_for_function("(n) => document.querySelectorAll('#explorer .gpt-head .ytick').length === n", arg=labels, timeout=PATIENT)


def test_a_refusal_is_in_sight_wherever_the_person_is(looking):
    page = looking(RULE)
    page.locator("#explorer .gpt-tabs [role=tab]", has_text="Export").click()
    page.evaluate("window.scrollTo(0, document.body.scrollHeight)")
    page.evaluate("gpt.showError(document.querySelector('#explorer .gpt-error'), 'this cannot be made: choose a shorter prompt')")
    box = page.locator("#explorer .gpt-error").first.bounding_box()
    assert 0 <= box["y"] < box["y"] + box["height"] <= 800
    page.evaluate("gpt.showError(document.querySelector('#explorer .gpt-error'), '')")
    expect(page.locator("#explorer .gpt-error").first).to_have_text("")
