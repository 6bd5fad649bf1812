"""What the tests of the page share: a folder with two finished runs, jobs over folders, and waiting without guessing how long."""

import base64
from pathlib import Path
from shutil import copytree
from typing import Any

import numpy as np
import pytest

import gpt.ui.server.jobs
from gpt.runs.session import Session
from gpt.ui.inspector.inspections import Inspector
from gpt.ui.server.jobs import Jobs
from tests import forkserver
from tests.conftest import TEXT, TINY


@pytest.fixture(autouse=True, scope="module")
def forked_trainings():
    """What these tests train in processes of its own is forked where there is a fork server."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(gpt.ui.server.jobs, "subprocess", forkserver.forking_subprocess())
        yield


@pytest.fixture(scope="session")
def root(trained, tmp_path_factory) -> Path:
    """A checkpoints folder with the finished runs `bottles` (characters) and, the newer one, `bytes`. For reading only."""
    root = tmp_path_factory.mktemp("page") / "checkpoints"
    copytree(trained.parent, root)
    corpus = root.parent / "bottles.txt"
    corpus.write_text(TEXT, encoding="utf-8")
    for _ in Session(root, "bytes", {**TINY, "tokenizer": "byte", "context_length": 32, "corpus": str(corpus)}).events():
        pass
    return root


@pytest.fixture
def library_jobs(root) -> Jobs:
    """Jobs over the folder with the two finished runs."""
    return Jobs(root)


@pytest.fixture
def inspector(library_jobs) -> Inspector:
    """Inspects prompts in the two finished runs."""
    return Inspector(library_jobs)


@pytest.fixture
def own_root(root, tmp_path):
    """A copy of the folder of runs, for writing."""
    return copytree(root, tmp_path / "checkpoints")


@pytest.fixture
def jobs(tmp_path):
    """Jobs over an empty folder; a process still running at the end of the test is ended."""
    jobs = Jobs(tmp_path / "runs")
    yield jobs
    jobs.close()


def unpacked(array: dict[str, Any]) -> np.ndarray:
    """The array that Plotly's JavaScript makes of a packed one."""
    shape = [int(n) for n in array["shape"].split(", ")]
    return np.frombuffer(base64.b64decode(array["bdata"]), dtype={"u1": "u1", "f4": "<f4"}[array["dtype"]]).reshape(shape)


def matrix_of(figure: dict[str, Any]) -> np.ndarray:
    """(T, T) exact numbers of a head's figure, NaN above the diagonal."""
    lower = unpacked(figure["layout"]["meta"]["weights"])
    T = len(figure["layout"]["meta"]["labels"])
    matrix = np.full((T, T), np.nan, dtype=np.float32)
    matrix[np.tril_indices(T)] = lower
    return matrix


def strings_of(value) -> list[str]:
    """Every string in a figure but the heatmaps' colour scales and packed bytes."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        return [text for key, item in value.items() if key not in ("colorscale", "bdata") for text in strings_of(item)]
    return [text for item in value for text in strings_of(item)] if isinstance(value, list | tuple) else []


def named_colours(figure: dict[str, Any]) -> list[str]:
    return [text for text in strings_of(figure) if text.startswith("var(")]
