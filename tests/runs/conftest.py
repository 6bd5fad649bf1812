"""What the tests of the run folder share: a run that is being written."""

import pytest

from gpt.model.gpt2 import GPT2
from gpt.runs.run import Run
from gpt.runs.writer import RunWriter
from tests.sessions import PROBES


@pytest.fixture
def writer(tmp_path) -> RunWriter:
    """A folder in the hands of its process, as after the start of a run."""
    with RunWriter(tmp_path / "a-run") as writer:
        writer.write_status(state="running", step=3, steps=10)
        yield writer


@pytest.fixture
def saved(tmp_path, tiny, tokenizer):
    """A run that a fake trainer has finished: `tiny`'s model with best weights, a snapshot at step 5 and a last state."""
    with RunWriter(tmp_path / "saved") as writer:
        model = GPT2({**tiny, "vocab_size": tokenizer.n_vocab})
        writer.write_config({"config": model.config}, tokenizer)
        writer.write_probes(PROBES)
        writer.save_best(model.state_dict(), 5, 2.0)
        writer.save_snapshot(model.state_dict(), 5)
        writer.save_last(model.state_dict(), {"step": 5})
        writer.write_status(state="done", step=5, steps=5)
    return Run(tmp_path / "saved")
