"""Journeys of a person through the page, in a real browser."""

import re
import shutil

import pytest
from playwright.sync_api import Page, expect

from gpt.runs.run import list_runs
from tests.browser.conftest import HOSTILE, PATIENT


def show(page: Page, tab: str) -> None:
    page.get_by_role("tab", name=tab).click()


def open_box(page: Page, title: str) -> None:
    page.locator("button.label-wrap", has_text=title).click()


def set_number(page: Page, field: str, value: int) -> None:
    box = page.get_by_label(f"number input for {field}").or_(page.get_by_label(field, exact=True)).first
    expect(box).to_have_value(re.compile(r"\d"))  # a control that has just come into view is filled by the page first
    box.fill(str(value))
    box.press("Tab")
    expect(box).to_have_value(str(value))


def choose(page: Page, tab: str, name: str) -> None:
    box = page.locator(f"#{tab}-run input")
    expect(box).not_to_have_value("", timeout=PATIENT)
    if box.input_value() != name:
        box.click()
        page.get_by_role("option", name=name).click()
    expect(box).to_have_value(name)


def choose_run(page: Page, tab: str, name: str) -> None:
    choose(page, tab, name)
    expect(page.locator(f"#{tab}-weights input[type=range]")).to_have_value("5", timeout=PATIENT)  # the best of its 5 snapshots


# calcdata is what Plotly has drawn; data is only what it was given.
DRAWN = "(document.querySelector('#monitor .js-plotly-plot')?.calcdata?.[0].length ?? 0)"


def prompted(page: Page) -> Page:
    """The page with the Generate tab open, ready to go on with a hostile prompt."""
    show(page, "Generate")
    choose_run(page, "generate", "hostile")
    page.locator("#prompt textarea").fill("<b>")
    return page


def look_at(page: Page, prompt: str) -> None:
    """Look, in the Attention tab, at a prompt of letters that the run `hostile` knows, until its first head is drawn."""
    choose_run(page, "attention", "hostile")
    page.locator("#explorer [data-shown]").wait_for(timeout=PATIENT)  # the page has looked at the prompt that it came with
    page.locator("#attention-prompt textarea").fill(prompt)
    page.locator("#inspect").click()
    page.wait_for_function("""(prompt) => {
        const head = document.querySelector("#explorer [data-shown] .gpt-head .js-plotly-plot");
        return head?.layout?.meta.labels.join("") === prompt;
    }""", arg=prompt, timeout=PATIENT)


def points(page: Page) -> int:
    return page.evaluate(DRAWN)


def wait_for_points(page: Page, n: int) -> None:
    page.wait_for_function(f"{DRAWN} > {n}", timeout=PATIENT)


def state(page: Page):
    return page.locator("#monitor .gpt-fact b").first


@pytest.fixture
def small_training(open_page, root):
    """A page on which a small model has begun a training long enough to be watched; it is stopped afterwards."""
    page = open_page()
    for field, value in (("n_layers", 1), ("emb_dim", 32), ("context_length", 32)):
        set_number(page, field, value)
    set_number(page, "max_steps", 5000)
    set_number(page, "batch", 2)
    expect(page.locator("#price .gpt-command")).to_contain_text("--batch 2", timeout=PATIENT)
    page.locator("#train").click()
    expect(state(page)).to_have_text("Running", timeout=PATIENT)
    yield page
    for run in list_runs(root):
        if run.is_alive():
            run.request("stop")
    expect(state(page)).to_have_text(re.compile("Stopped|Done"), timeout=PATIENT)


