"""Training as a child process: the command line says all of CONFIG, one run at a time, and nothing learned is lost."""

import os
import re
import string
import sys
import time
from pathlib import Path

import gradio as gr
import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpt.config import CONFIG, FIELDS, PRESETS, ConfigError, Field, validate
from gpt.data.built_in import BUILT_IN
from gpt.data.tokenizers.letters import ByteTokenizer
from gpt.pretrain import make_parser, session_from_flags
from gpt.runs.run import Run, RunError, find_run, list_runs, load_run
from gpt.runs.session import Session, located, machine_lock
from gpt.runs.writer import RunWriter
from gpt.ui.server.jobs import PROJECT, Jobs, command_line, resuming_arguments, training_arguments, with_processes
from gpt.ui.tabs.train import ask
from tests.says import says
from tests.sessions import until


def values_of(field: Field) -> st.SearchStrategy:
    """Values that `field` allows by itself."""
    if field.choices:
        return st.sampled_from(list(field.choices))
    if field.kind is bool:
        return st.booleans()
    if field.kind is str:
        return st.sampled_from([*BUILT_IN, "/home/ann/my texts/Größe & 'quotes' \"$HOME\".txt", "a b.txt"])
    return st.integers(field.minimum, field.maximum) if field.kind is int else st.floats(field.minimum, field.maximum)


@st.composite
def configs(draw) -> dict:
    """Valid CONFIGs that a machine without a GPU can train."""
    changed = draw(st.sets(st.sampled_from(FIELDS)))
    config = CONFIG | {field.name: draw(values_of(field)) for field in changed}
    heads, width = draw(st.integers(1, 32)), draw(st.integers(2, 32))
    config |= {"n_heads": heads, "emb_dim": 2 * heads * width, "vocab_size": draw(st.integers(256, 65536)),
               "device": draw(st.sampled_from(["auto", "cpu"])), "max_steps": config["max_steps"] or 1,
               "freeze": draw(st.sampled_from(["", "embeddings", " embeddings, 0"]))}
    return validate(config)


def typed_values(config: dict) -> dict:
    return {name: (type(value), value) for name, value in config.items()}


@given(configs(), st.sampled_from([*PRESETS, ""]))
def test_the_command_line_says_all_of_a_config(config, preset):
    words = training_arguments(config, preset, "run-1", Path("/nowhere/at all"))
    assert words[:2] == ["-m", "gpt.pretrain"]
    session = session_from_flags(vars(make_parser().parse_args(words[2:])))
    assert typed_values(session.config) == typed_values(located(config))
    assert session.writer.path == Path("/nowhere/at all/run-1")


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_is_its_name_on_the_command_line(preset, tmp_path):
    assert training_arguments(PRESETS[preset].config, preset, "a", tmp_path) == [
        "-m", "gpt.pretrain", "--preset", preset, "--run", "a", "--checkpoints", str(tmp_path)]


def test_the_usual_folder_needs_no_flag():
    assert training_arguments(CONFIG, "quick", "a", PROJECT / "checkpoints")[-2:] == ["--run", "a"]
    assert resuming_arguments("a", PROJECT / "checkpoints") == ["-m", "gpt.pretrain", "--run", "a", "--resume"]


def test_the_command_line_of_a_resumed_run_is_understood(tmp_path):
    given_flags = make_parser().parse_args(resuming_arguments("a", tmp_path)[2:])
    assert (given_flags.run, given_flags.resume, given_flags.checkpoints) == ("a", True, str(tmp_path))


@pytest.fixture
def nothing_starts(monkeypatch):
    def popen(*_, **__):
        raise AssertionError("a process was started")

    monkeypatch.setattr("gpt.ui.server.jobs.subprocess.Popen", popen)


