"""Two models on one text: the loss of each on it, and where they differ.

Models with the same tokenizer read the same tokens, so their attention maps can be compared cell by cell. With different tokenizers
only the text is the same; it is split where both have a token boundary, and each piece gets the summed loss of its tokens.
"""

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch.nn import functional as F

from gpt.data.tokenizers.base import Tokenizer
from gpt.errors import UserError
from gpt.interpret.inspection import Inspection, inspect, inspect_ids
from gpt.model.gpt2 import GPT2
from gpt.training.device import enough_memory


@dataclass(frozen=True)
class SharedPiece:
    """A piece of the text, and what it cost each model in nats: the sum over its tokens."""

    text: bytes
    a: float
    b: float


@dataclass(frozen=True)
class Comparison:
    """Two models on one text. `same_tokens`: both have read exactly the same tokens. The first `n_cut` tokens, which do not fit
    into the other model's context, were left out."""

    a: Inspection
    b: Inspection
    same_tokens: bool
    n_cut: int
    pieces: list[SharedPiece]

    @property
    def shape(self) -> tuple[int, int]:
        """(L, H): the layers, and heads in each, that both have."""
        (L_a, H_a, _), (L_b, H_b, _) = self.a.shape, self.b.shape
        return min(L_a, L_b), min(H_a, H_b)

    @property
    def nats(self) -> tuple[float, float]:
        """The mean cost of a piece in each: with the same tokens, the loss per token."""
        return tuple(float(np.mean([getattr(piece, which) for piece in self.pieces])) for which in ("a", "b"))

    @property
    def bits_per_byte(self) -> tuple[float, float]:
        """The loss per byte of the compared text under each model, in bits."""
        n_bytes = sum(len(piece.text) for piece in self.pieces)
        return tuple(sum(getattr(piece, which) for piece in self.pieces) / math.log(2) / n_bytes for which in ("a", "b"))

    def maps(self, layer: int, head: int) -> tuple[np.ndarray, np.ndarray]:
        """(T, T) weights of one head in each. Raises UserError if they cannot be laid on each other, or one has no such head."""
        self.a.check_head(layer, head)
        if not self.same_tokens:
            raise UserError("the two cut the text into different tokens, so a row or a column of one map is no row or column of the other: "
                            "their attention cannot be laid on each other")
        L, H = self.shape
        if layer >= L or head >= H:
            raise UserError(f"B has no layer {layer} head {head}: both have layers 0 to {L - 1}, heads 0 to {H - 1}; select one of these")
        return self.a.head(layer, head), self.b.head(layer, head)


def compare(a: Inspection, tokenizer_a: Tokenizer, model_b: GPT2, tokenizer_b: Tokenizer) -> Comparison:
    """Run a second model on the text that the first has read, as far back as both contexts reach. Raises UserError if the second cannot
    read the text, or if the text has no token to predict."""
    if not same_tokens(tokenizer_a, tokenizer_b):
        b = inspect(model_b, tokenizer_b, text_of(a))
        return Comparison(a, b, False, b.n_dropped, pieces(a, b))
    n = min(len(a.tokens), model_b.context_length)
    cut = len(a.tokens) - n
    if cut:
        a = inspect_ids(a.trace.model, tokenizer_a, a.ids[-n:])
    b = inspect_ids(model_b, tokenizer_b, a.ids)
    return Comparison(a, b, True, cut, pieces(a, b))


def same_tokens(a: Tokenizer, b: Tokenizer) -> bool:
    """Whether a number means the same token in both."""
    return a.name == b.name and a.n_vocab == b.n_vocab and a.state() == b.state()


def text_of(inspection: Inspection) -> str:
    """The text of the tokens that were read; half a character at their beginning is left out. Raises UserError where another tokenizer
    could not read exactly the same bytes."""
    read = b"".join(inspection.tokens)
    text = read.decode("utf-8", errors="ignore")
    if not text or not read.endswith(text.encode("utf-8")):
        raise UserError("the text has broken characters, which another tokenizer would read differently: compare on whole ones")
    return text


@torch.no_grad()
def token_losses(inspection: Inspection) -> np.ndarray:
    """(T - 1,): the loss of each token after the first, in nats."""
    trace = inspection.trace
    with enough_memory("shorten the prompt"):
        logits = trace.model.unembed(trace.streams[-1, 0, :-1])  # (T - 1, V)
        return F.cross_entropy(logits.float(), trace.ids[0, 1:], reduction="none").cpu().double().numpy()


def pieces(a: Inspection, b: Inspection) -> list[SharedPiece]:
    """The shortest pieces of the text that end at a token boundary of both tokenizers. No model predicts its first token, so the
    comparison starts where both have read a token. Raises UserError if nothing is left."""
    losses_a, losses_b = (losses_to_the_end(one.tokens[1:], token_losses(one)) for one in (a, b))
    cuts = sorted(losses_a.keys() & losses_b.keys(), reverse=True)  # in bytes from the end of the text, which both share
    if len(cuts) < 2:
        raise UserError("there is nothing to expect in a text of one token: write more")
    text = b"".join(a.tokens)
    return [SharedPiece(text[len(text) - begin:len(text) - end], losses_a[begin] - losses_a[end], losses_b[begin] - losses_b[end])
            for begin, end in pairwise(cuts)]


def losses_to_the_end(tokens: list[bytes], losses: np.ndarray) -> dict[int, float]:
    """{bytes from the start of a token to the end of the text: summed loss of this and all later tokens, in nats}; 0 at the end."""
    begins = np.cumsum([len(token) for token in reversed(tokens)]).tolist()
    return {0: 0.0, **dict(zip(begins, np.cumsum(losses[::-1]).tolist(), strict=True))}
