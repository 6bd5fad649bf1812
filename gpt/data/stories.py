"""Short children's stories generated from a grammar: a corpus of any size, with no download and no licence question.

A corpus for a tiny GPT should be simple enough to learn in a minute, and should still require attention. So
the sentences are few and regular, while every story invents facts that appear only in its own beginning: names
made of syllables, "the green bell", a spell, a sum. A model that writes "Tavim" again three sentences later
has looked back and copied; heads that do so are called induction heads (Olsson et al. 2022,
https://arxiv.org/abs/2209.11895).

Read top to bottom: tables of words, what a story invents, sentences that plots share, plots, stories.
"""

import random
from collections.abc import Iterator
from typing import NamedTuple

__all__ = ["stories", "story"]

# Names: start, middle, end. She-names end in "a" and he-names in a consonant, so a name tells its pronoun.
STARTS = [consonant + vowel for consonant in "BFGKLMNRSTVZ" for vowel in "aeio"]
MIDDLES = [consonant + vowel for consonant in "bdlmnrsvz" for vowel in "aeo"]
ENDS = {"she": ("la", "na", "ra", "da", "ma", "sa", "va", "lia", "nia"),
        "he": [letter + rest for letter in "bdlmnrsv" for rest in ("ek", "ik", "il", "im", "em", "ok")]}
SPELL_ENDS = ("bra", "dum", "fli", "go", "kum", "lu", "mi", "pa", "tro", "zu", "zum")

# People and animals.
PRONOUNS = {"she": ("she", "her", "her"), "he": ("he", "him", "his")}
ANYONE = ("fox", "owl", "bear", "mouse", "rabbit", "frog", "duck", "cat", "goat", "hedgehog", "otter",
          "elephant", "baker", "sailor", "farmer", "painter", "shepherd", "gardener", "tailor")
KINDS = {"she": ("girl", "princess", "witch", "fairy", *ANYONE),
         "he": ("boy", "prince", "wizard", "giant", *ANYONE)}
TRAITS = ("brave", "kind", "shy", "curious", "clever", "gentle", "merry", "lonely", "sleepy", "young",
          "eager", "quiet", "hungry", "cheerful", "patient", "proud", "busy")

# Things. The verb (present, past) belongs to no other thing, and the material suits it.
THINGS = {"bell": ("ring", "rang", "brass"), "drum": ("beat", "beat", "tin"),
          "kite": ("fly", "flew", "paper"), "boat": ("sail", "sailed", "wooden"),
          "lamp": ("light", "lit", "glass"), "book": ("read", "read", "leather"),
          "ball": ("bounce", "bounced", "rubber"), "whistle": ("blow", "blew", "silver"),
          "hat": ("wear", "wore", "straw"), "flute": ("play", "played", "bamboo"),
          "cup": ("drink from", "drank from", "clay"), "sled": ("ride", "rode", "pine")}
NOUNS = tuple(THINGS)
COLOURS = ("red", "blue", "green", "yellow", "orange", "purple", "white", "black", "pink", "golden")
SIZES = ("tiny", "huge")
FOODS = {"apple": "apples", "pear": "pears", "plum": "plums", "berry": "berries", "nut": "nuts",
         "carrot": "carrots", "cherry": "cherries", "bun": "buns", "peach": "peaches", "fig": "figs"}
NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")

# Where and when. A place fits after "lived" and after "the happiest fox".
PLACES = ("by the sea", "near the dark forest", "on the windy hill", "in the deep valley", "beside the river",
          "behind the mill", "under the old bridge", "at the end of the road", "on the island",
          "in the tall tower", "near the mountain", "in the village")
SPOTS = ("under the bed", "behind the door", "in the well", "in the garden", "on the roof", "in the barn",
         "behind the clock", "under the stairs", "in the tall grass", "between two stones", "under a leaf")
WHENS = ("One day", "One morning", "One rainy morning", "One windy day", "One summer day", "One Sunday")
TRAPS = ("the mud", "the net", "the thorn bush", "the hollow tree", "the ditch", "the chimney")
THIEVES = ("strong wind", "sly crow", "big wave", "silly goose", "dark cloud", "naughty monkey", "old pirate")
RHYMES = ("Little {}, stay with me, by the river and the sea!",
          "Sun and moon and stars so bright, keep my {} safe tonight!",
          "One for rain and two for snow, little {}, never go!",
          "High and low and far and near, little {}, stay right here!",
          "Earth and water, wind and sky, here we are, my {} and I!")


