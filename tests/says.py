"""What a sentence to a person must say, whatever its words: values, limits, what to do."""

import re


def says(*facts: object) -> str:
    """A regular expression for pytest's `match`: found in a text that holds every one of `facts`, in any order."""
    return "(?s)" + "".join(f"(?=.*{re.escape(str(fact))})" for fact in facts)
