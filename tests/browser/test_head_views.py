"""Journeys through the Attention tab: views of one head, roles and their table, and what can be taken home."""

import time

import pytest
from playwright.sync_api import Page, expect

from tests.browser.test_page import PATIENT, look_at, show

PROMPT = "<b>${1+1}</b>`tick`"


def looking(page: Page) -> Page:
    show(page, "Attention")
    look_at(page, PROMPT)
    return page


def panel(page: Page, title: str) -> None:
    page.locator("#explorer .gpt-tabs").get_by_role("tab", name=title).click()


def test_one_head_in_several_lights(open_page):
    page = looking(open_page())
    head, row = page.locator("#explorer .gpt-head"), page.locator("#explorer .gpt-row")
    views, scales = head.locator("select").first, head.locator("select").last
    for view, bar in (("scores before the softmax", "score"), ("value-weighted", "length in the stream"), ("rollout over layers", "share"),
                      ("without the first token", "weight")):
        views.select_option(view)
        page.wait_for_function("""(unit) => document.querySelector(".gpt-head .js-plotly-plot").layout.meta.unit === unit""", arg=bar,
                               timeout=PATIENT)
        expect(row).to_contain_text(f"{bar} of what", timeout=PATIENT)
    scales.select_option("row maximum")
    expect(head.locator(".cbtitle")).to_contain_text("share of the row's largest", timeout=PATIENT)

    views.select_option("lines")
    expect(head.locator(".gpt-small").first).to_contain_text("70 % of its attention", timeout=PATIENT)
    tokens = page.locator("#explorer .gpt-words .gpt-word")
    expect(tokens).to_have_text(list(PROMPT))
    tokens.nth(4).click()
    expect(row).to_contain_text("(position 4)", timeout=PATIENT)
    expect(tokens.nth(4)).to_have_attribute("aria-pressed", "true")
    numbers = [float(text) for text in row.locator(".gpt-number").all_inner_texts()]
    assert len(numbers) == 5
    assert abs(sum(numbers) - 1) < 0.001
    lines = page.evaluate("document.querySelector('.gpt-head .js-plotly-plot').data.length")
    assert 1 <= lines <= 5


def test_heads_have_roles_an_order_and_a_table(open_page):
    page = looking(open_page())
    explorer = page.locator("#explorer .gpt-view")
    expect(explorer.locator(".gpt-sentence")).to_contain_text("Layer 0 head 0", timeout=PATIENT)
    panel(page, "Scores")
    table = explorer.locator("table.gpt-scores")
    expect(table.locator("tbody tr")).to_have_count(5, timeout=PATIENT)  # four heads, and chance
    table.get_by_role("button", name="previous token").click()
    table.get_by_role("button", name="previous token").click()
    expect(table.locator("th", has_text="previous token")).to_have_attribute("aria-sort", "descending")
    column = table.locator("thead th").all_inner_texts().index("previous token\u00a0↓")
    told = table.locator("tbody tr").evaluate_all("(rows, i) => rows.map((row) => row.children[i].textContent)", column)
    assert [float(text) for text in told[:4]] == sorted((float(text) for text in told[:4]), reverse=True)

    best = table.locator("tbody tr td:first-child button").all_inner_texts()[0]
    table.get_by_role("button", name=best, exact=True).click()
    expect(explorer).to_have_attribute("data-shown", best.replace(".", ","), timeout=PATIENT)
    explorer.locator(".gpt-mosaic select").select_option("previous token")
    first = "document.querySelector('.gpt-mosaic .js-plotly-plot').layout.meta"
    page.wait_for_function(f"{first}.ordered && {first}.places[0].join('.') === '{best}'", timeout=PATIENT)
    assert page.evaluate(f"{first}.marks[0].text") == told[0]

    with page.expect_download() as saved:
        explorer.get_by_role("button", name="Download as CSV").click()
    assert saved.value.suggested_filename == "hostile-heads.csv"
    lines = saved.value.path().read_text(encoding="utf-8").splitlines()
    assert lines[0].startswith("layer,head,role,previous token,first token,")
    assert [line.split(",")[:2] for line in lines[1:5]] == [["0", "0"], ["0", "1"], ["1", "0"], ["1", "1"]]
    assert lines[5].split(",")[2] == "chance"


