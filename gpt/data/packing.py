"""What it costs to let a window go on with the next document, and what it would cost not to."""

from typing import Any

from torch import Tensor

from gpt.data.dataset import TokenizedText, first_tokens, windows_of

LOOKED_AT = 1_000_000  # tokens


def cost_of_packing(text: TokenizedText, config: dict[str, Any]) -> str:
    """Both costs in a sentence, for a text whose documents have ends. CONFIG's `pack` chooses between them; GPT-3 packs (Brown et al. 2020,
    2005.14165)."""
    tokens, T = text.train[:LOOKED_AT].cpu(), config["context_length"]
    mixed, empty = 100 * mixed_share(tokens, text.end, T), 100 * empty_share(tokens, text.end, T)
    if config["pack"]:
        return (f"{mixed:.0f} % of what is learned from has another document before it in its window, and an end-of-text token between; "
                f"without that (pack false) {empty:.0f} % of all windows would be empty")
    return (f"{empty:.0f} % of all windows are empty, since each has one document only; with pack true none would be, and {mixed:.0f} % of "
            "what is learned from would have another document before it")


def mixed_share(tokens: Tensor, end: int, context_length: int) -> float:
    """Of the predictions in windows of (N,) tokens that do not overlap, the share with a token of another document in view."""
    T = min(context_length, len(tokens) - 1)
    n = (len(tokens) - 1) // T
    windows = tokens[:n * T].long().view(n, T)  # (n, T)
    return ((windows == end).cumsum(dim=1) > 0).double().mean().item()


def empty_share(tokens: Tensor, end: int, context_length: int) -> float:
    """Of all places in windows that have one document each, the share after its end."""
    documents = first_tokens(tokens, end)
    n_windows = len(windows_of(documents, len(tokens), context_length, alone=True))
    return 1 - len(tokens) / (n_windows * context_length)