def test_a_run_is_watched_zoomed_reloaded_seen_by_a_second_page_and_stopped(small_training, open_page, root):
    page = small_training
    run = next(run for run in list_runs(root) if run.is_alive())
    with page.expect_request(lambda request: '"poll"' in (request.post_data or "")) as asked:
        wait_for_points(page, 3)
    assert asked.value.post_data_json["data"].keys() == {"page", "run", "cursor"}  # as tests/benchmarks/clients.py asks too

    area = page.locator("#monitor .js-plotly-plot").first.bounding_box()
    page.mouse.move(area["x"] + 100, area["y"] + 80)
    page.mouse.down()
    page.mouse.move(area["x"] + 300, area["y"] + 200, steps=5)
    page.mouse.up()
    zoomed = page.evaluate("document.querySelector('#monitor .js-plotly-plot').layout.xaxis.range")
    assert zoomed[1] < 5000
    wait_for_points(page, points(page) + 5)
    assert page.evaluate("document.querySelector('#monitor .js-plotly-plot').layout.xaxis.range") == zoomed

    page.reload()
    wait_for_points(page, 5)
    expect(state(page)).to_have_text("Running")
    second = open_page()
    wait_for_points(second, 5)
    assert second.locator("#monitor .gpt-small").last.inner_text() == page.locator("#monitor .gpt-small").last.inner_text()
    expect(second.locator("#train")).to_be_disabled()

    second.locator("#pause").click()
    expect(state(page)).to_have_text("Paused", timeout=PATIENT)
    expect(page.locator("#pause")).to_have_text("Resume")
    page.locator("#pause").click()
    expect(state(second)).to_have_text("Running", timeout=PATIENT)
    page.locator("#stop").click()
    expect(state(page)).to_have_text("Stopped", timeout=PATIENT)
    assert run.status()["state"] == "stopped"
    assert run.weights().exists()


def test_before_a_run_the_price_follows_the_sliders_and_what_cannot_be_built_starts_nothing(open_page, root):
    page = open_page()
    wait_for_points(page, 1)
    for part in ("#train", "#monitor .gpt-facts", "#monitor .js-plotly-plot"):  # what matters is in view without scrolling
        box = page.locator(part).first.bounding_box()
        assert box["y"] + box["height"] <= 800, part
    for width in (1280, 390):
        page.set_viewport_size({"width": width, "height": 800})
        check_shares(page)
    page.set_viewport_size({"width": 1280, "height": 800})

    before, runs = page.locator("#price .gpt-price").inner_text(), [run.name for run in list_runs(root)]
    set_number(page, "n_layers", 8)
    expect(page.locator("#price .gpt-command")).to_contain_text("--n_layers 8", timeout=PATIENT)
    assert page.locator("#price .gpt-price").inner_text() != before

    set_number(page, "n_heads", 3)
    expect(page.locator("#price .gpt-error")).to_contain_text(re.compile("emb_dim 128.* 3 heads"), timeout=PATIENT)
    page.locator("#train").click()
    expect(page.get_by_test_id("toast-body")).to_contain_text("3 heads", timeout=PATIENT)
    assert [run.name for run in list_runs(root)] == runs

    open_box(page, "Your own text")
    page.locator("#pasted textarea").fill(HOSTILE * 40)
    page.locator("#keep").click()
    expect(page.locator("#preview .gpt-opening")).to_contain_text(HOSTILE.strip(), timeout=PATIENT)


def check_shares(page: Page) -> None:
    """Where the parameters and the arithmetic are is drawn, and told in words."""
    bars = page.locator("#price .gpt-bar")
    expect(bars).to_have_count(2)
    told = [bars.nth(i).get_attribute("aria-label") for i in range(2)]
    assert [label.split(":")[0] for label in told] == ["parameters", "arithmetic"]
    assert told[1].startswith("arithmetic: embedding 0 %, attention ")
    for i in range(2):
        widths = bars.nth(i).evaluate("bar => [...bar.children].map((piece) => piece.getBoundingClientRect().width / bar.clientWidth)")
        shares = [int(words.split()[-2]) / 100 for words in told[i].split(", ")]
        assert widths == pytest.approx(shares, abs=0.03)
    legend = page.locator("#price .gpt-key > span")
    expect(legend).to_have_count(4)
    assert len({legend.nth(i).locator("i").evaluate("dot => getComputedStyle(dot).backgroundColor") for i in range(4)}) == 4


