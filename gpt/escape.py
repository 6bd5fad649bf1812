"""Escape control characters: those that would control a terminal or reorder a line are replaced by visible symbols."""

import re

# All control characters except tab and line feed; marks that change the text direction; rare line separators;
# single surrogates, which cannot be encoded as UTF-8.
_UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def escaped(text: str) -> str:
    """`text` with each control character replaced by a visible symbol.

    Control characters have pictures of their own in Unicode, U+2400 and up: "\\x1b[2J", which clears a terminal, becomes
    "␛[2J". The others are written as code points: "[U+202E]". Tab and line feed are not changed.
    """
    return _UNSEEN.sub(lambda match: _sign(ord(match[0])), text)


def _sign(code: int) -> str:
    if code < 0x20:
        return chr(0x2400 + code)
    return "\u2421" if code == 0x7F else f"[U+{code:04X}]"
