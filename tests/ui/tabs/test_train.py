"""The Train tab: the price of a CONFIG or all that is wrong with it, what the text looks like, and the command that is run."""

import re
import shlex
import statistics
import sys
import time
from pathlib import Path

import gradio as gr
import pytest
import torch

from gpt.config import CONFIG, PRESETS
from gpt.estimate.price import Work
from gpt.model.flops import count_parameters
from gpt.runs.run import new_name
from gpt.runs.writer import RunWriter
from gpt.ui.server import texts
from gpt.ui.server.bases import base_of
from gpt.ui.tabs import pricing, train
from gpt.words import size
from tests.says import says


def price_of(jobs, preset: str, *rest) -> dict:
    return pricing.price_of(jobs, base_of(jobs.root, preset), *rest)


def preview_of(jobs, config: dict) -> dict:
    return pricing.preview_of(jobs, base_of(jobs.root, "quick"), config)


@pytest.fixture
def known_speed(monkeypatch):
    """The time of a run is not what these tests measure."""
    monkeypatch.setattr("gpt.estimate.price.machine_speed", lambda device, precision="auto": Work(products=1e-10))


@pytest.fixture
def own_text(jobs, text) -> str:
    """A text that a person has uploaded."""
    return str(texts.save_text(jobs.root, "My bottles.txt", text.encode()))


@pytest.fixture
def config(own_text) -> dict:
    return {**CONFIG, "corpus": own_text, "tokenizer": "char"}


def test_everything_wrong_with_a_config_is_told_together(jobs):
    bad = {**CONFIG, "batch": 0, "emb_dim": 130, "learning_rate": float("nan"), "tokenizer": "words", "max_steps": 0, "seed": None}
    told = price_of(jobs, "quick", "../a", bad)
    assert told.keys() == {"problems"}
    first_words = {problem.split()[0] for problem in told["problems"]}
    assert first_words == {"batch", "emb_dim", "epoch,", "learning_rate", "seed", "tokenizer"}


@pytest.mark.usefixtures("known_speed")
@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_has_a_price(jobs, preset):
    told = price_of(jobs, preset, "", PRESETS[preset].config)
    assert [label for _, label in told["numbers"]] == ["parameters", "of weights", "of optimizer state", "to train", "steps", "here"]
    assert all(number[0].isdigit() or number.startswith("about ") for number, _ in told["numbers"])
    for _, parts in told["bars"]:
        assert sum(parts.values()) == pytest.approx(1)
    assert shlex.split(told["command"])[:5] == ["python", "-m", "gpt.pretrain", "--preset", preset]


@pytest.mark.usefixtures("known_speed")
def test_the_price_counts_with_the_vocabulary_that_the_text_offers(jobs, config):
    told = price_of(jobs, "quick", "a", config)
    n = sum(count_parameters({**config, "vocab_size": 26}).values())
    assert told["numbers"][:2] == [[f"{n / 1e6:.2f} M", "parameters"], [size(4 * n), "of weights"]]
    assert told["numbers"][4] == [f"{config['max_steps']:,}", "steps"]
    unknown = price_of(jobs, "quick", "a", {**config, "max_steps": 0, "max_minutes": 2.0})
    assert unknown["numbers"][4:] == [["as many as fit", "steps"], ["about 2 min 0 s", "here"]]


@pytest.mark.usefixtures("known_speed")
def test_the_price_counts_the_processes_and_shows_their_command(jobs, config, monkeypatch):
    monkeypatch.setattr("gpt.training.distributed.own_cores", lambda: 2)
    one, two = (price_of(jobs, "quick", "a", config, "", processes) for processes in (1, 2))
    assert one["command"].startswith("python -m gpt.pretrain --preset quick ")
    assert two["command"] == one["command"].replace("python -m gpt.pretrain", "torchrun --standalone --nproc_per_node 2 -m -- gpt.pretrain")
    memory = [next(float(number.split()[0]) for number, label in told["numbers"] if label == "to train") for told in (one, two)]
    assert 1.5 < memory[1] / memory[0] < 2.1
    for processes, batch, facts in ((3, 6, "3 processes | 2 cores"), (2, 5, "batch 5 | 2 processes")):
        told = price_of(jobs, "quick", "a", {**config, "batch": batch}, "", processes)
        assert re.search(says(facts), told["problems"][0])


