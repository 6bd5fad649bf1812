"""What is looked at against other weights, on the page."""

from playwright.sync_api import expect

from tests.browser.test_page import PATIENT, look_at, show

PROMPT = "<b>${1+1}"


def test_a_run_is_compared_with_its_beginning_and_with_itself_without_heads(open_page):
    page = open_page()
    show(page, "Attention")
    look_at(page, PROMPT)
    page.get_by_role("tab", name="Compare").click()
    panel = page.locator(".gpt-panel")
    expect(panel).to_contain_text("A is hostile, best weights; B is hostile, step 0.", timeout=PATIENT)
    expect(panel.locator(".gpt-sentence")).to_contain_text("On this text A expects the next token with ")
    expect(panel.locator(".gpt-three .heatmaplayer")).to_have_count(3, timeout=PATIENT)
    expect(panel.locator(".gpt-differences .gpt-word")).to_have_text(list(PROMPT[1:]))
    expect(panel.locator(".scatterlayer .point").first).to_be_visible()
    page.wait_for_function("""() => {
        const [a, b] = [...document.querySelectorAll(".gpt-three .js-plotly-plot")].map((plot) => plot.data[0]);
        return a.zmax === b.zmax && JSON.stringify(a.colorscale) === JSON.stringify(b.colorscale);
    }""")

    panel.get_by_label("compare with").select_option("itself without heads")
    expect(panel).to_contain_text("B is hostile, best weights, without layer 0 head 0.", timeout=PATIENT)
    page.locator(".gpt-mosaic").focus()
    page.keyboard.press("ArrowRight")
    panel.get_by_role("button", name="take out layer 0 head 1 too").click()
    expect(panel).to_contain_text("without layer 0 head 0, layer 0 head 1.", timeout=PATIENT)
    panel.get_by_role("button", name="layer 0 head 0 ×").click()
    expect(panel).to_contain_text("best weights, without layer 0 head 1.", timeout=PATIENT)

    panel.get_by_label("compare with").select_option("another run")
    expect(panel).to_contain_text("There is no other run to compare with: train one in the Train tab.")
    expect(panel.locator(".gpt-three")).to_be_hidden()
