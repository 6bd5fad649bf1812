"""The logit lens, and the way from a written token to the heads that led to it, in a real browser."""

import re

from playwright.sync_api import Page, expect

from tests.browser.test_page import PATIENT, look_at, prompted, show

NOTE = "The step at which the model wrote"


def write(page: Page) -> None:
    page.locator("#generate").click()
    expect(page.locator("#writing")).to_contain_text("per second", timeout=PATIENT)


def weigh(page: Page, tab: str, place: int) -> None:
    box = page.locator(f"#{tab}-weights input[type=number]")
    box.fill(str(place))
    box.press("Enter")


def read_tokens(page: Page, n: int) -> list[str]:
    """The `n` tokens that the page shows, once they are drawn."""
    expect(page.locator("#explorer .gpt-words .gpt-word")).to_have_count(n, timeout=PATIENT)
    return page.locator("#explorer .gpt-words .gpt-word").all_inner_texts()


def test_layers_and_parts_of_a_prediction_are_read_by_pointer_keys_and_choice(open_page):
    page = open_page()
    show(page, "Attention")
    look_at(page, "<b>${1+1}</b>`tick`")
    explorer = page.locator("#explorer")
    explorer.get_by_role("tab", name="Logit lens").click()
    panel = explorer.locator(".gpt-panel-content")
    rows = panel.locator(".gpt-lens-layers tr")
    expect(rows).to_have_count(4, timeout=PATIENT)  # a head, the embeddings and two layers
    expect(panel.locator(".gpt-lens-layers")).to_contain_text("nothing follows")
    expect(panel.locator(".gpt-signed-row").first).to_be_visible(timeout=PATIENT)
    found = re.search(r"sum to (\S+); .* is (\S+)\.$", panel.locator(".gpt-sentence").inner_text())
    assert abs(float(found[1]) - float(found[2])) < 0.002

    plot = panel.locator(".js-plotly-plot")
    cells = plot.locator("text", has_text=re.compile(r"^[<b$>]")).first
    expect(cells).to_be_visible()
    panel.get_by_label("Layers and positions. Arrow keys move, Enter selects the token.").focus()
    for key in ("ArrowLeft", "ArrowLeft", "ArrowUp"):
        page.keyboard.press(key)
    expect(panel.locator(".gpt-reading")).to_contain_text("c (position 16) after layer 0: ")
    expect(panel.locator(".gpt-reading")).to_contain_text("the true next token k has rank ")
    page.keyboard.press("Enter")
    expect(explorer.locator(".gpt-word[aria-pressed=true]")).to_have_text("c", timeout=PATIENT)
    expect(rows.first).to_contain_text("rank of the true", timeout=PATIENT)
    expect(panel.locator(".gpt-title + .gpt-settings select").first).to_contain_text("k ", timeout=PATIENT)

    before = panel.locator(".gpt-sentence").inner_text()
    panel.get_by_label("less").select_option("nothing")
    expect(panel.locator(".gpt-sentence")).not_to_have_text(before, timeout=PATIENT)
    panel.get_by_role("button", name="layer 1 head 1").click()
    expect(explorer.locator(".gpt-view")).to_have_attribute("data-shown", "1,1", timeout=PATIENT)
    expect(panel.locator(".gpt-signed-row.gpt-chosen")).to_contain_text("layer 1 head 1")
    panel.get_by_label("colour").select_option("rank of the true next token")
    ranks = "document.querySelector('.gpt-panel-content .js-plotly-plot').data[0].colorbar.ticktext[0] === '1'"
    page.wait_for_function(ranks, timeout=PATIENT)


def test_a_written_token_leads_to_its_step_in_attention_and_nothing_overwrites_it(open_page):
    page = prompted(open_page())
    weigh(page, "generate", 0)
    expect(page.locator("#generate-weights")).to_contain_text("at training step 0", timeout=PATIENT)
    write(page)
    tokens = page.locator("#writing .gpt-token")
    tokens.nth(5).click()
    side = page.locator("#writing .gpt-next")
    expect(side).to_contain_text(re.compile(r"surprisal of \d+\.\d\d nats"))
    kept = side.inner_text()
    tokens.nth(9).hover()
    assert side.inner_text() == kept
    assert side.locator(".gpt-stages").first.locator("i").count() == 3
    written = tokens.all_inner_texts()[:5]

    side.get_by_role("button", name="Inspect this step in Attention").click()  # the tab's first showing, with its own default prompt
    note = page.locator("#explorer .gpt-small").first
    expect(note).to_contain_text(NOTE, timeout=PATIENT)
    expect(note).to_contain_text("in hostile, step 0.")
    expect(page.locator("#attention-weights")).to_contain_text("at training step 0", timeout=PATIENT)
    read = read_tokens(page, 3 + 5)
    assert all(label == sign for label, sign in zip(read, ["<", "b", ">", *written], strict=True) if re.match("[!-~]$", sign))
    assert page.locator("#explorer .gpt-word").last.get_attribute("aria-pressed") == "true"

    weigh(page, "attention", 5)  # other weights of the run read the same tokens, whatever the tab asked for on the way
    expect(note).to_contain_text("read by other weights, hostile, best weights", timeout=PATIENT)
    assert read_tokens(page, 3 + 5) == read

    show(page, "Generate")
    tokens.nth(20).dblclick()
    expect(note).to_contain_text("in hostile, step 0.", timeout=PATIENT)
    expect(page.locator("#explorer .gpt-word")).to_have_count(3 + 20, timeout=PATIENT)
    show(page, "Generate")
    tokens.nth(70).focus()
    page.keyboard.press("Enter")
    expect(page.locator("#explorer .gpt-word")).to_have_count(64, timeout=PATIENT)  # its context_length, and no more

    page.locator("#attention-prompt textarea").fill("<b>")  # somebody asks for a prompt: the step is left
    page.locator("#inspect").click()
    expect(page.locator("#explorer .gpt-word")).to_have_count(3, timeout=PATIENT)
    expect(note).not_to_contain_text(NOTE)
    show(page, "Generate")
    show(page, "Attention")
    weigh(page, "attention", 5)
    expect(page.locator("#explorer .gpt-film b")).to_have_text("best weights", timeout=PATIENT)
    assert read_tokens(page, 3) == list("<b>")
