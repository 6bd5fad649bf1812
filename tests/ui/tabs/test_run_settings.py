"""The CONFIGs of runs: as settings for the next run, and what they differ in."""

import json
import re

import gradio as gr
import pytest

from gpt.config import CONFIG, FIELDS, PRESETS
from gpt.errors import UserError
from gpt.runs.run import Run, find_run
from gpt.runs.start import INHERITED
from gpt.ui.server import texts
from gpt.ui.server.bases import base_of
from gpt.ui.server.jobs import Jobs, training_arguments
from gpt.ui.tabs import pricing, run_settings, runs, train
from gpt.ui.tabs.settings import Settings
from tests.says import says
from tests.serving import PROJECT


@pytest.fixture
def own_jobs(own_root) -> Jobs:
    """Jobs over a copy of the two finished runs."""
    return Jobs(own_root)


def test_the_settings_of_a_run_fill_the_form_and_are_said(own_jobs, own_root):
    preset, *values = runs.fill_form(own_jobs, run_settings.as_form, "bottles")
    form = dict(zip(CONFIG, values, strict=True))
    saved = find_run(own_root, "bottles").config()["config"]
    assert preset["value"] in PRESETS
    assert form.pop("corpus") == gr.skip()  # its text lies elsewhere, and is not on the list of this page
    assert form.pop("vocab_size") == CONFIG["vocab_size"]  # characters are counted, not asked for
    assert form == {name: saved[name] for name in form}


def test_the_nearest_preset_is_chosen_and_the_sentence_names_what_differs():
    run = Run(PROJECT / "checkpoints" / "stories")
    preset, config, sentence = run_settings.as_form(run, PROJECT / "checkpoints", PROJECT / "checkpoints")
    assert (preset, config["corpus"]) == ("quick", "stories")
    changes = run_settings.differing(config, PRESETS["quick"])
    assert changes["emb_dim"] == 112
    assert all(f"{name} {value}" in sentence for name, value in changes.items())


def test_a_text_of_the_page_is_chosen_too(own_jobs, own_root, text):
    path = texts.save_text(own_root, "mine.txt", text.encode())
    config = own_root / "bottles" / "config.json"
    saved = json.loads(config.read_text())
    saved["config"]["corpus"] = str(path)
    config.write_text(json.dumps(saved))
    assert dict(zip(CONFIG, runs.fill_form(own_jobs, run_settings.as_form, "bottles")[1:], strict=True))["corpus"] == str(path)


def test_a_run_to_go_on_from_fills_the_form_at_a_lower_rate(own_jobs, own_root):
    start, *values = runs.fill_form(own_jobs, run_settings.as_start, "bottles")
    form, saved = dict(zip(CONFIG, values, strict=True)), find_run(own_root, "bottles").config()["config"]
    assert (start["value"], start["choices"]) == ("run bottles", [*PRESETS, "run bottles"])
    assert form["corpus"] == gr.skip()
    assert all(form[name] == saved[name] for name in INHERITED)
    assert form["learning_rate"] == pytest.approx(0.1 * saved["learning_rate"])


def test_the_page_is_not_told_where_the_text_of_a_run_lies(own_jobs, own_root):
    with gr.Blocks():
        settings = Settings(gr.Dropdown(["stories"]), own_jobs)
    told = dict(zip(CONFIG, settings.base("run bottles")["values"], strict=True))
    assert told["corpus"] == "bottles.txt"
    assert told["n_layers"] == 2
    assert settings.base("run nowhere") == settings.base({}) == {}


def test_the_settings_of_the_next_run_are_told_to_the_command_line(own_jobs, own_root):
    base = base_of(own_root, "run bottles")
    words = training_arguments({**base.config, "max_steps": 9, "freeze": "0"}, "run bottles", "next", own_root)
    assert words == ["-m", "gpt.pretrain", "--init_from", "bottles", "--max_steps", "9", "--freeze", "0", "--run", "next",
                     "--checkpoints", str(own_root)]


def test_another_model_than_that_of_the_run_is_told_with_both_values(own_jobs, own_root):
    base = base_of(own_root, "run bottles")
    [problem] = pricing.price_of(own_jobs, base, "", {**base.config, "n_layers": 3, "corpus": "stories"})["problems"]
    assert "n_layers is 2 in bottles and 3 here" in problem
    with pytest.raises(UserError, match=says("n_layers is 2 in bottles and 3 here")):
        train.begin(own_jobs, {**base.config, "n_layers": 3, "corpus": "stories"}, base, "next", 1, "")


def test_a_text_is_read_with_the_tokens_of_the_run(own_jobs, own_root):
    path = texts.save_text(own_root, "mine.txt", ("99 green bottles ^ hanging\n" * 40).encode())
    base = base_of(own_root, "run bottles")
    notes = pricing.preview_of(own_jobs, base, {**base.config, "corpus": str(path)})["notes"]
    assert "^" in notes  # which the characters of the run do not have


@pytest.mark.parametrize("selected", ["", "bottles\nbytes", "no such run", "../x", None, 5])
@pytest.mark.parametrize("filling", [run_settings.as_form, run_settings.as_start])
def test_one_run_must_be_selected(library_jobs, filling, selected):
    with pytest.raises(gr.Error):
        runs.fill_form(library_jobs, filling, selected)


def test_a_damaged_config_fills_nothing(own_jobs, own_root):
    config = own_root / "bottles" / "config.json"
    saved = json.loads(config.read_text())
    saved["config"]["n_heads"] = "<b>"
    config.write_text(json.dumps(saved))
    with pytest.raises(gr.Error, match=says("config.json")):
        runs.fill_form(own_jobs, run_settings.as_form, "bottles")
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
