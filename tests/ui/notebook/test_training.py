"""Training, reading and inspecting from Python, as the README shows it."""

import os
import re
import signal
import subprocess
import sys
import threading

import numpy as np
import plotly.graph_objects as go
import pytest

import gpt
from gpt import UserError, open_run, resume, train
from gpt.runs.run import Run
from gpt.ui.charts.standalone import coloured, light_colours, sparkline
from tests.says import says

pytestmark = pytest.mark.usefixtures("short_samples")


@pytest.fixture(scope="module")
def run(trained):
    return open_run(trained.name, trained.parent)


def test_every_step_is_an_event(config, tmp_path):
    training = train(config, checkpoints=tmp_path, run="a")
    kinds = [event.kind for event in training]
    assert kinds.count("step") == config["max_steps"]
    assert {"step", "evaluation", "sample"} <= set(kinds)
    assert training.run.status()["state"] == "done"


def test_a_run_is_finished_with_a_bar(config, tmp_path, capsys):
    run = train(config, checkpoints=tmp_path, run="a").finish()
    assert run.status()["state"] == "done"
    bar = capsys.readouterr().err
    assert f"{config['max_steps']}/{config['max_steps']}" in bar
    assert "val_loss=" in bar


def test_changes_come_before_config_and_config_before_the_defaults(text_file, tiny, tmp_path):
    run = train({"corpus": text_file, "batch": 3, **{name: tiny[name] for name in ("tokenizer", "emb_dim", "n_heads", "context_length")}},
                batch=2, max_steps=2, checkpoints=tmp_path).finish()
    assert run.name == "bottles-1"
    saved = run.config()["config"]
    assert (saved["batch"], saved["emb_dim"], saved["n_layers"]) == (2, 16, gpt.CONFIG["n_layers"])


def test_a_break_saves_the_run_and_it_can_go_on(config, tmp_path):
    for event in train(config, checkpoints=tmp_path, run="a"):
        if event.kind == "step":
            break
    run = open_run("a", tmp_path)
    assert (run.status()["state"], run.status()["step"]) == ("stopped", 1)
    assert resume("a", checkpoints=tmp_path).finish().status()["state"] == "done"
    assert resume("a", checkpoints=tmp_path, max_steps=20).finish().status()["step"] == 20


def test_an_interrupt_saves_the_run(config, tmp_path):
    training = train({**config, "max_steps": 0, "max_minutes": 100.0}, checkpoints=tmp_path, run="a")
    before = signal.getsignal(signal.SIGINT)
    record, fired = training.session.events, []

    def events():
        for event in record():
            yield event
            if event.kind == "step" and not fired:
                fired.append(os.kill(os.getpid(), signal.SIGINT))

    training.session.events = events
    run = training.finish()
    assert run.status()["state"] == "stopped"
    assert run.saved_step() > 0
    assert signal.getsignal(signal.SIGINT) is before


def test_it_trains_in_any_thread(config, tmp_path):
    thread = threading.Thread(target=lambda: train(config, checkpoints=tmp_path, run="a").finish())
    thread.start()
    thread.join()
    assert open_run("a", tmp_path).status()["state"] == "done"


def test_a_log_that_fails_is_an_event(config, tmp_path):
    (tmp_path / "a").mkdir()
    training = train(config, checkpoints=tmp_path, run="a", log="tensorboard")
    (tmp_path / "a" / "tensorboard").write_text("no folder")
    texts = [event.row["text"] for event in training if event.kind == "warning"]
    assert sum("the log tensorboard is not whole" in text for text in texts) == 1
    assert open_run("a", tmp_path).status()["state"] == "done"


@pytest.mark.parametrize(("changes", "facts"), [
    ({"n_leyers": 2}, "n_leyers | n_layers"), ({"batch": 0}, "batch is 0 | 1 to 1024"), ({"run": "../a"}, "'../a' cannot name a run"),
    ({"log": "paper"}, "no log 'paper' | tensorboard")])
