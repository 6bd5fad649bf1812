"""Taking home what was seen."""

import base64
import io

import numpy as np

from gpt.interpret import inspect
from gpt.runs.run import load_run
from gpt.ui.inspector import export
from gpt.ui.inspector.inspections import Inspector


def test_the_maps_of_every_head_come_as_numbers(library_jobs, root, monkeypatch):
    inspector = Inspector(library_jobs)
    question = {"key": inspector.inspect("bottles", 99, "7 green")["key"]}
    answer = inspector.server_function(export.arrays)(question)
    saved = np.load(io.BytesIO(base64.b64decode(answer["npz"])), allow_pickle=False)
    found = inspect(*load_run(root / "bottles"), "7 green")
    np.testing.assert_array_equal(saved["weights"], np.stack([found.weights(layer) for layer in range(2)]))
    np.testing.assert_array_equal(saved["ids"], found.trace.ids[0])
    assert [bytes.fromhex(token) for token in saved["tokens"].tolist()] == found.tokens
    monkeypatch.setattr(export, "MOST_BYTES", 4 * 4 * 6 * 6)
    told = inspector.server_function(export.arrays)(question)
    assert told == {"error": "the maps of 4 heads on 7 tokens are 0 MB: shorten the prompt to 6 tokens"}
