"""A GPT-2 of others beside one's own: it writes, shows its heads, is compared, and one's own goes out to transformers."""

import json
import shutil
import zipfile

import pytest
import torch
from playwright.sync_api import expect

from gpt.exchange.importing import import_run
from gpt.runs.run import load_run
from gpt.runs.session import Session
from tests.browser.conftest import SMALL
from tests.browser.test_page import PATIENT, choose, show
from tests.browser.test_runs import select_only
from tests.exchange.test_pretrained import made
from tests.serving import served

CLASSIC = {**SMALL, "position": "learned", "activation": "gelu", "qk_norm": False}


@pytest.fixture(scope="module")
def own_root(tmp_path_factory):
    """A folder of runs with a random GPT-2 that was read from a folder, and a run that was trained as GPT-2 was."""
    from gpt.data.tokenizer import train_bpe

    folder = tmp_path_factory.mktemp("gpt2")
    text = "Once there was a wolf named Vobil. Vobil lived near the river.\n" * 40
    (folder / "text.txt").write_text(text)
    made(folder / "theirs", train_bpe(text, 300))
    import_run(folder / "theirs", folder / "checkpoints", "their-gpt2")
    for _ in Session(folder / "checkpoints", "my-gpt2", {**CLASSIC, "corpus": str(folder / "text.txt")}).events():
        pass
    return folder / "checkpoints"


@pytest.fixture(scope="module")
def address(own_root):
    with served(own_root) as url:
        yield url


def test_a_gpt2_of_others_writes_shows_its_heads_and_goes_out_again(open_page, own_root, tmp_path):
    page = open_page()
    show(page, "Generate")
    choose(page, "generate", "their-gpt2")
    page.locator("#prompt textarea").fill("Once there was")
    page.locator("#generate").click()
    expect(page.locator("#writing")).to_contain_text("per second (their-gpt2, best weights)", timeout=PATIENT)

    show(page, "Attention")
    choose(page, "attention", "their-gpt2")
    explorer = page.locator("#explorer")
    explorer.locator("[data-shown]").wait_for(timeout=PATIENT)
    page.locator("#attention-prompt textarea").fill("Once there was a wolf named Vobil. Vobil")
    page.locator("#inspect").click()
    page.wait_for_function("/Vobil/.test(document.querySelector('#explorer .gpt-head .js-plotly-plot')?.layout?.meta.labels.join(''))",
                           timeout=PATIENT)
    panels = explorer.get_by_role("tab").all()
    assert len(panels) >= 6
    for panel in panels:
        panel.click()
        expect(panel).to_have_attribute("aria-selected", "true")
        page.wait_for_function("document.querySelector('#explorer .gpt-panel').innerText.length > 40", timeout=PATIENT)

    show(page, "Runs")
    select_only(page, "my-gpt2")
    with page.expect_download(timeout=PATIENT) as download:
        page.locator("#export").click()
    download.value.save_as(tmp_path / "exported.zip")
    with zipfile.ZipFile(tmp_path / "exported.zip") as archive:
        archive.extractall(tmp_path)
    expect(page.locator("#export")).to_have_text("Export", timeout=PATIENT)
    from transformers import AutoModelForCausalLM

    theirs = AutoModelForCausalLM.from_pretrained(tmp_path / "my-gpt2").eval()
    ids = torch.tensor([[1, 2, 3]])
    with torch.no_grad():
        torch.testing.assert_close(theirs(ids).logits, load_run(own_root / "my-gpt2")[0](ids), rtol=0, atol=1e-5)


def test_a_run_that_cannot_go_out_says_why(open_page, root, own_root):
    shutil.copytree(root / "hostile", own_root / "hostile")
    page = open_page()
    show(page, "Runs")
    select_only(page, "hostile")
    page.locator("#export").click()
    expect(page.get_by_test_id("toast-body").last).to_contain_text("run hostile cannot be exported: position is rope", timeout=PATIENT)
    expect(page.locator("#export")).to_have_text("Export", timeout=PATIENT)
    assert json.loads((own_root / "hostile" / "config.json").read_text())["config"]["position"] == "rope"
