"""That it learns: the default recipe on the default text, for a hundred steps of half its batch."""

import torch

from gpt.config import PRESETS
from gpt.runs.session import Session
from tests.sessions import finish


def test_a_hundred_steps_of_the_default_know_more_than_token_frequencies(tmp_path):
    changes = {"batch": 8, "max_steps": 100, "eval_every": 100, "eval_tokens": 4096, "snapshots": 0, "head_scores": 0,
               "precision": "float32", "device": "cpu"}
    session = Session(tmp_path, "quick", {**PRESETS["quick"].config, **changes})
    run = finish(session)

    text, V = session.trainer.text, session.tokenizer.n_vocab
    counts = torch.bincount(text.train.long(), minlength=V) + 1.0  # (V,) with one more of each, so that none has probability 0
    frequencies = -(counts / counts.sum()).log()[text.validation.long()].mean()  # nats per token of a model that knows only these
    assert 4 < frequencies < torch.tensor(V).log()
    assert run.rows()[0][-2]["val_loss"] < frequencies - 1
