"""Losses made up so that one thing is wrong with them, and losses of healthy runs, on which nothing may fire."""

import math
import random
from pathlib import Path

import pytest

from gpt.config import CONFIG
from gpt.data.baselines import FREQUENCIES, GUESSING, PAIRS, PERFECT
from gpt.interpret.diagnosis import Losses, diagnosis, meaning
from gpt.runs.run import Run

PROJECT = Path(__file__).resolve().parents[2]
BASELINES = {GUESSING: 6.9, FREQUENCIES: 5.1, PAIRS: 2.4}
TEXT = 10_000_000  # tokens: a text that none of these runs reads twice
CONFIG_HERE = {**CONFIG, "max_steps": 1000, "learning_rate": 0.01, "eval_every": 100}


def healthy(step: int) -> float:
    return 1.3 + 5.6 * math.exp(-step / 120)


def losses(training=healthy, validation=lambda step: healthy(step) + 0.05, noise=0.03, steps=1000, seed=0) -> Losses:
    draw = random.Random(seed)
    rows = [{"step": 0, "kind": "baselines", **BASELINES}, {"step": 0, "val_loss": 6.9}]
    for step in range(1, steps + 1):
        rows.append({"step": step, "loss": training(step) + draw.gauss(0, noise), "lr": 0.01 * (1 - step / 1000)})
        if step % 100 == 0:
            rows.append({"step": step, "val_loss": validation(step) + draw.gauss(0, 0.003)})
    return Losses.read(rows)


def told(losses: Losses, train_tokens: int = TEXT, **changes) -> str:
    return diagnosis(losses, {**CONFIG_HERE, **changes}, train_tokens)


@pytest.mark.parametrize("steps", [1, 5, 30, 200, 500, 1000])
def test_nothing_is_said_of_a_healthy_run_at_any_moment(steps, seed):
    assert told(losses(steps=steps, seed=seed)) == ""


