"""A run as an ONNX file (onnx.ai): a graph of standard operations that runs without PyTorch, in a browser or on a phone too. It holds
every model of this project."""

import contextlib
import logging
import warnings
from pathlib import Path

import torch

from gpt.exchange.folders import new_folder
from gpt.exchange.tokenizer_json import tokenizer_json
from gpt.runs.run import Run, load_run

MOST_TEXTS = 1 << 20  # at once; the exporter wants a limit


def write_onnx(run: Run, to: Path, step: int | None = None) -> None:
    """Write the best weights of a run, or those of the snapshot at `step`, as model.onnx into the new folder `to`, with tokenizer.json
    beside it. The graph takes "ids", int64 (B, T), and gives "logits", float32 (B, T, V), for T up to context_length.

    Raises UserError, and leaves nothing behind, if the folder cannot be written.
    """
    run.check_format()
    model, tokenizer = load_run(run.path, step)
    T = model.context_length
    sizes = {0: torch.export.Dim("texts", min=1, max=MOST_TEXTS), **({1: torch.export.Dim("tokens", min=2, max=T)} if T > 2 else {})}
    with new_folder(to) as folder:
        with quiet(), torch.no_grad():
            program = torch.onnx.export(model, (torch.zeros(2, min(3, T), dtype=torch.int64),), dynamo=True, dynamic_shapes=(sizes,),
                                        input_names=["ids"], output_names=["logits"], verbose=False)
        program.save(folder / "model.onnx")
        (folder / "tokenizer.json").write_text(tokenizer_json(tokenizer), encoding="utf-8")


@contextlib.contextmanager
def quiet():
    """The exporter speaks of its own future, and of torchvision, which nothing here needs."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(action="ignore"):
            yield
    finally:
        logger.setLevel(level)
