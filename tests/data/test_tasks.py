"""Questions whose answers follow from them: the answers are right, and the nats of the questions are those of all questions counted."""

import itertools
import math
import random
from collections import Counter, defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpt.data import tasks
from gpt.data.tasks import ANSWER, END, KINDS, PAIRS, QUESTION, TASKS, closing


@pytest.mark.parametrize("name", TASKS)
def test_a_task_is_lines_of_a_question_and_its_answer(name):
    task = TASKS[name]
    text, known = task.make(20_000, seed=3)
    assert task.make(20_000, seed=3)[0] == text != task.make(20_000, seed=4)[0]
    assert known.names == KINDS
    assert [text[start - 1] for start in known.starts[1:]] == ["\n"] * (len(known.starts) - 1)
    for kind in (QUESTION, ANSWER, END):
        assert (known.kinds == kind).any()
    assert not known.nats[known.kinds != QUESTION].any()  # an answer is certain
    sign = task.prompt[-1]
    for line in text.splitlines():
        question, _, answer = line.partition(sign)
        assert answer == task.answer(question + sign)
    assert task.answer(task.prompt)
    assert task.sentence.endswith(".")


def test_answers_by_hand():
    answers = {"copy": ("fbad:", "fbad"), "reverse": ("fbad:", "dabf"), "sort": ("fbad:", "abdf"), "addition": ("007+995=", "1002"),
               "modular": ("Z+c=", "b"), "brackets": ("([]{(=", ")})")}
    assert answers.keys() == TASKS.keys()
    for name, (question, answer) in answers.items():
        assert TASKS[name].answer(question) == answer


@given(st.lists(st.sampled_from("([{"), max_size=9))
def test_brackets_that_are_all_open_are_closed_backwards(brackets):
    assert closing("".join(brackets) + "=") == "".join(PAIRS[bracket] for bracket in reversed(brackets))


def nats_by_counting(probabilities: dict[str, float]) -> dict[str, list[float]]:
    """The nats of each character of each question, from the probabilities of all questions."""
    by_beginning = defaultdict(float)
    for question, probability in probabilities.items():
        for end in range(len(question) + 1):
            by_beginning[question[:end]] += probability
    return {question: [math.log(by_beginning[question[:i]] / by_beginning[question[:i + 1]]) for i in range(len(question))]
            for question in probabilities}


def test_the_nats_of_words_are_those_of_all_words_counted(monkeypatch):
    monkeypatch.setattr(tasks, "SHORTEST", 1)
    monkeypatch.setattr(tasks, "LONGEST", 3)
    monkeypatch.setattr(tasks, "ascii_lowercase", "abcd")
    words = {"".join(word) + ":": 1 / 3 / math.perm(4, n) for n in (1, 2, 3) for word in itertools.permutations("abcd", n)}
    expected, rng = nats_by_counting(words), random.Random(1)
    for text, nats in {question.text: question.nats for question in (tasks.word(rng) for _ in range(2000))}.items():
        assert nats == pytest.approx(expected[text])


def test_the_nats_of_numbers_are_those_of_all_numbers_counted(monkeypatch):
    monkeypatch.setattr(tasks, "RESIDUES", "0abcd")
    monkeypatch.setattr(tasks, "DIGITS", 1)
    for ask, numbers in ((tasks.two_residues, "0abcd"), (tasks.two_numbers, "0123456789")):
        expected = nats_by_counting({f"{a}+{b}=": len(numbers) ** -2 for a in numbers for b in numbers})
        rng = random.Random(2)
        asked = {question.text: question.nats for question in (ask(rng) for _ in range(2000))}
        assert asked.keys() == expected.keys()
        for text, nats in asked.items():
            assert nats == pytest.approx(expected[text])


def test_the_nats_of_brackets_are_how_often_they_come(monkeypatch):
    """exp(-nats) of a whole question against its share among many."""
    monkeypatch.setattr(tasks, "SHORTEST", 1)
    monkeypatch.setattr(tasks, "LONGEST", 3)
    rng, n = random.Random(3), 60_000
    asked = [tasks.brackets(rng) for _ in range(n)]
    shares, nats = Counter(question.text for question in asked), {question.text: sum(question.nats) for question in asked}
    assert sum(math.exp(-value) for value in nats.values()) == pytest.approx(1)
    for text, count in shares.items():
        probability = math.exp(-nats[text])
        assert abs(count - n * probability) < 5 * math.sqrt(n * probability), text
