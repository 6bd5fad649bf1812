"""A whole session: every file of the folder, stop and resume bit for bit, pause, and mistakes that leave nothing behind."""

import json
import threading
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import gpt.runs.recorder
import gpt.training.trainer
from gpt.config import ConfigError
from gpt.errors import UserError
from gpt.runs.run import Run, RunError, load_run, step_of
from gpt.runs.session import Session
from tests.says import says
from tests.sessions import finish, same_weights, stop_after, timeless, until

pytestmark = pytest.mark.usefixtures("short_samples")

def test_a_run_leaves_every_file_of_its_folder(trained):
    names = {str(path.relative_to(trained)) for path in trained.rglob("*") if path.is_file()}
    assert names == {".lock", "config.json", "tokenizer.json", "probes.safetensors", "metrics.jsonl", "status.json", "best.safetensors",
                     *(f"snapshots/step-{step:06d}.safetensors" for step in (0, 1, 3, 12)),
                     "last/step-000012.safetensors"}


def test_the_rows_of_a_run_tell_its_story(trained):
    rows = Run(trained).rows()[0]
    kinds = [row.get("kind") or ("training" if "loss" in row else "evaluation") for row in rows]
    assert [kind for kind in kinds if kind not in ("heads", "formed")] == ["baselines", "evaluation", "sample",
                                                                           *(["training"] * 4 + ["evaluation", "sample"]) * 3]
    assert [row["step"] for row in rows if row.get("kind") == "heads"] == [0, 1, 3, 12]
    assert [row["step"] for row in rows if "loss" in row] == list(range(1, 13))
    assert all(row["prompt"] == "0 green bottles" and row["text"] for row in rows if row.get("kind") == "sample")
    assert all(row["tokens"] == 32 * row["step"] and row["seconds"] > 0 for row in rows)


def test_the_status_of_a_finished_run_says_how_it_went(trained):
    status, rows = Run(trained).status(), Run(trained).rows()[0]
    evaluations = [row for row in rows if "val_loss" in row]
    told = {"state": "done", "step": 12, "steps": 12, "progress": 1.0, "eta_seconds": None, "error": None}
    assert told.items() <= status.items()
    assert status["val_loss"] == evaluations[-1]["val_loss"]
    assert status["bits_per_byte"] == evaluations[-1]["bits_per_byte"]
    assert status["best_val_loss"] == min(row["val_loss"] for row in evaluations)


def test_the_description_names_everything_that_made_the_run(trained, text):
    saved = Run(trained).config()
    assert set(saved) == {"format", "config", "corpus", "tokenizer", "parameters", "steps", "device", "precision",
                          "precision_reason", "versions", "created", "table_version"}
    assert saved["corpus"]["bytes"] == len(text)
    assert saved["tokenizer"]["n_vocab"] == saved["config"]["vocab_size"] == len(set(text))
    assert saved["tokenizer"]["train_tokens"] + saved["tokenizer"]["validation_tokens"] == len(text)


def test_the_best_weights_are_loaded_and_each_snapshot(trained, text):
    ids = None
    losses = {}
    for step in (None, 0, 1, 3, 12):
        model, tokenizer = load_run(trained, step)
        ids = torch.tensor([tokenizer.encode(text[-9:])]) if ids is None else ids
        losses[step] = model.loss(ids[:, :-1], ids[:, 1:]).item()
    assert losses[12] < losses[3] < losses[0]
    assert losses[None] == pytest.approx(losses[12], rel=0.01)  # the last weights are the best; snapshots have half precision


def test_the_best_weights_are_kept_when_later_ones_are_worse(tmp_path, config):
    session = Session(tmp_path, "a", config)
    for event in session.events():
        if event.kind == "sample" and session.trainer.step == 4:
            best = {name: tensor.clone() for name, tensor in session.trainer.model.state_dict().items()}
            session.trainer.model.final_norm.weight.data *= 100
    losses = [row["val_loss"] for row in session.writer.rows()[0] if "val_loss" in row]
    kept = load_file(session.writer.path / "best.safetensors")
    assert session.writer.status()["best_val_loss"] == min(losses) == losses[1]
    assert all(torch.equal(kept[name], best[name]) for name in best)


@pytest.mark.parametrize("stop_at", [1, 4, 6, 8, 12])
def test_a_stopped_run_goes_on_bit_for_bit(tmp_path, config, stop_at):
    config |= {"dropout_rate": 0.2, "eval_tokens": 100}
    whole = finish(Session(tmp_path, "whole", config))
    stopped = stop_after(Session(tmp_path, "stopped", config), stop_at)
    assert stopped.status()["state"] == ("stopped" if stop_at < 12 else "done")
    assert stopped.status()["step"] == stop_at
    if stop_at < 12:
        torch.manual_seed(99)
        finish(Session(tmp_path, "stopped"))
    assert stopped.status()["state"] == "done"
    assert timeless(stopped) == timeless(whole)
    for name in ("best.safetensors", "last/step-000012.safetensors", "snapshots/step-000012.safetensors"):
        assert same_weights(stopped.path / name, whole.path / name), name
    assert set(whole.snapshots()) <= set(stopped.snapshots())


