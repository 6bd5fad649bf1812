"""What happens in the stories: an opening, one of the plots, and an ending, each a choice among sentences."""

from gpt.data.stories.grammar import Sentences

REFRAIN = "{shout} {tune}, {tune}"  # "Oh vifa lusa toro, vifa lusa toro"


def one_of(*sentences: str) -> Sentences:
    """One of these sentences; a {song} in it is the refrain."""
    return Sentences(*(sentence.replace("{song}", REFRAIN) for sentence in sentences))


OPENING = one_of(
    "Once there was {a trait} {kind} named {hero}.",
    "Once there was {a kind} named {hero}.",
    "Once there was {a kind} named {hero} who lived {where}.",
    "Once there was {a trait} {kind}. {His} name was {hero}.",
    "Once there lived {a kind} named {hero}.",
    "Once upon a time, {a kind} named {hero} lived {where}.",
    "Long ago there was {a trait} {kind} named {hero}.",
    "Long ago lived {hero} the {kind}.",
    "There was {a kind} whose name was {hero}.",
    "{Where} lived {hero} the {kind}.",
    "{hero} was {a trait} {kind}.",
    "{hero} the {kind} lived {where}.",
)

ENDING = one_of(
    "", "", "", "", "", "", "", "",
    "And {hero} slept well.",
    "{hero} was never sad again.",
    "And {hero} still sings it.",
    "So ends the story of {hero} the {kind}.",
)

SPELL = (
    one_of("{Time} {he} found {a box} that would not open.",
        "{Time} {hero} found {a box} {spot}.",
        "{Spot} stood {a box} without a key."),
    one_of('"Say {song}," said {friend} the {kind2}.',
        '{friend} the {kind2} knew the words: "{song}!"',
        '"The word is {song}," said {a kind2} named {friend}.'),
    one_of('"{song}!" {call} {hero}, and the {box} opened.',
        'So {hero} {call}, "{Tune}!" and the lid jumped up.'),
    one_of('Inside lay {a thing}. "{song}!" {call2} {friend}, and it began to {trick}.',
        'But when {friend} {call2}, "{Tune}!" it began to {trick}.',
        'In it was {a look} {thing}.',
        '"{Tune}!" {call2} {friend}, and out came {a thing}.'),
)

THIEF = (
    one_of("{He} had {a look} {thing} and a song: {song}.",
        "{He} had {a thing} that understood only this: {song}.",
        '{He} loved {his} {look} {thing} and always {call} to it, "{song}!"'),
    one_of("{Time} {a manner} {thief} took the {thing} away.",
        "Then came {a thief} and stole it.",
        "{A thief} wanted the {thing} and ran off with it."),
    one_of('{hero} climbed {a tree} and {call2}, "{song}!"',
        '"{song}!" {call2} {hero} from the {room}.',
        'All night {hero} {call2}, "{song}!"'),
    one_of("The {thief} heard it and brought the {thing} back.",
        '"{Tune}," said the {thief} and put it down.',
        '"{song}," hummed the {thief} and gave it back.'),
)

SUM = (
    one_of("{hero} had {n} {foods}, and {friend} had {n2}.",
        "{hero} found {n} {foods}, and {friend} found {n2}.",
        "{hero} had {n} {foods}, {friend} the {kind2} had {n2}."),
    one_of('To count they {call}, "{song}!"',
        '"{song}!" they {call} and began to count.'),
    one_of('"{Tune}! How many is that?" asked {hero}.',
        '"{Tune}! {N} and {n2}?" asked {hero}.'),
    one_of('"{N} and {n2} make {sum}," said {friend}.',
        '"{Sum} {foods}, {song}!" {call2} {friend}.',
        '{friend} counted {sum} and {call2}, "{song}!"'),
)

WISH = (
    one_of('"I wish I had {a look} {thing}, {song}," sang {friend} the {kind2}.',
        '{friend} the {kind2} sang, "{song}, give me {a look} {thing}."'),
    one_of("{hero} saw {a look2} {thing} and {a look} {thing}.",
        "{hero} saw {a look} {thing} and {a look2} one.",
        "{hero} knew a shop with {a look2} and {a look} {thing}."),
    one_of("{He} took the {look} {thing}.",
        "Which did {he} buy? The {look} {thing}.",
        "{He} paid {n} coins for the {look} one."),
    one_of('"{song}!" {call2} {friend}.',
        'So {feeling} was {friend} that {hero} sang too: "{song}!"',
        'Then both {call2}, "{song}!"'),
)

TALE = (
    one_of("This is the {thing} of {hero}.",
        "{hero} had {a thing}.",
        "{He} lost {his} {thing}."),
    one_of("This is the {beast} that {chase} the {thing}.",
        "Here comes the {beast} that {chase} the {thing}."),
    one_of("This is the {beast2} that {chase2} the {beast} that {chase} the {thing}.",
        "Here comes the {beast2} that {chase2} the {beast} that {chase} the {thing}."),
)

LONG_TALE = (
    *TALE,
    one_of("This is the {beast3} that {chase3} the {beast2} that {chase2} the {beast} that {chase} the {thing}.",
        "Here comes the {beast3} that {chase3} the {beast2} that {chase2} the {beast} that {chase} the {thing}."),
)

SUNG_TALE = (
    *TALE,
    one_of('The {beast} {call}, "{song}!"',
        '"{song}!" {call} the {beast}.'),
    one_of('The {beast2} {call2}, "{Tune}!"',
        '"{song}!" {call2} the {beast2}.',
        'And {hero} {call2}, "{song}!"'),
)

