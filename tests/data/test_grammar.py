"""Exact probabilities: of a small grammar, of which all texts are written down, and of the stories, which a parser reads back."""

import math
import random
import re
from collections import Counter, defaultdict
from collections.abc import Iterator

import pytest

from gpt.data.stories import all_stories, grammar, plots, words
from gpt.data.stories.grammar import CHOICE, CLOSING, NAME_AGAIN, NEW_NAME, PLAIN, SAID_BEFORE, Draws, Sentences, Slot, Story, Symbol, parse
from gpt.data.stories.slots import OBLIQUE, TABLES, WORDS_OF_A_TUNE, drawn

SLOTS = {
    "hero": Slot(lambda story: story.draws.among(("Bo", "Ba")) + story.draws.among(("la", "nia", "lania")), NEW_NAME, NAME_AGAIN),
    "thing": drawn(("egg", "ox", "red hat"), "thing2"), "thing2": drawn(("egg", "ox", "red hat"), "thing"),
}
OPENING = Sentences("{hero} had {a thing}.", "{hero} had {a thing} and {a thing2}.", "Long ago {hero} was.")
PLOTS = (
    [Sentences('"{A thing}!" said {hero}.', '"Oh {a thing2}?" said {hero} (sadly).'), Sentences("", "{hero} ran.", "{hero} ran off.")],
    [Sentences("Nobody else was there.")],
)


class GivenDraws(Draws):
    """Makes the choices it is given, then the first of each, and remembers among how many each was."""

    def __init__(self, choices: list[int]):
        super().__init__(random.Random(0))
        self.choices, self.counts = choices, []

    def index(self, count: int) -> int:
        self.counts.append(count)
        return self.choices[len(self.counts) - 1] if len(self.counts) <= len(self.choices) else 0


def all_derivations() -> Iterator[tuple[float, list]]:
    """(probability, pieces) of every way to write a story of the small grammar: the choices are counted up like an odometer."""
    choices: list[int] = []
    while True:
        draws = GivenDraws(choices)
        story = Story(draws, SLOTS)
        story.tell([OPENING])
        story.tell(story.choose(PLOTS))
        yield math.prod(1 / count for count in draws.counts), story.end("\n")
        made = [*choices, *[0] * (len(draws.counts) - len(choices))]
        while made and made[-1] == draws.counts[len(made) - 1] - 1:
            made.pop()
        if not made:
            return
        choices = [*made[:-1], made[-1] + 1]


@pytest.fixture(scope="module")
def derivations() -> list[tuple[float, list]]:
    return list(all_derivations())


def text_of(pieces: list) -> str:
    return "".join(text for text, _, _ in pieces)


def test_all_texts_of_a_small_grammar_are_different_and_their_probabilities_add_up(derivations):
    assert len({text_of(pieces) for _, pieces in derivations}) == len(derivations) > 300
    assert sum(probability for probability, _ in derivations) == pytest.approx(1)


def test_the_nats_of_a_text_are_its_probability(derivations):
    for probability, pieces in derivations:
        assert math.exp(-sum(nats for _, nats, _ in pieces)) == pytest.approx(probability)


def test_the_nats_of_each_piece_are_its_probability_after_what_is_before_it(derivations):
    """From the probabilities of all texts: P(the text up to the end of the piece) / P(the text up to its beginning)."""
    by_beginning = defaultdict(float)
    for probability, pieces in derivations:
        text = text_of(pieces)
        for end in range(len(text) + 1):
            by_beginning[text[:end]] += probability
    checked = 0
    for _, pieces in derivations:
        before = ""
        for text, nats, _ in pieces:
            after = before + text
            # "Bo" + "la" may go on as "Bolania": such a piece is certain only with the character after it.
            if not after.endswith(("Bola", "Bala")):
                wanted = by_beginning[before] / by_beginning[after]
                if not before.endswith(("Bola", "Bala")):
                    assert nats == pytest.approx(math.log(wanted), abs=1e-9), (before, text)
                    checked += 1
            before = after
    assert checked > 1000


def test_kinds_say_what_is_new_what_was_said_and_what_closes(derivations):
    pieces = next(pieces for _, pieces in derivations if text_of(pieces) == 'Bola had an egg and an ox. "Oh an ox?" said Bola (sadly).\n')
    assert [(text, kind) for text, _, kind in pieces] == [
        ("Bola", NEW_NAME), (" had ", PLAIN), ("an egg", CHOICE), (" and", CHOICE), (" ", PLAIN), ("an ox", CHOICE), (".", PLAIN),
        (' "', CHOICE), ("Oh", CHOICE), (" ", PLAIN), ("an ox", SAID_BEFORE), ("?", PLAIN), ('"', CLOSING), (" said ", PLAIN),
        ("Bola", NAME_AGAIN), (" (sadly", PLAIN), (").", CLOSING), ("\n", CHOICE)]


def test_a_sentence_is_parsed_into_words_mentions_and_closing_marks():
    assert parse('{Time} {a kind} said, "{song}!" (Yes.)') == [
        Symbol("", name="time", capital=True), Symbol(" "), Symbol("", name="kind", article=True), Symbol(" said"), Symbol(","),
        Symbol(' "'), Symbol("", name="song"), Symbol("!"), Symbol('"', CLOSING), Symbol(" ("), Symbol("Yes"), Symbol("."),
        Symbol(")", CLOSING), Symbol("")]
    assert parse("{A kind}")[0] == Symbol("", name="kind", article=True, capital=True)


# The stories, read back.

Reading = tuple[str, dict[str, str], float]  # what is left to read, what the slots say, nats so far


