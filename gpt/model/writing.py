"""Text generation: continues a prompt piece by piece and reports the model's probability of each token."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor

from gpt.data.tokenizers.base import Tokenizer
from gpt.data.tokenizers.text import encode_prompt, stream_text
from gpt.model.gpt2 import GPT2
from gpt.model.sampling import Sampling, SamplingStep, generate_tokens

LIKELIEST = 6  # tokens reported beside each chosen one


class Candidate(NamedTuple):
    """Three probabilities of a candidate token: the `model`'s own, the one after repetition penalty and temperature (`tempered`),
    and the one after top_k, top_p and min_p (`truncated`)."""

    token: int
    model: float
    tempered: float
    truncated: float


@dataclass(frozen=True)
class Piece:
    """One generated token and the text it adds. `probability` is the model's own (at temperature 1, before top_k, top_p and min_p),
    `surprisal` is -log of it in nats, like the loss. `likeliest` lists the tokens the model found likeliest, then the chosen one if it
    is not among them. `token` is None for text that was withheld until the end.

    Attention weights are not stored; a forward pass over the ids so far (at most context_length of them) computes them again.
    """

    token: int | None
    text: str
    probability: float = 0.0
    surprisal: float = 0.0
    likeliest: tuple[Candidate, ...] = ()


def text_to_token_ids(text: str, tokenizer: Tokenizer) -> Tensor:
    """Text -> (1, N) ids."""
    return torch.tensor([tokenizer.encode(text)], dtype=torch.long)


def token_ids_to_text(ids: Tensor, tokenizer: Tokenizer) -> str:
    """(1, N) or (N,) ids -> text."""
    return tokenizer.decode(ids.flatten().tolist())


def write(model: GPT2, tokenizer: Tokenizer, prompt: str, sampling: Sampling) -> Iterator[Piece]:
    """Continue `prompt`, one Piece per token, until max_new_tokens, `stop`, or the token that ends a document. The texts join to the
    generated text, without partial characters, without `stop` and without that token.

    Raises UserError if the prompt is empty, too long, or has characters the tokenizer does not know.
    """
    ids = torch.tensor([encode_prompt(tokenizer, prompt)]).to(next(model.parameters()).device)
    steps: list[Piece] = []  # one per token, `text` not set yet

    def tokens() -> Iterator[int]:
        for step in generate_tokens(model, ids, sampling):
            if (piece := as_piece(step)).token == tokenizer.end:
                return
            steps.append(piece)
            yield piece.token

    stop, pending = sampling.stop_text, ""  # pending: text that may be the beginning of `stop`
    for i, text in enumerate(stream_text(tokenizer, tokens())):
        pending += text
        ended = bool(stop) and stop in pending
        ready = pending[:pending.index(stop)] if ended else pending[:len(pending) - _overlap(pending, stop)]
        yield replace(steps[i], text=ready) if i < len(steps) else Piece(None, ready)
        if ended:
            return
        pending = pending[len(ready):]
    if pending:
        yield Piece(None, pending)


def as_piece(step: SamplingStep) -> Piece:
    """The Piece of a SamplingStep (batch size 1); its `text` is still empty."""
    logs = step.logits[0].log_softmax(dim=0)  # (V,) log-probabilities: a tiny probability would round to 0
    ids = torch.cat((logs.topk(min(LIKELIEST, len(logs))).indices, step.token))  # the chosen token last; it may occur twice
    own = logs.take(ids).tolist()
    tempered, truncated = (probabilities[0].take(ids).tolist() for probabilities in (step.tempered, step.truncated))
    *likeliest, chosen = map(Candidate, ids.tolist(), map(math.exp, own), tempered, truncated)
    if chosen not in likeliest:
        likeliest.append(chosen)
    return Piece(chosen.token, "", chosen.model, -own[-1], tuple(likeliest))


def _overlap(text: str, stop: str) -> int:
    """Length of the longest suffix of `text` that is a prefix of `stop`."""
    return next((n for n in range(min(len(text), len(stop)), 0, -1) if text.endswith(stop[:n])), 0)
