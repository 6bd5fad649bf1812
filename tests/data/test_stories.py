"""The stories keep their promises: correct grammar, facts that hold, names and refrains that recur, no story twice."""

import os
import random
import re
import subprocess
import sys
from collections import Counter

import pytest

from gpt.data.stories import KINDS, plots, stories, words
from gpt.data.stories.slots import TABLES

SENTENCES = [sentence for plot in (*plots.PLOTS, (plots.OPENING,), (plots.ENDING,)) for choice in plot for sentence in choice.sentences]


@pytest.fixture(scope="module")
def text() -> str:
    """One megabyte, some 3,500 stories."""
    return stories(1_000_000, seed=1)[0]


@pytest.fixture(scope="module")
def parts(text: str) -> list[str]:
    """The same megabyte, story by story."""
    return text.removesuffix("\n\n").split("\n\n")


def test_size_is_reached_by_the_last_story_only():
    for size in (1, 500, 20_000):
        whole, known = stories(size, seed=3)
        assert len(whole) >= size > known.starts[-1]
        assert len(whole) == len(known.nats) == len(known.kinds)
        assert [whole[start - 2:start] for start in known.starts[1:]] == ["\n\n"] * (len(known.starts) - 1)
    assert stories(0)[0] == ""


def test_a_seed_gives_one_text_and_another_seed_another():
    assert stories(20_000, seed=7)[0] == stories(20_000, seed=7)[0]
    assert stories(20_000, seed=7)[0] != stories(20_000, seed=8)[0]
    assert stories(20_000, seed=7)[0].startswith(stories(5_000, seed=7)[0])


def test_the_global_generator_is_neither_read_nor_moved():
    random.seed(1)
    state = random.getstate()
    first, _ = stories(5_000)
    assert random.getstate() == state
    random.seed(2)
    assert stories(5_000)[0] == first


def test_a_seed_gives_the_same_text_in_another_process():
    """Set and dict order must not leak in: another hash seed, the same stories."""
    command = [sys.executable, "-c", "from gpt.data.stories import stories; print(stories(5000, 4)[0], end='')"]
    done = subprocess.run(command, env=os.environ | {"PYTHONHASHSEED": "12345"}, capture_output=True, text=True, check=True)
    assert done.stdout == stories(5_000, 4)[0]


def test_there_are_a_thousand_words_and_150_forms_of_sentences():
    in_forms = {word for sentence in SENTENCES for word in re.findall(r"[a-z]+", re.sub(r"\{.*?\}", " ", sentence).lower())}
    in_tables = {word.lower() for table in TABLES.values() for entry in table for word in entry.split()}
    assert len(in_forms | in_tables) >= 1000
    assert len(set(SENTENCES)) >= 150


def test_every_sentence_and_every_word_of_a_table_comes_up():
    text, _ = stories(3_000_000)
    for name, table in TABLES.items():
        assert not [entry for entry in table if entry.lower() not in text.lower()], name
    for form in map(re.escape, set(SENTENCES)):
        assert re.search(re.sub(r"\\\{.*?\\\}", lambda _: r"[\w ]+?", form), text), form


def test_text_is_plain_ascii_paragraphs(text: str, parts: list[str]):
    assert text.isascii()
    assert "  " not in text and "\n\n\n" not in text and "{" not in text
    assert all(part == part.strip() and "\n" not in part for part in parts)


def test_sentences_begin_with_capitals_and_marks_close(parts: list[str]):
    for part in parts:
        assert re.search(r'[.!?][")]?$', part), part
        assert part.count('"') % 2 == 0 and part.count("(") == part.count(")"), part
        assert re.match(r"[A-Z]", part), part
        assert not re.search(r'\. "?[a-z]|[ ][.,!?]|[.,!?]{2}', part), part


def test_articles_agree(parts: list[str]):
    for part in parts:
        assert not re.search(r"\b[Aa] [aeiou]", part), part
        assert not re.search(r"\b[Aa]n [^aeiou]", part), part


def test_many_stories_begin_as_the_page_prompts(parts: list[str]):
    assert 0.3 < sum(part.startswith("Once there was a") for part in parts) / len(parts) < 0.6
    assert len({" ".join(part.split()[:2]) for part in parts}) > 20


def test_names_are_too_many_to_learn_by_heart_and_recur(parts: list[str]):
    heroes = [re.search(r"named ([A-Z]\w+)|name was ([A-Z]\w+)|^([A-Z]\w+) (?:was an? |the )|lived ([A-Z]\w+) the", part) for part in parts]
    names = [next(filter(None, found.groups())) for found in heroes]
    assert len(set(names)) > 2_000
    times = [Counter(re.findall(r"\w+", part))[name] for name, part in zip(names, parts, strict=True)]
    assert sum(times) / len(times) > 2


def test_pronouns_fit_the_names(parts: list[str]):
    """She-names end in "a", and only the hero has pronouns."""
    for part in parts:
        used = {word in ("she", "her") for word in re.findall(r"\b(she|her|he|him|his)\b", part.lower())}
        assert len(used) <= 1, part


def test_no_story_comes_twice(parts: list[str]):
    assert len(set(parts)) == len(parts)


def test_refrains_return_word_for_word(parts: list[str]):
    word = f"(?:{'|'.join(words.SYLLABLES)}){{2}}"
    sung = [re.findall(rf"\b{word}(?: {word}){{2,3}}\b", part, re.IGNORECASE) for part in parts]
    assert all(len({tune.lower() for tune in tunes}) <= 1 for tunes in sung)
    assert all(len({one[:2] for one in tunes[0].split()}) == len({one[2:] for one in tunes[0].split()}) == len(tunes[0].split())
               for tunes in sung if tunes)
    times = Counter(len(tunes) for tunes in sung)
    assert times[0] / len(parts) < 0.1
    assert sum(count for number, count in times.items() if number >= 4) / len(parts) > 0.7


def test_sums_are_right(text: str):
    numbers = {word: value for value, word in enumerate(words.NUMBERS)}
    sums = re.findall(r"(\w+) and (\w+) make (\w+)", text)
    assert len(sums) > 50
    assert all(numbers[first.lower()] + numbers[second] == numbers[total] for first, second, total in sums)


def test_what_is_given_back_is_what_was_taken(text: str):
    taken, back = r"(?:packed|bag went|took) an? (\w+), an? (\w+) and an? (\w+)[. ]", r"[Tt]he (\w+), the (\w+),? (?:and )?the (\w+)"
    packed = re.findall(rf"{taken}.*?{back}", text)
    assert len(packed) > 100
    assert all(found[:3] == found[3:] for found in packed)


def test_what_was_said_before_costs_nothing_and_plain_words_are_certain(text: str):
    _, known = stories(200_000, seed=2)
    by_kind = {name: known.nats[known.kinds == kind] for kind, name in enumerate(KINDS)}
    assert all(len(nats) > 100 for nats in by_kind.values())
    assert by_kind["plain words"].max() == 0
    assert by_kind["free choice"].mean() > 0.2
    assert by_kind["refrain again"].mean() < 0.005  # a choice of sentences that begin with it or without
    assert by_kind["new name"].mean() > 1
