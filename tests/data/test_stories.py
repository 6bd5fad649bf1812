"""The stories keep their promises: correct grammar, facts that hold, names that recur, no story twice."""

import os
import random
import re
import subprocess
import sys
from collections import Counter

import pytest

import gpt.data.stories as grammar
from gpt.data.stories import stories, story

COLOURS = set(grammar.COLOURS)
LOOKS = COLOURS | set(grammar.SIZES) | {material for _, _, material in grammar.THINGS.values()}
LOOKED_AT = re.compile(rf"\b({'|'.join(LOOKS)}) ({'|'.join(grammar.THINGS)})\b")


@pytest.fixture(scope="module")
def text() -> str:
    """One megabyte, some 2,500 stories."""
    return stories(1_000_000, seed=1)


@pytest.fixture(scope="module")
def parts(text: str) -> list[str]:
    """The same megabyte, story by story."""
    return text.split("\n\n")


def introduced(part: str) -> list[str]:
    """The names that a story introduces, hero first, as a reader would find them."""
    found = re.findall(r"(?:named|name was) ([A-Z]\w+)|^([A-Z]\w+) was an? ", part)
    return list(dict.fromkeys(first or second for first, second in found))


def test_size_is_reached_by_the_last_story_only():
    for size in (1, 500, 20_000):
        whole = stories(size, seed=3)
        assert len(whole) >= size
        assert len(whole.rpartition("\n\n")[0]) < size
    assert stories(0) == ""


def test_a_seed_gives_one_text_and_another_seed_another():
    assert stories(20_000, seed=7) == stories(20_000, seed=7)
    assert stories(20_000, seed=7) != stories(20_000, seed=8)
    assert stories(20_000, seed=7).startswith(stories(5_000, seed=7))
    assert story(random.Random(5)) == story(random.Random(5))


def test_the_global_generator_is_neither_read_nor_moved():
    random.seed(1)
    state = random.getstate()
    first = stories(5_000)
    assert random.getstate() == state
    random.seed(2)
    assert stories(5_000) == first


