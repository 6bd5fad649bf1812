"""Several processes train one model: they learn what one would, obey what is asked of the run, and end together, whatever happens."""

import re
import signal
from pathlib import Path

import pytest
import torch

from gpt.config import as_flags
from gpt.pretrain import main
from gpt.runs.run import Run, load_run
from gpt.runs.session import Session
from gpt.runs.storage import load_tensors
from tests.says import says
from tests.sessions import finish, same_weights, timeless, until
from tests.training.together import end_well, together, words_of

ENDLESS = ["--max_steps", "1000000"]


@pytest.fixture
def words(config, tmp_path) -> list[str]:
    """The words of a command line that trains the tiny CONFIG on the text, without a name."""
    return words_of(config, tmp_path / "runs")


@pytest.fixture
def run_of(tmp_path):
    return lambda name: Run(tmp_path / "runs" / name)


def numbers(run: Run) -> dict[tuple, float]:
    """Everything that a run has measured, by step and name, without what the clock says."""
    return {(row["step"], name): row[name] for row in run.rows()[0] for name in ("loss", "grad_norm", "val_loss", "bits_per_byte", "lr")
            if name in row}


def assert_same_curve(one: Run, other: Run) -> None:
    expected, measured = numbers(one), numbers(other)
    assert measured.keys() == expected.keys()
    for key in expected:
        assert abs(measured[key] - expected[key]) < (0.01 if key[1] == "grad_norm" else 1e-4), key


def in_training(run: Run) -> bool:
    return (run.path / "status.json").exists() and run.status()["state"] == "running" and run.status()["step"] > 3


@pytest.mark.parametrize(("optimizer", "changes"), [
    ("adamw", {"learning_rate": 0.002, "vocab_multiple": 64}), ("muon", {}),
    ("muon", {"tie_weights": False, "position": "learned", "qk_norm": False}),
])
def test_a_sharded_model_learns_what_a_whole_one_learns_and_its_run_is_like_any_other(words, run_of, tmp_path, config, optimizer, changes):
    config |= {"optimizer": optimizer, "max_steps": 50, "eval_every": 10, "batch": 8, **changes}
    flags = as_flags({name: config[name] for name in ("optimizer", "max_steps", "eval_every", *changes)})
    end_well([*words, *flags, "--batch", "4", "--grad_accum", "2", "--run", "sharded", "--shard"], 2, tmp_path / "out")
    finish(Session(tmp_path / "runs", "one", config))
    sharded, one = run_of("sharded"), run_of("one")
    assert_same_curve(one, sharded)
    for name in ("best.safetensors", "snapshots/step-000050.safetensors"):
        assert shapes(one.path / name) == shapes(sharded.path / name)
    assert shapes(one.saves()[0]) == shapes(sharded.saves()[0])
    model, tokenizer = load_run(sharded.path)
    assert model(torch.tensor([tokenizer.encode("green")])).isfinite().all()


@pytest.mark.parametrize("more", [[], ["--shard"]], ids=["whole", "sharded"])
def test_a_run_that_goes_on_from_another_begins_with_its_weights_in_every_process(words, run_of, tmp_path, config, more):
    finish(Session(tmp_path / "runs", "parent", config))
    words = [*words, "--init_from", "parent", "--warmup", "0"]
    main([*words, "--run", "one"])
    end_well([*words, "--run", "two", *more], 2, tmp_path / "out")
    assert numbers(run_of("two"))[0, "val_loss"] == pytest.approx(run_of("parent").status()["best_val_loss"], abs=1e-5)
    assert_same_curve(run_of("one"), run_of("two"))


def shapes(path: Path) -> dict[str, tuple]:
    """The shape and type of each tensor in a file."""
    return {name: (tensor.shape, tensor.dtype) for name, tensor in load_tensors(path)[0].items()}


@pytest.mark.parametrize(("first", "then", "steps"), [(["--shard"], ["--shard"], 60), (["--shard"], [], 60), ([], ["--shard"], 120)])
def test_a_run_goes_on_sharded_or_not(words, run_of, tmp_path, first, then, steps):
    """Bit for bit, if nothing changes; else with the same losses."""
    words = [*words, "--max_steps", str(steps), "--eval_every", "20"]
    end_well([*words, "--run", "whole", *first], 2, tmp_path / "out")
    with together([*words, "--run", "stopped", *first], 2, tmp_path / "out") as group:
        until(lambda: in_training(run_of("stopped")))
        group.send(1, signal.SIGTERM)
        assert group.codes() == [0, 0], group.printed()
    assert run_of("stopped").status()["state"] == "stopped"
    end_well([*words[:2], "--run", "stopped", "--resume", *then], 2, tmp_path / "out")
    if first == then:
        assert timeless(run_of("stopped")) == timeless(run_of("whole"))
        assert same_weights(run_of("stopped").saves()[0], run_of("whole").saves()[0])
    else:
        expected, measured = numbers(run_of("whole")), numbers(run_of("stopped"))
        assert max(abs(measured[key] - expected[key]) for key in expected if key[1] == "val_loss") < 0.01


