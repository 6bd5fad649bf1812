"""What acts instead of showing becomes a sign of itself."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpt.escape import escaped


@pytest.mark.parametrize(("text", "shown"), [
    ("\x1b[2J", "␛[2J"), ("a\rb", "a␍b"), ("\x00\x07\x08", "␀␇␈"), ("\x7f", "␡"), ("\x9b31m", "[U+009B]31m"),
    ("\u202eabc", "[U+202E]abc"), ("\u2028", "[U+2028]"), ("\ud800", "[U+D800]"), ("a\tb\n", "a\tb\n"), ("", ""),
])
def test_a_character_that_acts_becomes_a_sign(text, shown):
    assert escaped(text) == shown


@pytest.mark.parametrize("text", ["Once there was", "größer ≠ – 漢字 🙂 e\u0301", "<b>${1+1}</b> {{value}}", "\u00a0\u200d\ufffd"])
def test_what_shows_by_itself_stays(text):
    assert escaped(text) == text


@given(st.text(st.characters(codec=None)))
def test_nothing_is_left_that_acts_and_a_second_time_changes_nothing(text):
    shown = escaped(text)
    assert not [c for c in shown if unicodedata.category(c) in ("Cc", "Cs") and c not in "\n\t"]
    assert escaped(shown) == shown
    assert shown.encode("utf-8").decode("utf-8") == shown