def test_a_seed_gives_the_same_text_in_another_process():
    """Set and dict order must not leak in: another hash seed, the same stories."""
    code = "import runpy, sys; print(runpy.run_path(sys.argv[1])['stories'](5000, 4), end='')"
    command = [sys.executable, "-c", code, grammar.__file__]
    environment = os.environ | {"PYTHONHASHSEED": "12345"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == stories(5_000, 4)


def test_text_is_plain_ascii_paragraphs(text: str, parts: list[str]):
    assert text.isascii()
    assert "  " not in text and "\n\n\n" not in text and "{" not in text
    assert all(part == part.strip() and "\n" not in part for part in parts)


def test_stories_are_short(parts: list[str]):
    words = sorted(len(part.split()) for part in parts)
    assert words[0] >= 45
    assert words[-1] <= 100
    assert 60 <= words[len(words) // 2] <= 80


def test_sentences_begin_with_capitals_and_end_with_stops(parts: list[str]):
    for part in parts:
        assert re.search(r'[.!?]"?$', part), part
        assert part.count('"') % 2 == 0, part
        assert re.match(r"[A-Z]", part), part
        assert not re.search(r'\. "?[a-z]|(?<!")[!?] [a-z]', part), part
        assert not re.search(r'" [A-Z]\w+ (said|asked|cried)\b|[ ][.,!?]|[.,!?]{2}', part), part


def test_articles_agree(parts: list[str]):
    for part in parts:
        assert not re.search(r"\b[Aa] [aeiou]", part), part
        assert not re.search(r"\b[Aa]n [^aeiou]", part), part


def test_no_word_is_doubled(parts: list[str]):
    for part in parts:
        assert not re.search(r"\b(\w+) \1\b", part, re.IGNORECASE), part


def test_many_stories_begin_as_the_page_prompts(parts: list[str]):
    assert 0.4 < sum(part.startswith("Once there was a") for part in parts) / len(parts) < 0.6
    assert len({" ".join(part.split()[:2]) for part in parts}) > 20


def test_names_recur(parts: list[str]):
    """Every invented name comes three times or more, most of them four to six times."""
    times = []
    for part in parts:
        names = introduced(part)
        assert 1 <= len(names) <= 2, part
        words = Counter(re.findall(r"\w+", part))
        times += [words[name] for name in names]
    assert min(times) >= 3 and max(times) <= 8
    assert sum(4 <= number <= 6 for number in times) > len(times) / 2


def test_names_are_too_many_to_learn_by_heart(parts: list[str]):
    seen = Counter(name for part in parts for name in introduced(part))
    assert len(seen) > 3_500
    assert max(seen.values()) <= 12


def test_pronouns_fit_the_names(parts: list[str]):
    """She-names end in "a". A sentence begins with the hero's pronoun; no pronoun in a story is nobody's."""
    for part in parts:
        is_she = [name[-1] == "a" for name in introduced(part)]
        starts = re.findall(r"[.!] (She|Her|He|His) ", part)
        assert all((start in ("She", "Her")) == is_she[0] for start in starts), part
        used = {word in ("she", "her") for word in re.findall(r"\b(she|her|he|him|his)\b", part.lower())}
        assert used <= set(is_she), part
        assert is_she in ([True], [False], [True, False], [False, True]), part


def test_no_story_comes_twice(parts: list[str]):
    assert len(set(parts)) == len(parts)


def test_a_thing_keeps_its_look(parts: list[str]):
    """Away from the market, every mention of a noun with a look has the same look."""
    for part in parts:
        looks = {(noun, look) for look, noun in LOOKED_AT.findall(part)}
        assert looks or " make " in part, part
        assert len(dict(looks)) == len(looks) or "at the market" in part, part


def test_the_wish_decides_what_is_bought(parts: list[str]):
    wish = r'I wish I had an? (\w+ \w+)," .* an? \1\b.* at the market\. .* bought the \1\. .* the \1 every '
    markets = [part for part in parts if "at the market" in part]
    assert len(markets) > 100
    assert all(re.search(wish, part) for part in markets)


def test_a_trade_changes_hands(parts: list[str]):
    had = r"(\w+) had an? (\w+ \w+), and (\w+) had an? (\w+ \w+)\."
    took = r"So \1 took the \4, and \3 took the \2\."
    trades = [part for part in parts if 'said, "I like your' in part]
    assert len(trades) > 100
    assert all(re.search(f"{had}.* {took}", part) for part in trades)


def test_spells_and_rhymes_are_repeated_exactly(parts: list[str]):
    spells = [(re.search(r"magic words are ([\w ]+),", part), part) for part in parts if "words are" in part]
    assert len({spell[1] for spell, _ in spells}) == len(spells) > 100
    assert all(part.count(spell[1]) == 3 for spell, part in spells)
    rhymes = [re.findall(r'sang, "(.*?)"', part) for part in parts if "Every evening" in part]
    assert len(rhymes) > 100
    assert all(len(pair) == 2 and pair[0] == pair[1] for pair in rhymes)


def test_sums_are_right(parts: list[str]):
    numbers = {word: value for value, word in enumerate(grammar.NUMBERS)}
    plurals = set(grammar.FOODS.values())
    checked = 0
    for part in parts:
        found = re.search(r'"(\w+) (\w+) and (\w+) (\w+) make (\w+) (\w+)," said', part)
        if not found:
            continue
        checked += 1
        counts = [(found[1].lower(), found[2]), (found[3], found[4]), (found[5], found[6])]
        first, second, total = (numbers[word] for word, _ in counts)
        assert first + second == total, part
        rest = re.search(r"gave (\w+) (\w+) to a beggar and kept (\w+) (\w+)\.", part)
        if rest:
            counts += [(rest[1], rest[2]), (rest[3], rest[4])]
            assert numbers[rest[1]] + numbers[rest[3]] == total, part
        assert all((word == "one") == (food not in plurals) for word, food in counts), part
    assert checked > 100
