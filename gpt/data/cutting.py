"""Where a text can be cut so that its parts become the same tokens as the whole: a text of any length is tokenised a bit at a time."""

import itertools
import re
from collections.abc import Iterable, Iterator

from gpt.data.files.formats import Part

CHUNK = 1 << 18  # characters that are tokenised at a time
LONGEST_RUN = 100_000  # characters without white space, or of nothing else: longer ones are cut, in every tokenizer of pieces of words
_LONG_RUN = re.compile(rf"\S{{{LONGEST_RUN}}}|\s{{{LONGEST_RUN}}}")
_WORD_ENDS = re.compile(r"(?<=\S)[^\S\x1c-\x1f]")  # these four are white space for Python, and not for Unicode


def chunks(parts: Iterable[Part]) -> Iterator[Part]:
    """The same text in parts of about CHUNK characters, a little less or more, cut where `cut_runs` cuts or where words end."""
    held = ""
    for part in parts:
        held += part.text
        while len(held) > 2 * CHUNK:
            cut = _last_cut(held[:CHUNK]) or _cut_of_run(held)
            yield Part(held[:cut], False)
            held = held[cut:]
        if part.ends:
            yield Part(held, True)
            held = ""
    if held:
        yield Part(held, False)


def _last_cut(text: str) -> int:
    """The last place where a word has ended and white space begins; 0 if there is none."""
    for begin in (max(len(text) - 1000, 1), 1):
        if ends := [match.start() for match in _WORD_ENDS.finditer(text, begin)]:
            return ends[-1]
    return 0


def _cut_of_run(text: str) -> int:
    """Where `cut_runs` first cuts a text that begins with white space or a word and has only one of them that is long."""
    run = _LONG_RUN.search(text)
    return run.end() if run else CHUNK


def cut_runs(text: str) -> list[str]:
    """A text as pieces, cut in words and in white space after every LONGEST_RUN characters. Longer ones break the library that finds the
    words of a text, and no text that people write has them."""
    half = LONGEST_RUN // 2  # a long run fills at least one of the pieces of this length
    if not any(_is_run(text[i:i + half]) for i in range(0, len(text) - half + 1, half)):
        return [text]
    cuts = [0, *(match.end() for match in _LONG_RUN.finditer(text)), len(text)]
    return [text[begin:end] for begin, end in itertools.pairwise(cuts) if begin < end]


def _is_run(piece: str) -> bool:
    return piece.isspace() or (len(piece.split(None, 1)) == 1 and not (piece[0].isspace() or piece[-1].isspace()))