@pytest.mark.usefixtures("nothing_starts")
class TestRefused:
    """Nothing is started, and nothing is left behind."""

    def test_a_bad_config_with_all_its_problems(self, jobs, tiny):
        with pytest.raises(ConfigError) as caught:
            jobs.start({**tiny, "batch": 0, "emb_dim": 15, "tokenizer": "words"}, "quick", "a")
        assert set(caught.value.problems) == {"batch", "emb_dim", "tokenizer"}
        assert not jobs.root.exists()

    @pytest.mark.parametrize("name", ["", ".", "..", "a/b", "../a", "/tmp/a", "a\n", "-a", ".a", "a" * 65, "ä", None, 5])
    def test_a_name_that_names_no_run(self, jobs, tiny, name):
        with pytest.raises(RunError, match=says("name a run")):
            jobs.start(tiny, "quick", name)
        with pytest.raises(RunError, match=says("name a run")):
            jobs.resume(name)

    def test_a_name_that_is_taken(self, library_jobs, tiny):
        with pytest.raises(RunError, match=says("bottles", "another name")):
            library_jobs.start(tiny, "quick", "bottles")

    def test_resuming_a_finished_run(self, library_jobs):
        with pytest.raises(RunError, match=says("bottles", "extend")):
            library_jobs.resume("bottles")

    def test_resuming_an_unknown_run(self, library_jobs):
        with pytest.raises(RunError, match=says("no run cups", "bottles, bytes")):
            library_jobs.resume("cups")

    def test_a_start_while_another_program_trains(self, jobs, tiny):
        with machine_lock().acquire(timeout=0), pytest.raises(RunError, match=says("another program")):
            jobs.start(tiny, "quick", "a")
        assert jobs.running() is None

    def test_a_start_while_a_run_of_the_folder_trains_elsewhere(self, jobs, tiny):
        with RunWriter(jobs.root / "busy") as writer:
            writer.write_status(state="running", step=1, steps=2)
            assert jobs.running() == "busy"
            with pytest.raises(RunError, match=says("busy", "wait", "stop")):
                jobs.start(tiny, "quick", "a")
        assert jobs.running() is None


def test_a_run_is_trained_by_a_process_of_its_own(jobs, tiny, text_file):
    config = {**tiny, "corpus": text_file, "optimizer": "adamw"}
    jobs.start(config, "quick", "a")
    assert jobs.running() == jobs.starting() == "a"
    until(lambda: jobs.running() is None)
    run = find_run(jobs.root, "a")
    assert run.status()["state"] == "done"
    assert run.status()["step"] == tiny["max_steps"]
    assert run.config()["config"] == {**config, "vocab_size": run.config()["tokenizer"]["n_vocab"]}
    assert jobs.failure() is None
    assert load_run(run.path)[0].context_length == tiny["context_length"]
    assert f"step {tiny['max_steps']:>6}  validation loss" in run.log()


def test_while_a_run_trains_no_other_begins_and_the_control_file_stops_it(jobs, tiny, text_file):
    config = {**tiny, "corpus": text_file, "optimizer": "adamw", "max_steps": 50_000, "eval_every": 50_000, "snapshots": 0}
    jobs.start(config, "quick", "a")
    until(lambda: jobs.starting() is None)
    # "a": somebody else has just begun it, and neither has thought of a name
    for start in (lambda: jobs.start(config, "quick", "b"), lambda: jobs.start(config, "quick", "a"), lambda: jobs.resume("a")):
        with pytest.raises(RunError, match=says("run a ", "wait", "stop")):
            start()
    run = find_run(jobs.root, "a")
    until(lambda: run.status()["step"] > 0)
    run.request("stop")
    until(lambda: jobs.running() is None)
    assert run.status()["state"] == "stopped"
    assert [run.name for run in list_runs(jobs.root)] == ["a"]
    assert jobs.failure() is None


def test_closing_the_page_saves_what_a_resumed_run_has_learned(jobs, tiny, text_file):
    session = Session(jobs.root, "a", {**tiny, "corpus": text_file, "optimizer": "adamw", "max_steps": 50_000, "eval_every": 50})
    events = session.events()
    for _ in range(7):  # the first evaluation, its sample, and five steps
        next(events)
    events.close()
    run = find_run(jobs.root, "a")
    before = run.status()["step"]
    assert (run.status()["state"], before) == ("stopped", 5)
    jobs.resume("a")
    until(lambda: run.status()["state"] == "running" and run.status()["step"] > before)
    jobs.close()
    assert jobs.running() is None
    assert run.status()["state"] == "stopped"
    after = run.status()["step"]
    assert after > before
    with RunWriter(run.path) as writer:
        assert writer.load_last()[1]["step"] == after


