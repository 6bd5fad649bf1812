"""Short children's stories generated from a grammar: a text of any size, with no download and no licence question, whose perfect loss is
known.

Every story invents what appears only in it: names made of syllables, "the green bell", a sum, and above all a refrain of words that mean
nothing and return word for word. A model that writes "vifa lusa" again three sentences later has looked back and copied; heads that do so
are called induction heads (Olsson et al. 2022, 2209.11895).
"""

import random
from collections.abc import Iterator

from gpt.data.known import Known, Piece, write_down
from gpt.data.stories.grammar import KINDS, Draws, Story
from gpt.data.stories.plots import ENDING, OPENING, PLOTS
from gpt.data.stories.slots import SLOTS


def stories(size: int, seed: int = 0) -> tuple[str, Known]:
    """At least `size` characters of ASCII, whole stories with a blank line after each, and what is known about them. The same seed gives
    the same text on every machine, and a longer text begins with the shorter one."""
    return write_down(all_stories(random.Random(seed)), size, KINDS)


def all_stories(rng: random.Random) -> Iterator[list[Piece]]:
    """Story after story, without an end."""
    while True:
        yield story(Draws(rng))


def story(draws: Draws) -> list[Piece]:
    """One story in one paragraph."""
    written = Story(draws, SLOTS)
    written.tell([OPENING])
    written.tell([*written.choose(PLOTS), ENDING])
    return written.end("\n\n")
