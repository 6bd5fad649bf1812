"""Small tasks with known algorithms. Each line asks a question at random and answers it, so the answer has no nats at all: what a model
still loses there, it has not learned."""

import math
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from string import ascii_letters, ascii_lowercase
from typing import NamedTuple

from gpt.data.known import ANSWER as ANSWER_KIND
from gpt.data.known import Known, Piece, nats_of_ending, nats_of_going_on, write_down

KINDS = ("question", ANSWER_KIND, "end of line")
QUESTION, ANSWER, END = range(len(KINDS))
SHORTEST, LONGEST = 4, 8  # letters of a word, and brackets of a question
DIGITS = 3  # of the numbers to add
RESIDUES = "0" + ascii_letters  # one sign for each number of modular addition, from 0 to 52
PAIRS = {"(": ")", "[": "]", "{": "}"}
CLOSES = 0.5  # probability that a question closes its last bracket, if one is open


class Question(NamedTuple):
    """What is asked, and the nats of each of its characters."""

    text: str
    nats: list[float]


def word(rng: random.Random) -> Question:
    """SHORTEST to LONGEST different letters, each length equally likely, and a colon."""
    length = rng.randint(SHORTEST, LONGEST)
    letters = rng.sample(ascii_lowercase, k=length)
    nats = [nats_of_going_on(i, SHORTEST, LONGEST) + math.log(len(ascii_lowercase) - i) for i in range(length)]
    return Question("".join(letters) + ":", [*nats, nats_of_ending(length, LONGEST)])


def two_numbers(rng: random.Random) -> Question:
    """Two numbers of DIGITS digits, such as 047+912=."""
    digits = [math.log(10)] * DIGITS
    return Question("+".join(f"{rng.randrange(10 ** DIGITS):0{DIGITS}d}" for _ in range(2)) + "=", [*digits, 0.0, *digits, 0.0])


def two_residues(rng: random.Random) -> Question:
    """Two numbers, each one sign of RESIDUES, such as c+Z=."""
    return Question(f"{rng.choice(RESIDUES)}+{rng.choice(RESIDUES)}=", [math.log(len(RESIDUES)), 0.0] * 2)


def brackets(rng: random.Random) -> Question:
    """SHORTEST to LONGEST brackets, of which some are left open, and an equals sign."""
    length, text, nats, is_open = rng.randint(SHORTEST, LONGEST), "", [], []
    for i in range(length):
        closes = bool(is_open) and rng.random() < CLOSES
        text += PAIRS[is_open.pop()] if closes else rng.choice(list(PAIRS))
        chosen = -math.log(CLOSES if closes else (1 - CLOSES if is_open else 1.0) / len(PAIRS))
        nats.append(chosen + nats_of_going_on(i, SHORTEST, LONGEST))
        is_open += [] if closes else [text[-1]]
    return Question(text + "=", [*nats, nats_of_ending(length, LONGEST)])


def sum_of(question: str) -> int:
    return sum(int(number) for number in question.rstrip("=").split("+"))


def sum_of_residues(question: str) -> str:
    first, second = (RESIDUES.index(sign) for sign in question.rstrip("=").split("+"))
    return RESIDUES[(first + second) % len(RESIDUES)]


def closing(question: str) -> str:
    """What closes all brackets that are open."""
    is_open: list[str] = []
    for bracket in question.rstrip("="):
        if bracket in PAIRS:
            is_open.append(bracket)
        else:
            is_open.pop()
    return "".join(PAIRS[bracket] for bracket in reversed(is_open))


@dataclass(frozen=True)
class Task:
    """A `sentence` on what is to be learned and on the heads that one expects, a `prompt`, and how a question is made and answered."""

    sentence: str
    prompt: str
    question: Callable[[random.Random], Question]
    answer: Callable[[str], str]

    def lines(self, rng: random.Random) -> Iterator[list[Piece]]:
        """Line after line, without an end."""
        while True:
            text, nats = self.question(rng)
            question = [(character, each, QUESTION) for character, each in zip(text, nats, strict=True)]
            yield [*question, *((character, 0.0, ANSWER) for character in self.answer(text)), ("\n", 0.0, END)]

    def make(self, size: int, seed: int) -> tuple[str, Known]:
        """At least `size` characters of lines, and what is known about them."""
        return write_down(self.lines(random.Random(seed)), size, KINDS)


TASKS = {
    "copy": Task("Letters, then the same again. Expect an induction head, which looks for the place after the same letter.",
                 "abcdefg:", word, lambda question: question[:-1]),
    "reverse": Task("Letters, then the same backwards. Expect a head that looks at what stands before the same letter.",
                    "abcdefg:", word, lambda question: question[-2::-1]),
    "sort": Task("Letters, then the same in alphabetical order. Expect a head that looks at the next larger letter, wherever it stands.",
                 "fdbace:", word, lambda question: "".join(sorted(question[:-1]))),
    "addition": Task("Two numbers of three digits and their sum. Expect heads at a fixed distance, one for each number: digits of the same "
                     "place, and of the place after it, which may carry.",
                     "047+912=", two_numbers, lambda question: f"{sum_of(question):0{DIGITS + 1}d}"),
    "modular": Task(f"Two numbers from 0 to {len(RESIDUES) - 1}, each written as one sign (0, a, b ... Z), and the rest of their sum "
                    f"divided by {len(RESIDUES)}. Expect heads that read both alike, since their order does not matter; the rest is "
                    "arithmetic of the feed-forward layers (Nanda et al. 2023, 2301.05217).", "c+Z=", two_residues, sum_of_residues),
    "brackets": Task("Brackets, some left open, then what closes them. Expect a head that looks at the last bracket that is still open.",
                     "([]{(=", brackets, closing),
}
