"""A GPT-2 of others beside one's own: it writes, shows its heads, is compared, and one's own goes out to transformers."""

import json
import re
import shutil
import zipfile

import pytest
import torch
from playwright.sync_api import expect

from gpt.exchange.importing import import_run
from gpt.runs.run import load_run
from gpt.runs.session import Session
from tests.browser.conftest import SMALL, wait_until_ready
from tests.browser.test_page import PATIENT, choose, show
from tests.browser.test_runs import select_only
from tests.exchange.test_pretrained import made
from tests.serving import served

CLASSIC = {**SMALL, "position": "learned", "activation": "gelu", "qk_norm": False}


@pytest.fixture(scope="module")
def own_root(tmp_path_factory):
    """A folder of runs with a random GPT-2 that was read from a folder, and a run that was trained as GPT-2 was."""
    from gpt.data.tokenizers.bpe import train_bpe

    folder = tmp_path_factory.mktemp("gpt2")
    text = "Once there was a wolf named Vobil. Vobil lived near the river.\n" * 40
    (folder / "text.txt").write_text(text)
    made(folder / "theirs", train_bpe([text], 300))
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


def test_a_run_goes_on_from_another_on_ones_own_text(open_page, own_root):
    page = open_page()
    show(page, "Runs")
    select_only(page, "their-gpt2")
    page.locator("#go-on").click()
    expect(page.get_by_role("tab", name="Train", exact=True)).to_have_attribute("aria-selected", "true", timeout=PATIENT)
    expect(page.get_by_test_id("toast-body").last).to_contain_text("goes on from the weights of run their-gpt2", timeout=PATIENT)
    expect(page.locator("#preset input")).to_have_value("run their-gpt2", timeout=PATIENT)
    expect(page.locator("#price")).to_contain_text("--init_from their-gpt2 --run", timeout=PATIENT)  # nothing differs from it
    assert page.locator("#setting-n_layers.gpt-changed").count() == 0

    page.get_by_role("button", name="Your own text").click()
    page.locator("#pasted textarea").fill("The moon has a river of its own, and nobody has seen it.\n" * 80)
    page.locator("#keep").click()
    expect(page.locator("#price")).to_contain_text("pasted", timeout=PATIENT)
    page.locator("#setting-n_layers input[type=number]").fill("7")
    expect(page.locator("#price")).to_contain_text(re.compile("n_layers is [0-9] in their-gpt2 and 7 here"), timeout=PATIENT)
    page.get_by_label("reset n_layers").click()
    page.locator("#setting-max_steps input[type=number]").fill("20")
    expect(page.locator("#price")).to_contain_text("--max_steps 20", timeout=PATIENT)
    expect(page).to_have_url(re.compile(r"preset=run\+their-gpt2.*max_steps=20"), timeout=PATIENT)
    page.reload()
    expect(page.locator("#preset input")).to_have_value("run their-gpt2", timeout=PATIENT)
    expect(page.locator("#price")).to_contain_text(re.compile("--init_from their-gpt2 --corpus .*--max_steps 20"), timeout=PATIENT)

    page.locator("#train").click()
    expect(page.locator("#monitor")).to_contain_text("It went on from their-gpt2.", timeout=PATIENT)
    expect(page.locator("#monitor .gpt-facts")).to_contain_text("Done", timeout=PATIENT)
    show(page, "Runs")
    expect(page.locator("#runs-table")).to_contain_text("after their-gpt2", timeout=PATIENT)
    show(page, "Attention")
    page.locator("#explorer [data-shown]").wait_for(timeout=PATIENT)
    page.get_by_role("tab", name="Compare").click()
    rivals = page.locator("#explorer .gpt-panel select").nth(1).locator("option")
    expect(rivals.first).to_have_text("their-gpt2", timeout=PATIENT)


@pytest.fixture(scope="module")
def downloaded(own_root, tmp_path_factory):
    """A cache of Hugging Face's that holds a random GPT-2 where OpenAI's would be. It is read when a process begins: those that are
    forked have read another."""
    cache = tmp_path_factory.mktemp("cache")
    repository = cache / "models--openai-community--gpt2"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text("1" * 40)
    shutil.copytree(own_root.parent / "theirs", repository / "snapshots" / ("1" * 40))
    return cache


def ask_for_gpt2(page, tab: str) -> None:
    expect(page.locator(f"#{tab}-run input")).to_have_value("my-gpt2", timeout=PATIENT)
    page.locator(f"#{tab}-run input").click()
    page.get_by_role("option", name="GPT-2 124M of OpenAI (548 MB to download)").click()


@pytest.mark.parametrize("tab", ["generate", "attention"])
def test_gpt2_is_one_choice_in_the_list_of_runs(browser, own_root, downloaded, tmp_path, tab):
    shutil.copytree(own_root / "my-gpt2", tmp_path / "runs" / "my-gpt2")
    with served(tmp_path / "runs", forked=False, HF_HUB_CACHE=str(downloaded), HF_HUB_OFFLINE="1") as url:
        page = browser.new_page()
        page.goto(url)
        wait_until_ready(page)
        show(page, tab.capitalize())
        ask_for_gpt2(page, tab)
        expect(page.locator(f"#{tab}-fetched")).to_contain_text("GPT-2 is here: run gpt2.", timeout=PATIENT)
        expect(page.locator(f"#{tab}-run input")).to_have_value("gpt2", timeout=PATIENT)
        if tab == "generate":
            page.locator("#generate").click()
            expect(page.locator("#writing")).to_contain_text("per second (gpt2, best weights)", timeout=PATIENT)
        else:
            page.locator("#explorer [data-shown]").wait_for(timeout=PATIENT)
        page.locator(f"#{tab}-run input").click()
        expect(page.locator(f"#{tab}-run [role=option]")).to_have_text([re.compile("gpt2"), re.compile("my-gpt2")])
        page.close()


def test_without_a_network_it_says_how_to_put_the_folder_there(browser, own_root, tmp_path):
    shutil.copytree(own_root / "my-gpt2", tmp_path / "runs" / "my-gpt2")
    with served(tmp_path / "runs", forked=False, HF_HUB_CACHE=str(tmp_path / "empty"), HF_HUB_OFFLINE="1") as url:
        page = browser.new_page()
        page.goto(url)
        wait_until_ready(page)
        show(page, "Generate")
        ask_for_gpt2(page, "generate")
        line = page.locator("#generate-fetched")
        for words in ("cannot be downloaded", "put config.json, model.safetensors and tokenizer.json", "gpt.pretrained --source FOLDER"):
            expect(line).to_contain_text(words, timeout=PATIENT)
        expect(page.locator("#generate-run input")).to_have_value("my-gpt2")
        page.close()
