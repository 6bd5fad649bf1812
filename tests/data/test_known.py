"""What is known of a generated text stays true when the text is cut and becomes tokens."""

import itertools
import math
import random

import pytest
import torch

from gpt.data.dataset import TokenizedText
from gpt.data.known import Floor, Piece, write_down
from gpt.data.repeats import lines
from gpt.data.sources import read_corpus
from gpt.data.tokenizers.base import TextToLearn
from gpt.data.tokenizers.table import make_tokenizer
from gpt.errors import UserError
from tests.says import says

DOCUMENTS = [[Piece("ab", 1.0, 0), Piece("c", 0.0, 1)], [Piece("d", 2.0, 0), Piece("efg", 0.5, 1)], [Piece("hi", 4.0, 0)]]


def test_documents_are_written_until_the_size_is_reached():
    text, known = write_down(DOCUMENTS, 4, ("new", "old"))
    assert text == "abcdefg"
    assert known.nats.tolist() == [1, 0, 0, 2, 0.5, 0, 0]
    assert known.kinds.tolist() == [0, 0, 1, 0, 1, 1, 1]
    assert known.starts.tolist() == [0, 3]
    assert write_down(DOCUMENTS, 0, ())[0] == ""
    for size in (-1, 10_000_000_000):
        with pytest.raises(UserError, match=says(f"{size:,} characters", "200,000,000")):
            write_down(DOCUMENTS, size, ())


def test_both_parts_of_a_text_are_known():
    _, known = write_down(DOCUMENTS, 9, ("new", "old"))
    assert [known.start_after(cut) for cut in (0, 1, 3, 4, 8)] == [0, 3, 3, 7, 8]
    begin, rest = known.split(3)
    assert (begin.nats.tolist(), begin.kinds.tolist(), begin.starts.tolist()) == ([1, 0, 0], [0, 0, 1], [0])
    assert (rest.nats.tolist(), rest.kinds.tolist(), rest.starts.tolist()) == ([2, 0.5, 0, 0, 4, 0], [0, 1, 1, 1, 0, 0], [0, 4])


def test_a_token_has_the_nats_of_its_characters_and_the_kind_of_its_last():
    _, known = write_down(DOCUMENTS, 9, ("new", "old"))
    floor = known.by_token(torch.tensor([1, 3, 1, 2, 2]))  # a bcd e fg hi: the second token hides a start
    assert floor.nats.tolist() == [1, 2, 0.5, 0, 4]
    assert floor.kinds.tolist() == [0, 0, 1, 1, 0]
    assert floor.starts.tolist() == [0, 4]


def test_documents_that_a_model_cannot_see_as_a_whole_are_counted():
    floor = Floor(torch.zeros(12), torch.zeros(12).long(), torch.tensor([0, 4, 9]), ("a",))  # of 4, 5 and 3 tokens
    assert [floor.longer_than(n) for n in (2, 3, 4, 5)] == [1, pytest.approx(2 / 3), pytest.approx(1 / 3), 0]


def test_what_is_above_perfect_adds_up_by_kind():
    floor = Floor(torch.tensor([9.0, 1.0, 2.0, 0.0]).double(), torch.tensor([0, 1, 0, 1]), torch.tensor([0]), ("a", "b", "none"))
    assert floor.perfect(4) == 1.0
    assert floor.excess([2.0, 1.0, 0.0], 4) == {"a": 0.0, "b": 0.0}
    assert floor.excess([3.5, 4.0, 0.0], 4) == {"a": 0.5, "b": 1.0}


@pytest.mark.parametrize("n_tokens, end", [(2, 2), (5, 4), (9, 9), (8, 4), (12, 12)])
def test_an_evaluation_ends_with_a_document(n_tokens, end):
    floor = Floor(torch.zeros(12), torch.zeros(12).long(), torch.tensor([0, 4, 9]), ("a",))
    assert floor.end_of_documents(n_tokens) == end


@pytest.mark.parametrize("tokenizer", ["char", "byte", "bpe", "gpt2"])
def test_every_tokenizer_has_the_same_floor_in_nats_of_the_whole_text(tokenizer):
    corpus = read_corpus("repeats", seed=2)
    train, validation = corpus.strings()
    tokens = TokenizedText.encode(corpus, make_tokenizer(tokenizer, TextToLearn.of(train[:50_000], train + validation), 300))
    _, known = corpus.split_known()
    assert tokens.floor.nats.sum() == pytest.approx(known.nats.sum(dtype="float64"))
    assert len(tokens.floor.nats) == len(tokens.floor.kinds) == len(tokens.validation)
    assert validation[0] != "\n" == validation[-1]
    assert (len(tokens.documents), len(tokens.floor.starts)) == (train.count("\n"), validation.count("\n"))  # no token hides a start


def test_the_floor_is_the_mean_over_lines_of_their_probabilities():
    """The loss of perfect prediction is the entropy of the generator: about as large on any of its texts."""
    drawn = list(itertools.islice(lines(random.Random(7)), 4000))
    nats = sum(piece[1] for line in drawn for piece in line) / len(drawn)
    entropy = sum(math.log(17 * math.perm(26, n)) for n in range(8, 25)) / 17
    assert nats == pytest.approx(entropy, rel=0.02)