def test_writing_streams_shows_probabilities_stops_and_goes_back_in_time(open_page):
    page = prompted(open_page())
    written = []
    for place, label in ((0, "at training step 0"), (5, "the best of the run")):
        box = page.locator("#generate-weights input[type=number]")
        box.fill(str(place))
        box.press("Enter")
        expect(page.locator("#generate-weights")).to_contain_text(label, timeout=PATIENT)
        page.locator("#generate").click()
        expect(page.locator("#writing")).to_contain_text("per second (hostile, " + ("step 0" if place == 0 else "best"), timeout=PATIENT)
        written.append(page.locator("#writing .gpt-written").inner_text())
    assert written[0] != written[1]

    set_number(page, "max_new_tokens", 400)
    page.evaluate("""() => {
        const writing = document.getElementById("writing");
        const note = () => window.grown.add(writing.querySelectorAll(".gpt-token").length);
        window.grown = new Set();  // every length that the text has on the page
        new MutationObserver(note).observe(writing, { childList: true, subtree: true });
    }""")
    page.locator("#generate").click()
    writing = page.locator("#writing")
    expect(writing).to_contain_text("400 tokens", timeout=PATIENT)
    assert page.evaluate("window.grown.size") > 2
    text = writing.locator(".gpt-written").inner_text()
    assert text.startswith("<b>")
    assert len(re.sub(r"\[U\+\w{4}\]", "?", text)) == 403  # some signs of what acts are several characters
    writing.locator(".gpt-token").nth(5).hover()
    expect(writing.locator(".gpt-bar-row")).to_have_count(6)
    assert page.locator("#writing img").count() == 0

    set_number(page, "max_new_tokens", 2000)
    page.evaluate("""() => {  // Stop, as soon as anything is written: all of it takes the server a few seconds
        const writing = document.getElementById("writing");
        new MutationObserver((_, observer) => {
            if (!writing.textContent.includes("Writing,")) return;
            observer.disconnect();
            document.getElementById("stop-writing").click();
        }).observe(writing, { childList: true, subtree: true, characterData: true });
    }""")
    page.locator("#generate").click()
    expect(page.locator("#writing")).to_contain_text("Stopped after", timeout=PATIENT)
    written = page.locator("#writing .gpt-token").count()
    assert written < 2000
    show(page, "Runs")  # takes longer than it would have taken to write more
    page.locator("#runs-table table").wait_for(timeout=PATIENT)
    show(page, "Generate")
    assert page.locator("#writing .gpt-token").count() < written + 100
    expect(page.locator("#writing")).to_contain_text("Stopped after")


def test_heads_are_chosen_by_click_and_by_arrow_keys_and_what_cannot_be_read_is_told(open_page):
    page = open_page()
    show(page, "Attention")
    explorer = page.locator("#explorer .gpt-view")
    look_at(page, "<b>${1+1}</b>`tick`")
    expect(explorer).to_have_attribute("data-shown", "0,0", timeout=PATIENT)
    mosaic = page.locator("#explorer .gpt-mosaic .js-plotly-plot").bounding_box()
    page.mouse.click(mosaic["x"] + 0.7 * mosaic["width"], mosaic["y"] + 0.8 * mosaic["height"])
    expect(explorer).to_have_attribute("data-shown", "1,1", timeout=PATIENT)
    expect(explorer.locator(".gpt-title").last).to_contain_text("Layer 1, head 1")
    page.keyboard.press("ArrowLeft")
    page.locator("#explorer .gpt-mosaic").focus()
    page.keyboard.press("ArrowUp")
    expect(explorer).to_have_attribute("data-shown", re.compile("0,"), timeout=PATIENT)
    labels = page.evaluate("document.querySelector('.gpt-head .js-plotly-plot').layout.meta.labels")
    assert "".join(labels[:3]) == "<b>"
    assert page.locator("#explorer .gpt-head text", has_text="<").count() > 0

    head = page.locator("#explorer .gpt-head .js-plotly-plot").bounding_box()
    for x in range(60, 300, 8):  # somewhere along this line lies a cell that is not masked
        page.mouse.move(head["x"] + x, head["y"] + 0.8 * head["height"])
    expect(explorer.locator(".gpt-reading")).to_contain_text("with weight", timeout=PATIENT)

    for prompt, fact in (("Ω", "'Ω'"), ("", "empty")):
        page.locator("#attention-prompt textarea").fill(prompt)
        page.locator("#inspect").click()
        expect(page.locator("#explorer .gpt-error")).to_contain_text(fact, timeout=PATIENT)


