"""A log holds what the run's folder holds: each row once, however often the run is stopped, killed and resumed."""

import json
import os
import re
import shutil
import subprocess
import sys
import uuid

import numpy as np
import pytest

import gpt.logs.copying
from gpt.control import main as control
from gpt.logs.copying import LOGS, LogCopy, Logs, attention_picture, known_logs
from gpt.logs.log import as_code, numbers_and_texts
from gpt.pretrain import main as pretrain
from gpt.runs.run import Run
from gpt.runs.session import Session
from gpt.runs.writer import RunWriter
from tests.conftest import TINY
from tests.logs.readers import READERS
from tests.says import says
from tests.sessions import stop_after, until

pytestmark = pytest.mark.usefixtures("short_samples")
each_log = pytest.mark.parametrize("name", LOGS)


@pytest.fixture
def flags(tmp_path, text_file) -> list[str]:
    """A tiny run with a name of its own: trackio has one folder for all."""
    config = {**TINY, "corpus": text_file}
    changed = [word for key, value in config.items() if key != "vocab_size" for word in (f"--{key}", str(value))]
    return ["--run", f"run-{uuid.uuid4().hex[:8]}", "--checkpoints", str(tmp_path), *changed]


def run_of(flags: list[str]) -> Run:
    return Run(f"{flags[3]}/{flags[1]}")


def resumed(flags: list[str], *more: str) -> list[str]:
    return [*flags[:4], "--resume", *more]


def copied(run: Run, name: str) -> LogCopy:
    """The log of a run, as far as the run is."""
    copy = LogCopy(run, LOGS[name])
    copy.update()
    copy.close()
    return copy


def expected(run: Run) -> tuple[dict, dict]:
    """The numbers and texts of all rows, by name: (step, value)."""
    numbers, texts = {}, {}
    for row in run.rows()[0]:
        for points, values in zip((numbers, texts), numbers_and_texts(row), strict=True):
            for name, value in values.items():
                points.setdefault(name, []).append((row["step"], value))
    return numbers, texts


def assert_is_the_run(name: str, run: Run) -> None:
    """The log, read by its own program, holds every row of the run once, its CONFIG and its pictures."""
    log, (numbers, texts) = READERS[name](run.path), expected(run)
    logged = log.numbers()
    extra = {"seconds"} if name == "trackio" else set()  # with every entry
    assert logged.keys() - extra == numbers.keys() - extra
    for key in numbers.keys() - extra:
        assert [step for step, _ in logged[key]] == [step for step, _ in numbers[key]], key
        assert [value for _, value in logged[key]] == pytest.approx([value for _, value in numbers[key]], rel=1e-6), key
    assert log.texts() == {key: [(step, as_code(text)) for step, text in values] for key, values in texts.items()}
    assert log.config() == run.config()["config"]
    pictures = log.pictures()
    assert sorted(pictures) == run.snapshots()
    for step in (0, run.snapshots()[-1]):
        np.testing.assert_array_equal(pictures[step], attention_picture(run, step))


@each_log
def test_a_run_is_logged_while_it_trains(flags, name, capsys):
    pretrain([*flags, "--log", name])
    run = run_of(flags)
    assert_is_the_run(name, run)
    assert f"{LOGS[name].shown_by(run.path.parent)}" in capsys.readouterr().out
    numbers, texts = expected(run)
    assert {"loss", "val_loss", "baselines/guessing", "heads/previous token/0.1"} <= numbers.keys()
    assert "sample" in texts


def test_both_logs_at_once(flags):
    pretrain([*flags, "--log", "tensorboard, trackio"])
    for name in LOGS:
        assert_is_the_run(name, run_of(flags))


@each_log
def test_a_run_that_is_resumed_is_logged_once(flags, name):
    pretrain([*flags, "--log", name])
    pretrain(resumed(flags, "--max_steps", "20", "--log", name))
    run = run_of(flags)
    assert run.status()["step"] == 20
    assert_is_the_run(name, run)


@each_log
def test_what_a_killed_run_repeats_is_logged_once(flags, name):
    """The log has rows that the folder lost with the process: they are trained again, at other seconds."""
    pretrain([*flags, "--log", name])
    run = RunWriter(run_of(flags).path)
    rows = run.rows()[0]
    run.cut_rows_after(8)
    for row in rows:
        if row["step"] > 8:
            run.append({**row, "seconds": row["seconds"] + 1})
    copied(run, name)
    assert_is_the_run(name, run)


