"""The Runs tab in a real browser: rename, download, delete, by mouse and by keyboard."""

import json
import re
import shutil
import zipfile

import pytest
from playwright.sync_api import Page, expect

from gpt.runs.cleanup import size_of
from gpt.runs.run import find_run, list_runs
from gpt.words import size
from tests.browser.test_page import OVERLAPS, PATIENT, show


@pytest.fixture
def two_copies(root):
    """Two more runs, `first-copy` and `second-copy`, that are gone after the test whatever they are called then."""
    before = {run.name for run in list_runs(root)}
    for name in ("first-copy", "second-copy"):
        shutil.copytree(root / "hostile", root / name)
    yield
    for run in list_runs(root):
        if run.name not in before:
            run.delete()


def opened(page: Page) -> Page:
    show(page, "Runs")
    page.locator("#runs-table table").wait_for(timeout=PATIENT)
    return page


def select_only(page: Page, *names: str) -> None:
    """Tick these runs and no others."""
    everything = page.get_by_label("select all runs")
    everything.check()
    everything.uncheck()
    expect(page.locator("#runs-chart .gpt-empty")).to_contain_text("Select runs", timeout=PATIENT)
    for name in names:
        page.get_by_label(f"select run {name}", exact=True).check()
        expect(page.locator("#runs-chart .gpt-small").first).to_contain_text(f"{name} ends", timeout=PATIENT)


def toast(page: Page, words: str | re.Pattern) -> None:
    expect(page.get_by_test_id("toast-body").last).to_contain_text(words, timeout=PATIENT)


def test_the_loss_by_context_is_drawn_under_the_curves(open_page, root):
    page = opened(open_page())
    select_only(page, "hostile")
    T = find_run(root, "hostile").config()["config"]["context_length"]
    section = page.locator("#runs-chart", has=page.get_by_role("heading", name="Loss by context"))
    expect(section.locator(".gpt-small").last).to_contain_text(re.compile(rf"hostile: .* with one token to look back on, .* with {T:,}"))
    expect(section.get_by_role("img", name=re.compile("to look back on"))).to_be_visible()
    expect(section.locator("h3 ~ .gpt-chart .scatterlayer .js-line")).to_have_count(1)


