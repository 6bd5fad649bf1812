"""Which documents are for validation."""

from array import array
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpt.data.documents import MOST_VALIDATION, VALIDATION_SHARE, Split, split_documents, split_from
from gpt.data.files.formats import Part

LENGTHS = st.lists(st.integers(1, 1000), min_size=1, max_size=60)


def split(lengths: list[int], seed: int = 1, hashes: list[int] | None = None) -> Split:
    return split_documents(array("q", lengths), array("Q", hashes or range(len(lengths))), seed)


def texts(parts) -> list[str]:
    """The documents that parts make up."""
    *documents, rest = "".join(part.text + "|" * part.ends for part in parts).split("|")
    assert rest == ""
    return documents


@given(LENGTHS, st.integers(0, 9))
def test_every_character_is_for_training_or_for_validation(lengths, seed):
    documents = [chr(97 + i % 26) * length for i, length in enumerate(lengths)]
    parts = [part for text in documents for part in (Part(text[:7], False), Part(text[7:], True))]
    found = split(lengths, seed)
    train, validation = texts(found.part_for(False, parts)), texts(found.part_for(True, parts))
    assert found.characters(array("q", lengths)) == (sum(map(len, train)), sum(map(len, validation)))
    if found.cut is None:
        assert sorted(train + validation) == sorted(documents)
        assert sum(map(len, validation)) <= max(VALIDATION_SHARE * sum(lengths), min(lengths))
        assert 0 < min(lengths) <= MOST_VALIDATION * sum(lengths)
    else:
        assert train[:-1] == documents[:-1]
        assert [train[-1] + validation[-1]] == documents[-1:]


def test_one_document_is_cut_after_nine_tenths():
    assert split([1003]).cut == 902


def test_of_two_documents_of_like_length_the_last_is_cut():
    assert split([1000, 1000]).cut == 800


def test_of_three_documents_one_is_held_out_whole():
    found = split([1000, 900, 1000])
    assert found.cut is None
    assert found.validation.tolist() == [False, True, False]  # the shortest: each is more than a tenth


def test_documents_are_drawn_from_the_seed():
    chosen = [tuple(split([10] * 200, seed).validation.nonzero()[0]) for seed in (1, 1, 2)]
    assert chosen[0] == chosen[1] != chosen[2]
    assert len(chosen[0]) == 20
    assert len({b - a for a, b in pairwise(chosen[0])}) > 5  # all over the text


def test_a_document_that_says_the_same_as_one_for_validation_is_not_trained_on():
    lengths, hashes = [10] * 40, [i % 20 for i in range(40)]  # each document twice
    found = split(lengths, 3, hashes)
    validation = {hashes[i] for i in found.validation.nonzero()[0]}
    train = {hashes[i] for i in range(40) if not found.validation[i] and not found.left_out[i]}
    assert validation
    assert not validation & train
    assert validation | train == set(range(20))


def test_what_is_held_out_is_said():
    assert split([1003]).sentences(array("q", [1003])) == []
    assert split([1000, 1000]).sentences(array("q", [1000, 1000])) == [
        "the documents are too few and too long to hold out a whole one: the end of the last is for validation, 10 % of the text"]
    said, = split([10] * 40, 3, [i % 20 for i in range(40)]).sentences(array("q", [10] * 40))
    assert said.startswith("4 documents, drawn at random, are for validation, 1")
    assert "that say the same as one of them are left out" in said
    said = split([100, 10, 100]).sentences(array("q", [100, 10, 100]))
    assert said == ["1 document, drawn at random, is for validation, 5 % of the text"]


def test_with_a_text_of_its_own_for_validation_all_else_is_for_training():
    found = split_from(array("Q", [5, 6, 7]), array("Q", [6, 9]))
    assert found.left_out.tolist() == [False, True, False]
    assert found.characters(array("q", [10, 20, 30])) == (40, 0)
    assert not np.any(found.validation)
    with pytest.raises(StopIteration):
        next(found.part_for(True, [Part("a", True), Part("b", True), Part("c", True)]))