def test_several_processes_are_started_by_torchrun_with_the_command_that_is_shown():
    words = training_arguments({**CONFIG, "batch": 2}, "quick", "a b", PROJECT / "checkpoints")
    assert with_processes(words, 1) == words
    assert command_line(words) == "python -m gpt.pretrain --preset quick --batch 2 --run 'a b'"
    several = with_processes(words, 2)
    assert several[:2] == ["-m", "torch.distributed.run"]  # of which torchrun is another name
    assert command_line(several) == ("torchrun --standalone --nproc_per_node 2 -m -- gpt.pretrain --preset quick --batch 2 --run 'a b'")


def test_two_processes_train_a_run_from_the_page_and_end_with_it(jobs, config):
    jobs.start({**config, "max_steps": 100_000}, "", "a", 2)
    run = Run(jobs.root / "a")
    until(lambda: jobs.running() and not jobs.starting() and run.status()["step"] > 3)
    children = psutil.Process(jobs.process()).children(recursive=True)
    assert sorted(child.environ()["RANK"] for child in children if "RANK" in child.environ()) == ["0", "1"]
    jobs.end_child(60)
    assert run.status()["state"] == "stopped"
    assert run.saved_step() == run.status()["step"]
    assert psutil.wait_procs(children, 10)[1] == []


def test_the_sentence_of_one_of_several_processes_is_told_and_not_torchruns_report(jobs, config, text_file):
    Path(text_file).write_text("too short")
    jobs.start(config, "", "a", 2)
    name, sentence = until(jobs.failure)
    assert name == "a"
    assert re.fullmatch(r"the .* part of the text has \d+ tokens; .*", sentence)


def test_several_deaf_processes_are_ended_too(jobs, config):
    jobs.start({**config, "max_steps": 100_000}, "", "a", 2)
    until(lambda: jobs.running() and not jobs.starting() and Run(jobs.root / "a").status()["step"] > 3)
    children = psutil.Process(jobs.process()).children(recursive=True)
    for child in children:
        child.suspend()
    jobs.end_child(0.1)
    assert psutil.wait_procs(children, 10)[1] == []


