"""A run that goes on from another model begins with its weights and tokens, at a lower rate, on any text that it can read."""

import json
import shutil

import pytest
import torch

from gpt.errors import UserError
from gpt.exchange.importing import import_run
from gpt.exchange.starting import find_start
from gpt.pretrain import main, make_parser, session_from_flags
from gpt.runs.run import Run, load_best, load_run
from gpt.runs.session import Session
from gpt.training.evaluation import evaluation_batches
from tests.conftest import TEXT
from tests.exchange.test_pretrained import made
from tests.says import says
from tests.sessions import finish, same_weights, stop_after
from tests.training.together import end_well

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


def test_what_has_gone_on_once_goes_on_at_the_same_rate(root):
    main(flags(root))
    main([*flags(root), "--run", "after", "--init_from", "next"])
    rates = [Run(root / name).config()["config"]["learning_rate"] for name in ("bottles", "next", "after")]
    assert rates[1:] == pytest.approx([0.1 * rates[0]] * 2)


def test_a_run_goes_on_from_a_folder_of_others(root, tmp_path):
    from gpt.data.tokenizers.bpe import train_bpe

    made(tmp_path / "theirs", train_bpe([TEXT], 300))
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
    (["--emb_dim", "64"], ["emb_dim is 16 in bottles and 64 here", "leave these settings as they are there"]),
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
    from gpt.data.tokenizers.bpe import train_bpe

    made(tmp_path / "theirs", train_bpe([TEXT], 300))
    run = import_run(tmp_path / "theirs", tmp_path / "runs", "theirs")
    start = find_start("theirs", tmp_path / "runs")
    weights, _ = load_best(run)
    assert start.origin == "theirs"
    assert all(torch.equal(start.weights[name], weights[name]) for name in weights)


class TestForgetting:
    @pytest.fixture
    def other(self, tmp_path) -> str:
        """A text of the same characters, with other words."""
        path = tmp_path / "other.txt"
        path.write_text("".join(reversed(TEXT)), encoding="utf-8")
        return str(path)

    @staticmethod
    def losses(run: Run) -> list[tuple[int, float | None]]:
        return [(row["step"], row.get("earlier_val_loss")) for row in run.rows()[0] if "val_loss" in row]

    def test_the_loss_on_the_text_before_begins_at_that_of_the_source_and_is_that_of_the_weights(self, root, other):
        run = finish(session(flags(root, "--corpus", other, "--learning_rate", "0.01")))
        measured = dict(self.losses(run))
        assert list(measured) == [0, 2, 4]
        assert measured[0] == pytest.approx(Run(root / "bottles").status()["best_val_loss"], rel=1e-5)
        (model, tokenizer), validation = load_run(run.path, 4), TEXT[int(len(TEXT) * 0.9):]
        tokens = torch.tensor(tokenizer.encode(validation))
        with torch.no_grad():
            loss = sum(model.loss(batch.ids, batch.targets, reduction="none")[batch.counts].sum().item()
                       for batch in evaluation_batches(tokens, model.context_length, 64))
        assert measured[4] == pytest.approx(loss / (len(tokens) - 1), rel=1e-5) == run.status()["earlier_val_loss"]
        assert abs(measured[4] - measured[0]) > 1e-3

    def test_a_resumed_run_measures_it_on(self, root, other):
        words = flags(root, "--corpus", other, "--max_steps", "8")
        whole = finish(session([*words, "--run", "whole"]))
        stop_after(session([*words, "--run", "halves"]), 4)
        halves = finish(Session(root, "halves"))
        assert self.losses(halves) == self.losses(whole)

    def test_on_the_same_text_there_is_nothing_to_forget(self, root):
        assert {loss for _, loss in self.losses(finish(session(flags(root))))} == {None}

    @pytest.mark.parametrize(("change", "told"), [(lambda path: path.unlink(), "is not there any more"),
                                                  (lambda path: path.write_text("x" * 500), "has changed")])
    def test_a_text_that_cannot_be_had_is_told_and_training_goes_on(self, trained, tmp_path, other, change, told):
        text = tmp_path / "bottles.txt"
        text.write_text(TEXT, encoding="utf-8")
        shutil.copytree(trained, tmp_path / "runs" / "bottles")
        path = tmp_path / "runs" / "bottles" / "config.json"
        about = json.loads(path.read_text())
        about["config"]["corpus"] = str(text)
        path.write_text(json.dumps(about))
        change(text)
        run = finish(session(flags(tmp_path / "runs", "--corpus", other)))
        assert {loss for _, loss in self.losses(run)} == {None}
        [warning] = [row["text"] for row in run.rows()[0] if row.get("kind") == "warning" and told in row["text"]]
        assert str(tmp_path) not in warning  # a path of this machine is nobody's business

    def test_a_model_of_others_has_no_text_here(self, root, tmp_path):
        from gpt.data.tokenizers.bpe import train_bpe

        made(tmp_path / "theirs", train_bpe([TEXT], 300))
        import_run(tmp_path / "theirs", root, "theirs")
        assert find_start("theirs", root).text is None

    def test_several_processes_measure_the_same(self, root, other, tmp_path):
        words = flags(root, "--corpus", other)
        one = finish(session([*words, "--run", "one"]))
        end_well([*words, "--run", "two"], 2, tmp_path / "out")
        for (step, loss), (same, theirs) in zip(self.losses(one), self.losses(Run(root / "two")), strict=True):
            assert step == same
            assert theirs == pytest.approx(loss, rel=1e-4)