@pytest.mark.parametrize("processes", [0, 1.5, -1, "two", None, 10**9, True])
def test_a_number_of_processes_that_is_none_is_told(jobs, processes):
    told, _ = pricing.show_price(jobs, 1, "quick", "", *CONFIG.values(), processes, "")
    assert re.search(says("processes", "a whole number from 1 to 1024"), told["problems"][0])
    with pytest.raises(gr.Error, match="a whole number from 1 to 1024"):
        train.start(jobs, "quick", "new", *CONFIG.values(), processes, "")


@pytest.mark.usefixtures("known_speed")
def test_parameters_and_arithmetic_are_told_by_the_same_four_parts(jobs, config):
    told = price_of(jobs, "quick", "a", config)
    (_, parameters), (_, arithmetic) = told["bars"]
    assert list(parameters) == list(arithmetic) == list(told["colours"]) == ["embedding", "attention", "feed-forward", "head"]
    assert len(set(told["colours"].values())) == 4
    assert (arithmetic["embedding"], round(parameters["head"], 2)) == (0, 0)  # looked up, and borrowed
    assert arithmetic["head"] > 0 < parameters["embedding"]


@pytest.mark.usefixtures("known_speed")
def test_a_config_too_large_for_this_machine_is_told_with_the_remedy(jobs, config, monkeypatch):
    assert price_of(jobs, "quick", "a", config)["warning"] == ""
    monkeypatch.setattr("gpt.estimate.price.free_bytes", lambda device: 200_000_000)
    told = price_of(jobs, "quick", "a", {**config, "batch": 1024, "precision": "float32", "device": "cpu"})
    needed = next(number for number, label in told["numbers"] if label == "to train")
    assert re.search(says(needed, "200 MB", "free here", "lower batch or context_length"), told["warning"])
    monkeypatch.setattr("gpt.ui.tabs.pricing.memory_limit", lambda: 900_000_000)
    told = price_of(jobs, "quick", "a", {**config, "batch": 1024, "device": "cpu"})
    assert "200 MB of the 900 MB allowed is free here" in told["warning"]


@pytest.mark.usefixtures("known_speed")
def test_no_text_is_too_large_for_this_machine(config, jobs, monkeypatch):
    monkeypatch.setattr("gpt.estimate.price.free_bytes", lambda device: 500_000_000)
    monkeypatch.setattr(train.texts, "preview", lambda *_: {"train_tokens": 10**10, "exact": False, "vocab_size": 60})
    assert price_of(jobs, "quick", "a", {**config, "device": "cpu"})["warning"] == ""


@pytest.mark.usefixtures("known_speed")
def test_the_price_follows_a_slider_at_once(jobs, config):
    price_of(jobs, "quick", "", config)  # reads the text
    times = []
    for batch in range(1, 21):
        start = time.perf_counter()
        price_of(jobs, "quick", "", {**config, "batch": batch})
        times.append(time.perf_counter() - start)
    assert statistics.median(times) < 0.05


def test_a_text_too_short_for_the_context_is_told_with_the_remedy(jobs):
    source = str(texts.save_text(jobs.root, "a.txt", b"forty characters in all, the last 4 kept"))
    told = price_of(jobs, "quick", "", {**CONFIG, "corpus": source, "tokenizer": "char"})
    problem, = told["problems"]
    T = CONFIG["context_length"]
    assert re.search(says("36 tokens", f"context_length {T}", T + 1, "lower", "add text"), problem)


@pytest.mark.parametrize(("name", "problem"), [("bottles", "bottles | already"), ("../a", "cannot name a run")])
def test_a_name_that_cannot_be_used_is_told_before_the_start(library_jobs, name, problem):
    told, = price_of(library_jobs, "quick", name, CONFIG)["problems"]
    assert re.search(says(problem), told)