def test_a_late_answer_does_not_cover_what_was_asked_for_after_it(open_page):
    page, held = looking(open_page()), []

    def hold(route) -> None:
        held.append(route) if not held and '"number":' in route.request.post_data else route.continue_()

    page.evaluate("""() => {
        window.seen = [];
        const words = document.querySelector("#explorer .gpt-words");
        new MutationObserver(() => window.seen.push(words.textContent)).observe(words, { childList: true, subtree: true });
    }""")
    page.route("**/queue/join*", hold)
    weights = page.locator("#attention-weights input[type=range]")
    weights.focus()
    weights.press("ArrowLeft")  # other weights: the page looks at the same prompt once more, and its question is held up
    deadline = time.monotonic() + PATIENT / 1000
    while not held and time.monotonic() < deadline:
        page.wait_for_timeout(20)
    assert len(held) == 1
    asked, words = page.locator("#attention-prompt textarea"), page.locator("#explorer .gpt-words")
    asked.fill("<i>")
    page.locator("#inspect").click()
    expect(words).to_have_text("<i>", timeout=PATIENT)
    page.evaluate("window.seen = []")
    with page.expect_response("**/queue/join*"):
        held[0].continue_()
    asked.fill("`")
    page.locator("#inspect").click()
    expect(words).to_have_text("`", timeout=PATIENT)
    assert PROMPT not in page.evaluate("window.seen")


SHARES = "[...document.querySelectorAll('#explorer .gpt-words .gpt-word')].map((token) => Number(token.style.getPropertyValue('--share')))"


def test_the_prompt_is_shaded_by_what_its_tokens_read(open_page):
    """By the selected token, by the one under the pointer, in one head and in all heads of its layer; arrow keys walk."""
    page = open_page()
    show(page, "Attention")
    look_at(page, "<b>tick")
    words = page.locator("#explorer .gpt-words")
    page.wait_for_function(f"Math.abs({SHARES}.reduce((sum, share) => sum + share, 0) - 1) < 0.02", timeout=PATIENT)  # a row sums to 1
    own = page.evaluate(SHARES)
    words.locator(".gpt-word").nth(2).hover()
    pointed = page.evaluate(SHARES)
    assert pointed[3:] == [0, 0, 0, 0]  # a token reads none that come after it
    assert sum(pointed) == pytest.approx(1, abs=0.02)
    expect(page.locator("#explorer")).to_contain_text("> (position 2) reads ")
    page.locator("#explorer .gpt-sentence").first.hover()
    assert page.evaluate(SHARES) == own
    page.get_by_label("shaded by what the selected one reads in").select_option("layer")
    page.wait_for_function(f"(own) => String({SHARES}) !== own", arg=",".join(map(str, own)), timeout=PATIENT)
    words.locator("[aria-pressed=true]").press("ArrowLeft")
    expect(words.locator("[aria-pressed=true]")).to_have_text("c")
    page.wait_for_function(f"{SHARES}.at(-1) === 0", timeout=PATIENT)


def test_attention_opens_on_a_passage_in_which_its_head_shows(open_page, root):
    page = open_page()
    show(page, "Attention")
    page.locator("#explorer [data-shown]").wait_for(timeout=PATIENT)
    first = page.locator("#attention-prompt textarea").input_value()
    expect(page.locator("#explorer .gpt-words .gpt-word")).to_have_count(len(first), timeout=PATIENT)  # characters
    assert first in (root.parent / "hostile.txt").read_text(encoding="utf-8")
