"""The sequences that every head is scored on: the same few at every step of a run, stored in its folder."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from gpt.data.dataset import TokenizedText, kinds_of
from gpt.data.tokenizers.base import Tokenizer

N_REPEATS, LONGEST_REPEAT = 6, 16  # sequences, and tokens in one copy
SHORTEST_REPEAT = 3  # in copies of 2 tokens, what followed the first copy is the previous token
N_WINDOWS, LONGEST_WINDOW = 16, 128
MOST_TOKENS = 10_000_000  # that are looked at


@dataclass(frozen=True)
class Probes:
    """`repeats`, (N, 2n): different random tokens, at most n, written again and again. `windows`, (M, T + 1): pieces of the validation
    text, each with the token that follows it. Where context or vocabulary has no room for copies of two lengths, there are no
    repeats: N is 0. `kinds`, (M, T + 1), are the kinds of the windows' tokens, as indices into `names`, if they are known.

    The copies have different lengths, from n / 2 to n: if all had the same length, a head that always reads a fixed number of tokens
    back, whatever they are, would score as an induction head.
    """

    repeats: Tensor
    windows: Tensor
    kinds: Tensor | None = None
    names: tuple[str, ...] = ()

    def to(self, device: torch.device) -> "Probes":
        return replace(self, repeats=self.repeats.to(device), windows=self.windows.to(device))

    def tensors(self) -> dict[str, Tensor]:
        """What a run's folder keeps of them beside the names, as int32."""
        tensors = {"repeats": self.repeats, "windows": self.windows, **({} if self.kinds is None else {"kinds": self.kinds})}
        return {name: tensor.int().cpu() for name, tensor in tensors.items()}

    @classmethod
    def from_tensors(cls, tensors: dict[str, Tensor], names: Sequence[str] | None) -> "Probes":
        """The inverse of `tensors`. Raises KeyError if one is missing."""
        kinds = tensors["kinds"].long() if names else None
        return cls(tensors["repeats"].long(), tensors["windows"].long(), kinds, tuple(names or ()))


def line_ends(tokenizer: Tokenizer) -> list[int]:
    """The tokens that contain a line break."""
    return [token for token in range(tokenizer.n_vocab) if b"\n" in tokenizer.token_bytes(token)]


def make_probes(text: TokenizedText, context_length: int, seed: int, line_ends: Collection[int] = ()) -> Probes:
    """Probes of one text. Random tokens are drawn from those that the training text contains: the embedding of any other was
    never trained, and says nothing about a head. Tokens in `line_ends`, which contain a line break, are not drawn either: after the end
    of a line, a head is right not to look back into it. No other random generator is used."""
    generator = torch.Generator().manual_seed(seed)
    candidates = kinds_of(text.train[:MOST_TOKENS])
    candidates = candidates[candidates != text.end] if text.end is not None else candidates
    candidates = candidates[~torch.isin(candidates, torch.tensor(sorted(line_ends), dtype=candidates.dtype))]
    n = min(context_length // 2, LONGEST_REPEAT, len(candidates))
    lengths = torch.linspace(max(n / 2, SHORTEST_REPEAT), n, N_REPEATS).round().long().tolist() if n > SHORTEST_REPEAT else []
    copies = [candidates[torch.randperm(len(candidates), generator=generator)[:length]] for length in lengths]
    again = [copy.repeat(-(-2 * n // len(copy)))[:2 * n] for copy in copies]
    repeats = torch.stack(again) if again else torch.zeros(0, 0, dtype=torch.long)
    tokens = text.validation[:MOST_TOKENS].long().cpu()
    T = min(context_length, LONGEST_WINDOW, len(tokens) - 1)
    M, last = min(N_WINDOWS, (len(tokens) - 1) // T), len(tokens) - T - 1
    starts = torch.linspace(0, last, M, dtype=torch.float64).long()  # spread over the whole text, without overlap
    if text.floor and len(text.floor.starts):  # from there to where the next document begins, as in the windows of training
        documents = (text.floor.starts - 1).clamp(0, last)
        starts = documents[torch.searchsorted(documents, starts).clamp(max=len(documents) - 1)]
    places = starts[:, None] + torch.arange(T + 1)  # (M, T + 1)
    kinds = (text.floor.kinds[places], text.floor.names) if text.floor else ()
    return Probes(repeats, tokens[places], *kinds)
