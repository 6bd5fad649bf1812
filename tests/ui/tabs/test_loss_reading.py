"""What the page says of the loss of a run."""

import json

import pytest

from gpt.ui.tabs.loss_reading import lines, read_loss


def test_a_run_is_compared_with_guessing_frequencies_and_pairs(library_jobs):
    answer = json.loads(json.dumps(read_loss(library_jobs, {"run": "bottles"}), allow_nan=False))
    names = " ".join(text for _, text in answer["lines"])
    assert all(name in names for name in ("guessing", "token frequencies", "pairs of tokens"))
    assert [loss for loss, _ in answer["lines"]] == sorted((loss for loss, _ in answer["lines"]), reverse=True)
    assert answer["meaning"]


def test_what_goes_wrong_is_said_with_the_setting_to_change(jobs, own_root):
    jobs.root = own_root
    with open(own_root / "bottles" / "metrics.jsonl", "a", encoding="utf-8") as file:
        for step in range(100, 1100, 100):
            file.write(json.dumps({"step": step, "loss": 2.0, "lr": 0.01}) + "\n" + json.dumps({"step": step, "val_loss": 2.0}) + "\n")
    config = own_root / "bottles" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"steps": 5000}))
    assert "learning_rate" in read_loss(jobs, {"run": "bottles"})["advice"]


def test_a_run_without_a_config_yet_has_no_advice(jobs):
    (jobs.root / "new").mkdir(parents=True)
    (jobs.root / "new" / "status.json").write_text('{"state": "starting", "step": 0, "steps": 0}')
    assert read_loss(jobs, {"run": "new"}) == {"lines": [], "meaning": "", "advice": ""}


@pytest.mark.parametrize("sent", [None, 7, {}, {"run": "no such run"}, {"run": "../bottles"}, {"run": "x" * 100}])
def test_nonsense_is_answered_with_a_sentence(library_jobs, sent):
    assert read_loss(library_jobs, sent)["error"]


def test_lines_too_close_to_be_told_apart_are_one():
    assert lines({"guessing": 3.30, "token frequencies": 3.26, "pairs of tokens": 3.28}) == [
        [3.26, "guessing, pairs of tokens, token frequencies 3.26"]]
    assert lines({"guessing": 6.2, "token frequencies": 5.2, "pairs of tokens": 2.4}) == [
        [6.2, "guessing 6.20"], [5.2, "token frequencies 5.20"], [2.4, "pairs of tokens 2.40"]]
