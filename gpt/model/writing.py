"""Writing: a prompt goes in as text, and text comes out as it is written, with how sure the model was of each token."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor

from gpt.data.tokenizer import Tokenizer, encode_prompt, stream_text
from gpt.model.gpt2 import GPT2
from gpt.model.sampling import Sampling, Step, generate_tokens

LIKELIEST = 6  # tokens reported beside each chosen one


class Likely(NamedTuple):
    """A token on its way to being chosen: its probability as the `model` itself gave it, after the repetition penalty and the
    temperature (`tempered`), and after the cuts (`left`)."""

    token: int
    model: float
    tempered: float
    left: float


@dataclass(frozen=True)
class Piece:
    """One step of writing: the token, the text it made visible, the probability the model itself gave it (at temperature 1,
    before anything was cut off), its surprisal, which is -log of that in nats, as the loss is, and the tokens that were likeliest to the
    model, then the chosen one if it is none of them. `token` is None for text held back until the end.

    What each head read at this step is not kept: a forward pass over the ids so far (at most context_length of them) finds it again.
    """

    token: int | None
    text: str
    probability: float = 0.0
    surprisal: float = 0.0
    likeliest: tuple[Likely, ...] = ()


def text_to_token_ids(text: str, tokenizer: Tokenizer) -> Tensor:
    """Text -> (1, N) ids."""
    return torch.tensor([tokenizer.encode(text)], dtype=torch.long)


def token_ids_to_text(ids: Tensor, tokenizer: Tokenizer) -> str:
    """(1, N) or (N,) ids -> text."""
    return tokenizer.decode(ids.flatten().tolist())


def write(model: GPT2, tokenizer: Tokenizer, prompt: str, sampling: Sampling) -> Iterator[Piece]:
    """Continue `prompt`, a Piece a token. Joined, the texts are what was written: no half characters, nothing of `stop`.

    Raises UserError if the prompt is empty, too long, or has characters the tokenizer does not know.
    """
    ids = torch.tensor([encode_prompt(tokenizer, prompt)]).to(next(model.parameters()).device)
    steps: list[Piece] = []  # one a token, its text still unknown

    def tokens() -> Iterator[int]:
        for step in generate_tokens(model, ids, sampling):
            steps.append(as_piece(step))
            yield steps[-1].token

    pending = ""  # text that may be the beginning of `stop`
    for i, text in enumerate(stream_text(tokenizer, tokens())):
        pending += text
        ended = bool(sampling.stop) and sampling.stop in pending
        ready = pending[:pending.index(sampling.stop)] if ended else pending[:len(pending) - _overlap(pending, sampling.stop)]
        yield replace(steps[i], text=ready) if i < len(steps) else Piece(None, ready)
        if ended:
            return
        pending = pending[len(ready):]
    if pending:
        yield Piece(None, pending)


def as_piece(step: Step) -> Piece:
    """A step of one text, in numbers; its text is not known yet."""
    logs = step.logits[0].log_softmax(dim=0)  # (V,) logarithms of the model's probabilities, which no small probability rounds to 0
    ids = torch.cat((logs.topk(min(LIKELIEST, len(logs))).indices, step.token))  # the chosen one last, where it may stand again
    own = logs.take(ids).tolist()
    *likeliest, chosen = map(Likely, ids.tolist(), map(math.exp, own), step.tempered[0].take(ids).tolist(), step.left[0].take(ids).tolist())
    if chosen not in likeliest:
        likeliest.append(chosen)
    return Piece(chosen.token, "", chosen.model, -own[-1], tuple(likeliest))


def _overlap(text: str, stop: str) -> int:
    """Length of the longest end of `text` that is a beginning of `stop`."""
    return next((n for n in range(min(len(text), len(stop)), 0, -1) if text.endswith(stop[:n])), 0)
