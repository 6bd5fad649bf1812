"""The drawing itself, on a page of two tabs that holds nothing else."""

from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import quote

import gradio as gr
import pytest
from playwright.sync_api import BrowserContext, Page, expect

from gpt.ui.charts.component import CSS, component, script_tags, serve_assets
from gpt.ui.charts.theme import theme
from tests.browser.conftest import HOSTILE, watch

LABELS = [HOSTILE.strip(), "&lt;i&gt;", "$x^2$", "%{y}"]

# A view that forwards clicks to Python. Its address is its text, because only scripts with an address run in their order.
PROBE = """
gpt.views.probe = (element, props, { trigger }) => {
    const plot = gpt.plot(element, { aspect: 2, label: "probe" });
    plot.onclick = ({ x, y, curveNumber, customdata }) => trigger("click", { x, y, curveNumber, customdata });
    props.value.layout.xaxis.ticktext = props.value.layout.xaxis.ticktext.map(gpt.plain);
    plot.show(props.value);
};
"""


def figure(*y: float) -> dict:
    return {
        "data": [{"type": "scatter", "mode": "lines+markers", "name": HOSTILE.strip(), "x": list(range(len(y))), "y": list(y),
                  "customdata": [f"point {i}" for i in range(len(y))], "line": {"color": "var(--gpt-accent)"}, "marker": {"size": 12}}],
        "layout": {"showlegend": True, "legend": {"orientation": "h", "y": 1.02, "yanchor": "bottom"},
                   "xaxis": {}, "yaxis": {}, "meta": {"description": f"ends at {y[-1]:g}"}},
    }


def labelled() -> dict:
    probe = figure(1, 1, 1, 1)
    probe["data"][0]["name"] = "probe"
    probe["layout"]["xaxis"] = {"tickvals": [0, 1, 2, 3], "ticktext": LABELS}
    return probe


@pytest.fixture(scope="module")
def two_tabs() -> str:
    """The address of the page. It is served by this process, so that the listeners below are plain functions."""
    serve_assets()
    with gr.Blocks(analytics_enabled=False) as page:
        with gr.Tab("First"):
            update = gr.Button("Update", elem_id="update")
            first = component("figure", {"figure": figure(1, 3, 2, 4)}, elem_id="first")
            probe = component("probe", labelled(), elem_id="probe")
            clicked = gr.Textbox(label="clicked")
            gr.Dropdown(["a", "b"], label="a list", interactive=True)
            stop = gr.Button("Stop", elem_id="stop")
        with gr.Tab("Second"):
            second = component("figure", {"empty": "Nothing yet."}, elem_id="second")
            clear = gr.Button("Clear", elem_id="clear")

        def tell(event: gr.EventData) -> str:
            return f"{event.customdata} of curve {event.curveNumber} at {event.x}, {event.y}"

        update.click(lambda: [{"figure": figure(1, 3, 2, 9)}] * 2, None, [first, second], show_progress="hidden")
        clear.click(lambda: {"empty": "Cleared."}, None, second, show_progress="hidden")
        probe.click(tell, None, clicked, show_progress="hidden")
        stop.click(lambda: "stopped", None, clicked, show_progress="hidden")
    scripts = f'{script_tags()}\n<script defer src="data:text/javascript,{quote(PROBE)}"></script>'
    _, address, _ = page.launch(prevent_thread_lock=True, server_name="127.0.0.1", share=False, quiet=True, ssr_mode=False,
                                theme=theme(), css=CSS, head=scripts, footer_links=[], run_history=False)
    yield address
    page.close(verbose=False)


@contextmanager
def opened(context: BrowserContext, two_tabs: str) -> Iterator[Page]:
    """The first tab, drawn. Fails at its end on any console error, script error, or request elsewhere."""
    faults, page = [], context.new_page()
    page.set_viewport_size({"width": 1280, "height": 800})
    watch(page, two_tabs.rstrip("/"), faults)
    page.goto(two_tabs)
    for chart in ("#first", "#probe"):
        page.locator(f"{chart} .scatterlayer .point").first.wait_for()
    yield page
    page.close()
    assert not faults, faults


@pytest.fixture
def page(context, two_tabs) -> Iterator[Page]:
    with opened(context, two_tabs) as page:
        yield page


@pytest.fixture(scope="module")
def kept(context, two_tabs) -> Iterator[Page]:
    """For tests that leave the page as they found it."""
    with opened(context, two_tabs) as page:
        yield page


def of(page: Page, chart: str, what: str):
    return page.evaluate(f"document.querySelector('{chart} .js-plotly-plot').{what}")


def update(page: Page) -> None:
    page.locator("#update").click()
    page.wait_for_function("document.querySelector('#first .js-plotly-plot').data[0].y[3] === 9")


def show(page: Page, tab: str) -> None:
    page.get_by_role("tab", name=tab).click()