@pytest.mark.parametrize("source", ["/etc/passwd", "../a.txt", ""])
def test_a_text_that_is_not_on_the_page_has_no_price_and_no_preview(jobs, source):
    config = {**CONFIG, "corpus": source}
    told, = price_of(jobs, "quick", "", config)["problems"]
    assert re.search(says("text", "this page", "list", "upload", "paste"), told)
    assert preview_of(jobs, config) == {"sentence": "", "opening": "", "notes": told}


def test_a_gpu_asked_for_and_absent_is_told(jobs, config, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    told = price_of(jobs, "quick", "", {**config, "device": "cuda"})
    problem, = told["problems"]
    assert re.search(says("device cuda", "auto", "cpu"), problem)


@pytest.mark.usefixtures("known_speed")
@pytest.mark.parametrize("name", ["my-run", ""])
def test_the_command_shown_is_the_one_that_is_run(jobs, config, name, monkeypatch):
    ran = []

    class Process:
        def __init__(self, words, **_):
            ran.append(words)

        def poll(self):
            return 0

    monkeypatch.setattr("gpt.ui.server.jobs.subprocess.Popen", Process)
    config |= {"n_layers": 2, "qk_norm": False, "learning_rate": 0.0035}
    shown = shlex.split(price_of(jobs, "induction", name, config)["command"])
    jobs.start(config, "induction", name or new_name(jobs.root, config["corpus"]))
    assert [[sys.executable, *shown[1:]]] == ran
    assert shown[shown.index("--corpus") + 1] == config["corpus"]


def test_a_run_is_named_after_its_text(jobs, library_jobs, config):
    assert new_name(jobs.root, CONFIG["corpus"]) == "stories-1"
    (jobs.root / "stories-1").mkdir()
    assert new_name(jobs.root, CONFIG["corpus"]) == "stories-2"
    assert new_name(jobs.root, config["corpus"]).startswith("My-bottles-")


def test_the_preview_says_how_much_there_is_to_learn(jobs, config, text):
    told = preview_of(jobs, config)
    assert told["sentence"] == (f"{len(text):,} characters; {int(0.9 * len(text)):,} tokens to train on, 1.0 bytes each; "
                                "the last tenth is kept for validation.")
    assert told["opening"] == text[:280]
    assert told["notes"] == ""


@pytest.mark.parametrize("tokenizer", ["words", "", None, 5, ["bpe"], {}])
def test_a_text_is_previewed_whatever_tokenizer_is_asked_for(jobs, tokenizer):
    assert "bytes each" in preview_of(jobs, {**CONFIG, "tokenizer": tokenizer})["sentence"]


def test_the_tokens_of_a_long_text_are_told_as_an_estimate(jobs):
    assert " million characters; about " in preview_of(jobs, {**CONFIG, "corpus": "repeats", "tokenizer": "char"})["sentence"]


def test_text_that_could_not_be_read_is_told_in_the_preview(jobs):
    source = str(texts.save_text(jobs.root, "old.txt", "schön und gut ".encode("cp1252") * 50))
    assert ": read as cp125" in preview_of(jobs, {**CONFIG, "corpus": source, "tokenizer": "char"})["notes"]


@pytest.mark.parametrize("vocab_size", [None, 2, -1, 10**400, 300.5])
def test_a_vocabulary_that_cannot_be_learned_still_has_a_preview(jobs, config, vocab_size):
    config |= {"tokenizer": "bpe", "vocab_size": vocab_size}
    assert "tokens to train on" in preview_of(jobs, config)["sentence"]
    assert price_of(jobs, "quick", "", config)["problems"][0].startswith("vocab_size is ")


def test_a_preset_fills_the_form_in_the_order_of_the_fields(jobs):
    preset, *values = train.take_preset(jobs, "induction")
    assert preset == "induction"
    assert dict(zip(CONFIG, values, strict=True)) == PRESETS["induction"].config


@pytest.mark.parametrize("preset", ["best of all", 5, ["quick"]])
def test_a_preset_that_is_none_is_refused(jobs, preset):
    for use in (lambda preset: train.take_preset(jobs, preset), lambda preset: train.start(jobs, preset, "new", *CONFIG.values(), 1, "")):
        with pytest.raises(gr.Error, match=says("preset")):
            use(preset)
    assert jobs.running() is None
    assert "preset" in pricing.show_price(jobs, 1, preset, "", *CONFIG.values(), 1, "")[0]["problems"][0]


def test_a_pasted_text_is_kept_and_chosen(jobs, monkeypatch):
    shown = []
    monkeypatch.setattr(train, "show_message", shown.append)
    chosen, to_evaluate_on, box = train.use_text(jobs, "größer \ud800")
    assert chosen["value"] in [source for _, source in to_evaluate_on["choices"]]
    assert box == ""
    assert texts.check_source(jobs.root, chosen["value"])
    assert [label for label, source in chosen["choices"] if source == chosen["value"]] == ["pasted"]
    assert ["chosen" in sentence for sentence in shown] == [True]
    assert Path(chosen["value"]).read_text(encoding="utf-8") == "größer ?"


def test_an_uploaded_file_is_kept_under_its_name_and_chosen(jobs, text_file, text):
    chosen, _ = train.use_files(jobs, text_file)
    assert not Path(text_file).exists()  # Gradio's copy
    assert [label for label, source in chosen["choices"] if source == chosen["value"]] == ["bottles"]
    assert Path(chosen["value"]).read_text(encoding="utf-8") == text


def test_a_text_that_is_refused_is_told_to_the_person(jobs):
    with pytest.raises(gr.Error, match="it is empty"):
        train.use_text(jobs, " \n")


@pytest.mark.parametrize("command", ["pause", "stop"])
def test_where_nothing_trains_there_is_nothing_to_control(library_jobs, command):
    with pytest.raises(gr.Error, match=says("nothing", command)):
        train.toggle_pause(library_jobs) if command == "pause" else train.ask(library_jobs, command)


@pytest.mark.parametrize(("state", "command"), [("running", "pause"), ("paused", "resume")])
def test_pause_becomes_resume_while_a_run_is_paused(jobs, state, command):
    with RunWriter(jobs.root / "a") as writer:
        writer.write_status(state=state, step=1, steps=9)
        train.toggle_pause(jobs)
        assert writer.command() == command


@pytest.mark.parametrize("steps", [0, -1, 1.5, None, "many", True, float("nan"), float("inf"), 10**9, [5]])
def test_steps_that_cannot_be_added_are_told(jobs, steps):
    with pytest.raises(gr.Error, match=says("steps", "1", "10,000,000")):
        train.add_steps(jobs, steps)


def test_steps_are_added_to_the_run_that_is_shown(jobs):
    with pytest.raises(gr.Error, match=says("no run")):
        train.add_steps(jobs, 5)
    with RunWriter(jobs.root / "a") as writer:
        writer.write_status(state="running", step=1, steps=9)
        train.add_steps(jobs, 500.0)
        assert writer.command() == "extend 500"


def test_a_snapshot_is_asked_for(jobs, monkeypatch):
    monkeypatch.setattr(gr, "Info", lambda text: None)
    with RunWriter(jobs.root / "a") as writer:
        writer.write_status(state="running", step=1, steps=9)
        train.save_snapshot(jobs)
        assert writer.command() == "snapshot"


def test_where_nothing_trains_there_is_nothing_to_end(library_jobs):
    with pytest.raises(gr.Error, match=says("nothing", "stop")):
        train.end_at_once(library_jobs)


def test_the_form_that_is_stored_is_restored(jobs, own_text):
    preset, name, *values = train.restore(jobs, {"preset": "induction", "run": "my-run", "corpus": own_text, "batch": 4, "qk_norm": False})
    assert (preset["value"], preset["choices"], name) == ("induction", [*PRESETS], "my-run")
    form = dict(zip(CONFIG, values, strict=True))
    assert own_text in [source for _, source in form["corpus"]["choices"]]
    form |= {name: form[name]["value"] for name in ("corpus", "validation")}
    assert form == {**PRESETS["induction"].config, "corpus": own_text, "batch": 4, "qk_norm": False}


def test_answers_about_the_price_carry_the_number_of_their_question(jobs):
    told, text = pricing.show_price(jobs, 7, "quick", "", *CONFIG.values(), 1, "")
    assert (told["question"], text["question"]) == (7, 7)
