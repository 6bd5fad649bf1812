"""What a person takes home, from a page of one's own and from a public one: every file is really downloaded, opened and read."""

import csv
import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import watch
from tests.browser.test_page import PATIENT, look_at, show
from tests.serving import served

PROMPT = "<b>${1+1}"


@pytest.fixture(scope="module", params=[(), ("--public",)], ids=["own page", "public page"])
def address(request, root) -> str:
    with served(root, *request.param) as url:
        yield url


@pytest.fixture
def take(tmp_path) -> Callable[[Page, Callable[[], None]], Path]:
    """take(page, press) -> the file that comes down when `press()` is called."""
    def taken(page: Page, press: Callable[[], None]) -> Path:
        with page.expect_download(timeout=PATIENT) as download:
            press()
        path = tmp_path / download.value.suggested_filename
        download.value.save_as(path)  # raises an error if the server refused it
        return path

    return taken


@pytest.fixture
def opened(browser):
    """opened(path) -> the HTML file in a browser without a network. The test fails on any error in it, or request for anything else."""
    context, faults = browser.new_context(offline=True), []

    def read(path: Path) -> Page:
        page = context.new_page()
        watch(page, path.as_uri(), faults)
        page.goto(path.as_uri())
        return page

    yield read
    context.close()
    assert not faults, faults


def check_report(report: Page) -> None:
    expect(report.locator("h1")).to_have_text("hostile")
    expect(report.locator(".js-plotly-plot .main-svg").first).to_be_visible(timeout=PATIENT)
    expect(report.locator(".gpt-sample")).not_to_have_count(0)
    assert report.evaluate("document.querySelectorAll('#report img, #report b b').length") == 0  # the text it learned from holds markup


def test_everything_in_attention(open_page, take, opened):
    page = open_page()
    show(page, "Attention")
    look_at(page, PROMPT)
    explorer, T = page.locator("#explorer"), len(PROMPT)
    layer, head = explorer.locator(".gpt-view").get_attribute("data-shown").split(",")
    for figure, name in ((".gpt-mosaic", "hostile-best-all-heads"), (".gpt-head", f"hostile-best-layer-{layer}-head-{head}-attention")):
        explorer.locator(figure).hover()
        for kind, begins in (("PNG", b"\x89PNG"), ("SVG", b"<svg")):
            path = take(page, explorer.locator(figure).get_by_role("button", name=kind).click)
            assert path.name == f"{name}.{kind.lower()}"
            assert path.read_bytes().startswith(begins)

    explorer.get_by_role("tab", name="Scores").click()
    path = take(page, explorer.get_by_role("button", name="Download as CSV").click)
    rows = list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"))))
    heads = {(row["layer"], row["head"]) for row in rows if row["head"].isdigit()}
    assert len(heads) == 4
    assert all(0 <= float(row["previous token"]) <= 1 for row in rows if row["head"].isdigit())

    explorer.get_by_role("tab", name="Export").click()
    arrays = np.load(take(page, explorer.get_by_role("button", name="Maps of every head as NPZ").click), allow_pickle=False)
    assert arrays["weights"].shape == (2, 2, T, T)
    np.testing.assert_allclose(arrays["weights"].sum(axis=-1), 1, atol=1e-5)
    check_report(opened(take(page, explorer.get_by_role("button", name="Report of this run as HTML").click)))

    explorer.get_by_role("tab", name="Over time").click()
    film = opened(take(page, explorer.get_by_role("button", name="Save as an animation").click))
    assert film.locator("#tokens code").all_inner_texts() == list(PROMPT)


def test_report_and_zip_in_runs(open_page, root, take, opened):
    page = open_page()
    show(page, "Runs")
    page.get_by_label("select run hostile", exact=True).wait_for(timeout=PATIENT)
    page.get_by_label("select all runs").check()
    page.get_by_label("select all runs").uncheck()
    page.get_by_label("select run hostile", exact=True).check()
    expect(page.locator("#runs-chart .gpt-small").first).to_contain_text("hostile ends", timeout=PATIENT)
    check_report(opened(take(page, page.locator("#report").click)))
    expect(page.locator("#report")).to_have_text("Report", timeout=PATIENT)
    with zipfile.ZipFile(take(page, page.locator("#download").click)) as archive:
        assert archive.testzip() is None
        assert archive.read("hostile/best.safetensors") == (root / "hostile" / "best.safetensors").read_bytes()