def test_runs_are_compared_and_deleted_after_a_confirmation(open_page, root):
    for name in ("copy-a", "copy-b"):
        shutil.copytree(root / "hostile", root / name)
    page = open_page()
    show(page, "Runs")
    table = page.locator("#runs-table")
    for name in ("copy-a", "copy-b"):
        box = table.get_by_label(f"select run {name}")
        expect(box).to_be_visible(timeout=PATIENT)
        box.check()
        expect(page.locator("#runs-chart .gpt-small").first).to_contain_text(name, timeout=PATIENT)
    for run in list_runs(root):
        if not run.name.startswith("copy-"):
            box = table.get_by_label(f"select run {run.name}", exact=True)
            if box.is_checked():
                box.uncheck()
                expect(page.locator("#runs-chart .gpt-small").first).not_to_contain_text(f"{run.name} ends", timeout=PATIENT)
    assert page.evaluate("document.querySelector('#runs-chart .js-plotly-plot').data.length") == 2
    page.locator("#delete").click()
    assert (root / "copy-a").exists()
    page.locator("#confirm-delete").click()
    expect(table).not_to_contain_text("copy-a", timeout=PATIENT)
    assert not (root / "copy-a").exists()
    assert not (root / "copy-b").exists()
    assert (root / "hostile").exists()


def test_nothing_overlaps_or_sticks_out(open_page):
    page = open_page(dark=True)
    assert page.evaluate("document.body.classList.contains('dark')")
    wait_for_points(page, 1)
    for width, height in ((1280, 800), (390, 844)):
        page.set_viewport_size({"width": width, "height": height})
        for tab, ready in (("Train", "#price .gpt-command"), ("Generate", "#writing .gpt-small"),
                           ("Attention", "#explorer [data-shown]"), ("Runs", "#runs-table table")):
            show(page, tab)
            if tab == "Attention":
                look_at(page, "<b>${1+1}</b>`tick`")
            page.locator(ready).first.wait_for(timeout=PATIENT)
            for dark in (True, False):
                page.evaluate("(dark) => document.body.classList.toggle('dark', dark)", dark)
                page.wait_for_function(f"document.scrollingElement.scrollWidth <= {width}")  # a plot follows it when it is next drawn
                assert page.evaluate(OVERLAPS) == [], f"controls overlap in {tab}, {width} pixels wide, {'dark' if dark else 'light'}"


OVERLAPS = """() => {
    const shown = [...document.querySelectorAll("button, input, textarea, select, .js-plotly-plot, .gpt-fact, .gpt-sentence")]
        .filter((element) => element.offsetParent && getComputedStyle(element).opacity !== "0" && element.type !== "file")
        .map((element) => [element, element.getBoundingClientRect()]).filter(([, box]) => box.width > 2 && box.height > 2);
    const found = [];
    for (const [a, p] of shown) for (const [b, q] of shown) {
        if (a === b || a.contains(b) || b.contains(a)) continue;
        const x = Math.min(p.right, q.right) - Math.max(p.left, q.left), y = Math.min(p.bottom, q.bottom) - Math.max(p.top, q.top);
        if (x > 2 && y > 2 && a.compareDocumentPosition(b) & Node.DOCUMENT_POSITION_FOLLOWING)
            found.push(`${a.tagName}.${a.className}#${a.id} and ${b.tagName}.${b.className}#${b.id}`);
    }
    return found;
}"""
