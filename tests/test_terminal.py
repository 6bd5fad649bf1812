"""What commands do in terminals of all kinds: characters that cannot be shown, output that nobody reads, Ctrl+C at any time."""

import io
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

import gpt.pretrain
from gpt.config import CONFIG, as_flags
from gpt.generate import main as generate
from gpt.pretrain import main
from gpt.runs.run import Run
from gpt.runs.session import Session
from gpt.terminal import prepare_terminal
from tests.forkserver import PROJECT
from tests.says import says
from tests.sessions import finish, until


@pytest.fixture
def flags(tiny, tmp_path) -> list[str]:
    """Flags that train the tiny CONFIG, as the run `a`, on a text with snowmen."""
    (tmp_path / "snow.txt").write_text("snow ☃ and more\n" * 200, encoding="utf-8")
    changes = {name: value for name, value in tiny.items() if value != CONFIG[name] and name != "vocab_size"}
    return [*as_flags(changes), "--checkpoints", str(tmp_path / "runs"), "--run", "a", "--corpus", str(tmp_path / "snow.txt")]


def command(words: list[str], **options) -> subprocess.Popen:
    """A command of this project, really started, with its output in pipes."""
    def as_from_a_terminal() -> None:  # these tests may run in the background or under nohup, where signals are ignored
        for number in (signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)

    env = os.environ | {"PYTHONIOENCODING": "utf-8"} | options.pop("env", {})
    return subprocess.Popen([sys.executable, *words], cwd=PROJECT, env=env, preexec_fn=as_from_a_terminal,
                            **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options})


def test_what_the_terminal_cannot_show_is_replaced(flags, tmp_path):
    out, err = command(["-m", "gpt.pretrain", *flags], env={"PYTHONIOENCODING": "cp1252"}).communicate(timeout=300)
    run = Run(tmp_path / "runs" / "a")
    assert (run.status()["state"], err) == ("done", b"")
    assert b"snow ?" in out
    assert "snow ☃" in run.log(1000)


@pytest.mark.parametrize("encoding", ["cp1252", "ascii", "cp437", "utf-8"])
def test_a_prompt_is_shown_as_far_as_the_terminal_can(trained, monkeypatch, encoding):
    shown = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    monkeypatch.setattr(sys, "stdout", shown)
    monkeypatch.setattr(sys, "stderr", io.TextIOWrapper(io.BytesIO(), encoding=encoding))
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    prepare_terminal("python -m gpt.generate")
    print("snow ☃", flush=True)
    generate(["--checkpoints", str(trained.parent), "--run", "bottles", "--prompt", "green", "--max_new_tokens", "1"])
    shown.flush()
    assert shown.buffer.getvalue().startswith("snow ☃".encode(encoding, errors="replace") + b"\ngreen")


def test_output_that_nobody_reads_any_more_ends_no_run(flags, tmp_path):
    training = command(["-m", "gpt.pretrain", *flags, "--max_steps", "100000"])
    assert training.stdout.readline()
    training.stdout.close()
    run = Run(tmp_path / "runs" / "a")
    until(lambda: (run.path / "status.json").exists() and run.status()["step"] > 50)  # after many evaluations, each with a line
    training.send_signal(signal.SIGTERM)
    assert training.stderr.read() == b""
    assert training.wait(timeout=60) == 0
    assert run.status()["state"] == "stopped"
    assert "bits per byte" in run.log(1)
    generating = command(["-m", "gpt.generate", "--checkpoints", str(tmp_path / "runs"), "--run", "a", "--prompt", "snow"])
    generating.stdout.close()
    assert generating.communicate(timeout=60)[1] == b""


def test_a_command_with_all_its_streams_closed_works(flags, tmp_path):
    words = ["sh", "-c", '"$@" <&- >&- 2>&-', "sh", sys.executable, "-m", "gpt.pretrain", *flags]
    assert subprocess.run(words, cwd=PROJECT, timeout=300, check=False).returncode == 0
    assert Run(tmp_path / "runs" / "a").status()["state"] == "done"


