"""Heads are scored while a model trains, and nothing of what it learns changes by that."""

import json

import numpy as np
import pytest
import torch

import gpt.interpret.forming
from gpt.interpret.forming import Forming, read_scores
from gpt.interpret.heads import HeadScores, aggregate, score_heads
from gpt.interpret.scores import SCORES
from gpt.logs.copying import Logs
from gpt.pretrain import train
from gpt.runs.run import RunError, load_run
from gpt.runs.session import Session
from gpt.runs.storage import load_tensors
from gpt.training.trainer import snapshot_steps
from tests.interpret.test_heads import scored
from tests.sessions import finish, same_weights, stop_after, timeless

pytestmark = pytest.mark.usefixtures("short_samples")


def of_kind(run, kind: str) -> list[dict]:
    return [row for row in timeless(run) if row.get("kind") == kind]


def learned(run) -> list[dict]:
    """The rows that say what was learned and written, without those about heads."""
    return [row for row in timeless(run) if row.get("kind") not in ("heads", "formed")]


@pytest.fixture
def everyone_forms(monkeypatch):
    """Every head has, once trained at all, the role of a previous-token head, and from the third scoring on that of an induction head. Of
    duplicate tokens it reads a third already before the first step."""
    def scores(model, probes) -> HeadScores:
        step = scores.step = scores.step + 1
        one = scored(duplicate_token=0.35, previous_token=0.1 if step < 2 else 0.5, induction=0.1 if step < 3 else 0.8)
        return HeadScores(one.chance, *({name: np.repeat(values, 2, axis=1) for name, values in kept.items()}
                                        for kept in (one.values, one.errors, one.holds)))
    scores.step = 0
    monkeypatch.setattr(gpt.interpret.forming, "score_heads", scores)


def test_heads_are_scored_before_the_first_step_after_the_last_and_in_between(tmp_path, config):
    run = finish(Session(tmp_path, "a", {**config, "head_scores": 6}))
    rows = of_kind(run, "heads")
    assert [row["step"] for row in rows] == snapshot_steps(12, 6)
    assert rows[0]["step"] == 0
    assert rows[-1]["step"] == 12
    assert all(row["tokens"] == row["step"] * 4 * 8 for row in rows)
    assert set(rows[0]["scores"]) == set(SCORES)


def test_the_scores_of_the_last_step_are_those_of_the_model_that_was_trained(tmp_path, config):
    run = finish(Session(tmp_path, "a", config))
    last = HeadScores.from_row(of_kind(run, "heads")[-1])
    weights, _, _ = run.load_last()
    model, _ = load_run(run.path)
    model.load_state_dict(weights)
    assert score_heads(model, run.probes()).as_row() == last.as_row()


@pytest.mark.parametrize("dropout_rate", [0.0, 0.2])
def test_training_is_the_same_bit_for_bit_with_scores_and_without(tmp_path, config, dropout_rate):
    config["dropout_rate"] = dropout_rate
    scored_run, plain = (finish(Session(tmp_path, name, {**config, "head_scores": times})) for name, times in (("a", 12), ("b", 0)))
    assert of_kind(scored_run, "heads")
    assert not of_kind(plain, "heads")
    assert learned(scored_run) == learned(plain)
    assert same_weights(scored_run.weights(12), plain.weights(12))


@pytest.mark.parametrize("step", [3, 5, 8])
def test_a_resumed_run_scores_as_one_that_was_never_stopped(tmp_path, config, step):
    config["dropout_rate"] = 0.2
    whole, plain = (finish(Session(tmp_path, name, {**config, "head_scores": times})) for name, times in (("whole", 12), ("plain", 0)))
    stop_after(Session(tmp_path, "a", {**config, "head_scores": 12}), step)
    resumed = finish(Session(tmp_path, "a"))
    assert timeless(resumed) == timeless(whole)
    assert learned(resumed) == learned(plain)


def test_a_head_that_gets_a_role_is_told_once(tmp_path, config, everyone_forms):
    run = stop_after(Session(tmp_path, "a", {**config, "head_scores": 12}), 6)
    run = finish(Session(tmp_path, "a"))
    told = of_kind(run, "formed")
    assert [(row["layer"], row["head"], row["role"]) for row in told] == [
        (0, 0, "previous token"), (0, 1, "previous token"), (0, 0, "induction"), (0, 1, "induction")]
    assert told[2]["text"] == f"layer 0 head 0 became an induction head at step {told[2]['step']}"
    assert told[2]["excess"] == pytest.approx(0.8)


