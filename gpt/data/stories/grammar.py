"""A grammar that remembers: sentences with slots, and the exact probability of every text that they make.

A slot is filled by chance where it is mentioned first, and says the same again afterwards. All options of a choice are equally likely, so
a text that was made by choices among n1, n2 ... options has the probability 1/n1 * 1/n2 * ..., if no other choices make the same text:
each choice must show in the text (tests/data/test_stories.py proves that of a small grammar by writing all its texts).
"""

import math
import random
import re
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, TypeVar

from gpt.data.known import Piece

Option = TypeVar("Option")

KINDS = ("plain words", "free choice", "new name", "name again", "new refrain", "refrain again", "said before", "sum", "closing mark")
PLAIN, CHOICE, NEW_NAME, NAME_AGAIN, NEW_REFRAIN, REFRAIN_AGAIN, SAID_BEFORE, SUM, CLOSING = range(len(KINDS))

MENTION = re.compile(r"\{(\w+ )?(\w+)\}")  # {hero}, {a kind}, {Time}
LITERAL = re.compile(r"""
    (?P<closing> (?: (?<=\S)" | \) ) [.,!?:]* )  # the closing mark of a quotation or of a bracket, with the stop after it
    | \s* ["(]+                                 # an opening mark, with the blank before it
    | \s* [^\s.,!?:"()]+                       # a word
    | [.,!?:]+
    | \s+""", re.VERBOSE)
LOGARITHMS = [0.0, *map(math.log, range(1, 1000))]


class Draws:
    """Chooses among options, all equally likely, and adds up, in `nats`, the logarithms of their numbers."""

    def __init__(self, rng: random.Random):
        self._random, self.nats = rng.random, 0.0

    def index(self, count: int) -> int:
        """A number from 0 to `count` - 1, which is not counted."""
        return int(self._random() * count)

    def among(self, options: Sequence[Option]) -> Option:
        self.nats += LOGARITHMS[len(options)]
        return options[self.index(len(options))]


class Slot(NamedTuple):
    """`fill` draws what the slot says in a story. Its first mention is of kind `first`, all later ones are of kind `again`."""

    fill: Callable[["Story"], str]
    first: int
    again: int


class Symbol(NamedTuple):
    """A part of a sentence: a literal `text` of a `kind`, or else a mention of the slot `name`, perhaps after an article, perhaps with a
    capital first letter. `nats` belong to the choice of this sentence among others that begin with the same symbols."""

    text: str
    kind: int = PLAIN
    name: str = ""
    article: bool = False
    capital: bool = False
    nats: float = 0.0


def parse(sentence: str) -> list[Symbol]:
    """The symbols of a sentence like "{Time} {hero} saw {a kind}.": words, stops, marks, mentions of slots, at the end an empty text."""
    symbols, end = [], 0
    for mention in MENTION.finditer(sentence):
        symbols += _literals(sentence[end:mention.start()], sentence[:end][-1:])
        article, name = mention.groups()
        symbols.append(Symbol("", name=name.lower(), article=article is not None, capital=(article or name)[0].isupper()))
        end = mention.end()
    return [*symbols, *_literals(sentence[end:], sentence[:end][-1:]), Symbol("")]


def _literals(text: str, before: str) -> list[Symbol]:
    """The words, stops and marks of a text between two slots; `before` is empty if it begins the sentence."""
    return [Symbol(match.group(), CLOSING if match.lastgroup else PLAIN) for match in LITERAL.finditer(before + text, len(before))]


class Sentences:
    """Sentences of which one is chosen. Where some begin alike, the choice among them is made at the symbol where they part."""

    def __init__(self, *sentences: str):
        self.sentences = sentences
        parsed = [parse(sentence) for sentence in sentences]
        self.symbols = [_with_nats(symbols, parsed) for symbols in parsed]


def _with_nats(symbols: list[Symbol], sentences: list[list[Symbol]]) -> list[Symbol]:
    """The symbols of one of `sentences`, with the nats of choosing it, and with words that are certain joined together."""
    joined = []
    for i, symbol in enumerate(symbols):
        before, after = (sum(other[:end] == symbols[:end] for other in sentences) for end in (i, i + 1))
        nats = math.log(before / after)
        last = joined[-1] if joined else Symbol("", name="none")
        if symbol.text and last.text and not nats and not last.nats and symbol.kind == last.kind:
            joined[-1] = last._replace(text=last.text + symbol.text)
        else:
            joined.append(symbol._replace(nats=nats))
    return [symbol for symbol in joined if symbol.text or symbol.name or symbol.nats]


class Story:
    """A story while it is written: what its slots say so far, and its pieces."""

    def __init__(self, draws: Draws, slots: Mapping[str, Slot]):
        self.draws, self.slots = draws, slots
        self.said: dict[str, str] = {}
        self.pieces: list[Piece] = []
        self._waiting = 0.0  # nats of a choice that shows in the next piece: a sentence that is left out, or the plot

    def __getitem__(self, name: str) -> str:
        """What a slot says, drawn now if it was not mentioned before."""
        text = self.said.get(name)
        if text is None:
            text = self.said[name] = self.slots[name].fill(self)
        return text

    def draw_other(self, words: Sequence[str], names: Sequence[str]) -> str:
        """One of `words` that none of the slots `names` says."""
        used = [self.said[name] for name in names if name in self.said]
        return self.draws.among([word for word in words if word not in used] if used else words)

    def choose(self, plots: Sequence[Sequence[Sentences]]) -> Sequence[Sentences]:
        """One of `plots`; the next words show which."""
        self._waiting += LOGARITHMS[len(plots)]
        return plots[self.draws.index(len(plots))]

    def tell(self, plot: Sequence[Sentences]) -> None:
        """Write one sentence of each member of `plot`, with blanks between them."""
        for sentences in plot:
            blank = " " if self.pieces else ""
            for symbol in sentences.symbols[self.draws.index(len(sentences.symbols))]:
                self._waiting += symbol.nats
                text, kind = self._mention(symbol) if symbol.name else (symbol.text, symbol.kind)
                if text:
                    self.pieces.append((blank + text, self._waiting, CHOICE if self._waiting and kind == PLAIN else kind))
                    self._waiting, blank = 0.0, ""

    def end(self, text: str) -> list[Piece]:
        """The pieces of the whole story, with `text` at its end."""
        return [*self.pieces, (text, self._waiting, CHOICE if self._waiting else PLAIN)]

    def _mention(self, symbol: Symbol) -> tuple[str, int]:
        """What a mention of a slot says, and its kind; the nats of what is drawn now are added to those that wait."""
        slot, text = self.slots[symbol.name], self.said.get(symbol.name)
        kind = slot.again
        if text is None:
            before = self.draws.nats
            text, kind = self[symbol.name], slot.first
            self._waiting += self.draws.nats - before
        if symbol.article:
            text = f"an {text}" if text[0] in "aeiou" else f"a {text}"
        return (text[0].upper() + text[1:] if symbol.capital else text), kind