@each_log
def test_a_log_that_ends_in_the_middle_is_completed(flags, name):
    pretrain([*flags, "--log", name])
    run = RunWriter(run_of(flags).path)
    rows = run.rows()[0]
    begun = shutil.copytree(run.path, run.path.with_name(f"{run.name}-begun"))
    half = RunWriter(begun)
    half.cut_rows_after(4)
    for again in (half, half):  # the second time there is nothing new
        copied(again, name)
    for row in rows:
        if row["step"] > 4:
            half.append(row)
    assert copied(half, name).count == len(rows)
    assert_is_the_run(name, half)


@each_log
def test_a_finished_run_is_logged_afterwards(flags, name, capsys):
    pretrain(flags)
    run = run_of(flags)
    for _ in range(2):
        control(["log", "--run", run.name, "--checkpoints", str(run.path.parent), "--to", name])
        assert_is_the_run(name, run)
        assert LOGS[name].shown_by(run.path.parent) in capsys.readouterr().out.splitlines()[-1]


def test_an_event_file_that_was_cut_short_is_continued(flags):
    """As by a power cut: what the last event still held is written again."""
    pretrain([*flags, "--log", "tensorboard"])
    run = run_of(flags)
    [file] = run.path.glob("tensorboard/events*")
    file.write_bytes(file.read_bytes()[:-40])
    control(["log", "--run", run.name, "--checkpoints", str(run.path.parent), "--to", "tensorboard"])
    assert_is_the_run("tensorboard", run)


def test_a_new_run_of_an_old_name_leaves_the_old_log_of_trackio_alone(flags):
    import trackio

    pretrain([*flags, "--log", "trackio"])
    run = run_of(flags)
    run.delete()
    pretrain([*flags, "--log", "trackio", "--max_steps", "8"])
    assert len([other for other in trackio.Api().runs("gpt") if other.name.startswith(f"{run.name}-")]) == 2
    assert_is_the_run("trackio", run)


@each_log
def test_runs_of_one_name_in_two_folders_have_logs_of_their_own(flags, name):
    first = run_of(flags)
    pretrain([*flags, "--log", name])
    other = [*flags[:3], f"{flags[3]}/other", *flags[4:]]
    pretrain([*other, "--log", name, "--seed", "2"])
    pretrain(resumed(flags, "--max_steps", "14", "--log", name))
    assert_is_the_run(name, first)
    assert_is_the_run(name, run_of(other))


@each_log
def test_a_damaged_snapshot_is_left_out_and_said(flags, name, capsys):
    pretrain(flags)
    run = run_of(flags)
    damaged = run.snapshots()[1]
    (run.path / "snapshots" / f"step-{damaged:06d}.safetensors").write_bytes(b"no weights")
    control(["log", "--run", run.name, "--checkpoints", str(run.path.parent), "--to", name])
    out = capsys.readouterr().out
    assert f"the log {name} has no picture of step {damaged}: " in out
    assert "is complete" in out
    assert sorted(READERS[name](run.path).pictures()) == [step for step in run.snapshots() if step != damaged]


@pytest.mark.parametrize(("names", "facts"), [
    ("wandb", "no log 'wandb' | tensorboard | trackio"), ("tensorboard,../x", "'../x' | trackio"), ("x" * 500, "choose | tensorboard")])
def test_an_unknown_log_is_refused_before_anything_begins(flags, names, facts, capsys):
    with pytest.raises(SystemExit) as caught:
        pretrain([*flags, "--log", names])
    assert caught.value.code == 2
    error = capsys.readouterr().err
    assert all(word in error for word in facts.split(" | "))
    assert len(error.splitlines()) == 1
    assert not run_of(flags).path.exists()


@each_log
def test_a_package_that_is_not_installed_is_named(name, monkeypatch):
    monkeypatch.setattr(gpt.logs.copying.importlib.util, "find_spec", lambda package: None)
    with pytest.raises(ValueError, match=says(f"pip install {name}")):
        known_logs(name)


@pytest.mark.parametrize(("words", "facts"), [
    (["log"], "log | --to | tensorboard or trackio"), (["pause", "--to", "tensorboard"], "log, and nothing else, needs --to"),
    (["log", "--to", "paper"], "no log 'paper'")])
def test_a_mistake_in_the_command_is_one_sentence(flags, words, facts, trained, capsys):
    with pytest.raises(SystemExit) as caught:
        control([*words, "--run", trained.name, "--checkpoints", str(trained.parent)])
    assert caught.value.code == 2
    error = capsys.readouterr().err
    assert all(word in error for word in facts.split(" | "))
    assert len(error.splitlines()) == 1


def test_a_run_that_trains_is_logged_by_its_own_process_only(in_background, capsys):
    run = in_background.writer
    until((run.path / "config.json").exists)
    with pytest.raises(SystemExit):
        control(["log", "--run", run.name, "--checkpoints", str(run.path.parent), "--to", "tensorboard"])
    assert f"run {run.name} trains" in capsys.readouterr().err


