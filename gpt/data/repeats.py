"""Random words written twice, the smallest text in which looking back helps; its perfect loss has a closed form."""

import math
import random
import string
from collections.abc import Iterator

from gpt.data.known import Known, Piece, nats_of_ending, nats_of_going_on, write_down

SHORTEST, LONGEST = 8, 24  # letters of a word
KINDS = ("first copy", "second copy", "end of line")
FIRST, SECOND, END = range(3)


def repeats(size: int, seed: int) -> tuple[str, Known]:
    """At least `size` characters of lines, each a random word of 8 to 24 letters written twice, and what is known about them. The second
    half of a line can be predicted by looking back, which is what induction heads learn to do (Olsson et al. 2022, 2209.11895). No letter
    occurs twice in a word, so the current letter alone determines the next; with repeated letters no induction head formed within 500
    steps."""
    return write_down(lines(random.Random(seed)), size, KINDS)


def lines(rng: random.Random) -> Iterator[list[Piece]]:
    """Line after line, without an end."""
    while True:
        length = rng.randint(SHORTEST, LONGEST)
        word = "".join(rng.sample(string.ascii_lowercase, k=length))
        yield list(zip(f"{word}{word}\n", NATS[length], [FIRST] * length + [SECOND] * length + [END], strict=True))


def nats_of_line(length: int) -> list[float]:
    """Of each character of a line whose word has so many letters. The reader knows the word's letters so far, i of them.

    From the shortest word on, each length that is left is equally likely, and a word that ends here is followed by its own first letter
    again, which no longer word can have at this place; else one of the 26 - i other letters follows. The rest of the second copy, and the
    end of the line, are certain.
    """
    nats = []
    for i in range(length):
        nats.append(nats_of_going_on(i, SHORTEST, LONGEST) + math.log(len(string.ascii_lowercase) - i))
    return [*nats, nats_of_ending(length, LONGEST), *[0.0] * length]


NATS = {length: nats_of_line(length) for length in range(SHORTEST, LONGEST + 1)}
