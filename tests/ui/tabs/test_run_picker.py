"""Runs as the page offers them: names, snapshots on a slider, models kept loaded."""

import json
import math
from shutil import copy, copytree, rmtree

import gradio as gr
import pytest
import torch

from gpt.runs.run import RunError, find_run
from gpt.runs.storage import load_tensors, save_tensors
from gpt.runs.writer import RunWriter
from gpt.ui.server.fetching import CHOICE, Fetching
from gpt.ui.server.jobs import Jobs
from gpt.ui.server.model_cache import load, snapshot_at
from gpt.ui.tabs.run_picker import BEST, MOST_REQUESTED, RunPicker, readable_prompt
from tests.says import says

FIRST = "A prompt of the page's own: Ŵ"  # the run `bottles` never saw most of it


@pytest.fixture
def own_root(root, tmp_path):
    """A copy of the folder of runs, for writing."""
    return copytree(root, tmp_path / "checkpoints")


def offered(run: dict) -> list[str]:
    """What the list of runs holds."""
    return [value for _, value in run["choices"]]


@pytest.fixture
def picker(own_root) -> RunPicker:
    with gr.Blocks(analytics_enabled=False):
        return RunPicker(Fetching(Jobs(own_root)), "test", gr.Textbox(FIRST))


def test_each_place_on_the_slider_is_a_snapshot_and_its_end_the_best_weights(root):
    steps = find_run(root, "bottles").snapshots()
    assert len(steps) > 2
    assert [snapshot_at(root, "bottles", place) for place in range(len(steps))] == steps
    assert [snapshot_at(root, "bottles", place + 0.9) for place in range(len(steps))] == steps
    assert snapshot_at(root, "bottles", len(steps)) is None
    assert snapshot_at(root, "bottles", 10**400) is None


@pytest.mark.parametrize("place", [math.nan, math.inf, -math.inf, -1, -0.5, None, "1", [1], {}])
def test_a_place_that_is_none_is_told(root, place):
    with pytest.raises(RunError, match=says("weights", "slider")):
        snapshot_at(root, "bottles", place)
    with pytest.raises(RunError):
        load(root, "bottles", place)


@pytest.mark.parametrize(("name", "told"), [
    ("cups", r"there is no run cups in .*; there are: bottles, bytes"), ("../bottles", "cannot name a run"), (5, "cannot name a run"),
    (None, "choose a run"), ("", "choose a run"), ([], "choose a run"),
])
def test_a_run_that_is_none_is_told(root, name, told):
    for ask in (snapshot_at, load):
        with pytest.raises(RunError, match=told):
            ask(root, name, 0)


def test_weights_come_with_words_for_which_they_are(root):
    last = len(find_run(root, "bottles").snapshots())
    model, tokenizer, told = load(root, "bottles", last)
    assert told == "bottles, best weights"
    assert (model.vocab_size, model.training) == (tokenizer.n_vocab, False)
    first, _, told = load(root, "bottles", 0)
    assert told == "bottles, step 0"
    assert not torch.equal(next(first.parameters()), next(model.parameters()))


def test_weights_stay_loaded(root):
    assert load(root, "bottles", 99)[0] is load(root, "bottles", 99)[0]
    assert load(root, "bottles", 0)[0] is not load(root, "bottles", 99)[0]


def test_a_changed_file_is_loaded_anew(own_root):
    before, _, _ = load(own_root, "bottles", 99)
    path = find_run(own_root, "bottles").weights()
    save_tensors(path, {name: tensor + 1 for name, tensor in load_tensors(path)[0].items()})
    after, _, _ = load(own_root, "bottles", 99)
    torch.testing.assert_close(next(after.parameters()), next(before.parameters()) + 1)


@pytest.mark.parametrize("content", [b"", b"garbage", b"\xff" * 1000])
def test_damaged_weights_are_told(own_root, content):
    find_run(own_root, "bottles").weights().write_bytes(content)
    with pytest.raises(RunError, match=says("damaged", "CONFIG")):
        load(own_root, "bottles", 99)


def test_a_run_without_weights_yet_is_told(own_root):
    with RunWriter(own_root / "new") as writer:
        writer.write_status(state="starting", step=0, steps=0)
    with pytest.raises(RunError, match=says("new", "no weights")):
        load(own_root, "new", 0)


