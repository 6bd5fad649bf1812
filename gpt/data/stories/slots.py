"""What the slots of the stories say: names, pronouns, a refrain, a sum, and words drawn from tables."""

from collections.abc import Callable, Sequence

from gpt.data.stories import words
from gpt.data.stories.grammar import CHOICE, NAME_AGAIN, NEW_NAME, NEW_REFRAIN, PLAIN, REFRAIN_AGAIN, SAID_BEFORE, SUM, Draws, Slot, Story

WORDS_OF_A_TUNE = (3, 4)
OBLIQUE = {"she": ("her", "her"), "he": ("his", "him")}


def drawn(table: Sequence[str], *others: str) -> Slot:
    """A word of a table, another one than the slots `others` say."""
    return Slot(lambda story: story.draw_other(table, others), CHOICE, SAID_BEFORE)


def follows(fill: Callable[[Story], str], kind: int = PLAIN) -> Slot:
    """What is certain, given what other slots say."""
    return Slot(fill, kind, kind)


def name(pronoun: str, other: str) -> Slot:
    """A name for somebody whose pronoun the slot `pronoun` says, with another first letter than that of the slot `other`."""
    def fill(story: Story) -> str:
        ends, among = words.NAME_ENDS[story[pronoun]], story.draws.among
        taken = story.said.get(other, " ")[0]
        start = among([start for start in words.NAME_STARTS if start[0] != taken])
        middle = among(words.NAME_MIDDLES) if among((True, False)) else ""
        return start + middle + among(ends)

    return Slot(fill, NEW_NAME, NAME_AGAIN)


def tune(story: Story) -> str:
    """A few words of two syllables that mean nothing, like "vifa lusa toro". No syllable begins or ends two of them, so each tells what
    comes next when the tune is sung again."""
    count = story.draws.among(WORDS_OF_A_TUNE)
    begins, ends = (different(story.draws, words.SYLLABLES, count) for _ in range(2))
    return " ".join(begin + end for begin, end in zip(begins, ends, strict=True))


def different(draws: Draws, options: Sequence[str], count: int) -> list[str]:
    """So many different ones of `options`, in random order."""
    left = list(options)
    drawn_words = []
    for _ in range(count):
        drawn_words.append(draws.among(left))
        left.remove(drawn_words[-1])
    return drawn_words


def total(story: Story) -> str:
    """What two numbers make."""
    return words.NUMBERS[words.NUMBERS.index(story["n"]) + words.NUMBERS.index(story["n2"])]


TABLES = {
    "trait": words.TRAITS, "kind": words.KINDS, "beast": words.BEASTS, "preposition": words.PREPOSITIONS, "air": words.AIRS,
    "land": words.LANDS, "time": words.TIMES, "spot": words.SPOTS, "look": words.LOOKS, "thing": words.THINGS, "box": words.BOXES,
    "foods": words.FOODS, "n": words.NUMBERS[2:7], "call": words.CALLS, "trick": words.TRICKS, "feeling": words.FEELINGS,
    "thief": words.THIEVES, "manner": words.MANNERS, "weather": words.WEATHERS, "chore": words.CHORES, "chase": words.CHASES,
    "tree": words.TREES, "flower": words.FLOWERS, "room": words.ROOMS,
}


def of_table(name: str, table: Sequence[str]) -> dict[str, Slot]:
    """Three slots for three different words of a table."""
    names = (name, f"{name}2", f"{name}3")
    return {slot: drawn(table, *(other for other in names if other != slot)) for slot in names}


SLOTS = {
    "he": Slot(lambda story: story.draws.among(("she", "he")), CHOICE, PLAIN),  # the hero's pronouns
    "his": follows(lambda story: OBLIQUE[story["he"]][0]), "him": follows(lambda story: OBLIQUE[story["he"]][1]),
    "other": follows(lambda story: "he" if story["he"] == "she" else "she"),  # the friend's
    "hero": name("he", "friend"), "friend": name("other", "hero"),
    "shout": Slot(drawn(words.SHOUTS).fill, CHOICE, REFRAIN_AGAIN), "tune": Slot(tune, NEW_REFRAIN, REFRAIN_AGAIN),
    "where": Slot(lambda story: f"{story['preposition']} the {story['air']} {story['land']}", CHOICE, SAID_BEFORE),
    "sum": follows(total, SUM),
    **{slot: fill for name, table in TABLES.items() for slot, fill in of_table(name, table).items()},
}
