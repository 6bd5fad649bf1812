"""How many threads compute: one where a small model reads few tokens, and as many as before afterwards."""

import pytest
import torch

from gpt.interpret.heads import score_heads
from gpt.interpret.probes import make_probes
from gpt.interpret.trace import trace
from gpt.model.sampling import Sampling, generate_tokens
from gpt.model.threads import SMALL, computing_with, threads_for_few_tokens


@pytest.fixture
def threads(monkeypatch) -> list[int]:
    """The numbers of threads that are set, on a machine that computes with 4."""
    told = [4]
    monkeypatch.setattr(torch, "get_num_threads", lambda: told[-1])
    monkeypatch.setattr(torch, "set_num_threads", told.append)
    return told


def test_small_models_have_one_and_large_ones_all(threads):
    assert threads_for_few_tokens(torch.nn.Linear(10, 10)) == 1
    with torch.device("meta"):
        assert threads_for_few_tokens(torch.nn.Linear(1, SMALL + 1)) == 4


def test_the_number_is_given_back_after_an_error(threads):
    with pytest.raises(KeyError), computing_with(2):
        assert threads[-1] == 2
        raise KeyError
    assert threads == [4, 2, 4]


def test_each_token_is_computed_with_one_and_nothing_between_them_is(model, threads):
    for _ in generate_tokens(model, torch.zeros(1, 1, dtype=torch.long), Sampling(max_new_tokens=3)):
        assert threads[-1] == 4
    assert threads == [4] + 3 * [1, 4]


def test_reading_a_prompt_and_scoring_heads_take_one(model, tiny, tokens, threads):
    trace(model, torch.zeros(1, 4, dtype=torch.long)).attend(0)
    score_heads(model, make_probes(tokens, tiny["context_length"], seed=1))
    assert threads == [4] + 3 * [1, 4]
