"""Writing ends where a document does."""

import pytest
import torch

from gpt.data.tokenizers.letters import ByteTokenizer
from gpt.model.gpt2 import GPT2
from gpt.model.sampling import Sampling, generate_text
from gpt.model.writing import write

ENDING = ByteTokenizer(has_end=True)


class Script(GPT2):
    """Writes given ids, whatever it reads: row i of a batch writes its `lines[i]`, and then zeros."""

    def __init__(self, tiny: dict, *lines: list[int]):
        super().__init__({**tiny, "vocab_size": 257, "context_length": 64})
        self.lines, self.written = lines, 0

    def unembed(self, x):
        logits = torch.zeros(len(x), 257)
        for row, line in enumerate(self.lines):
            logits[row, line[self.written] if self.written < len(line) else 0] = 1000.0
        self.written += 1
        return logits


def test_nothing_is_shown_of_the_end_or_after_it(tiny):
    model = Script(tiny, [*b"one.", ENDING.end, *b" two"])
    pieces = list(write(model, ENDING, "x", Sampling(20)))
    assert "".join(piece.text for piece in pieces) == "one."
    assert [piece.token for piece in pieces] == [*b"one."]


def test_a_tokenizer_without_an_end_goes_on(tiny):
    model = Script(tiny, [*b"one.", 0, *b" two"])
    assert "".join(piece.text for piece in write(model, ByteTokenizer(), "x", Sampling(9))) == "one.\0 two"


def test_every_row_ends_by_itself_and_the_last_ends_all(tiny):
    model = Script(tiny, [5, 256, 6, 7, 8], [1, 2, 3, 256, 4])
    ids = generate_text(model, torch.tensor([[9], [9]]), 10, end=256)
    assert ids.tolist() == [[9, 5, 256, 256, 256], [9, 1, 2, 3, 256]]


@pytest.mark.parametrize("end", [None, 255])
def test_without_an_end_as_many_tokens_come_as_were_asked_for(tiny, end):
    model = Script(tiny, [5, 256, 6])
    assert generate_text(model, torch.tensor([[9]]), 5, end=end).tolist() == [[9, 5, 256, 6, 0, 0]]