def test_one_process_cannot_shard(words, tmp_path, capsys):
    with pytest.raises(SystemExit) as caught:
        main([*words, "--shard"])
    assert caught.value.code == 2
    assert re.search(says("--shard", "only one", "torchrun"), capsys.readouterr().err)


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_processes_and_accumulation_give_the_curve_of_one_process(words, run_of, tmp_path, config, optimizer):
    fifty = ["--max_steps", "50", "--eval_every", "10", "--optimizer", optimizer, "--batch"]
    end_well([*words, *fifty, "8", "--run", "two"], 2, tmp_path / "out")
    end_well([*words, *fifty, "4", "--grad_accum", "2", "--run", "both"], 2, tmp_path / "out")
    for name, batch, grad_accum in (("one", 8, 1), ("accumulated", 4, 2)):
        changes = {"max_steps": 50, "eval_every": 10, "optimizer": optimizer, "batch": batch, "grad_accum": grad_accum}
        finish(Session(tmp_path / "runs", name, {**config, **changes}))
    assert len([key for key in numbers(run_of("one")) if key[1] == "loss"]) == 50
    for name in ("two", "both", "accumulated"):
        assert_same_curve(run_of("one"), run_of(name))


def test_the_folder_does_not_say_how_many_processes_trained_it(words, run_of, tmp_path, config):
    output = end_well([*words, "--run", "two"], 2, tmp_path / "out")
    finish(Session(tmp_path / "runs", "one", config))
    assert "2 processes" in output
    two, one = ({**run_of(name).config(), "created": 0} for name in ("two", "one"))
    assert two == one
    names = [{path.relative_to(run_of(name).path).as_posix() for path in run_of(name).path.rglob("*")} for name in ("two", "one")]
    assert names[0] - names[1] == {"log.txt"}  # which the command line writes
    assert names[1] <= names[0]


@pytest.mark.parametrize("precision", ["float16", "bfloat16"])
def test_number_formats_are_those_of_rank_0(words, run_of, tmp_path, config, precision):
    """float16 with its scaler: an overflow in one process skips the step in all."""
    end_well([*words, "--run", "two", "--precision", precision, "--learning_rate", "0.001"], 2, tmp_path / "out")
    finish(Session(tmp_path / "runs", "one", {**config, "precision": precision, "learning_rate": 0.001}))
    expected, measured = numbers(run_of("one")), numbers(run_of("two"))
    losses = [key for key in expected if key[1] == "loss"]
    assert len(losses) == 12
    assert max(abs(measured[key] - expected[key]) for key in losses) < 0.02


@pytest.mark.parametrize(("later", "signalled"), [(3, 0), (1, 2)])
def test_a_signal_to_any_process_saves_the_run_and_it_goes_on(words, run_of, tmp_path, later, signalled):
    """Bit for bit with as many processes; three, since a sum of three depends on its order. One is enough to go on."""
    words = [*words, "--batch", "6", "--dropout_rate", "0.2", "--max_steps", "200", "--eval_every", "40"]
    end_well([*words, "--run", "whole"], 3, tmp_path / "out")
    with together([*words, "--run", "stopped"], 3, tmp_path / "out") as group:
        until(lambda: in_training(run_of("stopped")))
        group.send(signalled, signal.SIGTERM)
        assert group.codes() == [0, 0, 0], group.printed()
    status = run_of("stopped").status()
    assert status["state"] == "stopped"
    assert 3 < status["step"] < 200
    end_well([*words[:2], "--run", "stopped", "--resume"], later, tmp_path / "out")
    assert run_of("stopped").status()["state"] == "done"
    assert (timeless(run_of("stopped")) == timeless(run_of("whole"))) == (later == 3)
    assert same_weights(run_of("stopped").saves()[0], run_of("whole").saves()[0]) == (later == 3)