def test_nothing_is_said_of_the_shipped_run():
    run = Run(PROJECT / "checkpoints" / "stories")
    rows, _ = run.rows()
    about = run.config()
    for end in (len(rows) // 4, len(rows) // 2, len(rows)):
        assert diagnosis(Losses.read(rows[:end]), about["config"], about["tokenizer"]["train_tokens"]) == ""
    assert meaning(Losses.read(rows)) == "0.60: better than pairs of tokens (3.10); no model can be better than 0.55."


def test_where_perfect_is_known_the_best_losses_are_compared_with_it():
    rows = [{"step": 0, "kind": "baselines", **BASELINES, PERFECT: 0.6}, {"step": 9, "val_loss": 1.2, "above_perfect": {"sum": 0.6}}]
    read = Losses.read(rows)
    assert meaning(read) == "1.20: better than pairs of tokens (2.40); no model can be better than 0.60."
    assert (read.perfect, read.above_perfect) == (0.6, {"sum": 0.6})
    for damage in (3, {"sum": None}):
        damaged = Losses.read([{**rows[0], PERFECT: "x"}, {**rows[1], "above_perfect": damage}])
        assert (damaged.perfect, damaged.above_perfect) == (None, {})


def test_a_validation_loss_that_rises_while_the_training_loss_falls(seed):
    said = told(losses(training=lambda step: healthy(step) - step / 2000,
                       validation=lambda step: healthy(step) + max(0, step - 500) / 1000, seed=seed))
    assert said.startswith("Overfitting")
    assert "dropout_rate to 0.1" in said


def test_both_losses_rising_is_not_overfitting(seed):
    assert not told(losses(training=lambda step: healthy(step) + max(0, step - 500) / 1000,
                           validation=lambda step: healthy(step) + max(0, step - 500) / 1000, seed=seed)).startswith("Overfitting")


def test_a_loss_that_jumps(seed):
    said = told(losses(training=lambda step: healthy(step) + 2 * (step in (300, 450, 600, 750)), seed=seed))
    assert said.startswith("Spikes")
    assert "4 times" in said
    assert "from 0.01 to 0.005" in said


def test_one_jump_is_bad_luck(seed):
    assert told(losses(training=lambda step: healthy(step) + 2 * (step == 300), seed=seed)) == ""


def test_a_text_read_many_times(seed):
    apart = losses(training=lambda step: healthy(step) - 0.4, seed=seed)
    said = told(apart, train_tokens=100_000, batch=16, context_length=64)
    assert "read 10 times" in said
    assert "max_steps" in said
    assert told(apart) == "", "the same gap on a text that was read once means something else"
    assert told(losses(seed=seed), train_tokens=100_000, batch=16, context_length=64) == "", "many readings without a gap do no harm"


def test_a_plateau_in_the_middle_of_a_run(seed):
    flat = losses(training=lambda step: 5.2, validation=lambda step: 5.25, steps=700, seed=seed)
    assert told(flat).startswith("A plateau")
    assert "how often each token comes" in told(flat)
    assert "n_layers" in told(losses(training=lambda step: 2.0, validation=lambda step: 2.0, steps=700, seed=seed))


def test_the_flat_end_of_a_run_is_no_plateau(seed):
    assert told(losses(training=lambda step: 1.3, validation=lambda step: 1.35, seed=seed)) == ""


@pytest.mark.parametrize(("loss", "words"), [
    (7.0, ["no better than guessing", "6.90"]), (6.0, ["better than guessing", "token frequencies", "5.10"]),
    (3.0, ["better than token frequencies", "pairs of tokens", "2.40"]), (1.33, ["1.33", "better than pairs of tokens", "2.40"])])
def test_what_a_loss_means(loss, words):
    said = meaning(Losses([], [(100, loss)], BASELINES))
    assert all(word in said for word in words), said


def test_on_random_letters_guessing_frequencies_and_pairs_are_one():
    alike = {GUESSING: 3.258, FREQUENCIES: 3.258, PAIRS: 3.272}
    assert "no better" in meaning(Losses([], [(100, 3.265)], alike))
    said = meaning(Losses([], [(100, 2.3)], alike))
    assert all(name in said for name in alike)
    assert "next" not in said


def test_a_run_that_was_made_longer_begins_anew(seed):
    """Its rate has risen, and with it its loss: no spike, and no plateau."""
    draw = random.Random(seed)
    rows = []
    for step in range(1, 2100):
        again = step > 1000
        rows.append({"step": step, "loss": 1.5 + 0.9 * again * math.exp(-(step - 1000) / 300) + draw.gauss(0, 0.03), "lr": 0.005})
        if step % 100 == 0:
            rows.append({"step": step, "val_loss": rows[-1]["loss"] - 0.0002 * step * again})
        if step in (1000, 1400):
            rows.append({"step": step, "kind": "warning", "text": "longer", "mark": "more steps"})
    for end in range(1200, len(rows), 50):
        assert told(Losses.read(rows[:end])) == ""


def test_a_loss_that_stays_up_has_jumped_once(seed):
    assert told(losses(training=lambda step: healthy(step) + (step > 300) + (step > 600), seed=seed)) == ""


def test_dropout_is_advised_where_there_is_room_for_more(seed):
    def said(dropout: float) -> str:
        return told(losses(training=lambda step: healthy(step) - 0.4, seed=seed), train_tokens=100_000, batch=16, context_length=64,
                    dropout_rate=dropout)

    assert "dropout_rate to 0.3" in said(0.2)
    assert "dropout_rate" not in said(0.5)


def test_a_flat_loss_is_no_plateau_once_the_rate_has_fallen():
    flat = [(step, 5.2) for step in range(100, 1100, 100)]
    assert told(Losses([], flat, BASELINES, rate=0.001)) == ""
    assert told(Losses([], flat, BASELINES, rate=0.009)).startswith("A plateau")


def test_without_baselines_or_evaluations_nothing_is_claimed():
    assert meaning(Losses([], [(100, 1.0)], {})) == ""
    assert meaning(Losses([], [], BASELINES)) == ""
    assert told(Losses([], [], {})) == ""


def test_damaged_rows_are_left_out():
    rows = [{"step": 0, "kind": "baselines", GUESSING: None}, {"step": 5, "loss": None}, {"step": 5, "val_loss": None}]
    assert Losses.read(rows) == Losses([], [], {})
