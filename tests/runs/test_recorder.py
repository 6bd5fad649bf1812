"""What a run keeps and what it obeys: stopped, paused, extended, killed or gone wrong, nothing that was learned is lost."""

import errno
import math
import signal
import subprocess
import sys
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import gpt.runs.recorder
import gpt.runs.writer
import gpt.training.trainer
from gpt.errors import UserError
from gpt.runs.recorder import Recorder
from gpt.runs.run import Run, RunError, load_best, load_run, step_of
from gpt.runs.session import Session
from gpt.runs.writer import RunWriter
from gpt.training.trainer import DivergedError
from tests.conftest import TEXT, TINY
from tests.says import says
from tests.sessions import finish, same_weights, stop_after, timeless, until

pytestmark = pytest.mark.usefixtures("short_samples")


LOOKING = {"eval_every": 3, "snapshots": 9}  # settings that only say how often to look


@given(stops=st.lists(st.integers(1, 23), max_size=4), accumulate=st.integers(1, 3), changes=st.sampled_from([{}, LOOKING]))
@settings(max_examples=5)
def test_a_run_stopped_anywhere_and_as_often_as_one_likes_ends_bit_for_bit(stops, accumulate, changes):
    with tempfile.TemporaryDirectory() as folder:
        root, text = Path(folder), Path(folder) / "bottles.txt"
        text.write_text(TEXT)
        config = {**TINY, "corpus": str(text), "max_steps": 24, "grad_accum": accumulate, "dropout_rate": 0.1}
        whole = finish(Session(root, "whole", {**config, **changes}))
        session = Session(root, "stopped", {**config, **({} if stops else changes)})
        for step in sorted(set(stops)):
            stop_after(session, step)
            session = Session(root, "stopped", changes=changes)
        stopped = finish(session)
        assert same_weights(stopped.weights(24), whole.weights(24))
        if not changes:
            assert timeless(stopped) == timeless(whole)
            assert same_weights(stopped.weights(), whole.weights())
            assert same_weights(stopped.saves()[0], whole.saves()[0])
        assert [row for row in timeless(stopped) if "loss" in row] == [row for row in timeless(whole) if "loss" in row]


def test_an_evaluation_left_out_by_who_stopped_listening_is_made_up_for(tmp_path, config):
    whole = finish(Session(tmp_path, "whole", config))
    session = Session(tmp_path, "a", config)
    events = session.events()
    for event in events:
        if event.kind == "step" and session.trainer.step == 8:  # an evaluation would follow
            break
    events.close()
    assert timeless(finish(Session(tmp_path, "a"))) == timeless(whole)


def test_a_run_that_was_killed_before_its_first_save_begins_again(tmp_path, config):
    whole = finish(Session(tmp_path, "whole", config))
    events = Session(tmp_path, "a", config).events()
    for event in events:
        if event.kind == "sample" and event.row["step"] == 4:
            break
    with pytest.raises(KeyboardInterrupt):
        events.throw(KeyboardInterrupt)
    run = finish(Session(tmp_path, "a"))
    told = [row for row in timeless(run) if row.get("kind") == "warning"]
    assert [row["text"] for row in told] == ["nothing had been saved yet when the run ended: it begins again"]
    assert [row for row in timeless(run) if row not in told] == timeless(whole)


def test_a_paused_run_keeps_a_snapshot_to_be_asked(in_background):
    run = Run(in_background.writer.path)
    until(lambda: len(run.rows()[0]) > 5)
    run.request("pause")
    until(lambda: run.status()["state"] == "paused")
    assert run.snapshots()[-1] == run.status()["step"]
    model, _ = load_run(run.path, run.snapshots()[-1])
    for one, other in zip(model.parameters(), in_background.trainer.model.parameters(), strict=True):
        assert torch.equal(one, other.half().float())


@pytest.mark.parametrize("paused", [False, True])
def test_a_run_is_extended_while_it_trains(tmp_path, config, paused):
    session = Session(tmp_path, "a", config)
    run = session.writer
    for event in session.events():
        if event.kind == "step" and session.trainer.step == 6:
            run.request("pause" if paused else "extend 10")
            if paused:
                threading.Thread(target=lambda: (until(lambda: run.status()["state"] == "paused"), run.request("extend 10"),
                                                 until(lambda: run.status()["steps"] == 22), run.request("resume"))).start()
    assert (run.status()["state"], run.status()["step"], run.status()["steps"]) == ("done", 22, 22)
    assert run.config()["config"]["max_steps"] == run.config()["steps"] == 22
    assert [row["text"] for row in run.rows()[0] if row.get("kind") == "warning"] == [
        "extended from 12 to 22 steps: the learning rate now falls to zero there"]
    rates = {row["step"]: row["lr"] for row in run.rows()[0] if "lr" in row}
    assert rates[7] > rates[6]
    assert rates[22] < rates[12]
    assert run.snapshots()[-1] == 22


