"""A prompt as the model reads it."""

from dataclasses import dataclass

import numpy as np
import torch

from gpt.data.tokenizers.base import Tokenizer
from gpt.data.tokenizers.text import encode_prompt
from gpt.errors import UserError
from gpt.interpret.trace import Trace, trace
from gpt.model.gpt2 import GPT2
from gpt.training.device import enough_memory


@dataclass(frozen=True)
class Inspection:
    """A prompt as the model reads it: its tokens, the forward pass, and what is expected next."""

    tokens: list[bytes]
    trace: Trace
    next_tokens: list[tuple[bytes, float]]
    n_dropped: int

    @property
    def shape(self) -> tuple[int, int, int]:
        """(L, H, T)."""
        model = self.trace.model
        return len(model.blocks), model.config["n_heads"], len(self.tokens)

    @property
    def ids(self) -> list[int]:
        """The tokens that were read, by number."""
        return self.trace.ids[0].tolist()

    def weights(self, layer: int) -> np.ndarray:
        """(H, T, T): what each head of a layer reads."""
        return self.trace.attend(layer).weights[0].cpu().numpy()

    def check_head(self, layer: int, head: int) -> None:
        """Raise UserError if there is no such head."""
        L, H, _ = self.shape
        if not (0 <= layer < L and 0 <= head < H):
            raise UserError(f"there is no layer {layer} head {head}: layers go from 0 to {L - 1}, heads from 0 to {H - 1}")

    def head(self, layer: int, head: int) -> np.ndarray:
        """(T, T) weights of one head. Raises UserError if there is no such head."""
        self.check_head(layer, head)
        return self.weights(layer)[head]


def inspect(model: GPT2, tokenizer: Tokenizer, prompt: str, most_tokens: int | None = None) -> Inspection:
    """Read `prompt`. Of a prompt longer than context_length (or `most_tokens`) the last tokens are read; `n_dropped` says how
    many were not. Raises UserError if the prompt is empty, too long, or has characters the tokenizer does not know."""
    return inspect_ids(model, tokenizer, encode_prompt(tokenizer, prompt), most_tokens)


def inspect_ids(model: GPT2, tokenizer: Tokenizer, ids: list[int], most_tokens: int | None = None) -> Inspection:
    """The same for token ids: a model may generate other tokens than those that the tokenizer makes of its text."""
    read = ids[-min(most_tokens or model.context_length, model.context_length):]
    device = next(model.parameters()).device
    with enough_memory("shorten the prompt"):
        forward_pass = trace(model, torch.tensor([read], device=device))
        probabilities = model.unembed(forward_pass.streams[-1, 0, -1]).softmax(dim=0).detach()
    top = probabilities.topk(min(8, len(probabilities)))
    next_tokens = [(tokenizer.token_bytes(i), p) for i, p in zip(top.indices.tolist(), top.values.tolist(), strict=True)]
    return Inspection([tokenizer.token_bytes(i) for i in read], forward_pass, next_tokens, len(ids) - len(read))