class TestProcess:
    """What is told of the process itself, with small programs in the trainer's place."""

    @pytest.fixture
    def start(self, jobs, tiny, monkeypatch):
        def start(program: str) -> None:
            monkeypatch.setattr("gpt.ui.server.jobs.training_arguments", lambda *_: ["-c", program])
            jobs.start(tiny, "quick", "a")

        return start

    @pytest.mark.parametrize(("program", "told"), [
        ("raise SystemExit('first words\\npython -m gpt.pretrain: the text is empty')", "the text is empty"),
        ("import nothing_of_this_name", "ModuleNotFoundError: No module named 'nothing_of_this_name'"),
        ("raise SystemExit(3)", "the training process ended without a word"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "the training process ended without a word"),
        ("import sys; sys.stderr.buffer.write(b'caf\\xe9\\n'); sys.exit(1)", "caf\N{REPLACEMENT CHARACTER}"),
    ], ids=["sentence", "traceback", "silent", "killed", "not utf-8"])
    def test_a_process_that_dies_before_its_folder_exists_is_told(self, jobs, start, program, told):
        start(program)
        assert until(jobs.failure) == ("a", told)
        assert jobs.running() is None

    def test_a_resumed_run_that_cannot_go_on_is_told(self, jobs, monkeypatch):
        with RunWriter(jobs.root / "a") as writer:
            writer.write_status(state="stopped", step=5, steps=10)
        monkeypatch.setattr("gpt.ui.server.jobs.resuming_arguments", lambda *_: ["-c", "raise SystemExit('this machine has no GPU')"])
        jobs.resume("a")
        assert until(jobs.failure) == ("a", "this machine has no GPU")

    def test_what_the_folder_tells_is_not_told_twice(self, jobs, start):
        start("raise SystemExit('the loss stopped being a number')")
        until(jobs.failure)
        with RunWriter(jobs.root / "a") as writer:
            writer.write_status(state="failed", step=5, steps=10, error="the loss stopped being a number")
        assert jobs.failure() is None

    def test_a_failure_is_forgotten_with_the_next_start(self, jobs, start):
        start("raise SystemExit('first')")
        until(jobs.failure)
        start("input()")  # its input is empty, so this ends with EOFError
        assert until(jobs.failure)[1].startswith("EOFError")

    def test_there_is_no_failure_before_anything_started(self, jobs):
        assert jobs.failure() is None
        assert jobs.running() is None

    def test_a_process_is_starting_until_it_has_a_folder(self, jobs, start, tiny):
        start("import time; time.sleep(600)")
        assert jobs.starting() == jobs.running() == "a"
        assert jobs.failure() is None
        with pytest.raises(RunError, match=says("run a ", "training")):
            jobs.start(tiny, "quick", "b")
        with RunWriter(jobs.root / "a") as writer:
            writer.write_status(state="starting", step=0, steps=0)
            assert jobs.starting() is None
            assert jobs.running() == "a"
        jobs.close()
        assert jobs.running() is None

    def test_a_process_that_will_not_stop_is_ended(self, jobs, start, tmp_path):
        deaf = tmp_path / "deaf"
        start(f"import pathlib, signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); pathlib.Path({str(deaf)!r}).touch(); "
              "time.sleep(600)")
        until(deaf.exists)
        jobs.end_child(seconds=0.1)
        assert jobs.running() is None

    def test_the_process_runs_this_python_in_the_project_and_alone(self, jobs, start, tmp_path):
        out = tmp_path / "out"
        start(f"import os, pathlib, sys; pathlib.Path({str(out)!r}).write_text('\\n'.join([sys.executable, os.getcwd(), "
              "str(os.getsid(0) == os.getpid()), sys.stdin.read()]))")
        until(lambda: jobs.running() is None)
        assert out.read_text().split("\n") == [sys.executable, str(PROJECT), "True", ""]

    def test_ending_a_process_twice_or_without_one_is_no_mistake(self, jobs, start):
        jobs.end_child()
        start("pass")
        jobs.end_child()
        jobs.close()
        jobs.close()
        assert jobs.running() is None

    @pytest.mark.parametrize("end", [Jobs.close, Jobs.detach])
    def test_nothing_is_started_once_the_page_ends(self, jobs, tiny, nothing_starts, end):
        end(jobs)
        with pytest.raises(RunError, match=says("ending")):
            jobs.start(tiny, "quick", "a")

    def test_a_page_that_leaves_its_process_lets_it_train_on(self, jobs, start):
        start("import time; time.sleep(600)")
        jobs.detach()
        assert jobs.starting() == "a"

    def test_a_resumed_run_is_starting_until_its_folder_says_more(self, jobs, monkeypatch):
        with RunWriter(jobs.root / "a") as writer:
            writer.write_status(state="stopped", step=5, steps=10)
        monkeypatch.setattr("gpt.ui.server.jobs.resuming_arguments", lambda *_: ["-c", "import time; time.sleep(600)"])
        jobs.resume("a")
        assert jobs.starting() == jobs.running() == "a"
        with pytest.raises(RunError, match=says("run a ", "training")):
            jobs.resume("a")
        with RunWriter(jobs.root / "a") as writer:
            writer.write_status(state="running")
            assert jobs.starting() is None
            assert jobs.running() == "a"

    def test_two_servers_start_one_process_between_them(self, jobs, start, tiny, tmp_path):
        start("import time; time.sleep(600)")
        other = Jobs(tmp_path / "elsewhere")
        with pytest.raises(RunError, match=says("another program")):
            other.start(tiny, "quick", "b")
        jobs.end_child()
        other.start(tiny, "quick", "b")
        assert other.starting() == "b"
        other.close()

    @pytest.mark.parametrize("jump", [-10**6, 10**6], ids=["back", "forth"])
    def test_a_failure_is_told_and_forgotten_whatever_the_clock_says(self, jobs, start, jump):
        with RunWriter(jobs.root / "other") as writer:
            writer.write_status(state="stopped", step=5, steps=10)
            os.utime(writer.path / "status.json", (time.time() + jump,) * 2)
            start("raise SystemExit('first')")
            assert until(jobs.failure) == ("a", "first")
            writer.write_status(state="done", step=10)
            os.utime(writer.path / "status.json", (time.time() - jump,) * 2)
        assert jobs.failure() is None

    def test_a_failure_is_forgotten_when_another_run_tells_something(self, jobs, start):
        start("raise SystemExit('first')")
        until(jobs.failure)
        with RunWriter(jobs.root / "other") as writer:
            writer.write_status(state="running", step=5, steps=10)
            assert jobs.failure() is None
            assert jobs.running() == "other"

    def test_a_run_that_is_starting_can_be_stopped(self, jobs, start):
        start("import time; time.sleep(600)")
        with pytest.raises(gr.Error, match=says("run a ", "starting")):
            ask(jobs, "pause")
        ask(jobs, "stop")
        assert jobs.running() is None
        assert jobs.failure() is None