def test_mistakes_are_told_before_anything_begins(config, tmp_path, changes, facts):
    with pytest.raises(UserError, match=says(facts)):
        train(config, checkpoints=tmp_path, **changes)
    assert list(tmp_path.glob("*/status.json")) == []


def test_the_curves_are_a_figure(run):
    figure = run.plot()
    assert isinstance(figure, go.Figure)
    training, validation = figure.data
    rows = run.rows()[0]
    assert list(training.y) == [row["loss"] for row in rows if "loss" in row]
    evaluated = [row for row in rows if "val_loss" in row]
    assert list(validation.x) == [0, None, *(row["step"] for row in evaluated[1:])]
    assert "var(" not in figure.to_json()


def test_a_run_writes(run):
    text = run.generate("green", max_new_tokens=5, seed=3)
    assert text.startswith("green")
    assert len(text) == 10
    assert run.generate("green", max_new_tokens=5, seed=3) == text
    assert run.generate("green", step=0, max_new_tokens=5, seed=3) != text


def test_the_heads_are_figures(run):
    mosaic, one = run.attention("green bo"), run.attention("green bo", layer=1, head=0)
    assert mosaic.layout.yaxis.ticktext == ("layer 0", "layer 1")
    assert "".join(one.layout.xaxis.ticktext).replace("·", " ") == "green bo"
    weights = run.inspect("green bo").head(1, 0)
    lower = np.tril_indices(8)
    np.testing.assert_allclose(np.array(one.data[0].z, dtype=float)[lower], weights[lower])
    assert np.isnan(np.array(one.data[0].z, dtype=float)[0, 1])


@pytest.mark.parametrize(("act", "facts"), [
    (lambda run: run.attention("green", layer=1), "give both"), (lambda run: run.attention("green", 9, 0), "no layer 9 | 0 to 1"),
    (lambda run: run.attention("Ω"), "Ω"), (lambda run: run.generate("green", temperature=-1), "temperature"),
    (lambda run: run.generate("green", step=5), "no snapshot at step 5 | 12"),
    (lambda run: open_run("none", run.path.parent), "no run none"),
    (lambda run: open_run("../x", run.path.parent), "cannot name a run")])
def test_mistakes_are_one_sentence(run, act, facts):
    with pytest.raises(UserError, match=says(facts)) as caught:
        act(run)
    assert "\n" not in str(caught.value)


def test_a_run_shows_itself_and_nothing_in_it_is_markup(config, tmp_path):
    text = tmp_path / "hostile.txt"
    text.write_text("<script>alert(1)</script>\x1b[2J & <b>\n" * 80, encoding="utf-8")
    run = train({**config, "corpus": str(text), "max_steps": 4, "eval_every": 2}, checkpoints=tmp_path, run="h").finish()
    shown = run._repr_html_()
    assert all(fact in shown for fact in ("done at step 4 of 4", "nats per token", "bits per byte", str(run.path)))
    assert "<svg" in shown
    assert not re.search(r"<script|<b>\s|alert\(1\)<", shown.replace("<b>h</b>", ""))
    assert "\x1b" not in shown
    assert repr(run) == "<run h: done at step 4>"


def test_a_run_that_failed_says_why(tmp_path):
    (tmp_path / "f").mkdir()
    (tmp_path / "f" / "status.json").write_text('{"state": "running", "step": 3, "steps": 9}')
    assert "its process ended" in open_run("f", tmp_path)._repr_html_()
    assert isinstance(open_run("f", tmp_path), Run)


def test_colours_and_small_curves():
    assert coloured({"a": ["var(--gpt-accent)", 1]}) == {"a": [light_colours()["--gpt-accent"], 1]}
    assert re.fullmatch("#[0-9a-f]{6}", light_colours()["--gpt-accent"])
    assert sparkline([(0, 1.0)]) == ""
    assert 'points="2.0,2.0 318.0,78.0"' in sparkline([(0, 3.0), (10, 1.0)])


def test_a_notebook_loads_no_page():
    code = "import sys; from gpt import train, open_run; sys.exit('gradio' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