def test_zoom_and_dom_survive_an_update_and_the_text_twin_follows(page):
    expect(page.locator("#first .gpt-plot")).to_have_attribute("aria-label", "ends at 4")
    page.evaluate("window.kept = document.querySelector('#first .js-plotly-plot .main-svg')")
    area = page.locator("#first .nsewdrag").bounding_box()
    before = of(page, "#first", "layout.xaxis.range")
    page.mouse.move(area["x"] + 60, area["y"] + 60)
    page.mouse.down()
    page.mouse.move(area["x"] + 400, area["y"] + 200, steps=5)
    page.mouse.up()
    zoomed = of(page, "#first", "layout.xaxis.range")
    assert zoomed[1] - zoomed[0] < 0.5 * (before[1] - before[0])
    update(page)
    assert of(page, "#first", "layout.xaxis.range") == zoomed
    assert page.evaluate("window.kept === document.querySelector('#first .js-plotly-plot .main-svg')")
    expect(page.locator("#first .gpt-plot")).to_have_attribute("aria-label", "ends at 9")


def test_a_click_on_a_point_reaches_python(kept):
    page = kept
    page.locator("#probe .scatterlayer").scroll_into_view_if_needed()
    point = page.locator("#probe .scatterlayer .point").nth(2).bounding_box()
    page.mouse.move(point["x"] + point["width"] / 2, point["y"] + point["height"] / 2)
    page.mouse.down()
    page.mouse.up()
    expect(page.get_by_label("clicked")).to_have_value("point 2 of curve 0 at 2, 1")


def test_escape_closes_an_open_list_before_it_stops_anything(kept):
    page = kept
    page.evaluate("window.stops = 0; document.querySelector('#stop').addEventListener('click', () => window.stops++)")
    choices = page.get_by_label("a list").first
    choices.focus()
    page.keyboard.press("ArrowDown")
    expect(choices).to_have_attribute("aria-expanded", "true")
    page.keyboard.press("Escape")
    expect(choices).to_have_attribute("aria-expanded", "false")
    assert page.evaluate("window.stops") == 0
    page.keyboard.press("Escape")
    assert page.evaluate("window.stops") == 1
    expect(page.get_by_label("clicked")).to_have_value("stopped")


def test_dark_mode_recolours_what_is_drawn(kept):
    page = kept
    colours = """() => [".scatterlayer .js-line", ".xtick text", ".legendtext"].map((part) => {
        const style = getComputedStyle(document.querySelector("#first " + part));
        return part.endsWith("line") ? style.stroke : style.fill;
    })"""
    light = page.evaluate(colours)
    page.evaluate("document.body.classList.add('dark')")
    page.wait_for_function(f"(before) => ({colours})().every((colour, i) => colour !== before[i])", arg=light)
    page.evaluate("document.body.classList.remove('dark')")
    page.wait_for_function(f"(before) => ({colours})().every((colour, i) => colour === before[i])", arg=light)
    assert page.evaluate(colours) == light


def test_a_chart_follows_the_width_and_its_height_the_aspect(kept):
    page = kept
    assert of(page, "#probe", "_fullLayout.height") == pytest.approx(of(page, "#probe", "_fullLayout.width") / 2, abs=1)
    for width in (800, 390):
        page.set_viewport_size({"width": width, "height": 800})
        page.wait_for_function(f"document.querySelector('#probe .js-plotly-plot')._fullLayout.width < {width}")
        assert page.evaluate("document.scrollingElement.scrollWidth") <= width
        assert of(page, "#probe", "_fullLayout.width") == page.locator("#probe .gpt-view").bounding_box()["width"]
    page.set_viewport_size({"width": 1280, "height": 800})


def test_a_chart_in_a_hidden_tab_is_drawn_when_it_is_shown(page):
    show(page, "Second")
    expect(page.locator("#second")).to_contain_text("Nothing yet.")
    assert page.locator("#second .main-svg").count() == 0
    show(page, "First")
    update(page)
    page.set_viewport_size({"width": 800, "height": 800})
    show(page, "Second")
    expect(page.locator("#second .scatterlayer .point")).to_have_count(4)
    assert of(page, "#second", "_fullLayout.width") == page.locator("#second .gpt-view").bounding_box()["width"]
    page.locator("#clear").click()
    expect(page.locator("#second")).to_contain_text("Cleared.")
    expect(page.locator("#second .main-svg").first).to_be_hidden()


def test_hostile_names_and_labels_show_as_they_stand(kept):
    page = kept
    expect(page.locator("#probe .xtick text")).to_have_text(LABELS)
    expect(page.locator("#first .legendtext")).to_have_text([HOSTILE.strip()])
    assert page.locator("#probe svg image, #probe svg img, #first svg img").count() == 0
    assert page.locator("#probe .xtick text tspan[style*='bold']").count() == 0
