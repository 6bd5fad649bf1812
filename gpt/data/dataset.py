"""From text to batches: windows of tokens, and the same windows one token later as targets."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.data import Dataset

from gpt.data.known import Floor, Known
from gpt.data.tokenizer import Tokenizer
from gpt.errors import UserError


def require_length(what: str, n_tokens: int, context_length: int) -> None:
    if n_tokens < context_length + 1:
        raise UserError(f"{what} has {n_tokens} tokens; context_length {context_length} needs at least {context_length + 1}: "
                        "lower it or add text")


class GPTDataset(Dataset):
    """Pairs (input, target) of (context_length,) token ids; the target is the input shifted by one token.

    Window i begins at token i * stride, so a stride of context_length gives windows that do not overlap. Input and target are
    views of one tensor, without copies. Use it with a DataLoader or to inspect a window; training itself uses WindowSampler, below.
    Raises UserError if the text is too short for one window.
    """

    def __init__(self, text: str, tokenizer: Tokenizer, context_length: int, stride: int):
        self.tokens = torch.tensor(tokenizer.encode(text), dtype=torch.long)
        self.context_length, self.stride = context_length, stride
        require_length("the text", len(self.tokens), context_length)

    def __len__(self) -> int:
        return (len(self.tokens) - self.context_length - 1) // self.stride + 1

    def __getitem__(self, i: int) -> tuple[Tensor, Tensor]:
        if not 0 <= i < len(self):
            raise IndexError(f"window {i} of {len(self)}")
        window = self.tokens[i * self.stride:i * self.stride + self.context_length + 1]
        return window[:-1], window[1:]


class WindowSampler:
    """Chooses the windows of each batch: a pure function of (seed, batch index), so a run can be resumed at any step.

    An epoch cuts the text into windows that do not overlap and uses them in random order; each epoch starts the cuts at a different
    offset, so that a token is not always predicted from the same context. Where the first tokens of documents are known, `documents`, (S,),
    an epoch has instead a window for each document, which begins with it: what a document says again can then be found in the window. A
    document longer than the context has more windows, one after the other. Of `count` processes that share each batch, the one of number
    `rank` gets its part of it, B / count windows.
    """

    def __init__(self, tokens: Tensor, context_length: int, batch: int, seed: int, rank: int = 0, count: int = 1,
                 documents: Tensor | None = None):
        require_length("the training text", len(tokens), context_length)
        self.tokens, self.context_length, self.batch, self.seed = tokens, context_length, batch, seed
        self.rank, self.share = rank, batch // count
        self._of_documents = None if documents is None or not len(documents) else windows_of(documents, len(tokens), context_length)
        # One less than fits, to leave room for the random offset.
        self.windows_per_epoch = max(1, len(tokens) // context_length - 1) if self._of_documents is None else len(self._of_documents)
        self._offsets = torch.arange(context_length + 1, device=tokens.device)
        self._epoch, self._starts = -1, None

    def __call__(self, index: int) -> tuple[Tensor, Tensor]:
        """This process's part of batch number `index`, usually all of it -> inputs and targets, each (B, T), drawn by one gather on the
        tokens' device."""
        first = index * self.batch + self.rank * self.share
        end = first + self.share
        pieces = []
        while first < end:  # more than one round if the batch crosses an epoch boundary
            epoch, place = divmod(first, self.windows_per_epoch)
            pieces.append(self._shuffled(epoch)[place:place + end - first])
            first += len(pieces[-1])
        windows = self.tokens[torch.cat(pieces)[:, None] + self._offsets]  # (B, 1) + (T + 1,) -> (B, T + 1)
        return windows[:, :-1], windows[:, 1:]

    def _shuffled(self, epoch: int) -> Tensor:
        """(windows_per_epoch,) index of the first token of each window of one epoch, in the order of use."""
        if epoch != self._epoch:
            generator = torch.Generator().manual_seed(self.seed * 1_000_003 + epoch)
            T, n = self.context_length, len(self.tokens)
            if self._of_documents is None:
                slack = n - 1 - self.windows_per_epoch * T  # the windows fit with this many tokens to spare
                shift = int(torch.randint(slack + 1, (1,), generator=generator))
                starts = shift + T * torch.randperm(self.windows_per_epoch, generator=generator)
            else:
                starts = self._of_documents[torch.randperm(self.windows_per_epoch, generator=generator)]
            self._epoch, self._starts = epoch, starts.to(self.tokens.device)
        return self._starts


def windows_of(documents: Tensor, n_tokens: int, context_length: int) -> Tensor:
    """(S,) first tokens of documents in a text of `n_tokens` -> (W,) first tokens of windows. The first prediction of a document's first
    window is its first token."""
    ends = torch.cat((documents[1:], torch.tensor([n_tokens])))
    counts = (ends - documents + context_length - 1) // context_length  # (S,) windows of each document
    first_windows = (counts.cumsum(0) - counts).repeat_interleave(counts)  # (W,)
    nth = torch.arange(len(first_windows)) - first_windows  # (W,) which of its document's windows it is
    begins = documents.repeat_interleave(counts) - 1 + nth * context_length
    return begins.clamp(0, n_tokens - context_length - 1)


@dataclass
class TokenizedText:
    """Training and validation tokens of one text, (N,) each, the length of every token in bytes, (V,), tokens of another text, (M,), on
    which a model that knew it is evaluated too. Of a generated text it is known with which token each document of the training text
    starts, (S,), and what perfect prediction loses on the validation tokens."""

    train: Tensor
    validation: Tensor
    byte_lengths: Tensor
    earlier: Tensor | None = None
    documents: Tensor | None = None
    floor: Floor | None = None

    @classmethod
    def encode(cls, train_text: str, validation_text: str, tokenizer: Tokenizer,
               known: tuple[Known, Known] | None = None) -> "TokenizedText":
        """`known` is what is known about the training text, and about the validation text."""
        train, validation = (torch.tensor(tokenizer.encode(text), dtype=torch.long) for text in (train_text, validation_text))
        lengths = torch.tensor([len(tokenizer.token_bytes(token)) for token in range(tokenizer.n_vocab)])
        if not known:
            return cls(train, validation, lengths)
        of_train, of_validation = known
        return cls(train, validation, lengths, documents=of_train.first_tokens(lengths[train]),
                   floor=of_validation.by_token(lengths[validation]))

    def check(self, context_length: int) -> None:
        """Raise UserError if the text is too short to train on or to evaluate with."""
        require_length("the training part of the text", len(self.train), context_length)
        if len(self.validation) < 2:
            raise UserError(f"the validation part of the text has {len(self.validation)} tokens; it needs at least 2: add text")

    def to(self, device: torch.device) -> "TokenizedText":
        earlier = None if self.earlier is None else self.earlier.to(device)
        return TokenizedText(self.train.to(device), self.validation.to(device), self.byte_lengths.to(device), earlier, self.documents,
                             self.floor)
