"""What a person reads and writes of tokens: prompts, labels, text that comes token by token."""

import codecs
from collections.abc import Iterable, Iterator

from gpt.data.tokenizers.base import END_OF_TEXT, Tokenizer
from gpt.errors import UserError

LONGEST_PROMPT = 100_000  # characters; every tokenizer encodes this many in a fraction of a second, and no context is longer


def encode_prompt(tokenizer: Tokenizer, prompt: str) -> list[int]:
    """The ids of a prompt, at least one. Raises UserError if it is no text, empty, or longer than LONGEST_PROMPT; TokenizerError
    if it has characters that `tokenizer` does not know."""
    if not isinstance(prompt, str):
        raise UserError(f"the prompt is {str(prompt)[:40]!r}: it must be text")
    if len(prompt) > LONGEST_PROMPT:
        raise UserError(f"the prompt has {len(prompt):,} characters: give up to {LONGEST_PROMPT:,}, of which the model reads the last ones")
    ids = tokenizer.encode(prompt)
    require_tokens(len(ids))
    return ids


def note_on_last_blank(tokenizer: Tokenizer, prompt: str) -> str:
    """A sentence if `prompt` ends in a blank that stands in the way: most tokens begin with the blank before their word, so after a
    blank that is a token of its own the model must go on with what it has hardly ever seen. "" if it does not."""
    words = prompt.split()
    if not prompt.endswith(" ") or not words:
        return ""
    begins_words = len(tokenizer.token_bytes(tokenizer.encode(" " + words[-1])[0])) > 1
    if not begins_words or tokenizer.token_bytes(tokenizer.encode(prompt)[-1]) != b" ":
        return ""
    return "The prompt ends in a blank, which is a token of its own here: without it the model goes on better."


def require_tokens(n_tokens: int) -> None:
    """Raise UserError if a prompt has no token."""
    if not n_tokens:
        raise UserError("the prompt is empty: write at least one character")


def stream_text(tokenizer: Tokenizer, ids: Iterable[int]) -> Iterator[str]:
    """Yield one piece of text per id, without partial characters: incomplete bytes are held until the rest arrives.

    The pieces join to `decode(ids)`; bytes that are still incomplete at the end give one more piece, with U+FFFD.
    """
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    for token in ids:
        yield decoder.decode(tokenizer.token_bytes(token))
    if rest := decoder.decode(b"", final=True):
        yield rest


def token_label(token: bytes) -> str:
    """A token as a short visible text: spaces as middle dots, line ends and tabs as signs, other unprintable characters as
    U+XXXX, a token that is not whole UTF-8 as hex bytes.

    A token that stands for no text is the end of a document. The label is plain text; escape it before putting it into HTML.
    """
    if not token:
        return END_OF_TEXT
    visible = {"\n": "⏎", "\t": "⇥", "\r": "␍", "\u00a0": "⍽"}
    try:
        text = token.decode("utf-8")
    except UnicodeDecodeError:
        return " ".join(f"{byte:02X}" for byte in token)
    text = text.replace(" ", "·")
    return "".join(visible.get(c, c if c.isprintable() else f"U+{ord(c):04X}") for c in text)
