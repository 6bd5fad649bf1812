"""A passage of text in which a head shows what it does."""

import torch
from torch import Tensor

from gpt.data.tokenizers.base import Tokenizer
from gpt.interpret.scores import SCORES, excess, induction_on_text
from gpt.interpret.trace import trace
from gpt.model.gpt2 import GPT2

LONGEST = 32  # tokens: enough to look back on, few enough for one view
MOST_CANDIDATES = 64
MOST_TRIED = 8  # of the best candidates: one may be cut within a character, and cannot be written as text
ENDS = (b"\n", b".", b"!", b"?")  # after these a passage may begin
ABOUT_REPEATS = ("induction", "induction on text", "duplicate token")  # these show only where a token occurs again


def passage(model: GPT2, tokenizer: Tokenizer, windows: Tensor, layer: int, head: int, role: str) -> str | None:
    """The passage of `windows`, (M, T + 1) tokens of a text, in which a head shows its role most: where its score is farthest above that
    of uniform attention; for roles about repeated tokens, times the share of positions whose token has occurred before.

    It has at most LONGEST tokens and begins after the end of a sentence or of a line, if there is one. None if no passage can be written
    as text. `role` is a name in gpt.interpret.scores.ROLES.
    """
    candidates = candidates_of(tokenizer, windows, min(LONGEST, model.context_length))
    weights = trace(model, candidates.to(next(model.parameters()).device)).attend(layer).weights[:, head:head + 1].cpu()  # (N, 1, T, T)
    ranking = shown(weights, candidates, role)
    for i in ranking.argsort(descending=True)[:MOST_TRIED].tolist():
        text = tokenizer.decode(candidates[i].tolist())
        if tokenizer.encode(text) == candidates[i].tolist() and text.strip():
            return text.strip()
    return None


def candidates_of(tokenizer: Tokenizer, windows: Tensor, T: int) -> Tensor:
    """(N, T) passages from (M, W) windows, N at most MOST_CANDIDATES, spread over all of them."""
    T = min(T, windows.shape[1])
    starts = [(row, start) for row, ids in enumerate(windows.tolist()) for start in range(len(ids) - T + 1)]
    after_an_end = [(row, start) for row, start in starts
                    if start and tokenizer.token_bytes(int(windows[row, start - 1])).rstrip(b" ").endswith(ENDS)]
    starts = after_an_end or starts
    chosen = starts[::-(-len(starts) // MOST_CANDIDATES)]
    return torch.stack([windows[row, start:start + T] for row, start in chosen])


def shown(weights: Tensor, ids: Tensor, role: str) -> Tensor:
    """(N, 1, T, T) weights of a head on (N, T) ids -> (N,): how well its role can be seen on each."""
    if role not in ABOUT_REPEATS:
        score = SCORES[role]
        return excess(score.measure(weights, ids)[:, 0], score.chance(ids)).nan_to_num(0)
    again = (ids[:, :, None] == ids[:, None, :]).tril(-1).any(dim=-1).float().mean(dim=-1)  # (N,)
    if role == "duplicate token":
        return again
    return again * (induction_on_text(weights, ids)[:, 0] - SCORES["induction on text"].chance(ids)).nan_to_num(0)
