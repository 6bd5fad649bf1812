"""The CONFIGs of runs: as settings for the next run, and what they differ in."""

import json
import re

import gradio as gr
import pytest

from gpt.config import CONFIG, FIELDS, PRESETS
from gpt.runs.run import Run, find_run
from gpt.ui.server import texts
from gpt.ui.server.jobs import Jobs
from gpt.ui.tabs import run_settings, runs
from tests.says import says
from tests.serving import PROJECT


@pytest.fixture
def own_jobs(own_root) -> Jobs:
    """Jobs over a copy of the two finished runs."""
    return Jobs(own_root)


def test_the_settings_of_a_run_fill_the_form_and_are_said(own_jobs, own_root):
    preset, *values = runs.use_settings(own_jobs, "bottles")
    form = dict(zip(CONFIG, values, strict=True))
    saved = find_run(own_root, "bottles").config()["config"]
    assert preset in PRESETS
    assert form.pop("corpus") == gr.skip()  # its text lies elsewhere, and is not on the list of this page
    assert form.pop("vocab_size") == CONFIG["vocab_size"]  # characters are counted, not asked for
    assert form == {name: saved[name] for name in form}


def test_the_nearest_preset_is_chosen_and_the_sentence_names_what_differs():
    run = Run(PROJECT / "checkpoints" / "stories")
    preset, config, sentence = run_settings.as_form(run, PROJECT / "checkpoints")
    assert (preset, config["corpus"]) == ("quick", "stories")
    changes = run_settings.differing(config, PRESETS["quick"])
    assert changes["emb_dim"] == 96
    assert all(f"{name} {value}" in sentence for name, value in changes.items())


def test_a_text_of_the_page_is_chosen_too(own_jobs, own_root, text):
    path = texts.save_text(own_root, "mine.txt", text.encode())
    config = own_root / "bottles" / "config.json"
    saved = json.loads(config.read_text())
    saved["config"]["corpus"] = str(path)
    config.write_text(json.dumps(saved))
    assert dict(zip(CONFIG, runs.use_settings(own_jobs, "bottles")[1:], strict=True))["corpus"] == str(path)


@pytest.mark.parametrize("selected", ["", "bottles\nbytes", "no such run", "../x", None, 5])
def test_one_run_must_be_selected(library_jobs, selected):
    with pytest.raises(gr.Error):
        runs.use_settings(library_jobs, selected)


def test_a_damaged_config_fills_nothing(own_jobs, own_root):
    config = own_root / "bottles" / "config.json"
    saved = json.loads(config.read_text())
    saved["config"]["n_heads"] = "<b>"
    config.write_text(json.dumps(saved))
    with pytest.raises(gr.Error, match=says("config.json")):
        runs.use_settings(own_jobs, "bottles")
    assert run_settings.differences([Run(own_root / "bottles"), Run(own_root / "bytes")]) is None


def test_what_runs_differ_in(root):
    found = run_settings.differences([Run(root / "bottles"), Run(root / "bytes")])
    rows = {name: values for name, *values in found["rows"]}
    assert found["names"] == ["bottles", "bytes"]
    assert rows["tokenizer"] == ["char", "byte"]
    assert set(rows) <= {field.name for field in FIELDS}
    assert all(len(set(values)) > 1 for name, values in rows.items() if name != "corpus")
    assert not re.search("/", " ".join(rows.get("corpus", [])))  # no paths of this machine


def test_one_run_or_too_many_have_no_differences(root):
    assert run_settings.differences([Run(root / "bottles")]) is None
    assert run_settings.differences([Run(root / "bottles")] * 7) is None
    assert run_settings.differences([Run(root / "bottles")] * 2)["rows"] == []