@pytest.mark.parametrize("stop_at", [3, 4])
def test_a_run_stopped_between_two_rows_goes_on_bit_for_bit(tmp_path, config, monkeypatch, stop_at):
    monkeypatch.setattr(gpt.training.trainer, "MOST_ROWS", 4)  # a row is the mean of 3 steps
    whole = finish(Session(tmp_path, "whole", config))
    stop_after(Session(tmp_path, "stopped", config), stop_at)
    assert timeless(finish(Session(tmp_path, "stopped"))) == timeless(whole)


def test_work_lost_in_an_accident_is_done_again(tmp_path, config):
    whole = finish(Session(tmp_path, "whole", config))
    session = Session(tmp_path, "lost", config)
    events = session.events()
    for event in events:
        if session.trainer.step == 5:
            session.recorder.save()
        if event.kind == "sample" and session.trainer.step == 8:
            break
    with pytest.raises(KeyboardInterrupt):
        events.throw(KeyboardInterrupt())
    assert session.writer.status()["state"] == "stopped"
    assert session.writer.status()["error"] == "stopped at once; it goes on from step 5 when it is resumed"
    assert session.writer.rows()[0][-1]["step"] == 8
    assert timeless(finish(Session(tmp_path, "lost"))) == timeless(whole)


def test_a_session_that_nobody_listens_to_any_more_is_stopped_and_saved(tmp_path, config):
    session = Session(tmp_path, "a", config)
    events = session.events()
    for _ in events:
        if session.trainer.step == 5:
            break
    events.close()
    assert session.writer.status()["state"] == "stopped"
    assert session.writer.load_last()[1]["step"] == 5
    assert not session.writer.is_alive()


def test_seconds_go_on_where_they_were(tmp_path, config):
    stopped = stop_after(Session(tmp_path, "a", config), 4)
    seconds = stopped.rows()[0][-1]["seconds"]
    later = [row["seconds"] for row in finish(Session(tmp_path, "a")).rows()[0] if row["step"] > 4]
    assert min(later) >= seconds


def test_a_run_pauses_and_resumes_when_asked(in_background):
    run = Run(in_background.writer.path)
    until(lambda: len(run.rows()[0]) > 5)
    run.request("pause")
    until(lambda: run.status()["state"] == "paused")
    n_rows, seconds = len(run.rows()[0]), in_background.trainer.clock.seconds()
    assert [step_of(path) for path in run.saves()] == [run.status()["step"]]
    assert run.status()["eta_seconds"] is None
    assert in_background.trainer.clock.seconds() == seconds  # pauses are no work
    run.request("resume")
    until(lambda: len(run.rows()[0]) > n_rows)
    assert run.status()["state"] == "running"
    run.request("stop")
    until(lambda: run.status()["state"] == "stopped")


def test_a_paused_run_can_be_stopped(in_background):
    run = Run(in_background.writer.path)
    until(lambda: len(run.rows()[0]) > 5)
    run.request("pause")
    until(lambda: run.status()["state"] == "paused")
    run.request("stop")
    until(lambda: not run.is_alive())
    assert run.status()["state"] == "stopped"


def test_a_pause_changes_nothing(tmp_path, config):
    whole = finish(Session(tmp_path, "whole", config))
    session = Session(tmp_path, "paused", config)
    run, thread = session.writer, None
    for event in session.events():
        if event.kind == "step" and session.trainer.step == 6:
            run.request("pause")
            thread = threading.Thread(target=lambda: (until(lambda: run.status()["state"] == "paused"), run.request("resume")))
            thread.start()
    thread.join(60)
    assert timeless(run) == timeless(whole)


def test_a_snapshot_is_kept_when_asked_for(tmp_path, config):
    session = Session(tmp_path, "a", {**config, "snapshots": 0})
    for event in session.events():
        if event.kind == "step" and session.trainer.step == 7:
            session.writer.request("snapshot")
    assert session.writer.snapshots() == [7]


def test_a_second_session_is_refused_while_one_runs(tmp_path, config):
    first = Session(tmp_path, "first", config)
    events = first.events()
    next(events)
    with pytest.raises(RunError, match=says("another run", "wait", "stop")):
        next(Session(tmp_path, "second", config).events())
    assert not (tmp_path / "second").exists()
    assert sum(event.kind == "step" for event in events) == 12
    assert finish(Session(tmp_path, "second", config)).status()["state"] == "done"