def test_what_an_untrained_head_scores_by_luck_is_no_role(tmp_path, config, everyone_forms):
    run = finish(Session(tmp_path, "a", {**config, "head_scores": 6}))
    assert HeadScores.from_row(of_kind(run, "heads")[0]).role(0, 0).name == "duplicate token"
    told = of_kind(run, "formed")
    assert {row["role"] for row in told} == {"previous token", "induction"}
    assert min(row["step"] for row in told) > 0


def test_the_terminal_tells_what_has_formed(tmp_path, config, everyone_forms):
    session = Session(tmp_path, "a", {**config, "head_scores": 6})
    train(session, Logs(session.writer, []))
    assert "layer 0 head 1 became an induction head at step 2" in session.writer.log(100)


def test_a_run_of_unknown_length_is_scored_at_its_end(tmp_path, config):
    run = finish(Session(tmp_path, "a", {**config, "max_steps": 0, "max_minutes": 0.01}))
    steps = [row["step"] for row in of_kind(run, "heads")]
    assert steps[0] == 0
    assert steps[-1] == run.status()["step"]
    assert len(set(steps)) == len(steps)


def test_the_probes_of_a_run_break_no_line(tmp_path, config):
    session = Session(tmp_path, "a", config)
    run = finish(session)
    line_end = session.tokenizer.encode("\n")[0]
    assert line_end in session.trainer.text.train
    assert line_end not in run.probes().repeats


def test_without_scores_there_is_no_row_at_any_step(model, tokens):
    forming = Forming(None, [])
    forming.plan(12, 0)
    assert not any(forming.is_due(step, at_the_end=step == 12) for step in range(13))


def test_a_run_that_is_older_than_the_setting_loads_and_goes_on(tmp_path, config):
    """It gets probes and scores from where it is resumed."""
    whole = finish(Session(tmp_path, "whole", config))
    run = stop_after(Session(tmp_path, "a", config), 6)
    saved = json.loads((run.path / "config.json").read_text())
    del saved["config"]["head_scores"], saved["table_version"]
    (run.path / "config.json").write_text(json.dumps(saved))
    run.cut_rows_after(-1)
    (run.path / "probes.safetensors").unlink()
    assert run.config()["config"] == saved["config"] | {"head_scores": 24}
    load_run(run.path)
    resumed = finish(Session(tmp_path, "a"))
    assert [row["step"] for row in of_kind(resumed, "heads")] == [step for step in snapshot_steps(12, 24) if step > 6]
    assert same_weights(resumed.weights(12), whole.weights(12))
    assert load_tensors(resumed.path / "probes.safetensors")[0].keys() == {"repeats", "windows"}


def test_another_setting_that_is_missing_is_damage(tmp_path, config):
    run = stop_after(Session(tmp_path, "a", config), 6)
    saved = json.loads((run.path / "config.json").read_text())
    del saved["config"]["n_layers"]
    (run.path / "config.json").write_text(json.dumps(saved))
    with pytest.raises((RunError, ValueError), match="n_layers is missing"):
        load_run(run.path)


def test_scores_that_are_no_numbers_give_nobody_a_role():
    nothing = aggregate({"induction": torch.full((1, 4, 1), torch.nan)}, {"induction": torch.zeros(4)})
    assert nothing.role(0, 0) is None


@pytest.mark.parametrize(("name", "value"), [
    ("scores", {}), ("scores", {"induction": 3}), ("scores", {"induction": [0.1]}), ("errors", {}), ("holds", {}),
    ("holds", {"locality": [[1.0]]}), ("chance", {}), ("chance", [])])
def test_a_row_of_scores_that_a_hand_has_damaged_is_left_out(name, value):
    row = {"step": 0, "kind": "heads", **scored(induction=0.8).as_row()}
    damaged = {**row, "step": 1, name: value}
    assert [step for step, _ in read_scores([row, damaged])] == [0]


def test_rows_of_another_number_of_heads_are_left_out():
    row = {"step": 1, "kind": "heads", **scored(induction=0.8).as_row()}
    wider = {name: {score: [2 * heads for heads in layers] for score, layers in row[name].items()}
             for name in ("scores", "errors", "holds")}
    assert [step for step, _ in read_scores([{**row, "step": 0, **wider}, row])] == [1]
