"""Words written twice, and the loss of perfect prediction on them, proved on lines so short that all can be written down."""

import itertools
import math
import random
from collections import defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

import gpt.data.repeats
from gpt.data.repeats import END, FIRST, LONGEST, NATS, SECOND, SHORTEST, lines, nats_of_line, repeats


@given(st.integers(0, 3000), st.integers(0, 5))
def test_lines_are_8_to_24_different_letters_written_twice(size, seed):
    text, known = repeats(size, seed)
    assert size <= len(text) < size + 50
    for line in text.splitlines():
        half = len(line) // 2
        assert line[:half] == line[half:]
        assert 8 <= half == len(set(line)) <= 24
        assert line.isascii()
        assert line.islower()
    assert len(known.nats) == len(known.kinds) == len(text)
    assert known.starts.tolist() == [0, *(i + 1 for i in range(len(text) - 1) if text[i] == "\n")][:len(known.starts)]


def test_lines_differ_by_seed():
    assert repeats(500, seed=1)[0] == repeats(500, seed=1)[0]
    assert repeats(500, seed=1)[0] != repeats(500, seed=2)[0]


@pytest.mark.parametrize("length", range(SHORTEST, LONGEST + 1))
def test_the_nats_of_a_line_are_those_of_drawing_its_length_and_its_letters(length):
    n_lengths, n_words = LONGEST + 1 - SHORTEST, math.perm(26, length)
    assert sum(NATS[length]) == pytest.approx(math.log(n_lengths * n_words))


def test_the_nats_of_each_character_are_those_of_all_lines_counted(monkeypatch):
    """Words of 2 to 4 of 5 letters: the probability of each character after what is before it, from all 200 lines."""
    monkeypatch.setattr(gpt.data.repeats, "SHORTEST", 2)
    monkeypatch.setattr(gpt.data.repeats, "LONGEST", 4)
    monkeypatch.setattr(gpt.data.repeats.string, "ascii_lowercase", "abcde")
    words = {"".join(word): 1 / 3 / math.perm(5, n) for n in (2, 3, 4) for word in itertools.permutations("abcde", n)}
    probability = defaultdict(float)  # of each beginning of a line
    for word, share in words.items():
        line = f"{word}{word}\n"
        for end in range(len(line) + 1):
            probability[line[:end]] += share
    for word in words:
        line = f"{word}{word}\n"
        expected = [math.log(probability[line[:i]] / probability[line[:i + 1]]) for i in range(len(line))]
        assert nats_of_line(len(word)) == pytest.approx(expected)


def test_a_line_has_three_kinds_of_characters():
    for line in itertools.islice(lines(random.Random(3)), 50):
        half = len(line) // 2
        assert [kind for _, _, kind in line] == [FIRST] * half + [SECOND] * half + [END]
