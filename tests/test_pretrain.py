"""`python -m gpt.pretrain`: what it prints, where it ends, and how it answers mistakes."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from gpt.config import CONFIG, PRESETS, as_flags
from gpt.pretrain import main, make_parser, session_from_flags
from gpt.runs.recorder import Recorder
from gpt.runs.run import Run
from gpt.runs.session import Session
from gpt.runs.writer import RunWriter
from tests.says import says


@pytest.fixture(autouse=True)
def own_signal_handlers():
    """The command line takes SIGINT and SIGTERM for itself: give them back."""
    before = {which: signal.getsignal(which) for which in (signal.SIGINT, signal.SIGTERM)}
    yield
    for which, handler in before.items():
        signal.signal(which, handler)


@pytest.fixture
def words(tiny, tmp_path, text_file) -> list[str]:
    """The words of a command line that trains the tiny CONFIG as the run `a`."""
    changes = {name: value for name, value in tiny.items() if value != CONFIG[name] and name != "vocab_size"}
    return ["--checkpoints", str(tmp_path / "runs"), "--run", "a", "--corpus", text_file, *as_flags(changes)]


def fails(capsys, argv: list[str]) -> str:
    """Run `argv`, which must end with exit code 2, nothing on stdout and one line on stderr. Returns that line."""
    with pytest.raises(SystemExit) as caught:
        main(argv)
    out, err = capsys.readouterr()
    assert caught.value.code == 2
    assert out == ""
    assert re.fullmatch(r"python -m gpt\.pretrain: .+\n", err)
    return err.strip().removeprefix("python -m gpt.pretrain: ")


LAST_LINE = r"validation loss \d+\.\d{4}, \d+\.\d{4} bits per byte, [\d,]+ tokens per second, "


def test_a_finished_run_ends_with_a_line_that_says_how_it_went(words, tmp_path, capsys):
    main(words)
    lines = capsys.readouterr().out.splitlines()
    run = Run(tmp_path / "runs" / "a")
    status = run.status()
    assert re.fullmatch(LAST_LINE + re.escape(str(run.path)), lines[-1])
    assert lines[-1].startswith(f"validation loss {status['val_loss']:.4f}, {status['bits_per_byte']:.4f} bits per byte")
    assert status["state"] == "done"
    assert "parameters" in lines[0]
    assert run.log(1000).splitlines() == lines


def test_every_evaluation_and_sample_gets_a_line(words, capsys):
    main(words)
    out = capsys.readouterr().out
    assert re.findall(r"^step +(\d+)  validation loss", out, re.MULTILINE) == ["0", "4", "8", "12"]
    assert len(re.findall(r"^step +\d+  0 green bottles", out, re.MULTILINE)) == 4


def test_samples_cannot_drive_the_terminal(words, text_file, tmp_path, capsys):
    Path(text_file).write_text("a\x1b[2J\x07b\n" * 300)
    main(words)
    told = "".join(capsys.readouterr()) + (tmp_path / "runs" / "a" / "log.txt").read_text()
    assert "\u241b" in told
    assert not set(told) & {"\x07"}
    assert "\x1b[2J" not in told


def test_damage_in_a_text_is_told(words, text_file, capsys):
    Path(text_file).write_bytes(Path(text_file).read_bytes() + b"\xff")
    main(words)
    assert "bottles.txt: read as cp125" in capsys.readouterr().out


def test_a_stopped_run_is_resumed_by_name(tmp_path, capsys, tiny, text_file):
    session = Session(tmp_path / "runs", "a", {**tiny, "corpus": text_file})
    for event in session.events():
        if event.kind == "step" and session.trainer.step == 6:
            session.stop()
    main(["--checkpoints", str(tmp_path / "runs"), "--run", "a", "--resume"])
    assert re.search(LAST_LINE, capsys.readouterr().out.splitlines()[-1])
    assert Run(tmp_path / "runs" / "a").status()["state"] == "done"


def test_a_resumed_run_that_is_stopped_before_an_evaluation_ends_well(tmp_path, capsys, tiny, text_file, monkeypatch):
    session = Session(tmp_path / "runs", "a", {**tiny, "corpus": text_file})
    for event in session.events():
        if event.kind == "step" and session.trainer.step == 5:
            session.stop()
    monkeypatch.setattr(Recorder, "obey", lambda recorder: setattr(recorder.stop, "requested", True))  # SIGTERM in the first step
    main(["--checkpoints", str(tmp_path / "runs"), "--run", "a", "--resume"])
    run = Run(tmp_path / "runs" / "a")
    assert re.search(LAST_LINE, capsys.readouterr().out.splitlines()[-1])
    assert (run.status()["state"], run.status()["step"]) == ("stopped", 6)


def test_a_run_killed_after_its_last_save_is_finished_by_a_resume(words, tmp_path, capsys):
    main(words)
    with RunWriter(tmp_path / "runs" / "a") as run:
        run.write_status(state="running")
    main(["--checkpoints", str(tmp_path / "runs"), "--run", "a", "--resume"])
    assert re.search(LAST_LINE, capsys.readouterr().out.splitlines()[-1])
    assert run.status()["state"] == "done"


def test_a_signal_stops_a_run_which_is_saved_and_can_go_on(words, tmp_path):
    argv = [sys.executable, "-m", "gpt.pretrain", *words, "--max_steps", "0", "--max_minutes", "100"]
    env = os.environ | {"PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env) as process:
        assert any("step      4" in line for line in process.stdout)
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")
    assert re.search(LAST_LINE, out.splitlines()[-1])
    run = Run(tmp_path / "runs" / "a")
    assert run.status()["state"] == "stopped"
    assert run.saves()


def test_a_second_signal_ends_at_once_and_the_run_goes_on_from_its_last_save(words, tmp_path):
    code = ("import gpt.runs.recorder, gpt.pretrain, sys, time\n"
            "gpt.runs.recorder.Recorder.finish = lambda self: (print('finishing', flush=True), time.sleep(100))\n"  # a save that takes long
            "gpt.runs.recorder.SAVE_SECONDS = 0.01\n"
            "gpt.pretrain.main(sys.argv[1:])")
    env = os.environ | {"PYTHONUNBUFFERED": "1"}
    argv = [sys.executable, "-c", code, *words, "--max_steps", "100000"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env) as process:
        assert any("step      4" in line for line in process.stdout)
        process.send_signal(signal.SIGINT)
        assert any("finishing" in line for line in process.stdout)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err.strip() == "python -m gpt.pretrain: stopped at once; --run a --resume goes on from its last save"
    run = Run(tmp_path / "runs" / "a")
    assert run.status()["state"] == "stopped"
    assert run.status()["error"].startswith("stopped at once; it goes on from step ")
    assert run.saves()


def test_without_a_name_a_new_one_is_made_from_the_text(words, tmp_path, capsys):
    i = words.index("--run")
    nameless = words[:i] + words[i + 2:] + ["--max_steps", "1"]
    main(nameless)
    main(nameless)
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == ["bottles-1", "bottles-2"]


def test_flags_change_a_preset(tmp_path):
    given = {"run": "a", "checkpoints": str(tmp_path), "resume": False, "preset": "gpt2-classic", "shard": False, "log": "",
             "init_from": None, "emb_dim": 64}
    assert session_from_flags(given).config == {**PRESETS["gpt2-classic"].config, "emb_dim": 64}


class TestBudget:
    @pytest.fixture
    def unlimited(self, words) -> list[str]:
        """The words without the number of steps."""
        chosen = [at for at, word in enumerate(words) if word in ("--max_steps", "--eval_every")]
        return [word for at, word in enumerate(words) if at not in chosen and at - 1 not in chosen]

    def test_it_chooses_the_steps_and_says_and_keeps_what_it_chose(self, unlimited, tmp_path, capsys):
        main([*unlimited, "--budget", "0.02"])
        run = Run(tmp_path / "runs" / "a")
        config, first = run.config()["config"], capsys.readouterr().out.splitlines()[0]
        assert run.log(1000).splitlines()[0] == first
        chosen = (f"{name} {config[name]:,}" for name in ("max_steps", "eval_every"))
        assert re.search(says("Planned for 0.02 minutes", *chosen), first)
        assert run.status()["steps"] == config["max_steps"] != CONFIG["max_steps"]
        assert run.status()["state"] == "done"

    def test_sizes_that_are_given_stay(self, unlimited, tmp_path, tiny, capsys):
        main([*unlimited, "--budget", "0.01"])
        config = Run(tmp_path / "runs" / "a").config()["config"]
        assert {name: config[name] for name in ("n_layers", "n_heads", "emb_dim")} == {
            name: tiny[name] for name in ("n_layers", "n_heads", "emb_dim")}
        assert "emb_dim" not in capsys.readouterr().out.splitlines()[0]

    @pytest.mark.parametrize(("flags", "facts"), [
        (["--max_steps", "9"], ["--budget", "steps", "--max_steps"]),
        (["--epoch", "2"], ["--budget", "steps", "--epoch"]),
        (["--preset", "gpt2-124m"], ["--budget", "sizes", "--preset"]),
        (["--init_from", "gpt2"], ["--budget", "sizes", "--init_from"]),
        (["--resume"], ["--budget", "sizes", "--resume"]),
        (["--batch", "0"], ["batch is 0"]),
    ])
    def test_what_contradicts_it_is_told(self, unlimited, capsys, flags, facts):
        assert re.search(says(*facts), fails(capsys, [*unlimited, "--budget", "1", *flags]))

    @pytest.mark.parametrize(("minutes", "fact"), [("0", "0 minutes"), ("nan", "nan minutes"), ("long", "--budget")])
    def test_minutes_that_are_none_are_told(self, unlimited, capsys, minutes, fact):
        assert re.search(says(fact), fails(capsys, [*unlimited, "--budget", minutes]))


@pytest.mark.parametrize(("flags", "facts"), [
    (["--emb_dmi", "64"], ["--emb_dmi", "--emb_dim"]),
    (["--xyzzy=1"], ["--xyzzy", "--help"]),
    (["--batch", "many"], ["batch is 'many'", "whole number", "1 to 1024"]),
    (["--batch", "1.5"], ["batch is '1.5'", "whole number", "1 to 1024"]),
    (["--learning_rate", "nan"], ["learning_rate is nan", "to 0.1"]),
    (["--tie_weights", "perhaps"], ["tie_weights is 'perhaps'", "true", "false"]),
    (["--tokenizer", "words"], ["tokenizer is 'words'", "bpe, gpt2, char, byte"]),
    (["--seed", "9" * 400], ["seed is 9"]),
    (["--emb_dim", "18", "--n_heads", "4"], ["emb_dim 18", "4 heads", "16 or 20"]),
    (["--emb_dim", "6", "--n_heads", "2", "--position", "rope"], ["rope", "3", "odd", "learned"]),
    (["--emb_dim", "18", "--n_heads", "4", "--batch", "0"], ["batch is 0", "1 to 1024", "emb_dim 18"]),
    (["--max_steps", "0"], ["epoch", "max_steps", "max_minutes", "0"]),
    (["--run", "../a"], ["'../a'", "64 letters"]),
    (["--run", ""], ["''", "64 letters"]),
    (["--preset", "huge"], ["--preset", "'huge'"]),
    (["--batch"], ["--batch", "argument"]),
    (["--corpus", "no/such.txt"], ["no text", "no/such.txt'", "give"]),
    (["--context_length", "4000"], ["1988 tokens", "context_length 4000", "4001"]),
    (["--resume", "--run", "other"], ["no run other"]),
])
def test_a_mistake_ends_with_one_sentence_and_leaves_nothing(words, tmp_path, capsys, flags, facts):
    assert re.search(says(*facts), fails(capsys, [*words, *flags]))
    assert not (tmp_path / "runs").exists() or not list((tmp_path / "runs").iterdir())


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA GPU")
def test_cuda_asked_for_and_absent_is_told(words, capsys):
    assert re.search(says("cuda", "device", "auto", "cpu"), fails(capsys, [*words, "--device", "cuda"]))


def test_an_empty_text_is_told(words, text_file, capsys):
    Path(text_file).write_text(" \n")
    assert re.search(says("empty", "give"), fails(capsys, words))


def test_a_name_that_is_taken_is_told(trained, text_file, capsys):
    argv = ["--checkpoints", str(trained.parent), "--run", "bottles"]
    assert re.search(says("bottles", "another name"), fails(capsys, [*argv, "--corpus", text_file]))


@pytest.mark.parametrize(("flags", "facts"), [
    (["--resume"], ["--resume", "--run"]),
    (["--resume", "--run", "other"], ["no run other"]),
    (["--resume", "--run", "bottles"], ["bottles", "--max_steps above 12"]),
    (["--resume", "--run", "bottles", "--batch", "2"], ["batch", "max_steps"]),
    (["--resume", "--run", "bottles", "--preset", "quick"], ["--resume", "--preset"]),
    (["--resume", "--run", "bottles", "--max_steps", "12"], ["bottles", "12 steps", "max_steps"]),
    (["--resume", "--run", "../bottles"], ["'../bottles'"]),
])
def test_a_mistake_in_resuming_is_told(trained, capsys, flags, facts):
    assert re.search(says(*facts), fails(capsys, ["--checkpoints", str(trained.parent), *flags]))


def test_a_damaged_run_is_told_when_resumed(tmp_path, capsys, tiny, text_file):
    session = Session(tmp_path / "runs", "a", {**tiny, "corpus": text_file})
    for event in session.events():
        if event.kind == "step":
            session.stop()
    session.writer.saves()[0].write_bytes(b"\0" * 100)
    told = fails(capsys, ["--checkpoints", str(tmp_path / "runs"), "--run", "a", "--resume"])
    assert re.search(says("run a ", "saves", "damaged"), told)


def test_help_names_every_field_with_its_limits(capsys):
    with pytest.raises(SystemExit) as caught:
        main(["--help"])
    text = capsys.readouterr().out
    assert caught.value.code == 0
    assert all(f"--{name}" in text for name in CONFIG)


@pytest.mark.parametrize(("name", "old", "new"), [
    ("config.json", '"emb_dim": 16', '"emb_dim": 32'), ("config.json", '"n_layers": 2', '"n_layers": 3'),
    ("tokenizer.json", None, '{"name": "byte"}'),
])
def test_a_damaged_run_is_not_resumed(words, tmp_path, capsys, name, old, new):
    session = session_from_flags(vars(make_parser().parse_args(words)))
    for event in session.events():
        if event.kind == "step" and event.row.get("step") == 6:
            session.stop()
    path = tmp_path / "runs" / "a" / name
    path.write_text(path.read_text().replace(old, new) if old else new)
    told = fails(capsys, ["--checkpoints", str(tmp_path / "runs"), "--run", "a", "--resume"])
    assert "is damaged" in told or "belongs to another run" in told


def test_checkpoints_that_cannot_be_written_are_told(words, text_file, capsys):
    assert "cannot be written" in fails(capsys, [*words[2:], "--checkpoints", text_file])


def test_a_text_of_one_character_has_nothing_to_predict(words, tmp_path, capsys):
    (tmp_path / "a.txt").write_text("a" * 1000)
    assert "one kind" in fails(capsys, [*words, "--corpus", str(tmp_path / "a.txt")])