@pytest.mark.parametrize("content", ["", "tiny", "9 and 1 ch", None])
def test_a_mistake_before_the_first_step_leaves_no_folder(tmp_path, config, content):
    path = tmp_path / "short.txt"
    if content is not None:
        path.write_text(content)
    with pytest.raises(UserError):
        finish(Session(tmp_path / "runs", "a", {**config, "corpus": str(path)}))
    assert list((tmp_path / "runs").iterdir()) == []
    assert finish(Session(tmp_path / "runs", "a", config)).status()["state"] == "done"


@pytest.mark.parametrize("changes", [{"emb_dim": 15}, {"batch": 0}, {"device": "gpu"}, {"speed": 1}])
def test_a_config_that_cannot_be_trained_is_refused_at_once(tmp_path, config, changes):
    with pytest.raises(ConfigError):
        Session(tmp_path / "runs", "a", {**config, **changes})
    assert not (tmp_path / "runs").exists()


def test_an_empty_config_is_no_wish_to_resume(tmp_path):
    with pytest.raises(ConfigError, match="corpus is missing"):
        Session(tmp_path, "a", {})


def test_a_name_that_is_taken_or_unknown_or_a_path_is_refused(trained, config):
    root = trained.parent
    with pytest.raises(RunError, match=says("bottles", "another name", "--resume")):
        Session(root, "bottles", config)
    with pytest.raises(RunError, match=says("no run other", "resume")):
        Session(root, "other")
    with pytest.raises(RunError, match=says("name a run")):
        Session(root, "../bottles", config)


def test_a_finished_run_is_not_resumed(trained):
    before = Run(trained).status()
    with pytest.raises(RunError, match=says("bottles", "extend")):
        finish(Session(trained.parent, "bottles"))
    assert Run(trained).status() == before


def test_a_changed_text_is_refused_on_resume_and_nothing_is_lost(tmp_path, config, text_file):
    whole = finish(Session(tmp_path, "whole", config))
    run = stop_after(Session(tmp_path, "a", config), 4)
    before, text = run.status(), Path(text_file).read_text()
    Path(text_file).write_text(text.replace("hanging", "hagning"))
    with pytest.raises(RunError, match=says("changed", "new run")):
        finish(Session(tmp_path, "a"))
    after = run.status()
    assert (after["state"], after["step"], after["val_loss"]) == ("stopped", 4, before["val_loss"])
    assert "has changed" in after["error"]
    Path(text_file).write_text(text)
    assert timeless(finish(Session(tmp_path, "a"))) == timeless(whole)
    assert run.status()["error"] is None


def test_a_mistake_of_ours_is_told_in_the_folder_and_raised(tmp_path, config, monkeypatch):
    def broken(*_, **__):
        raise ZeroDivisionError("oops")

    monkeypatch.setattr(gpt.runs.recorder, "write", broken)
    with pytest.raises(ZeroDivisionError):
        finish(Session(tmp_path, "a", config))
    run = Run(tmp_path / "a")
    assert (run.status()["state"], run.status()["error"]) == ("failed", "ZeroDivisionError: oops")
    assert "Traceback" in run.log()
    assert not run.is_alive()


def test_a_run_that_diverges_is_told_in_the_folder(tmp_path, config):
    session = Session(tmp_path, "a", config)
    with pytest.raises(UserError, match=says("loss", "number")):
        for event in session.events():
            if event.kind == "step" and session.trainer.step == 4:
                session.trainer.model.token_embedding.weight.data.fill_(float("nan"))
    assert "set learning_rate below" in session.writer.status()["error"]


def test_the_eta_counts_down_to_the_end(tmp_path, config, monkeypatch):
    monkeypatch.setattr(gpt.runs.recorder, "STATUS_SECONDS", 0)
    monkeypatch.setattr(gpt.runs.recorder, "ETA_SECONDS", 0)
    told = []
    session = Session(tmp_path, "a", config)
    for _ in session.events():
        told.append(session.writer.status())
    etas = [status["eta_seconds"] for status in told if status["eta_seconds"] is not None]
    assert etas
    assert all(eta >= 0 for eta in etas)
    assert {"loss", "tokens_per_second", "best_val_loss"} <= told[-1].keys()


@pytest.mark.parametrize("tokenizer", ["bpe", "byte", "char"])
def test_each_tokenizer_trains_and_comes_back(tmp_path, config, tokenizer):
    run = finish(Session(tmp_path, tokenizer, {**config, "tokenizer": tokenizer, "vocab_size": 270, "max_steps": 2}))
    model, loaded = load_run(run.path)
    assert loaded.name == tokenizer
    assert model.vocab_size == loaded.n_vocab
    assert json.loads((run.path / "tokenizer.json").read_text())["name"] == tokenizer