def derivations_of(text: str) -> list[float]:
    """The nats of every way in which the grammar could have written a story."""
    return [total for rest, said, nats in tell(text, [plots.OPENING], {}, "")
            for plot in plots.PLOTS
            for left, _, total in tell(rest, [*plot, plots.ENDING], said, " ", nats + math.log(len(plots.PLOTS)))
            if left == "\n\n"]


def tell(rest: str, plot: list[Sentences], said: dict[str, str], blank: str, nats: float = 0.0) -> Iterator[Reading]:
    if not plot:
        yield rest, said, nats
        return
    for sentence, times in Counter(plot[0].sentences).items():  # written twice, it is twice as likely
        begin, chosen = blank if sentence else "", math.log(len(plot[0].sentences) / times)
        if rest.startswith(begin):
            for after, then, more in symbols(rest[len(begin):], parse(sentence), said):
                yield from tell(after, plot[1:], then, " ", nats + more + chosen)


def symbols(rest: str, left: list[Symbol], said: dict[str, str]) -> Iterator[Reading]:
    if not left:
        yield rest, said, 0.0
        return
    symbol = left[0]
    for value, then, nats in mentions(symbol.name, said, rest) if symbol.name else [(symbol.text, said, 0.0)]:
        shown = f"{'an' if value[0] in 'aeiou' else 'a'} {value}" if symbol.article else value
        shown = shown[:1].upper() + shown[1:] if symbol.capital else shown
        if rest.startswith(shown):
            for after, last, more in symbols(rest[len(shown):], left[1:], then):
                yield after, last, nats + more


def mentions(slot: str, said: dict[str, str], rest: str) -> Iterator[tuple[str, dict[str, str], float]]:
    """(what the slot may say here, what all slots say then, nats of drawing it)."""
    if slot in said:
        yield said[slot], said, 0.0
    elif slot in ("his", "him", "other"):
        for pronoun, then, nats in mentions("he", said, rest):
            fitting = {"his": OBLIQUE[pronoun][0], "him": OBLIQUE[pronoun][1], "other": "he" if pronoun == "she" else "she"}
            yield fitting[slot], {**then, slot: fitting[slot]}, nats
    elif slot == "sum":
        for n, then, nats in mentions("n", said, rest):
            for n2, last, more in mentions("n2", then, rest):
                total = words.NUMBERS[words.NUMBERS.index(n) + words.NUMBERS.index(n2)]
                yield total, {**last, slot: total}, nats + more
    elif slot == "he":
        yield from ((value, {**said, slot: value}, math.log(2)) for value in ("she", "he"))
    elif slot in ("hero", "friend"):
        for pronoun, then, nats in mentions("he" if slot == "hero" else "other", said, rest):
            yield from ((name, {**then, slot: name}, nats + more)
                        for name, more in names(pronoun, said.get("friend" if slot == "hero" else "hero", " ")[0]) if rest.startswith(name))
    elif slot == "shout":
        yield from ((shout, {**said, slot: shout}, math.log(len(words.SHOUTS))) for shout in words.SHOUTS)
    elif slot == "tune":
        for count in WORDS_OF_A_TUNE:
            sung = re.split(r"[,.!?\"]", rest)[0].lower().split(" ")[:count]
            if len(sung) == count and all(len(word) == 4 and {word[:2], word[2:]} <= set(words.SYLLABLES) for word in sung):
                drawn = math.log(len(WORDS_OF_A_TUNE)) + 2 * math.log(math.perm(len(words.SYLLABLES), count))
                yield " ".join(sung), {**said, slot: " ".join(sung)}, drawn
    elif slot == "where":
        for preposition, then, nats in mentions("preposition", said, rest):
            for air, later, more in mentions("air", then, rest):
                for land, last, most in mentions("land", later, rest):
                    where = f"{preposition} the {air} {land}"
                    yield where, {**last, slot: where}, nats + more + most
    else:
        name = slot.rstrip("23")
        free = [word for word in TABLES[name] if word not in {said.get(name + number) for number in ("", "2", "3")}]
        yield from ((word, {**said, slot: word}, math.log(len(free))) for word in free)


def names(pronoun: str, taken: str) -> list[tuple[str, float]]:
    """Every name with its nats."""
    starts, ends = [start for start in words.NAME_STARTS if start[0] != taken], words.NAME_ENDS[pronoun]
    short, long = math.log(len(starts) * 2 * len(ends)), math.log(len(starts) * 2 * len(words.NAME_MIDDLES) * len(ends))
    return [*((start + end, short) for start in starts for end in ends),
            *((start + middle + end, long) for start in starts for middle in words.NAME_MIDDLES for end in ends)]


def test_a_story_could_have_been_written_in_one_way_only_and_has_its_probability(seed):
    stories = all_stories(random.Random(seed))
    for _ in range(60):
        pieces = next(stories)
        assert derivations_of(text_of(pieces)) == pytest.approx([sum(nats for _, nats, _ in pieces)]), text_of(pieces)


def test_the_parser_notices_a_second_way(monkeypatch):
    """A check that cannot fail is none: two plots that tell the same."""
    monkeypatch.setattr(plots, "PLOTS", (plots.LULLABY, plots.LULLABY))
    pieces = next(story for story in all_stories(random.Random(1)) if "could not sleep" in text_of(story))
    assert len(derivations_of(text_of(pieces))) == 2


def test_no_entry_of_a_table_begins_another_one():
    for name, table in TABLES.items():
        assert len(set(table)) == len(table), name
        assert not [(one, other) for one in table for other in table if other.startswith(f"{one} ")], name


def test_every_name_can_be_made_in_one_way_only():
    for pronoun in ("she", "he"):
        made = [name for name, _ in names(pronoun, " ")]
        assert len(set(made)) == len(made)
    assert grammar.KINDS[grammar.SUM] == "sum"
