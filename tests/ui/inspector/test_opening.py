"""What Attention opens with, and which prompts the page may replace."""

import gradio as gr
import pytest

from gpt.interpret import heads
from gpt.runs.run import find_run, load_run
from gpt.ui.inspector import opening
from gpt.ui.server.fetching import Fetching
from gpt.ui.server.jobs import Jobs
from gpt.ui.tabs.attention import prompt_for
from gpt.ui.tabs.run_picker import RunPicker

FIRST = "A prompt of the page's own: Ŵ"  # the run `bottles` never saw most of it


@pytest.fixture(autouse=True)
def forgotten():
    """Each test begins with a page that has opened nothing."""
    opening._opening.cache_clear()
    opening._opened.clear()


@pytest.fixture
def clear(monkeypatch):
    """Every head has a role, however faint."""
    monkeypatch.setattr(heads, "CLEAR", -1)
    monkeypatch.setattr(heads, "REQUIRED_SHARE", 0)


@pytest.mark.usefixtures("clear")
def test_a_run_opens_with_a_passage_of_its_own_text(own_root):
    text = opening.opening_prompt(own_root, "bottles")
    windows = find_run(own_root, "bottles").probes().windows.tolist()
    _, tokenizer = load_run(own_root / "bottles")
    assert text
    assert any(text in tokenizer.decode(row) for row in windows)
    assert prompt_for(own_root, "bottles", FIRST, FIRST) == text
    assert prompt_for(own_root, "bottles", find_run(own_root, "bytes").config()["corpus"]["prompt"], FIRST) == text


@pytest.mark.usefixtures("clear")
def test_the_page_replaces_its_own_passage_and_no_prompt_of_a_person(own_root):
    first = prompt_for(own_root, "bottles", FIRST, FIRST)
    second = prompt_for(own_root, "bytes", first, FIRST)
    assert (opening.was_opening_prompt(first), opening.was_opening_prompt(second)) == (True, True)
    assert prompt_for(own_root, "bottles", second, FIRST) == first
    assert prompt_for(own_root, "bytes", "mine", FIRST) == "mine"
    assert prompt_for(own_root, "bottles", "Ŵ, mine", FIRST) == "Ŵ, mine"


def test_a_run_without_a_clear_head_opens_with_what_it_can_read(own_root, monkeypatch):
    monkeypatch.setattr(heads, "CLEAR", 2)
    assert opening.opening_prompt(own_root, "bottles") is None
    assert prompt_for(own_root, "bottles", FIRST, FIRST) == find_run(own_root, "bottles").config()["corpus"]["prompt"]
    assert prompt_for(own_root, "bytes", FIRST, FIRST) == FIRST


@pytest.mark.parametrize("missing", ["probes.safetensors", "best.safetensors", "tokenizer.json"])
@pytest.mark.usefixtures("clear")
def test_a_run_that_misses_a_file_has_no_passage(own_root, missing):
    (own_root / "bottles" / missing).unlink()
    assert opening.opening_prompt(own_root, "bottles") is None


@pytest.mark.usefixtures("clear")
def test_other_weights_may_have_another_passage_and_the_same_are_not_scored_again(own_root, monkeypatch):
    scored = []
    monkeypatch.setattr(opening, "passage", lambda *asked: scored.append(asked) or "green")
    assert opening.opening_prompt(own_root, "bottles") == opening.opening_prompt(own_root, "bottles") == "green"
    assert len(scored) == 1
    path = find_run(own_root, "bottles").weights()
    path.write_bytes(path.read_bytes())
    opening.opening_prompt(own_root, "bottles")
    assert len(scored) == 2


@pytest.mark.usefixtures("clear")
def test_the_picker_of_attention_proposes_it(own_root):
    with gr.Blocks(analytics_enabled=False):
        picker = RunPicker(Fetching(Jobs(own_root)), "test", gr.Textbox(FIRST), prompt_for=prompt_for)
    assert picker.showing("bottles", None, None)[-1] == opening.opening_prompt(own_root, "bottles")
    assert picker.showing("bottles", None, "green")[-1] == "green"