def test_a_run_that_only_minutes_end_is_not_extended_by_steps(in_background):
    run = Run(in_background.writer.path)
    until(lambda: run.is_alive() and len(run.rows()[0]) > 5)
    run.request("extend 10")
    until(lambda: any("cannot be extended by steps" in row.get("text", "") for row in run.rows()[0]))
    assert run.status()["state"] == "running"


def test_a_finished_run_is_extended_by_resuming_it(tmp_path, config):
    finish(Session(tmp_path, "a", config))
    with pytest.raises(RunError, match=says("12 steps", "max_steps")):
        Session(tmp_path, "a", changes={"max_steps": 12})
    run = finish(Session(tmp_path, "a", changes={"max_steps": 20}))
    assert (run.status()["state"], run.status()["step"]) == ("done", 20)
    assert [row["step"] for row in run.rows()[0] if "loss" in row] == list(range(1, 21))
    assert "max_steps is 20 from here on; before it was 12" in [row.get("text") for row in run.rows()[0]]
    assert run.config()["config"]["max_steps"] == 20


def test_a_rate_that_leaps_when_a_finished_run_goes_on_is_told_and_marked(tmp_path, config):
    finish(Session(tmp_path, "a", config))
    run = finish(Session(tmp_path, "a", changes={"max_steps": 24}))
    rates = {row["step"]: row["lr"] for row in run.rows()[0] if "lr" in row}
    told, = [row for row in run.rows()[0] if row.get("mark") == "more steps"]
    assert told["step"] == 12
    assert f"from {rates[12]:.2g} to {rates[13]:.2g}" in told["text"]
    stopped = Session(tmp_path, "b", config)
    stop_after(stopped, 6)
    assert not [row for row in finish(Session(tmp_path, "b")).rows()[0] if "mark" in row]


def test_a_finished_run_that_cannot_be_extended_stays_finished(tmp_path, config, text_file):
    run = finish(Session(tmp_path, "a", config))
    Path(text_file).write_text("another text, long enough to train on\n" * 40)
    with pytest.raises(RunError, match=says("changed")):
        finish(Session(tmp_path, "a", changes={"max_steps": 20}))
    assert run.status()["state"] == "done"
    assert "has changed" in run.status()["error"]
    for path in run.saves():
        path.unlink()
    with pytest.raises(RunError, match=says("no save")):
        Session(tmp_path, "a", changes={"max_steps": 20})


def test_damaged_best_weights_are_replaced_when_a_run_is_resumed(tmp_path, config):
    run = stop_after(Session(tmp_path, "a", config), 6)
    run.weights().write_bytes(b"")
    finish(Session(tmp_path, "a"))
    assert "the best weights are damaged: the best from here on take their place" in [row.get("text") for row in run.rows()[0]]
    load_run(run.path)


def test_a_diverged_run_keeps_its_best_weights_and_saves_no_nonsense(tmp_path, config, monkeypatch):
    monkeypatch.setattr(gpt.training.trainer, "MOST_ROWS", 1)  # a row only at the end: until then nobody looks at the loss
    monkeypatch.setattr(gpt.runs.recorder, "SAVE_SECONDS", 0)
    monkeypatch.setattr(gpt.runs.recorder, "SAVING_SHARE", math.inf)
    session = Session(tmp_path, "a", {**config, "eval_every": 6})
    with pytest.raises(DivergedError, match=says("step 8", "learning rate", "step 6", "step 7")):
        for event in session.events():
            if event.kind == "step" and session.trainer.step == 8:
                session.trainer.model.token_embedding.weight.data.fill_(math.nan)
                session.trainer._pending[-1][0].fill_(math.nan)
    assert [path.stem for path in session.writer.saves()] == ["step-000007", "step-000006"]
    best, about = load_best(session.writer)
    assert about["step"] == 6
    assert all(value.isfinite().all() for value in best.values())


def test_a_diverged_run_that_nobody_listens_to_is_told_too(tmp_path, config):
    session = Session(tmp_path, "a", config)
    events = session.events()
    for event in events:
        if event.kind == "step" and session.trainer.step == 6:
            session.trainer.model.token_embedding.weight.data.fill_(math.nan)
            break
    with pytest.raises(DivergedError):
        events.close()
    assert session.writer.status()["state"] == "failed"