class Character(NamedTuple):
    """Somebody in a story. Prints as the name, so that f"{hero} smiled" reads like the sentence it makes."""

    name: str
    kind: str  # "fox"
    who: str   # "shy fox"
    he: str    # or "she", and so on
    him: str
    his: str

    def __str__(self) -> str:
        return self.name


class Thing(NamedTuple):
    """An object in a story. Prints with its look, as in "green bell", so the look is the same in every sentence."""

    look: str
    noun: str
    verb: str
    past: str

    def __str__(self) -> str:
        return f"{self.look} {self.noun}"


def a(phrase: object) -> str:
    """The phrase after "a" or "an". The first letter decides: the tables hold no "hour" and no "unicorn"."""
    return f"an {phrase}" if str(phrase)[0] in "aeiou" else f"a {phrase}"


def cap(text: str) -> str:
    """The text with a capital first letter (str.capitalize would lower the names inside)."""
    return text[0].upper() + text[1:]


def count(number: int, food: str) -> str:
    """A counted food: "one apple", "five apples"."""
    return f"{NUMBERS[number]} {food if number == 1 else FOODS[food]}"


def invent_character(rng: random.Random, pronoun: str) -> Character:
    """Somebody named like Tavim, Bolemik or Norela: tens of thousands, too many to learn by heart."""
    middle = rng.choice(MIDDLES) if pronoun == "she" or rng.random() < 0.5 else ""
    name = rng.choice(STARTS) + middle + rng.choice(ENDS[pronoun])
    kind = rng.choice(KINDS[pronoun])
    return Character(name, kind, f"{rng.choice(TRAITS)} {kind}", *PRONOUNS[pronoun])


def invent_pair(rng: random.Random) -> tuple[Character, Character]:
    """A hero and a friend with nothing in common, not even the pronoun: "she" can only be one of them."""
    hero, friend = (invent_character(rng, pronoun) for pronoun in rng.sample(("she", "he"), 2))
    alike = hero.name[0] == friend.name[0] or set(hero.who.split()) & set(friend.who.split())
    return invent_pair(rng) if alike else (hero, friend)


def invent_thing(rng: random.Random, *nouns: str) -> Thing:
    """One of the nouns (of all, if none is given) with a look: a colour, a size or its material."""
    noun = rng.choice(nouns or NOUNS)
    verb, past, material = THINGS[noun]
    look = rng.choice(COLOURS) if rng.random() < 0.67 else rng.choice((*SIZES, material, material))
    return Thing(look, noun, verb, past)


def invent_spell(rng: random.Random) -> str:
    """Three magic words like "Zozum tabra lemi"."""
    return cap(" ".join(start.lower() + rng.choice(SPELL_ENDS) for start in rng.sample(STARTS, 3)))


# Sentences that plots share.

def opening(rng: random.Random, hero: Character, place: str) -> str:
    """Who the story is about, and where; half of the stories begin with "Once there was"."""
    who, kind, his = a(hero.who), a(hero.kind), cap(hero.his)
    return rng.choice((
        f"Once there was {who} named {hero} who lived {place}.",
        f"Once there was {who} named {hero} who lived {place}.",
        f"Once there was {who} {place}. {his} name was {hero}.",
        f"Once there was {kind} named {hero}, and {hero.he} lived {place}.",
        f"Once upon a time, {who} named {hero} lived {place}.",
        f"{cap(place)} there lived {who} named {hero}.",
        f"{hero} was {who} who lived {place}.",
        f"Long ago, {kind} lived {place}. {his} name was {hero}.",
    ))


def ownership(rng: random.Random, hero: Character, thing: Thing) -> str:
    """What the hero has, and how it looks."""
    he = cap(hero.he)
    return rng.choice((
        f"{he} had {a(thing)} and loved it very much.",
        f"{he} had {a(thing)}, and {hero.he} {thing.past} it every day.",
        f"Most of all, {hero} loved {hero.his} {thing}.",
        f"{hero} never went out without {hero.his} {thing}.",
    ))