@pytest.mark.usefixtures("two_copies")
class TestActions:
    def test_a_run_is_renamed_downloaded_and_deleted(self, open_page, root, tmp_path):
        page = opened(open_page())
        row = page.locator("tr", has_text="first-copy")
        expect(row.locator(".gpt-column-size")).to_have_text(size(size_of(root / "first-copy")))
        expect(page.locator("#runs-table .gpt-small").first).to_contain_text(f"{len(list_runs(root))} runs in checkpoints, ")

        select_only(page, "first-copy")
        page.locator("#rename").click()
        box = page.locator("#new-name").locator("input, textarea")
        expect(box).to_have_value("first-copy")
        box.fill("second-copy")
        page.locator("#accept-name").click()
        toast(page, re.compile("second-copy.*another name"))
        box.fill("renamed")
        page.locator("#accept-name").click()
        expect(page.get_by_label("select run renamed")).to_be_checked(timeout=PATIENT)
        assert (root / "renamed" / "best.safetensors").exists()
        assert not (root / "first-copy").exists()

        expect(page.locator("#download")).to_be_visible(timeout=PATIENT)
        with page.expect_download(timeout=PATIENT) as download:
            page.locator("#download").click()
        assert download.value.suggested_filename == "renamed.zip"
        download.value.save_as(tmp_path / "renamed.zip")
        with zipfile.ZipFile(tmp_path / "renamed.zip") as archive:
            assert archive.testzip() is None
            assert archive.read("renamed/best.safetensors") == (root / "renamed" / "best.safetensors").read_bytes()
        expect(page.locator("#download")).to_have_text("Download", timeout=PATIENT)

        page.locator("#delete").click()
        page.get_by_role("button", name="Yes, delete renamed for ever").click()
        expect(page.locator("#runs-table")).not_to_contain_text("renamed", timeout=PATIENT)
        assert not (root / "renamed").exists()
        assert (root / "second-copy").exists()

    def test_the_keyboard_is_enough(self, open_page, root):
        page = opened(open_page())
        select_only(page, "first-copy")
        page.locator("#rename").focus()
        page.keyboard.press("Enter")
        box = page.locator("#new-name").locator("input, textarea")
        expect(box).to_be_focused(timeout=PATIENT)
        page.keyboard.type("typed")  # the name is selected: typing replaces it
        expect(box).to_have_value("typed")
        page.keyboard.press("Enter")
        expect(page.get_by_label("select run typed")).to_be_checked(timeout=PATIENT)
        expect(page.locator("#rename")).to_be_focused(timeout=PATIENT)
        tick = page.get_by_label("select run typed")
        tick.focus()
        page.keyboard.press("Space")
        expect(page.locator("#runs-chart .gpt-empty")).to_contain_text("Select runs", timeout=PATIENT)
        expect(tick).to_be_focused()
        page.keyboard.press("Space")
        expect(page.locator("#runs-chart .gpt-small").first).to_contain_text("typed ends", timeout=PATIENT)
        page.locator("#delete").focus()
        page.keyboard.press("Enter")
        expect(page.locator("#confirm-delete")).to_be_focused(timeout=PATIENT)
        page.keyboard.press("Escape")
        expect(page.locator("#delete")).to_be_focused(timeout=PATIENT)
        assert (root / "typed").exists()

    def test_selections_and_questions(self, open_page, root):
        """A wrong selection is told; a question about deleting is taken back by another selection; the box in the header takes all or none,
        and knows some; questions fit the page."""
        page = opened(open_page())
        select_only(page, "first-copy", "second-copy")
        for action in ("rename", "resume", "report", "download", "export"):
            page.locator(f"#{action}").click()
            toast(page, re.compile(f"^.*2 runs.*{action}.*$", re.DOTALL))
        select_only(page)
        page.locator("#delete").click()
        toast(page, re.compile("no runs.*delete"))
        expect(page.locator("#download")).to_have_text("Download", timeout=PATIENT)

        select_only(page, "first-copy")
        page.locator("#delete").click()
        expect(page.locator("#confirm-delete")).to_have_text("Yes, delete first-copy for ever", timeout=PATIENT)
        page.get_by_label("select run second-copy", exact=True).check()
        expect(page.locator("#confirm-delete")).to_be_hidden(timeout=PATIENT)
        expect(page.locator("#delete")).to_be_visible(timeout=PATIENT)
        assert {"first-copy", "second-copy"} <= {run.name for run in list_runs(root)}

        select_only(page, "first-copy")
        everything = page.get_by_label("select all runs")
        assert everything.evaluate("box => box.indeterminate")
        everything.check()
        expect(page.locator("#runs-table tbody input:checked")).to_have_count(len(list_runs(root)))
        assert not everything.evaluate("box => box.indeterminate")
        page.get_by_role("button", name=re.compile("^size")).click()
        expect(page.locator("th.gpt-column-size")).to_have_attribute("aria-sort", "ascending")
        expect(page.locator("#runs-table tbody input:checked")).to_have_count(len(list_runs(root)))  # sorting keeps what is ticked

        select_only(page, "first-copy")
        expect(page.get_by_test_id("toast-body")).to_have_count(0, timeout=PATIENT)  # they lie over the page for ten seconds
        for width in (1280, 390):
            page.set_viewport_size({"width": width, "height": 800})
            for ask, answer in (("rename", "leave-name"), ("delete", "keep-runs")):
                page.locator(f"#{ask}").click()
                expect(page.locator(f"#{answer}")).to_be_visible(timeout=PATIENT)
                page.wait_for_function(f"document.scrollingElement.scrollWidth <= {width}")  # a plot follows it when it is next drawn
                assert page.evaluate(OVERLAPS) == []
                page.locator(f"#{answer}").click()
                expect(page.locator(f"#{ask}")).to_be_visible(timeout=PATIENT)
                wide = page.locator(".gpt-buttons button:visible").evaluate_all(
                    "(buttons) => buttons.filter((one) => one.scrollWidth > one.clientWidth).map(({ textContent }) => textContent)")
                assert wide == [], "words that stick out of their buttons"

    def test_the_settings_of_a_run_are_compared_and_used_for_the_next(self, open_page, root):
        config = find_run(root, "first-copy").path / "config.json"
        saved = json.loads(config.read_text())
        saved["config"] |= {"batch": 24, "corpus": "stories"}
        config.write_text(json.dumps(saved))
        page = opened(open_page())
        select_only(page, "first-copy", "second-copy")
        table = page.locator("#runs-chart .gpt-settings-table")
        expect(table).to_contain_text("24", timeout=PATIENT)
        assert table.locator("tbody tr td:first-child").all_inner_texts() == ["corpus", "batch"]
        page.locator("#runs-chart select").select_option("tokens")
        page.locator("#runs-chart .gpt-option", has_text="log y").locator("input").check()
        rows = [row for row in find_run(root, "first-copy").rows()[0] if "val_loss" in row]
        chart = "document.querySelector('#runs-chart .js-plotly-plot')"
        page.wait_for_function(f"{chart}.data[0].x.at(-1) === {rows[-1]['tokens']} && {chart}.layout.yaxis.type === 'log'", timeout=PATIENT)
        page.locator("#use-settings").click()
        toast(page, "2 runs")
        select_only(page, "first-copy")
        expect(table).to_have_count(0)
        page.locator("#use-settings").click()
        toast(page, "Train has the settings of run first-copy")
        expect(page.locator("#train")).to_be_visible(timeout=PATIENT)
        expect(page.locator("#price .gpt-command")).to_contain_text("--batch 24 ", timeout=PATIENT)
        expect(page.locator("#setting-emb_dim input[type=number]")).to_have_value("32")
        assert page.locator("#source input").input_value() == "stories"