def test_a_process_is_stopped_at_once(tmp_path, config):
    code = (f"from gpt.runs.session import Session\n"
            f"for _ in Session({str(tmp_path)!r}, 'a', {({**config, 'max_steps': 10**6})!r}).events(): pass")
    run = Run(tmp_path / "a")
    with subprocess.Popen([sys.executable, "-c", code]) as process:
        until(lambda: run.path.exists() and len(run.rows()[0]) > 3)
        run.stop_now()
        assert process.wait(20) == -signal.SIGKILL
    assert run.status()["state"] == "stopped"
    assert run.status()["error"].startswith("stopped at once at step ")
    with pytest.raises(RunError, match=says("run a ", "not running")):
        run.stop_now()


def test_a_run_of_another_machine_is_not_stopped_at_once(tmp_path):
    with RunWriter(tmp_path / "a") as writer:
        writer.write_status(state="running", step=1, steps=2, host="elsewhere")
        with pytest.raises(RunError, match=says("elsewhere", "stop")):
            Run(writer.path).stop_now()


def refusing(monkeypatch, times: int) -> list[int]:
    """Let the disk refuse the next saves. Returns a list with the number of refusals that are left."""
    left, save = [times], gpt.runs.writer.save_tensors

    def sometimes(*arguments, **options) -> None:
        if left[0]:
            left[0] -= 1
            raise OSError(errno.ENOSPC, "No space left on device")
        save(*arguments, **options)

    monkeypatch.setattr(gpt.runs.writer, "save_tensors", sometimes)
    monkeypatch.setattr(gpt.runs.recorder, "RETRY_SECONDS", 0.02)
    return left


def test_who_stops_a_run_while_the_disk_is_full_loses_nothing_if_there_is_room_in_time(tmp_path, config, monkeypatch):
    whole = finish(Session(tmp_path, "whole", config))
    session = Session(tmp_path, "a", config)
    for event in session.events():
        if event.kind == "step" and session.trainer.step == 6:
            session.stop()
            left = refusing(monkeypatch, 3)
    assert left == [0]
    assert (session.writer.status()["state"], session.writer.status()["error"]) == ("stopped", None)
    assert [step_of(path) for path in session.writer.saves()] == [6]
    run = finish(Session(tmp_path, "a"))
    assert [row for row in timeless(run) if "training waited" not in row.get("text", "")] == timeless(whole)


def test_a_second_wish_to_stop_ends_the_wait_for_the_disk(tmp_path, config, monkeypatch):
    session = Session(tmp_path, "a", config)
    with pytest.raises(UserError, match=says("No space left on device", "step 0")):
        for event in session.events():
            if event.kind == "step" and session.trainer.step == 6:
                session.stop()
                refusing(monkeypatch, 10**6)
                threading.Thread(target=lambda: (until(lambda: "No space" in str(session.writer.status().get("error"))),
                                                 session.stop())).start()
    assert session.writer.status()["state"] == "failed"


def test_a_wish_that_comes_while_the_disk_is_full_is_obeyed_later(tmp_path, config, monkeypatch):
    monkeypatch.setattr(gpt.runs.recorder, "SAVE_SECONDS", 0)
    monkeypatch.setattr(gpt.runs.recorder, "SAVING_SHARE", math.inf)
    session = Session(tmp_path, "a", config)
    run, left = session.writer, refusing(monkeypatch, 0)

    def ask_to_extend_and_make_room() -> None:
        until(lambda: "No space" in str(run.status().get("error")))
        run.request("extend 8")
        until(lambda: not (run.path / "control").exists())
        left[0] = 0

    for event in session.events():
        if event.kind == "step" and session.trainer.step == 6:
            left[0] = 10**6
            threading.Thread(target=ask_to_extend_and_make_room).start()
    assert (run.status()["state"], run.status()["step"]) == ("done", 20)


def test_a_run_that_is_stopped_while_it_is_extended_in_a_pause_is_extended_once(tmp_path, config, monkeypatch):
    session = Session(tmp_path, "a", config)
    run, extend = session.writer, Recorder._extend
    monkeypatch.setattr(Recorder, "_extend", lambda keeper, steps: (extend(keeper, steps), session.stop()))
    for event in session.events():
        if event.kind == "step" and session.trainer.step == 6:
            run.request("pause")
            threading.Thread(target=lambda: (until(lambda: run.status()["state"] == "paused"), run.request("extend 10"))).start()
    assert (run.status()["state"], run.status()["steps"]) == ("stopped", 22)


def test_a_run_killed_before_its_first_step_is_begun_again_under_its_name(tmp_path, config):
    with RunWriter(tmp_path / "a") as writer:
        writer.write_status(state="starting", step=0, steps=0)
    assert Run(tmp_path / "a").status()["error"].endswith("a lower batch or n_layers")
    assert finish(Session(tmp_path, "a", config)).status()["state"] == "done"
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("mine")
    with pytest.raises(RunError, match=says("mine", "already")):
        Session(tmp_path, "mine", config)


