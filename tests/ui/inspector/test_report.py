"""The report of a run: what it says, and that nothing in it can act."""

import itertools
import json
import re
from shutil import copytree

import pytest

from gpt.interpret.heads import score_heads
from gpt.runs.run import Run, RunError, load_run
from gpt.runs.writer import RunWriter
from gpt.ui.inspector import report
from gpt.ui.inspector.report import contents, report_of, samples, words_for
from gpt.ui.report import main
from tests.says import says

SPITE = "</script><script>alert(1)</script><!-- \u202e"


@pytest.fixture
def run(trained, tmp_path) -> Run:
    return Run(copytree(trained, tmp_path / "bottles"))


def told(page: str) -> dict:
    """The JSON that a report carries, found as a browser finds it: up to the first thing that ends a script."""
    return json.loads(page.split('<script type="application/json" id="contents">')[1].split("</script")[0])


def test_it_tells_how_the_run_went(run):
    status, found = run.status(), contents(run)
    assert f"{status['val_loss']:.3f} nats per token" in found["summary"]
    assert "2 layers of 2 heads" in found["summary"]
    rows, _ = run.rows()
    assert [row["val_loss"] for row in found["loss"]["rows"] if "val_loss" in row] == [row["val_loss"] for row in rows if "val_loss" in row]
    assert found["samples"][-1]["step"] == 12
    assert found["command"].startswith("python -m gpt.pretrain --")
    assert "--emb_dim 16" in found["command"]
    assert words_for("b", {**run.config(), "went_on_from": "a"})[2:4] == ["--init_from", "a"]
    imported = {**run.config(), "imported_from": "openai-community/gpt2"}
    assert words_for("b", imported) == ["-m", "gpt.pretrained", "--source", "gpt2", "--run", "b"]
    facts = dict(found["facts"])
    assert run.config()["corpus"]["sha256"] in facts["text"]
    assert facts["versions"] == f"python {run.config()['versions']['python']}, torch {run.config()['versions']['torch']}"
    assert facts["seed"] == "1"
    assert {name: value for name, value, _, changed in found["config"] if changed}["emb_dim"] == "16"


def test_it_tells_what_every_head_does(run):
    heads = contents(run)["heads"]
    expected = score_heads(load_run(run.path)[0], run.probes())
    assert [(one["layer"], one["head"]) for one in heads["heads"]] == [(0, 0), (0, 1), (1, 0), (1, 1)]
    assert heads["heads"][2]["scores"]["previous token"] == pytest.approx(expected.values["previous token"][1, 0], abs=1e-4)
    assert heads["mosaic"]["layout"]["meta"]["heads"] == 2
    assert len(heads["text"]) == 8  # the context


def test_a_run_without_probes_has_a_report_without_scores(run):
    (run.path / "probes.safetensors").unlink()
    heads = contents(run)["heads"]
    assert heads["heads"] == []
    assert "keeps no text to try them on" in heads["note"]


def test_it_draws_the_loss_by_context_unless_the_run_is_older(run):
    curve = contents(run)["context"]["data"][0]
    assert (curve["name"], curve["x"]) == ("bottles", [1, 2, 3, 4, 6, 8])
    assert contents(run)["context"]["layout"]["meta"]["description"].startswith("bottles: ")
    rows = [{key: value for key, value in row.items() if key != "by_context"} for row in run.rows()[0]]
    (run.path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert contents(run)["context"] is None


def test_it_asks_of_what_was_seen_in_this_run(run):
    before = contents(run)["questions"]
    with RunWriter(run.path) as writer:
        writer.append({"step": 9, "tokens": 1, "seconds": 1.0, "kind": "formed", "layer": 1, "head": 0, "role": "induction", "excess": 0.4,
                       "text": "layer 1 head 0 became an induction head at step 9"})
    found = contents(run)
    assert found["formed"][-1] == {"step": 9, "text": "layer 1 head 0 became an induction head at step 9"}
    new = [question for question in found["questions"] if question not in before]
    assert len(new) == 1
    assert new[0].startswith("Layer 1 head 0 became an induction head at step 9.")


def test_a_run_that_has_no_weights_yet_has_no_report(run):
    (run.path / "best.safetensors").unlink()
    with pytest.raises(RunError, match=says("bottles", "no weights")):
        report_of(run)


def test_no_text_can_end_the_script_that_carries_it(run):
    with RunWriter(run.path) as writer:
        writer.append({"step": 12, "tokens": 1, "seconds": 9.0, "kind": "sample", "prompt": "7 ", "text": "green"})
        writer.append({"step": 12, "tokens": 1, "seconds": 9.0, "kind": "formed", "layer": 0, "head": 0, "role": "x", "text": SPITE})
    page = report_of(run)
    assert told(page)["formed"][-1]["text"] == SPITE.replace("\u202e", "[U+202E]")
    assert SPITE not in page


def test_nothing_is_fetched_from_elsewhere(run):
    page = report_of(run)
    own = page[:page.index("<script>")] + page[page.rindex("<script>"):]  # without Plotly's own text, which a browser test tries
    assert not re.findall(r"""(?:src|href)\s*=\s*["'](?!data:|#)""", own)
    assert "url(" not in own
    assert len(page) < 6_000_000


def test_samples_lie_closer_at_the_beginning():
    rows = [{"kind": "sample", "step": step} for step in range(0, 1001, 10)]
    steps = [row["step"] for row in samples(rows)]
    assert (steps[0], steps[-1], len(steps)) == (0, 1000, report.MOST_SAMPLES)
    gaps = [later - earlier for earlier, later in itertools.pairwise(steps)]
    assert gaps == sorted(gaps)
    assert samples([]) == []
    assert samples(rows[:1]) == rows[:1]


def test_the_command_writes_a_file(run, capsys):
    to = run.path.parent / "report.html"
    main(["--run", "bottles", "--checkpoints", str(run.path.parent), "--to", str(to)])
    assert told(to.read_text(encoding="utf-8"))["name"] == "bottles"
    assert capsys.readouterr().out.startswith(f"{to}: ")


@pytest.mark.parametrize(("run_name", "to", "told"), [
    ("cups", "a.html", "there is no run cups"), ("bottles", "no/such/a.html", "cannot be written")])
def test_a_mistake_is_one_line(run, run_name, to, told, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["--run", run_name, "--checkpoints", str(run.path.parent), "--to", str(run.path.parent / to)])
    assert ended.value.code == 2
    assert told in capsys.readouterr().err
