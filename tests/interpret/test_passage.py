"""A passage in which a head shows its role: against heads whose weights are written down by hand."""

import pytest
import torch

from gpt.data.tokenizers.letters import ByteTokenizer, CharTokenizer
from gpt.interpret.passage import LONGEST, MOST_CANDIDATES, candidates_of, passage, shown
from gpt.model.gpt2 import GPT2
from gpt.runs.run import Run, load_run


def windows_of(tokenizer, *texts: str) -> torch.Tensor:
    return torch.tensor([tokenizer.encode(text) for text in texts])


def one_place_back(T: int) -> torch.Tensor:
    """(1, 1, T, T): a head that reads the token before, always."""
    return torch.cat((torch.eye(T)[:1], torch.eye(T)[:-1]))[None, None]


def test_a_passage_begins_after_a_sentence_or_a_line():
    tokenizer = CharTokenizer("ab. \n")
    found = candidates_of(tokenizer, windows_of(tokenizer, "ab. bbbb\naaaa"), 4)
    assert [tokenizer.decode(ids) for ids in found.tolist()] == [" bbb", "aaaa"]
    found = candidates_of(tokenizer, windows_of(tokenizer, "abba"), 3)  # no end: anywhere
    assert [tokenizer.decode(ids) for ids in found.tolist()] == ["abb", "bba"]


def test_of_a_long_text_passages_are_taken_all_over():
    tokenizer = CharTokenizer("ab.")
    found = candidates_of(tokenizer, windows_of(tokenizer, "ab." * 400, "ba." * 400), 8)
    assert len(found) <= MOST_CANDIDATES
    assert {tokenizer.decode(ids)[:2] for ids in found.tolist()} == {"ab", "ba"}
    assert len(candidates_of(tokenizer, windows_of(tokenizer, "ab"), 8)) == 1  # a text that is shorter than that


def test_roles_about_repeats_show_where_tokens_occur_again():
    ids = torch.tensor([[1, 2, 3, 4, 5, 6], [1, 2, 3, 1, 2, 3]])
    perfect = torch.zeros(2, 1, 6, 6)
    perfect[:, :, :, 0] = 1
    perfect[1, 0, 3:] = torch.tensor([[0, 1, 0, 0, 0, 0], [0, 0, 1, 0, 0, 0], [0, 0, 0, 1, 0, 0.0]])
    for role in ("induction", "induction on text", "duplicate token"):
        nothing, much = shown(perfect, ids, role).tolist()
        assert nothing == 0
        assert much > 0.2


def test_other_roles_show_where_their_score_is_highest():
    ids = torch.tensor([[1, 2, 3], [1, 2, 3]])
    weights = torch.cat((one_place_back(3), torch.eye(3)[None, None]))
    assert shown(weights, ids, "previous token").argmax() == 0
    assert shown(weights, ids, "current token").argmax() == 1


@pytest.mark.parametrize("role", ["previous token", "induction", "locality"])
def test_a_run_has_a_passage_that_it_can_read(trained, role):
    model, tokenizer = load_run(trained)
    windows = Run(trained).probes().windows
    text = passage(model, tokenizer, windows, 1, 0, role)
    assert text == text.strip()
    assert 1 <= len(tokenizer.encode(text)) <= min(LONGEST, model.context_length)
    assert any(text in tokenizer.decode(row) for row in windows.tolist())


def test_a_passage_that_is_cut_within_a_character_is_none(tiny):
    tokenizer = ByteTokenizer()
    model = GPT2({**tiny, "tokenizer": "byte", "vocab_size": 256})
    windows = torch.tensor([list("ü".encode())[1:] * 9])  # never whole
    assert passage(model, tokenizer, windows, 0, 0, "previous token") is None
