"""A run that goes on from another model begins with its weights and tokens, at a lower rate, on any text that it can read."""

import pytest
import torch

from gpt.errors import UserError
from gpt.exchange.importing import import_run
from gpt.exchange.starting import find_start
from gpt.pretrain import main, make_parser, session_from_flags
from gpt.runs.run import Run, load_best
from gpt.runs.session import Session
from tests.conftest import TEXT
from tests.exchange.test_pretrained import made
from tests.says import says
from tests.sessions import finish, same_weights, stop_after

pytestmark = pytest.mark.usefixtures("short_samples")


@pytest.fixture
def root(trained, tmp_path):
    """A folder that holds the finished run `bottles`."""
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "bottles").symlink_to(trained)
    return tmp_path / "runs"


def flags(root, *more: str) -> list[str]:
    return ["--checkpoints", str(root), "--run", "next", "--init_from", "bottles", "--max_steps", "4", "--warmup", "0", "--eval_every", "2",
            "--batch", "4", "--snapshots", "3", "--precision", "float32", "--device", "cpu", *more]


def session(words: list[str]) -> Session:
    return session_from_flags(vars(make_parser().parse_args(words)))


def test_a_run_goes_on_from_another(root, capsys):
    parent = Run(root / "bottles")
    main(flags(root))
    run = Run(root / "next")
    before, after = parent.config()["config"], run.config()["config"]
    assert {name: after[name] for name in ("emb_dim", "n_layers", "vocab_size", "tokenizer", "corpus", "optimizer")} == {
        name: before[name] for name in ("emb_dim", "n_layers", "vocab_size", "tokenizer", "corpus", "optimizer")}
    assert after["learning_rate"] == pytest.approx(0.1 * before["learning_rate"])
    assert run.config()["went_on_from"] == "bottles"
    first = next(row for row in run.rows()[0] if "val_loss" in row)
    assert first["step"] == 0
    assert first["val_loss"] == pytest.approx(parent.status()["best_val_loss"], rel=1e-5)  # step 0 is the parent's best
    assert (root / "next" / "tokenizer.json").read_bytes() == (parent.path / "tokenizer.json").read_bytes()


def test_a_run_goes_on_from_a_folder_of_others(root, tmp_path):
    from gpt.data.tokenizer import train_bpe

    made(tmp_path / "theirs", train_bpe(TEXT, 300))
    text = tmp_path / "other.txt"
    text.write_text("another text, that the model has never seen\n" * 80)
    words = flags(root, "--corpus", str(text))
    words[words.index("bottles")] = str(tmp_path / "theirs")
    run = finish(session(words))
    assert run.config()["went_on_from"] == "theirs"
    assert run.config()["config"]["position"] == "learned"
    assert run.status()["state"] == "done"


def test_what_was_stopped_before_its_first_save_goes_on_from_the_same_weights(root, tmp_path):
    """Also where nothing else had been saved: bit for bit what one session would have trained."""
    whole = finish(session(flags(root)))
    part = session([*flags(root), "--run", "stopped"])
    events = part.events()
    next(events)  # the first evaluation
    save = next(part.writer.path.glob("last/*.safetensors"))
    kept = save.read_bytes()
    events.close()
    for path in part.writer.path.glob("last/*"):
        path.unlink()
    save.write_bytes(kept)  # as if the process had been killed then
    resumed = finish(Session(root, "stopped"))
    assert same_weights(whole.path / "snapshots" / "step-000004.safetensors", resumed.path / "snapshots" / "step-000004.safetensors")


def test_rows_of_step_0_stand_once_after_it_is_resumed_from_there(root):
    part = session(flags(root))
    events = part.events()
    next(events)
    events.close()
    run = finish(Session(root, "next"))
    evaluations = [row["step"] for row in run.rows()[0] if "val_loss" in row]
    assert evaluations == sorted(set(evaluations))
    assert [row["step"] for row in run.rows()[0] if row.get("kind") == "baselines"] == [0]


def test_a_run_that_ended_before_the_weights_were_saved_does_not_begin_with_random_ones(root):
    run = stop_after(session(flags(root)), 2)
    for path in run.path.glob("last/*"):
        path.unlink()
    with pytest.raises(UserError, match=says("run next ended before the weights of bottles were saved", "--init_from")):
        finish(Session(root, "next"))


def test_its_first_evaluation_is_as_long_as_the_others(root, monkeypatch):
    """Otherwise the first might be lower by chance, and the best weights for ever those of the source."""
    monkeypatch.setattr("gpt.training.trainer.TOKENS_AT_ONCE", 16)
    run = finish(session(flags(root, "--learning_rate", "1e-9")))
    losses = [row["val_loss"] for row in run.rows()[0] if "val_loss" in row]
    assert losses == pytest.approx([losses[0]] * len(losses), abs=1e-5)


def test_what_is_stopped_and_resumed_learns_the_same(root):
    whole = finish(session(flags(root)))
    stop_after(session([*flags(root), "--run", "stopped"]), 2)
    resumed = finish(Session(root, "stopped"))
    assert same_weights(whole.path / "best.safetensors", resumed.path / "best.safetensors")


@pytest.mark.parametrize(("more", "facts"), [
    (["--emb_dim", "64"], ["emb_dim is 16 in bottles and 64 here", "leave these settings out"]),
    (["--tokenizer", "byte", "--n_layers", "5"], ["tokenizer is char in bottles and byte here", "n_layers is 2 in bottles and 5 here"]),
    (["--init_from", "nobody"], ["'nobody' is no folder here", "gpt2"]), (["--init_from", "../bottles"], ["no folder here"]),
    (["--init_from", ""], ["'' is no folder here"]), (["--resume"], ["leave out --init_from"]),
    (["--preset", "quick"], ["leave out --preset"])])
def test_what_contradicts_the_weights_is_told_with_both_values(root, more, facts, capsys):
    with pytest.raises(SystemExit) as caught:
        main([*flags(root), *more])
    assert caught.value.code == 2
    error = capsys.readouterr().err
    assert all(fact in error for fact in facts)
    assert error.count("\n") == 1
    assert not (root / "next").exists()


def test_a_text_with_characters_that_the_model_does_not_know_is_refused(root, tmp_path, capsys):
    (tmp_path / "other.txt").write_text("Ünïcödé ÄÖÜ\n" * 90, encoding="utf-8")
    with pytest.raises(SystemExit):
        main(flags(root, "--corpus", str(tmp_path / "other.txt")))
    assert "never saw" in capsys.readouterr().err
    assert not (root / "next").exists()


def test_the_settings_of_the_source_may_be_said_again(root):
    assert session(flags(root, "--emb_dim", "16", "--learning_rate", "0.002")).config["learning_rate"] == 0.002


def test_an_imported_run_is_a_start_too(tmp_path):
    from gpt.data.tokenizer import train_bpe

    made(tmp_path / "theirs", train_bpe(TEXT, 300))
    run = import_run(tmp_path / "theirs", tmp_path / "runs", "theirs")
    start = find_start("theirs", tmp_path / "runs")
    weights, _ = load_best(run)
    assert start.origin == "theirs"
    assert all(torch.equal(start.weights[name], weights[name]) for name in weights)