LIST = (
    one_of("{Time} {he} packed {a thing}, {a thing2} and {a thing3}.",
        "Into {his} bag went {a thing}, {a thing2} and {a thing3}.",
        "{hero} took {a thing}, {a thing2} and {a thing3} on a journey."),
    one_of('On the way {he} {call}, "{song}!"',
        'Each mile had its song: "{song}!"',
        '"{song}!" {call} {hero} in the {weather}.'),
    one_of('"{song}!" {he} {call2} at the gate.',
        'And back {he} came with "{song}!"',
        "{He} slept {spot} and dreamed of {song}."),
    one_of("Out came the {thing}, the {thing2} and the {thing3}.",
        "Nothing was lost: the {thing}, the {thing2}, the {thing3}.",
        '"The {thing}, the {thing2}, the {thing3}, {song}!" sang {hero}.'),
)

ECHO = (
    one_of("{He} had {a look} bird that said everything twice.",
        "{He} had a parrot.",
        "{hero} liked to talk to the echo."),
    one_of('"{song}," said {hero}. "{song}," it said.',
        '"{song}!" {call} {hero}, and back came "{song}!"'),
    one_of('"{A look2} {thing}," said {hero}. "{A look2} {thing}," it said.',
        '"{N} {foods}," said {hero}. "{N} {foods}," it said.',
        '"My {flower}, my {tree}," said {hero}. "My {flower}, my {tree}," it said.',
        '"Are you {trait2}?" asked {hero}. "Are you {trait2}?" it asked.'),
    one_of("",
        '"{song}!" {call2} {hero}.',
        "At night it said {song}."),
)

RESCUE = (
    one_of("{Time} {friend} the {kind2} fell into the {land2}.",
        "{Time} {he} found {friend} the {kind2} in the {weather}.",
        "{A kind2} named {friend} was stuck {spot}."),
    one_of('"{song}!" {call} {friend} (it means help).',
        '{friend} {call}, "{song}!"',
        '"Help! {Tune}!" {call} {friend}.'),
    one_of("{hero} came with {a thing}.",
        "{hero} heard it ({he} hears well)."),
    one_of('In winter {hero} was lost and {call3}, "{song}!"',
        'A year later {hero} {call3}, "{song}!"'),
    one_of('"{song}," said {friend} and pulled {him} out.',
        "Soon came {friend} ({a kind2} never forgets).",
        '"{Tune}!" came the answer from {friend}.'),
)

RIDDLE = (
    one_of('"I have something {look}," said {friend} the {kind2}.',
        '{friend} the {kind2} had something {look}.'),
    one_of('"{A thing}?" asked {hero}. "No {thing}. Say {song}!"',
        '"Is it {a thing}?" asked {hero}. "No, say {song}!"'),
    one_of('"{song}," said {hero}.',
        '"{song}!" {call} {hero}.'),
    one_of("It was {a look} {thing2}.",
        "And there it was: {a look} {thing2}.",
        "Then {friend} took out {a look} {thing2}."),
)

LETTER = (
    one_of("{Time} came a letter from {friend} (the {kind2}).",
        "A letter lay {spot}, from {friend} the {kind2}.",
        "{friend} the {kind2} wrote {him} a letter."),
    one_of('It said: "Bring {a thing}. The word is {song}."',
        'It said: "{song}! Bring {n} {foods} (not {n2})."',
        'In it was one line: "{song}."'),
    one_of('{hero} went and {call} at the door, "{song}!"',
        'At the door {he} {call}, "{song}!"',
        '"{song}!" {he} {call} at the {room}.'),
    one_of('"{song}!" {call2} {friend} (who had waited).',
        '{friend} opened and {call2}, "{song}!"',
        '"{Tune}," said {friend} and let {him} in.'),
)

TRADE = (
    one_of("{hero} had {a look} {thing}, and {friend} had {a look2} {thing2}.",
        "{friend} had {a look2} {thing2}, and {hero} {a look} {thing}."),
    one_of('"I like your {thing2}, {song}," said {hero}.',
        '"Give me the {thing2}, {song}!" {call} {hero}.'),
    one_of('"I like your {thing}, {song}," said {friend}.',
        '"Give me the {thing}, {song}!" {call} {friend}.'),
    one_of("So {hero} took the {look2} {thing2}.",
        "They changed, {look} {thing} for {look2} {thing2}.",
        'And {friend} took the {look} {thing}.'),
)

WORK = (
    one_of("{He} loved {chore} and sang at it: {song}.",
        "{He} liked {chore} when somebody sang {song}."),
    one_of('Then came the {weather}. "{song}!" {call} {hero}.',
        "On Sunday {he} went {chore} and sang {song}."),
    one_of("On Monday {he} went {chore} and sang {song}.",
        "On Monday {he} rested and dreamed of {song}.",
        "On Monday came {friend} the {kind2} and listened."),
    one_of("On Tuesday {he} was {feeling}.",
        "On Tuesday {he} {call2}, \"{song}!\""),
)

LULLABY = (
    one_of("{His} {thing} could not sleep.",
        "{friend} the {kind2} could not sleep."),
    one_of('{hero} sat {spot} and {call}, "{song}!"',
        'So {hero} {call}, "{song}, sleep well, {song}!"',
        '"Sleep, {flower}, sleep, {tree}, {song}!" {call} {hero}.',
        '"{song}, little {look} {thing2}, {song}!" {call} {hero}.'),
    one_of('The {weather} was still, and the moon {call2}, "{song}."',
        'And in the {room} a mouse {call2}, "{song}."',
        "Only the {weather} went on: {song}."),
)

PLOTS = (SPELL, THIEF, SUM, WISH, LONG_TALE, SUNG_TALE, LIST, ECHO, RESCUE, RIDDLE, LETTER, TRADE, WORK, LULLABY)