def test_names_of_runs_made_of_allowed_characters_are_free(jobs):
    for name in ("a", "A.b-c_d", string.ascii_letters[:26] + "-1", "_", "0"):
        assert jobs.check_free(name) is None
        (jobs.root / name).mkdir(parents=True)
        (jobs.root / name / "config.json").touch()
        with pytest.raises(RunError, match=says(name, "another name")):
            jobs.check_free(name)


def test_runs_that_have_ended_are_read_once(jobs, monkeypatch):
    for name in ("a", "b", "c"):
        with RunWriter(jobs.root / name) as writer:
            writer.write_status(state="done", step=1, steps=1)
    assert jobs.running() is None
    read = []
    status = Run.status
    monkeypatch.setattr(Run, "status", lambda run: read.append(run.name) or status(run))
    assert jobs.running() is None
    assert read == []
    with RunWriter(jobs.root / "b") as writer:
        writer.write_status(state="running", step=1, steps=2)
        assert jobs.running() == "b"
        assert jobs.running() == "b"
        assert set(read) == {"b"}
    assert jobs.running() is None
    assert "a" not in read


@pytest.mark.parametrize(("status", "planned"), [
    ({"step": 700, "steps": 700}, 1200), ({"step": 300, "steps": 700}, 1200), ({"step": 90, "steps": 0}, 590)])
def test_a_run_that_has_ended_is_extended_by_the_command_line(jobs, tiny, monkeypatch, status, planned):
    launched = []
    monkeypatch.setattr(Jobs, "_launch", lambda self, words, name: launched.append((words, name)))
    with RunWriter(jobs.root / "a") as writer:
        writer.write_config({"config": tiny}, ByteTokenizer())
        writer.write_status(state="stopped", **status)
    with pytest.raises(RunError, match=says("run a ", "no save")):
        jobs.extend("a", 500)
    (writer.path / "last").mkdir()
    (writer.path / "last" / "step-000090.safetensors").touch()
    jobs.extend("a", 500)
    assert launched == [([*resuming_arguments("a", jobs.root), "--max_steps", str(planned)], "a")]


def test_a_run_that_trains_is_asked_for_more_steps(jobs):
    with RunWriter(jobs.root / "a") as writer:
        writer.write_status(state="running", step=5, steps=10)
        jobs.extend("a", 500)
        assert writer.command() == "extend 500"
        for steps in (0, -5, 10**9):
            with pytest.raises(RunError, match="is no command"):
                jobs.extend("a", steps)