def test_what_is_asked_of_a_run_reaches_all_processes(words, run_of, tmp_path, config):
    run = run_of("two")
    with together([*words, "--run", "two", "--max_steps", "150", "--eval_every", "50"], 2, tmp_path / "out") as group:
        until(lambda: in_training(run))
        run.request("pause")
        until(lambda: run.status()["state"] == "paused")
        step = run.status()["step"]
        run.request("extend 100")
        until(lambda: run.status()["steps"] == 250)
        run.request("resume")
        until(lambda: run.status()["step"] > step)
        run.request("snapshot")
        until(lambda: any(kept > step and kept not in (150, 250) for kept in run.snapshots()))
        assert group.codes() == [0, 0], group.printed()
    assert (run.status()["state"], run.status()["step"]) == ("done", 250)
    finish(Session(tmp_path / "runs", "one", {**config, "max_steps": 150, "eval_every": 50}))
    first = {key: value for key, value in numbers(run).items() if key[0] <= step and key[1] == "loss"}
    assert all(abs(numbers(run_of("one"))[key] - value) < 1e-4 for key, value in first.items())
    rates = [row["lr"] for row in run.rows()[0] if "lr" in row]
    assert rates[-1] < rates[-2] < rates[-50]


def test_the_clock_of_rank_0_ends_the_run_for_all(words, run_of, tmp_path):
    end_well([*words, "--run", "two", "--max_steps", "0", "--max_minutes", "0.02"], 2, tmp_path / "out")
    assert run_of("two").status()["state"] == "done"
    assert run_of("two").status()["step"] > 0


@pytest.mark.parametrize("paused", [False, True])
def test_a_process_that_dies_ends_the_run_with_one_reason(words, run_of, tmp_path, paused):
    run = run_of("two")
    with together([*words, *ENDLESS, "--run", "two"], 2, tmp_path / "out") as group:
        until(lambda: in_training(run))
        if paused:
            run.request("pause")
            until(lambda: run.status()["state"] == "paused")
        group.send(1, signal.SIGKILL)
        assert group.codes() == [2, -signal.SIGKILL]
        sentence = f"one of the 2 processes that trained together has ended; resuming the run goes on from step {run.saved_step()}"
        assert group.printed().splitlines()[-1] == f"python -m gpt.pretrain: {sentence}"
        assert "Traceback" not in group.printed()
    assert (run.status()["state"], run.status()["error"]) == ("failed", sentence)
    end_well([*words[:2], "--run", "two", "--resume", "--max_steps", str(run.status()["step"] + 5)], 2, tmp_path / "out")
    assert run.status()["state"] == "done"


def test_without_rank_0_the_others_end_too(words, run_of, tmp_path):
    with together([*words, *ENDLESS, "--batch", "6", "--run", "two"], 3, tmp_path / "out") as group:
        until(lambda: in_training(run_of("two")))
        group.send(0, signal.SIGKILL)
        assert group.codes() == [-signal.SIGKILL, 2, 2]
        assert [group.printed(1), group.printed(2)] == ["", ""]
    assert run_of("two").status()["state"] == "failed"
    assert "killed" in run_of("two").status()["error"]


@pytest.mark.parametrize(("words_added", "facts"), [
    (["--batch", "5"], "batch 5 | 2 processes | 4 or 6"),
    (["--batch", "1"], "batch 1 | 2 processes | set it to 2"),
    (["--emb_dim", "many"], "emb_dim | whole number"),
    (["--corpus", "no/such.txt"], "no/such.txt"),
    (["--context_length", "4000"], "1988 tokens | context_length 4000"),
    (["--resume", "--run", "other"], "no run other"),
])
def test_a_mistake_is_told_once_and_leaves_no_process(words, tmp_path, words_added, facts):
    with together([*words, "--run", "a", *words_added], 2, tmp_path / "out") as group:
        assert group.processes[0].wait(60) == 2
        if "many" in words_added:  # before it has met the others, for whom torchrun would not wait
            group.send(1, signal.SIGTERM)
        assert group.codes()[1] in (2, 130, -signal.SIGTERM)
        assert re.fullmatch(r"python -m gpt\.pretrain: .+\n", group.printed())
        assert re.search(says(facts), group.printed())
        assert group.printed(1) == ""
    assert not (tmp_path / "runs" / "a").exists()


def test_two_groups_cannot_train_one_run(words, run_of, tmp_path):
    with together([*words, *ENDLESS, "--run", "two"], 2, tmp_path / "out") as first:
        until(lambda: in_training(run_of("two")))
        with together([*words[:2], "--run", "two", "--resume"], 2, tmp_path / "out") as second:
            assert second.codes() == [2, 2]
            assert re.fullmatch(r"python -m gpt\.pretrain: another run is training on this machine.+\n", second.printed())
            assert second.printed(1) == ""
        first.send(0, signal.SIGTERM)
        assert first.codes() == [0, 0]
