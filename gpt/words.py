"""Words in messages: lists and sizes."""

from collections.abc import Iterable


def listed(words: Iterable[str], most: int | None = None, rest: str = "others") -> str:
    """"a", "b", "c" -> "a, b and c"; of more than `most` words, the first `most` - 1 and a count: "a, b and 3 others"."""
    words = list(words)
    if most is not None and len(words) > most:
        words = [*words[:most - 1], f"{len(words) - most + 1} {rest}"]
    *before, last = words
    return f"{', '.join(before)} and {last}" if before else last


def size(n_bytes: float) -> str:
    """3_700_000 -> "3.7 MB"; below a megabyte in kB, below a kilobyte in bytes."""
    if n_bytes < 1e6:
        return f"{n_bytes / 1e3:.1f} kB" if n_bytes >= 1e3 else f"{n_bytes:.0f} bytes"
    return f"{n_bytes / 1e9:.1f} GB" if n_bytes >= 1e9 else f"{n_bytes / 1e6:.1f} MB" if n_bytes < 1e7 else f"{n_bytes / 1e6:.0f} MB"
