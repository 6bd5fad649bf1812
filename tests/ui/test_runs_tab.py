"""The Runs tab: a run as a row of text, its best evaluation and its curve."""

import json
from shutil import copytree

import pytest

from gpt.run import Run
from gpt.ui.runs import COLUMNS, best_evaluation, curve, table_row
from gpt.writer import RunWriter


@pytest.fixture
def run(root) -> Run:
    return Run(root / "bottles")


@pytest.fixture
def own_run(root, tmp_path) -> RunWriter:
    """A copy of a finished run, for writing."""
    return RunWriter(copytree(root / "bottles", tmp_path / "bottles"))


def evaluation(step: int, val_loss: float) -> dict:
    return {"step": step, "tokens": 32 * step, "seconds": step / 2, "val_loss": val_loss, "bits_per_byte": val_loss / 2}


def test_a_row_has_text_for_every_column(run):
    row = json.loads(json.dumps(table_row(run), allow_nan=False))
    assert all(isinstance(row[column["key"]], str) for column in COLUMNS)
    assert row["name"] == "bottles"
    assert (row["state"], row["text"], row["step"]) == ("Done", "bottles.txt", "12")
    assert row["tokenizer"] == f"char, {run.config()['tokenizer']['n_vocab']}"


def test_a_row_sorts_by_numbers(run):
    row, (loss, bits) = table_row(run), best_evaluation(run)
    assert row["sort"]["parameters"] == run.config()["parameters"]
    assert (row["sort"]["step"], row["sort"]["val_loss"], row["sort"]["bits_per_byte"]) == (12, loss, bits)
    assert row["val_loss"] == f"{loss:.4f}"
    assert set(row["sort"]) <= {column["key"] for column in COLUMNS}


def test_the_best_evaluation_is_the_one_with_the_lowest_loss(own_run):
    (own_run.path / "metrics.jsonl").unlink()
    assert best_evaluation(own_run) == (None, None)
    own_run.append({"step": 1, "tokens": 32, "seconds": 0.1, "loss": 0.5})
    assert best_evaluation(own_run) == (None, None)
    for step, loss in enumerate((4.0, 2.5, 3.0)):
        own_run.append(evaluation(step, loss))
    assert best_evaluation(own_run) == (2.5, 1.25)
    assert curve(own_run) == [(0.0, 2.0), (0.5, 1.25), (1.0, 1.5)]


def test_a_run_that_was_never_evaluated_sorts_last(own_run, run):
    (own_run.path / "metrics.jsonl").unlink()
    row = table_row(own_run)
    assert (row["val_loss"], row["bits_per_byte"]) == ("", "")
    assert row["sort"]["val_loss"] > table_row(run)["sort"]["val_loss"]
    assert curve(own_run) == []


def test_the_curve_of_a_run_goes_forward_in_time(run):
    points = curve(run)
    assert len(points) == 4  # at steps 0, 4, 8 and 12
    assert [seconds for seconds, _ in points] == sorted(seconds for seconds, _ in points)
    assert points[-1][1] < points[0][1]


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"null", b"[]", b"{}", b'{"config": 5}', b'{"config": {}}',
                                     b'{"config": {}, "corpus": null, "tokenizer": "x", "parameters": "x", "created": 1e300}'])
def test_a_run_with_a_damaged_config_says_so_and_can_be_chosen(own_run, content):
    (own_run.path / "config.json").write_bytes(content)
    assert table_row(own_run) == {"name": "bottles", "state": "Damaged"}


def test_damaged_lines_of_metrics_are_passed_over(own_run):
    before = table_row(own_run)
    with open(own_run.path / "metrics.jsonl", "ab") as file:
        file.write(b'{"a": 1}\n\0\0\0\n[]\n{"step": 9, "val_loss": 0.1}\n{"step": "x"}\n')
    assert table_row(own_run) == before


def test_a_run_that_has_not_begun_has_no_row(tmp_path):
    with RunWriter(tmp_path / "new") as writer:
        writer.write_status(state="starting", step=0, steps=0)
        assert table_row(writer) is None


@pytest.mark.parametrize("content", [b"{", b'{"state": "done", "step": null, "steps": 3}', b'{"state": "gone", "step": 1, "steps": 3}',
                                     b'{"state": "done", "step": 1, "steps": 3, "seconds": "y"}'])
def test_a_run_with_a_damaged_status_has_failed(own_run, content):
    (own_run.path / "status.json").write_bytes(content)
    assert table_row(own_run)["state"] == "Failed"