def test_a_run_that_ends_while_it_is_asked_reads_as_it_ended(tmp_path, monkeypatch):
    with RunWriter(tmp_path / "a") as writer:
        writer.write_status(state="running", step=3, steps=3)
    monkeypatch.setattr(Run, "is_alive", lambda run: writer.write_status(state="done"))
    assert Run(tmp_path / "a").status()["state"] == "done"


def test_weights_that_are_no_numbers_become_no_snapshot(tmp_path, config):
    session = Session(tmp_path, "a", {**config, "snapshots": 0})
    with pytest.raises(DivergedError):
        for event in session.events():
            if event.kind == "step" and session.trainer.step == 6:
                session.trainer.model.token_embedding.weight.data.fill_(math.nan)
                session.writer.request("snapshot")
    assert session.writer.snapshots() == []


def test_a_run_left_at_its_first_evaluation_has_each_row_once(tmp_path, config):
    whole = finish(Session(tmp_path, "whole", config))
    events = Session(tmp_path, "a", config).events()
    next(event for event in events if event.kind == "evaluation")
    events.close()
    told = "nothing had been saved yet when the run ended: it begins again"
    assert [row for row in timeless(finish(Session(tmp_path, "a"))) if row.get("text") != told] == timeless(whole)


def test_the_best_weights_stay_the_best_also_of_work_that_is_done_anew_in_another_way(tmp_path, config, monkeypatch):
    monkeypatch.setattr(gpt.runs.recorder, "SAVE_SECONDS", 10**6)
    session = Session(tmp_path, "a", config)
    events = session.events()
    for event in events:
        if session.trainer.step == 5 and event.kind == "step":
            session.recorder.save()
        if event.kind == "sample" and event.row["step"] == 8:
            break
    with pytest.raises(KeyboardInterrupt):
        events.throw(KeyboardInterrupt)
    _, best = load_best(session.writer)
    run = finish(Session(tmp_path, "a", changes={"learning_rate": 1e-9}))
    assert best["step"] == 8
    assert load_best(run)[1] == best
    assert run.snapshots()[-1] == 12


class TestTheFolder:
    def test_a_finished_run_is_not_stopped_at_once_whoever_has_its_lock(self, tmp_path):
        with RunWriter(tmp_path / "a") as writer:
            writer.write_status(state="done", step=3, steps=3)
            with pytest.raises(RunError, match=says("run a ", "not running")):
                Run(writer.path).stop_now()

    def test_a_process_with_the_same_number_is_not_killed(self, tmp_path):
        with RunWriter(tmp_path / "a") as writer:
            writer.write_status(state="running", step=3, steps=3, began="long ago")
            with pytest.raises(RunError, match=says("run a ", "starting", "again")):
                Run(writer.path).stop_now()

    def test_a_save_that_cannot_be_opened_is_told_and_kept(self, tmp_path, config, monkeypatch):
        run = stop_after(Session(tmp_path, "a", config), 6)

        def forbidden(_):
            raise PermissionError(errno.EACCES, "Permission denied")

        monkeypatch.setattr(gpt.runs.writer, "load_tensors", forbidden)
        with pytest.raises(RunError, match=says("Permission denied", "allow")):
            run.load_last()
        assert run.saves()

    def test_what_a_killed_process_left_half_done_is_removed(self, tmp_path):
        with RunWriter(tmp_path / "a") as writer:
            (writer.path / "last").mkdir()
            left = [writer.path / "status.json.7-7.new", writer.path / "last" / "step-000005.safetensors.7-7.new"]
            for path in left:
                path.write_bytes(b"half")
        with RunWriter(tmp_path / "a"):
            assert not any(path.exists() for path in left)

    def test_many_may_ask_at_once(self, tmp_path):
        with RunWriter(tmp_path / "a") as writer:
            writer.write_status(state="running", step=1, steps=9)
            with ThreadPoolExecutor(8) as pool:
                assert [*pool.map(lambda _: Run(writer.path).request("snapshot"), range(200))] == [None] * 200
            assert writer.command() == "snapshot"

    def test_a_run_deleted_while_its_process_gets_ready_is_told_and_stays_deleted(self, tmp_path, config):
        run = stop_after(Session(tmp_path, "a", config), 6)
        session = Session(tmp_path, "a")
        run.delete()
        with pytest.raises(RunError, match=says("run a ", "deleted", "renamed")):
            finish(session)
        assert not run.path.exists()

    def test_a_name_taken_while_the_process_gets_ready_is_told(self, tmp_path, config):
        session = Session(tmp_path, "a", config)
        first = finish(Session(tmp_path, "a", config))
        with pytest.raises(RunError, match=says("run a ", "already")):
            finish(session)
        assert first.status()["state"] == "done"