def test_an_error_while_something_is_shown_is_the_reason_of_the_end(flags, tmp_path, monkeypatch):
    monkeypatch.setattr(gpt.pretrain, "describe", lambda session: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        main(flags)
    status = Run(tmp_path / "runs" / "a").status()
    assert status["state"] == "failed"
    assert status["error"].startswith("ZeroDivisionError")


@pytest.mark.parametrize("words", [["-m", "gpt.pretrain"], ["-m", "gpt.generate", "--run", "a", "--prompt", "x"], ["demo.py"],
                                   ["-m", "gpt.ui.report", "--run", "a", "--to", "report.html"]])
def test_ctrl_c_while_pytorch_is_imported_ends_in_one_line(words, tmp_path):
    words = [*words, "--checkpoints", str(tmp_path / "runs")]
    process = command(words)
    until(lambda: "libtorch" in Path(f"/proc/{process.pid}/maps").read_text())
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    name = " ".join(["python", *words[:2 if words[0] == "-m" else 1]])
    assert (process.returncode, out, err.decode()) == (130, b"", f"{name}: ended by Ctrl+C\n")
    assert not (tmp_path / "runs").exists()


LEARNING = """
import hashlib, sys, gpt.data.tokenizers.bpe, gpt.pretrain
def learn(text, vocab_size):
    print("learning", flush=True)
    hashlib.pbkdf2_hmac("sha256", b"", b"", 200_000_000)  # a minute or more inside a library that does not return to Python
gpt.data.tokenizers.bpe.train_bpe = learn
gpt.pretrain.main(sys.argv[1:])
"""


def test_ctrl_c_while_tokens_are_learned_is_heard_and_leaves_nothing(flags, tmp_path):
    process = command(["-c", LEARNING, *flags, "--tokenizer", "bpe", "--vocab_size", "512"])
    assert process.stdout.readline() == b"learning\n"
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert (process.returncode, out, err.decode()) == (130, b"", "python -m gpt.pretrain: stopped at once; nothing had begun\n")
    assert list((tmp_path / "runs").iterdir()) == []


def test_ctrl_c_while_a_resumed_run_learns_its_text_again_leaves_it_as_it_was(flags, tmp_path, capsys):
    main([*flags, "--max_steps", "4"])
    process = command(["-c", LEARNING.replace("gpt.data.tokenizers.bpe.train_bpe", "gpt.data.dataset.TokenizedText.encode").replace(
        "(text, vocab_size)", "(*_)"), "--checkpoints", str(tmp_path / "runs"), "--run", "a", "--resume", "--max_steps", "8"])
    assert process.stdout.readline() == b"learning\n"
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 130
    assert "--run a --resume goes on from its last save" in err.decode()
    run = Run(tmp_path / "runs" / "a")
    assert (run.status()["state"], run.saved_step()) == ("done", 4)


def test_a_closed_terminal_saves_the_run(flags, tmp_path):
    process = command(["-m", "gpt.pretrain", *flags, "--max_steps", "100000"], start_new_session=True)
    run = Run(tmp_path / "runs" / "a")
    until(lambda: (run.path / "status.json").exists() and run.status()["step"] > 0)
    for _ in range(3):  # from the system, from the shell
        process.send_signal(signal.SIGHUP)
    assert process.communicate(timeout=60)[1] == b""
    assert (process.returncode, run.status()["state"]) == (0, "stopped")
    assert run.saves()


def test_handlers_of_signals_are_given_back_also_after_an_error(flags, monkeypatch):
    before = signal.getsignal(signal.SIGINT)
    main(flags)
    assert signal.getsignal(signal.SIGINT) is before
    with pytest.raises(SystemExit):
        main([*flags, "--corpus", "/nowhere", "--run", "b"])
    assert signal.getsignal(signal.SIGINT) is before
    assert signal.set_wakeup_fd(-1) == -1


def test_ctrl_c_after_the_end_changes_nothing(config, tmp_path):
    session = Session(tmp_path, "a", config)
    run = finish(session)
    session.end_at_once()
    assert run.status()["state"] == "done"
    session = Session(tmp_path, "b", config)
    session.end_at_once()  # before it holds the folder
    assert not (tmp_path / "b").exists()


def test_a_short_memory_is_reported_before_the_text_is_read(flags, tmp_path, monkeypatch, capsys):
    main(flags)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr("gpt.pretrain.free_bytes", lambda device: 100_000_000 - psutil.Process().memory_info().rss)
    main([*flags, "--run", "b", "--batch", "1024", "--max_steps", "1"])
    assert re.search(says("GB of memory", "0.1 GB is free here", "lower batch"), capsys.readouterr().err)


def test_a_prompt_s_controls_are_shown_and_not_obeyed(flags, tmp_path, capsys):
    main([*flags, "--tokenizer", "byte"])
    capsys.readouterr()
    generate(["--checkpoints", str(tmp_path / "runs"), "--run", "a", "--prompt", "a\x1b[2J", "--max_new_tokens", "1"])
    assert "\x1b" not in capsys.readouterr().out
