"""What a sentence to a person must say, whatever its words: values, limits, what to do."""

import re


def says(*facts: object) -> str:
    """A regular expression for `re.search` and pytest's `match`: found in a text that holds all `facts`, in any order. "3 heads | emb_dim"
    is two of them."""
    words = [word for fact in facts for word in str(fact).split(" | ")]
    return "(?s)" + "".join(f"(?=.*{re.escape(word)})" for word in words)