class TestRunPicker:
    """The two controls are brought up to date whenever the tab is shown, and agree with each other."""

    def test_the_newest_run_is_offered_with_its_best_weights(self, picker):
        run, weights, *_ = picker.offer(None, None, 0, FIRST)
        assert (offered(run), run["value"]) == (["bytes", "bottles", CHOICE], "bytes")
        last = len(find_run(picker.root, "bytes").snapshots())
        assert (weights["maximum"], weights["value"], weights["label"]) == (last, last, BEST)

    def test_a_run_and_weights_that_are_wished_for_are_taken(self, picker):
        run, weights, *_ = picker.offer("bottles", 2, 0, FIRST)
        assert (run["value"], weights["value"]) == ("bottles", 2)

    def test_a_choice_stays_while_the_run_is_there(self, picker):
        run, weights, *_ = picker.offer("bottles", None, 0, FIRST)
        assert "value" not in run
        assert "value" not in weights
        rmtree(picker.root / "bottles")
        run, *_ = picker.offer("bottles", None, 0, FIRST)
        assert (offered(run), run["value"]) == (["bytes", CHOICE], "bytes")

    def test_the_best_weights_stay_at_the_end_of_a_slider_that_has_become_shorter(self, picker):
        last = len(find_run(picker.root, "bottles").snapshots())
        assert picker.offer("bottles", None, last + 30, FIRST)[1] == gr.update(maximum=last, value=last)
        for place in (last, 0, None, "x", [99]):
            assert picker.offer("bottles", None, place, FIRST)[1] == gr.update(maximum=last)

    def test_a_run_without_weights_is_not_offered(self, picker):
        with RunWriter(picker.root / "new") as writer:
            writer.write_status(state="starting", step=0, steps=0)
        assert offered(picker.offer(None, None, 0, FIRST)[0]) == ["bytes", "bottles", CHOICE]

    def test_without_runs_there_is_nothing_to_offer(self, tmp_path):
        with gr.Blocks(analytics_enabled=False):
            run, weights, _, proposal = RunPicker(Fetching(Jobs(tmp_path)), "test", gr.Textbox(FIRST)).offer(None, None, 1, FIRST)
        assert (offered(run), run["value"]) == ([CHOICE], None)
        assert weights == gr.skip()
        assert json.loads(proposal) == [FIRST, FIRST]

    def test_a_prompt_that_the_run_cannot_read_gives_way_to_the_runs_own(self, picker):
        own = find_run(picker.root, "bottles").config()["corpus"]["prompt"]
        assert json.loads(picker.choose("bottles", FIRST)[-1]) == [FIRST, own]
        assert json.loads(picker.offer("bottles", 0, 0, FIRST)[-1]) == [FIRST, own]
        assert json.loads(picker.choose("bytes", FIRST)[-1]) == [FIRST, FIRST]
        assert json.loads(picker.choose("bytes", own)[-1]) == [own, FIRST]

    def test_what_a_person_wrote_stays_also_where_it_cannot_be_read(self, picker):
        assert readable_prompt(picker.root, "bottles", "Ŵ, mine", FIRST) == "Ŵ, mine"
        assert json.loads(picker.choose("bottles", "Ŵ, mine")[-1]) == ["Ŵ, mine"] * 2

    def test_a_damaged_run_beside_it_keeps_no_run_from_being_chosen(self, picker):
        (picker.root / "bytes" / "config.json").write_text("{", encoding="utf-8")
        assert picker.choose("bottles", FIRST)[-1]

    def test_the_slider_is_named_by_what_it_points_at(self, picker):
        steps = find_run(picker.root, "bottles").snapshots()
        labels, told = zip(*(picker.label("bottles", place) for place in range(len(steps) + 1)), strict=True)
        assert [label["label"] for label in labels] == [*(f"weights: at training step {step:,}" for step in steps), BEST]
        assert list(told) == [*map(str, steps), ""]

    def test_a_run_is_shown_at_a_step_with_a_prompt(self, picker):
        steps = find_run(picker.root, "bottles").snapshots()
        run, weights, step, prompt = picker.showing("bottles", steps[1], "green")
        assert (run["value"], weights["value"], step, prompt) == ("bottles", 1, str(steps[1]), "green")
        assert weights["label"] == picker.label("bottles", 1)[0]["label"]
        run, weights, step, prompt = picker.showing("bottles", None, None)
        assert (weights["value"], weights["label"], step) == (len(steps), BEST, "")
        assert prompt == find_run(picker.root, "bottles").config()["corpus"]["prompt"]  # it cannot read the page's own

    def test_another_run_begins_at_its_best_weights(self, picker):
        last = len(find_run(picker.root, "bottles").snapshots())
        fitted = picker.best_place("bottles")
        assert (fitted["maximum"], fitted["value"], fitted["label"]) == (last, last, BEST)

    def test_while_a_run_trains_the_end_of_the_slider_stays_the_best_weights(self, picker):
        run = find_run(picker.root, "bottles")
        with RunWriter(run.path) as writer:
            writer.write_status(state="running")
            end = picker.best_place("bottles")["value"]
            assert snapshot_at(picker.root, "bottles", end) is None
            planned = run.config()["config"]["snapshots"]
            for step in range(1000, 1000 + planned + MOST_REQUESTED):
                copy(run.weights(run.snapshots()[0]), run.path / f"snapshots/step-{step:06d}.safetensors")
            assert snapshot_at(picker.root, "bottles", end) is None

    def test_a_run_deleted_meanwhile_is_told_to_the_person(self, picker):
        with pytest.raises(gr.Error, match=says("no run cups")):
            picker.label("cups", 1)
