"""Several texts from one prompt, beside each other and one below the other, in a real browser."""

from playwright.sync_api import expect

from tests.browser.test_page import PATIENT, choose_run, prompted, set_number


def test_two_snapshots_write_two_texts_each_and_all_are_saved(open_page, tmp_path):
    page = prompted(open_page())
    page.locator("#beside input").check()
    choose_run(page, "beside", "hostile")
    slider = page.locator("#beside-weights input[type=range]")
    slider.focus()
    slider.press("Home")
    expect(page.locator("#beside-weights")).to_contain_text("at training step 0", timeout=PATIENT)
    set_number(page, "samples", 2)
    set_number(page, "max_new_tokens", 30)
    page.locator("#generate").click()
    texts = page.locator("#writing .gpt-writing")
    expect(texts).to_have_count(4, timeout=PATIENT)
    for i, whose in enumerate(("best weights, seed 1", "step 0, seed 1", "best weights, seed 2", "step 0, seed 2")):
        expect(texts.nth(i)).to_contain_text(f"hostile, {whose}", timeout=PATIENT)
        expect(texts.nth(i)).to_contain_text("30 tokens, ", timeout=PATIENT)
    left, right = texts.nth(0).bounding_box(), texts.nth(1).bounding_box()
    assert left["y"] == right["y"]
    assert left["x"] < right["x"]
    written = texts.nth(3).locator(".gpt-written").text_content()
    texts.nth(3).locator(".gpt-token").first.hover()
    expect(page.locator("#writing .gpt-next .gpt-bar-row")).not_to_have_count(0)
    with page.expect_download() as download:
        page.get_by_role("button", name="Save as .txt").click()
    download.value.save_as(tmp_path / "generated.txt")
    saved = (tmp_path / "generated.txt").read_text(encoding="utf-8")
    assert f"[hostile, step 0, seed 2]\n{written}" in saved
    assert saved.count("[hostile, ") == 4
    page.locator("#beside input").uncheck()
    expect(page.locator("#beside-run")).to_be_hidden()
    set_number(page, "samples", 1)
    page.locator("#generate").click()
    expect(texts).to_have_count(1, timeout=PATIENT)
    expect(texts).not_to_contain_text("seed")
