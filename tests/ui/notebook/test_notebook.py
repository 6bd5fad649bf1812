"""The notebook runs from its top to its bottom."""

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from gpt.runs.run import list_runs

PROJECT = Path(__file__).resolve().parents[3]
NOTEBOOK = PROJECT / ".github" / "notebook.ipynb"


@pytest.fixture(scope="module")
def executed(tmp_path_factory):
    """(the notebook with its outputs, the folder in which it ran)."""
    folder = tmp_path_factory.mktemp("notebook")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(PROJECT))
        NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(folder)}}).execute()
    return notebook, folder


def outputs(notebook, kind: str) -> list[str]:
    return [output["data"][kind] for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs
            if kind in output.get("data", {})]


def test_it_trains_two_runs_and_shows_them(executed):
    notebook, folder = executed
    states = {run.name: (run.status()["state"], run.status()["step"]) for run in list_runs(folder / "checkpoints")}
    assert states["repeats-1"] == ("done", 400)
    assert states["stories-1"][0] == "stopped"
    assert 20 <= states["stories-1"][1] < 200
    summaries = [text for text in outputs(notebook, "text/html") if "<table>" in text]
    assert ["done at step 400 of 400" in summaries[0], "stopped at step" in summaries[1]] == [True, True]


def test_its_figures_are_plotly_figures(executed):
    curves, mosaic, head = outputs(executed[0], "application/vnd.plotly.v1+json")
    assert [trace["name"] for trace in curves["data"]] == ["training", "validation"]
    assert mosaic["layout"]["yaxis"]["ticktext"] == ["layer 0", "layer 1", "layer 2"]
    assert head["layout"]["xaxis"]["ticktext"] == list("qwertzuiqwertzui")


def test_it_is_kept_without_outputs_and_is_small():
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    assert all(not cell.outputs for cell in notebook.cells if cell.cell_type == "code")
    assert NOTEBOOK.stat().st_size < 10_000
