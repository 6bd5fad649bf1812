"""One's own text on the page: a folder of anything is uploaded and trained on in one go, and shown as tokens."""

import gzip
import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from gpt.runs.run import find_run
from tests.browser.conftest import PATIENT
from tests.browser.test_page import open_box, set_number, state
from tests.serving import served


@pytest.fixture(scope="module")
def own_root(tmp_path_factory) -> Path:
    """An empty folder of runs: what is trained here is the only one."""
    return tmp_path_factory.mktemp("texts") / "checkpoints"


@pytest.fixture(scope="module")
def address(own_root) -> str:
    with served(own_root) as url:
        yield url


@pytest.fixture
def mixed(tmp_path) -> Path:
    """A folder of files as people have them."""
    folder = tmp_path / "mixed"
    (folder / "deeper").mkdir(parents=True)
    line = "ten green bottles hanging on the wall, and if one falls there are nine\n"
    files = {
        "ch1.txt": line.encode() * 20, "ch2.TXT": line.encode("utf-16"), "ch10.md": b"# Ten\r\n" + line.encode() * 20,
        "rows.jsonl": b"".join(b'{"n": %d, "text": "%d green bottles"}\n' % (n, n) for n in range(200)),
        "table.csv": b"n,content\n" + b"".join(b'%d,"%d bottles, all of them green"\n' % (n, n) for n in range(100)),
        "page.html": b"<h1>Bottles</h1><script>no()</script><p>They are <b>green</b>.</p>", "no-ending": line.encode() * 5,
        "packed.txt.gz": gzip.compress(line.encode() * 9), "old.txt": ("Съешь же ещё этих мягких булок. " * 40).encode("cp1251"),
        "deeper/code.py": b"for bottle in bottles:\n    print(bottle)\n" * 20, ".DS_Store": b"\0\1", "picture.png": b"\x89PNG\r\n\0\0"}
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return folder


def upload(page: Page, button: str, what) -> None:
    page.locator(f"#{button}").wait_for()
    with page.expect_file_chooser() as chooser:
        page.locator(f"#{button}").click()
    chooser.value.set_files(what)


def test_a_folder_of_mixed_files_is_uploaded_and_trained_on_in_one_go(open_page, own_root, mixed):
    page = open_page()
    open_box(page, "Your own text")
    upload(page, "upload-folder", mixed)
    expect(page.locator("#source input")).to_have_value(re.compile("-and-10-more$"), timeout=PATIENT)
    preview = page.locator("#preview")
    expect(preview).to_contain_text("308 documents", timeout=PATIENT)
    expect(preview).to_contain_text("read as cp1251")
    expect(preview).to_contain_text("left out: picture.png (it is no text")
    for field, value in (("n_layers", 1), ("emb_dim", 32), ("context_length", 32), ("max_steps", 20)):
        set_number(page, field, value)
    page.locator("#train").click()
    expect(state(page)).to_have_text("Done", timeout=PATIENT)
    run = find_run(own_root, next(path.name for path in own_root.iterdir() if (path / "config.json").exists()))
    assert run.config()["corpus"]["documents"] == 308
    expect(page.locator("#monitor")).to_contain_text("end-of-text token between")


def test_several_files_are_one_text_and_one_can_be_for_validation(open_page, tmp_path):
    for name in ("поэма.txt", "诗.txt", "own.txt"):
        (tmp_path / name).write_text(f"{name} green bottles hanging on the wall\n" * 40, encoding="utf-8")
    page = open_page()
    open_box(page, "Your own text")
    upload(page, "upload", [tmp_path / "own.txt"])
    expect(page.locator("#source input")).to_have_value("own", timeout=PATIENT)
    upload(page, "upload", [tmp_path / "поэма.txt", tmp_path / "诗.txt"])
    expect(page.locator("#source input")).to_have_value("поэма-and-1-more", timeout=PATIENT)
    expect(page.locator("#preview")).to_contain_text("2 documents", timeout=PATIENT)
    open_box(page, "All settings")
    page.locator("#setting-validation input").click()
    page.get_by_role("option", name="own", exact=True).click()
    expect(page.locator("#preview")).to_contain_text("is for validation", timeout=PATIENT)


def test_what_is_no_text_is_refused_in_a_sentence(open_page, tmp_path):
    (tmp_path / "picture.png").write_bytes(b"\x89PNG\r\n\x1a\n\0\0")
    page = open_page()
    open_box(page, "Your own text")
    upload(page, "upload", [tmp_path / "picture.png"])
    expect(page.locator(".toast-body")).to_contain_text("picture.png", timeout=PATIENT)
    expect(page.locator(".toast-body")).to_contain_text("it is no text")
    expect(page.locator("#source input")).to_have_value("stories")


def test_a_text_is_shown_as_tokens_of_two_tokenizers(open_page):
    page = open_page()
    open_box(page, "Tokens: how this text is cut")
    page.locator("#tokens-text textarea").fill("the cat é\n")
    page.locator("#tokens-beside input").click()
    page.get_by_role("option", name="gpt2").click()
    page.locator("#tokens-show").click()
    sides = page.locator("#tokens .gpt-token-side")
    expect(sides).to_have_count(2, timeout=PATIENT)
    expect(sides.nth(1).locator("h3")).to_have_text("gpt2: 4 tokens")
    expect(sides.nth(1).locator(".gpt-cut-text .gpt-cut")).to_have_text(["the", "·cat", "·é", "⏎"])
    expect(sides.nth(0)).to_contain_text("bytes per token of this text")
    sides.nth(1).locator(".gpt-cut-text .gpt-cut").nth(1).hover()
    expect(sides.nth(1).locator(".gpt-token-about")).to_contain_text("bytes 20 63 61 74")
    expect(sides.nth(1).locator(".gpt-merges li")).to_have_count(4)
    sides.nth(1).locator(".gpt-cut-text").press("ArrowRight")
    expect(sides.nth(1).locator(".gpt-token-about")).to_contain_text("bytes 20 c3 a9")
    page.locator("#tokens-text textarea").fill("x" * 10)
    page.locator("#tokens-beside input").click()
    page.get_by_role("option", name="nothing").click()
    page.locator("#tokens-show").click()
    expect(sides).to_have_count(1, timeout=PATIENT)
