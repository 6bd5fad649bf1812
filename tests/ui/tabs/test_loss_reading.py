"""What the page says of the loss of a run."""

import json

import pytest

from gpt.ui.charts.figures import MUTED
from gpt.ui.tabs.loss_reading import lines, read_loss


def test_a_run_is_compared_with_guessing_frequencies_and_pairs(library_jobs):
    answer = json.loads(json.dumps(read_loss(library_jobs, {"run": "bottles"}), allow_nan=False))
    names = " ".join(text for _, text, _ in answer["lines"])
    assert all(name in names for name in ("guessing", "token frequencies", "pairs of tokens"))
    losses = [loss for loss, _, _ in answer["lines"]]
    assert losses == sorted(losses, reverse=True)
    assert answer["meaning"]
    assert answer["unlearned"] == []  # nobody knows what perfect is on a text of one's own
    assert "perfect" not in names


def test_where_perfect_is_known_it_is_a_green_line_and_what_is_above_it_comes_by_kind(jobs, own_root):
    jobs.root = own_root
    path = own_root / "bottles" / "metrics.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    for row in rows:
        row |= {"perfect": 0.61} if row.get("kind") == "baselines" else {}
        row |= {"above_perfect": {"second copy": 0.5, "a\x1b[b": 0.75}} if "val_loss" in row else {}
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    answer = read_loss(jobs, {"run": "bottles"})
    assert answer["lines"][-1] == [0.61, "perfect 0.61", "var(--gpt-green)"]
    assert answer["unlearned"] == [["a\u241b[b", 0.75], ["second copy", 0.5]]


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
    assert read_loss(jobs, {"run": "new"}) == {"lines": [], "meaning": "", "advice": "", "unlearned": []}


@pytest.mark.parametrize("sent", [None, 7, {}, {"run": "no such run"}, {"run": "../bottles"}, {"run": "x" * 100}])
def test_nonsense_is_answered_with_a_sentence(library_jobs, sent):
    assert read_loss(library_jobs, sent)["error"]


def test_lines_too_close_to_be_told_apart_are_one():
    assert lines({"guessing": 3.30, "token frequencies": 3.26, "pairs of tokens": 3.28}) == [
        [3.26, "guessing, pairs of tokens, token frequencies 3.26", MUTED]]
    assert lines({"guessing": 6.2, "token frequencies": 5.2, "pairs of tokens": 2.4}) == [
        [6.2, "guessing 6.20", MUTED], [5.2, "token frequencies 5.20", MUTED], [2.4, "pairs of tokens 2.40", MUTED]]