def friendship(rng: random.Random, hero: Character, friend: Character) -> str:
    """Whom the hero knows."""
    return rng.choice((
        f"{cap(hero.his)} best friend was {a(friend.who)} named {friend}.",
        f"{cap(hero.he)} had a friend named {friend}, {a(friend.who)}.",
        f"{cap(a(friend.who))} named {friend} lived next door.",
    ))


def ending(rng: random.Random, hero: Character, place: str) -> str:
    """A happy end that remembers the hero, and often the kind or the place."""
    return rng.choice((
        f"{hero} was the happiest {hero.kind} {place}.",
        f"{hero} the {hero.kind} was never sad again.",
        f"{hero} still tells this story {place}.",
        f"Everybody {place} knows this story about {hero}.",
    ))


# Plots: the sentences after the opening. Each plot draws its facts first and then keeps to them.

def lost(rng: random.Random, hero: Character, friend: Character) -> Iterator[str]:
    """A thing is gone, and a stranger knows the spot."""
    thing, (wrong, right) = invent_thing(rng), rng.sample(SPOTS, 2)
    yield ownership(rng, hero, thing)
    yield f"{rng.choice(WHENS)} it was gone. {cap(hero.he)} looked {wrong}, but it was not there."
    yield f"Then {hero.he} met {a(friend.who)} named {friend}."
    yield f'"{rng.choice(("Have you seen", "Where is", "Can you find"))} my {thing}?" asked {hero}.'
    yield f'"Look {right}," said {friend}.'
    yield f"{hero} looked {right}, and there it was!"
    yield rng.choice((f'"Thank you, {friend}!" said {hero}.',
                      f"{hero} thanked {friend} and never lost the {thing} again.",
                      f"{hero} {thing.past} the {thing} again, and {friend} smiled."))


def magic(rng: random.Random, hero: Character, friend: Character) -> Iterator[str]:
    """A box opens to a spell, and what is in it obeys; the words must be exactly the same each time."""
    thing, spell = invent_thing(rng), invent_spell(rng)
    box, trick = rng.choice(("chest", "box", "trunk")), rng.choice(("dance", "shine", "sing", "float"))
    yield f"{rng.choice(WHENS)} {hero.he} found a {box} {rng.choice(SPOTS)}, but it would not open."
    yield f'"The magic words are {spell}," said {a(friend.who)} named {friend}.'
    yield f'"{spell}!" cried {hero}. The {box} opened, and inside was {a(thing)}.'
    yield f'"{spell}!" cried {friend}, and the {thing} began to {trick}.'
    yield rng.choice((f"{hero} and {friend} never forgot the magic words.",
                      f"{friend} kept the {box}, and {hero} took the {thing} home."))


def sums(rng: random.Random, hero: Character, friend: Character) -> Iterator[str]:
    """Two counts are added, and sometimes a part is given away."""
    food, mine, yours = rng.choice(tuple(FOODS)), rng.randint(1, 5), rng.randint(1, 5)
    total, gift, got = mine + yours, rng.randint(1, mine + yours - 1), rng.choice(("found", "bought", "had"))
    yield friendship(rng, hero, friend)
    yield f"{rng.choice(WHENS)} {hero} {got} {count(mine, food)}, and {friend} {got} {count(yours, food)}."
    yield f'"How many {FOODS[food]} do we have?" asked {hero}.'
    yield f'"{cap(count(mine, food))} and {count(yours, food)} make {count(total, food)}," said {friend}.'
    yield rng.choice((f"{hero} and {friend} ate them all under a tree.",
                      f"They gave {count(gift, food)} to a beggar and kept {count(total - gift, food)}."))


def wish(rng: random.Random, hero: Character, friend: Character) -> Iterator[str]:
    """A friend wishes for a colour, and the hero must remember it at the market."""
    thing, often = invent_thing(rng), rng.choice(("every day", "every morning", "every evening"))
    offers = [thing._replace(look=colour) for colour in rng.sample(COLOURS, 3)]
    wished = rng.choice(offers)
    yield friendship(rng, hero, friend)
    yield f'"I wish I had {a(wished)}," said {friend}.'
    yield f"{rng.choice(WHENS)} {hero} saw {a(offers[0])}, {a(offers[1])} and {a(offers[2])} at the market."
    yield f"{cap(hero.he)} remembered the wish and bought the {wished}."
    yield f'"Thank you, {hero}!" cried {friend}.'
    yield f"From then on {friend} {wished.past} the {wished} {often}."