def test_a_log_folder_that_cannot_be_written_is_reported_once_and_training_goes_on(flags, capsys):
    run = run_of(flags)
    session = Session(run.path.parent, run.name, {**TINY, "corpus": flags[flags.index("--corpus") + 1]})
    stop_after(session, 4)
    (run.path / "tensorboard").write_text("a file where the folder would be")
    pretrain(resumed(flags, "--log", "tensorboard"))
    out = capsys.readouterr().out
    assert out.count("the log tensorboard is not whole") == 1
    assert f"python -m gpt.control log --run {run.name} --to tensorboard --checkpoints {run.path.parent}" in out
    assert run.status()["state"] == "done"
    assert "the log tensorboard is not whole" in run.log(100)


def test_the_folder_of_trackio_may_be_one_that_cannot_be_written(flags):
    environment = {**os.environ, "TRACKIO_DIR": "/proc/none"}
    done = subprocess.run([sys.executable, "-m", "gpt.pretrain", *flags, "--log", "trackio"], env=environment, text=True,
                          capture_output=True, check=True)
    assert done.stdout.count("the log trackio is not whole") == 1
    assert run_of(flags).status()["state"] == "done"


@each_log
def test_a_log_that_fails_in_the_middle_is_reported_once_and_training_goes_on(flags, name, capsys, monkeypatch):
    write, count = LOGS[name].write_row, 0

    def failing(log, at, numbers, texts):
        nonlocal count
        count += 1
        if count == 6:
            raise OSError(28, "No space left on device")
        write(log, at, numbers, texts)

    monkeypatch.setattr(LOGS[name], "write_row", failing)
    pretrain([*flags, "--log", name])
    run = run_of(flags)
    out = capsys.readouterr().out
    assert out.count("is not whole (No space left on device)") == 1
    assert run.status()["state"] == "done"
    monkeypatch.undo()
    control(["log", "--run", run.name, "--checkpoints", str(run.path.parent), "--to", name])
    assert_is_the_run(name, run)


def test_what_trackio_loses_is_reported(flags, capsys, monkeypatch):
    from trackio.sqlite_storage import SQLiteStorage

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(SQLiteStorage, "bulk_log", full)
    with pytest.warns(UserWarning, match="could not be persisted"):
        pretrain([*flags, "--log", "trackio"])
    assert re.search(says("the log trackio is not whole", "entries did not arrive"), capsys.readouterr().out)
    assert run_of(flags).status()["state"] == "done"


def test_a_log_elsewhere_is_refused(flags, monkeypatch, capsys):
    monkeypatch.setenv("TRACKIO_SPACE_ID", "somebody/space")
    pretrain([*flags, "--log", "trackio"])
    assert "TRACKIO_SPACE_ID is set" in capsys.readouterr().out


def test_a_log_that_is_not_asked_for_imports_nothing(flags):
    code = "import sys; from gpt.pretrain import main; main(sys.argv[1:]); print('tensorboard' in sys.modules, 'trackio' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code, *flags], text=True, capture_output=True, check=True)
    assert done.stdout.splitlines()[-1] == "False False"


def test_a_picture_shows_every_head(trained):
    image = attention_picture(Run(trained), 12)
    assert image.dtype == np.uint8
    height, width, channels = image.shape
    assert (height, channels) == (width, 3)  # two layers, two heads
    assert len(np.unique(image.reshape(-1, 3), axis=0)) > 10


def test_numbers_and_texts_of_rows():
    assert numbers_and_texts({"step": 3, "seconds": 1.5, "loss": 2.0, "grad_norm": None}) == ({"seconds": 1.5, "loss": 2.0}, {})
    assert numbers_and_texts({"step": 3, "kind": "sample", "prompt": "a", "text": "b", "seconds": 1}) == ({}, {"sample": "ab"})
    assert numbers_and_texts({"step": 0, "kind": "baselines", "guessing": 6.0}) == ({"baselines/guessing": 6.0}, {})
    row = {"step": 0, "kind": "heads", "scores": {"induction": [[0.5, None]]}}
    assert numbers_and_texts(row) == ({"heads/induction/0.0": 0.5}, {})
    assert as_code("a\n# b") == "    a\n    # b"


def test_logs_of_a_run_that_never_began_say_nothing(tmp_path):
    assert Logs(Run(tmp_path / "none"), list(LOGS.values())).close() == []


def test_rows_are_json_as_before(flags):
    """The logs read the run's folder, and write nothing into its rows."""
    pretrain([*flags, "--log", "tensorboard"])
    kinds = {json.loads(line).get("kind") for line in (run_of(flags).path / "metrics.jsonl").read_text().splitlines()}
    assert kinds <= {None, "sample", "baselines", "heads", "formed", "warning"}
