import pytest

from gpt.words import listed


@pytest.mark.parametrize(("words", "sentence"), [
    (["a"], "a"), (["a", "b"], "a and b"), (["a", "b", "c"], "a, b and c"), (list("abcd"), "a, b, c and d"),
    (list("abcde"), "a, b, c and 2 runs"), (list("abcdefg"), "a, b, c and 4 runs"),
])
def test_a_list_is_named_in_words(words, sentence):
    assert listed(words, most=4, rest="runs") == sentence