def trade(rng: random.Random, hero: Character, friend: Character) -> Iterator[str]:
    """Two things change hands; the reader must keep track of them."""
    mine, yours = (invent_thing(rng, noun) for noun in rng.sample(NOUNS, 2))
    yield friendship(rng, hero, friend)
    yield f"{hero} had {a(mine)}, and {friend} had {a(yours)}."
    yield f'{rng.choice(WHENS)} {hero} said, "I like your {yours.noun}."'
    yield f'"And I like your {mine.noun}," said {friend}.'
    yield f"So {hero} took the {yours}, and {friend} took the {mine}."
    yield f"{hero} {yours.past} the {yours.noun}, and {friend} {mine.past} the {mine.noun}."


def song(rng: random.Random, hero: Character, friend: Character) -> Iterator[str]:
    """A thief gives back what a song asks for; the friend has no part in it."""
    thing, thief, rhyme = invent_thing(rng), rng.choice(THIEVES), rng.choice(RHYMES)
    rhyme = rhyme.format(thing.noun)
    yield ownership(rng, hero, thing)
    yield f'Every evening {hero} sang, "{rhyme}"'
    yield f"{rng.choice(WHENS)} {a(thief)} took the {thing} away."
    yield f'{hero} {rng.choice(("ran outside", "climbed a tree", "opened the window"))} and sang, "{rhyme}"'
    yield f"The {thief} heard the song and brought the {thing} back to {hero}."


def rescue(rng: random.Random, hero: Character, friend: Character) -> Iterator[str]:
    """Help is given, and comes back in winter."""
    thing, trap = invent_thing(rng, "lamp", "bell", "whistle", "drum"), rng.choice(TRAPS)
    cry = rng.choice(("Help", "Help me", "I am stuck"))
    yield f"{rng.choice(WHENS)} {hero.he} found {a(friend.who)} named {friend} in {trap}."
    yield f'"{cry}!" cried {friend}, and {hero} pulled {friend.him} out of {trap}.'
    yield f'"I will not forget this," said {friend}.'
    yield f"When winter came, {hero} was lost in the snow."
    yield f"Then {friend} {thing.past} {a(thing)} and led {hero.him} home."
    yield f'"You pulled me out of {trap}, {hero}," said {friend}, "and I did not forget."'


def riddle(rng: random.Random, hero: Character, friend: Character) -> Iterator[str]:
    """A wrong and a right guess of what is in the bag: the verb tells the thing."""
    look, nouns = rng.choice(COLOURS), rng.sample(NOUNS, 2)
    wrong, right = (invent_thing(rng, noun)._replace(look=look) for noun in nouns)
    yield friendship(rng, hero, friend)
    yield f'{rng.choice(WHENS)} {friend} said, "What have I got? It is {look}, and you can {right.verb} it."'
    yield f'"{cap(a(wrong))}?" asked {hero}. "No, you cannot {right.verb} {a(wrong.noun)}," said {friend}.'
    yield f'"Then it is {a(right)}!" said {hero}.'
    yield f'{friend} {rng.choice(("laughed", "smiled", "nodded"))} and gave {hero} the {right}.'


PLOTS = (lost, magic, sums, wish, trade, song, rescue, riddle)


def story(rng: random.Random) -> str:
    """One story in one paragraph; two in five say at the very end how happy the hero was."""
    (hero, friend), place, plot = invent_pair(rng), rng.choice(PLACES), rng.choice(PLOTS)
    end = [ending(rng, hero, place)] if rng.random() < 0.4 else []
    return " ".join((opening(rng, hero, place), *plot(rng, hero, friend), *end))


def stories(size: int, seed: int = 0) -> str:
    """At least `size` characters of ASCII: whole stories with a blank line between them.

    The same seed gives the same text on every machine, and a longer text begins with the shorter one.
    """
    rng, parts, length = random.Random(seed), [], 0
    while length < size:
        parts.append(story(rng))
        length += len(parts[-1]) + (2 if len(parts) > 1 else 0)
    return "\n\n".join(parts)
