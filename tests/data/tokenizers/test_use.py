"""How tokenizers cut a text."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpt.data.tokenizers.base import TextToLearn
from gpt.data.tokenizers.bpe import gpt2_tokenizer, train_bpe
from gpt.data.tokenizers.letters import ByteTokenizer, CharTokenizer
from gpt.data.tokenizers.table import TOKENIZERS, make_tokenizer
from gpt.data.tokenizers.use import history_of, use_of

LEARNED = train_bpe(["the cat, the dog, the mat and the cat again. " * 20], 300)


def test_a_text_in_characters_by_hand():
    use = use_of(CharTokenizer("abcd"), "aababé"[:5] + "b")
    assert use == (6, 1.0, 0.5, [(0, 3), (1, 3)], [0, 1])


def test_bytes_per_token_count_the_bytes_of_the_text():
    assert use_of(CharTokenizer("aé"), "éé").bytes_per_token == 2.0
    assert use_of(ByteTokenizer(), "éé").bytes_per_token == 1.0


def test_an_empty_text_has_no_tokens():
    assert use_of(ByteTokenizer(), "") == (0, 0.0, 0.0, [], [])


def test_the_longest_tokens_are_those_that_occur():
    use = use_of(gpt2_tokenizer(), "the responsibility")
    assert [gpt2_tokenizer().token_bytes(token) for token in use.longest] == [b" responsibility", b"the"]


def test_a_token_is_merged_from_its_bytes_step_by_step():
    token = LEARNED.encode(" the")[0]
    steps = list(history_of(LEARNED, token))
    assert steps[0] == [b" ", b"t", b"h", b"e"]
    assert steps[-1] == [b" the"]
    assert len(steps) == 4


@given(st.integers(0, 50256))
def test_every_merge_joins_two_neighbours_and_ends_in_the_token(token):
    tokenizer = gpt2_tokenizer()
    steps = list(history_of(tokenizer, token))
    assert steps[-1] == [tokenizer.token_bytes(token)]
    for before, after in pairwise(steps):
        assert len(after) == len(before) - 1
        assert b"".join(after) == b"".join(before) == tokenizer.token_bytes(token)


@pytest.mark.parametrize("name", TOKENIZERS)
def test_every_tokenizer_says_how_its_tokens_come_to_be(name):
    tokenizer = make_tokenizer(name, TextToLearn.of("the cat and the dog. " * 50), 320, has_end=True)
    assert tokenizer.made
    assert list(history_of(tokenizer, tokenizer.end)) == [[b""]]
