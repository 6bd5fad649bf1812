"""From text to batches: windows of tokens, and the same windows one token later as targets."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from gpt.data.corpus import Corpus
from gpt.data.known import Floor
from gpt.data.progress import Progress, silent
from gpt.data.token_cache import PARTS, load_ids, mapped_ids
from gpt.data.tokenising import ids_in_memory
from gpt.data.tokenizers.base import Tokenizer
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
        self.tokens = torch.from_numpy(tokenizer.encode_to_numpy(text).astype(np.int64))
        self.context_length, self.stride = context_length, stride
        require_length("the text", len(self.tokens), context_length)

    def __len__(self) -> int:
        return (len(self.tokens) - self.context_length - 1) // self.stride + 1

    def __getitem__(self, i: int) -> tuple[Tensor, Tensor]:
        if not 0 <= i < len(self):
            raise IndexError(f"window {i} of {len(self)}")
        window = self.tokens[i * self.stride:i * self.stride + self.context_length + 1]
        return window[:-1], window[1:]


LARGEST_IN_MEMORY = 20_000_000  # bytes of a text; the tokens of a longer one lie in files
IGNORED = -100  # a target that does not count in the loss, as PyTorch's cross_entropy has it


class WindowSampler:
    """Chooses the windows of each batch: a pure function of (seed, batch index), so a run can be resumed at any step.

    An epoch cuts the text into windows that do not overlap and uses them in random order; each epoch starts the cuts at a different
    offset, so that a token is not always predicted from the same context. Where the first tokens of documents are known, `documents`, (S,),
    an epoch has instead a window for each document, which begins with it: what a document says again can then be found in the window. A
    document longer than the context has more windows, one after the other. If they are `alone`, no target of another document counts: it is
    IGNORED. Of `count` processes that share each batch, the one of number `rank` gets its part of it, B / count windows.
    """

    def __init__(self, tokens: Tensor, context_length: int, batch: int, seed: int, rank: int = 0, count: int = 1,
                 documents: Tensor | None = None, alone: bool = False):
        require_length("the training text", len(tokens), context_length)
        self.tokens, self.context_length, self.batch, self.seed = tokens, context_length, batch, seed
        self.rank, self.share = rank, batch // count
        has_documents = documents is not None and len(documents) > 0
        self._of_documents = windows_of(documents, len(tokens), context_length, alone) if has_documents else None
        bounds = torch.cat((documents, torch.tensor([len(tokens)]))) if has_documents else None  # (S + 1,)
        self._bounds = bounds.to(tokens.device) if has_documents and alone else None
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
        begins = torch.cat(pieces)[:, None]  # (B, 1)
        places = begins.clamp(min=0) + self._offsets  # (B, 1) + (T + 1,) -> (B, T + 1)
        windows = self.tokens[places.clamp(max=len(self.tokens) - 1)].long()
        inputs, targets = windows[:, :-1], windows[:, 1:]  # (B, T) each
        return inputs, targets if self._bounds is None else targets.where(self._belongs(places[:, 1:], begins + 1), IGNORED)

    def _belongs(self, places: Tensor, first: Tensor) -> Tensor:
        """(B, T) places of targets -> (B, T) whether each is in the document that holds its window's first target, (B, 1)."""
        documents, document = (torch.searchsorted(self._bounds, each.contiguous(), right=True) for each in (places, first))
        return (documents == document) & (places < first + self.context_length)

    def _shuffled(self, epoch: int) -> Tensor:
        """(windows_per_epoch,) index of the first token of each window of one epoch, in the order of use."""
        if epoch != self._epoch:
            generator = torch.Generator().manual_seed(self.seed * 1_000_003 + epoch)
            T, n = self.context_length, len(self.tokens)
            if self._of_documents is None:
                slack = n - 1 - self.windows_per_epoch * T  # the windows fit with this many tokens to spare
                shift = int(torch.randint(slack + 1, (1,), generator=generator))
                starts = torch.randperm(self.windows_per_epoch, generator=generator).mul_(T).add_(shift)  # in place: they may be millions
            else:
                starts = self._of_documents[torch.randperm(self.windows_per_epoch, generator=generator)]
            self._epoch, self._starts = epoch, starts.to(self.tokens.device)
        return self._starts


def windows_of(documents: Tensor, n_tokens: int, context_length: int, alone: bool = False) -> Tensor:
    """(S,) first tokens of documents in a text of `n_tokens` -> (W,) first tokens of windows. The first prediction of a document's first
    window is its first token. If a window is for its document `alone`, it may begin at -1, before the text, or reach beyond its end."""
    ends = torch.cat((documents[1:], torch.tensor([n_tokens])))
    counts = (ends - documents + context_length - 1) // context_length  # (S,) windows of each document
    first_windows = (counts.cumsum(0) - counts).repeat_interleave(counts)  # (W,)
    nth = torch.arange(len(first_windows)) - first_windows  # (W,) which of its document's windows it is
    begins = documents.repeat_interleave(counts) - 1 + nth * context_length
    return begins if alone else begins.clamp(0, n_tokens - context_length - 1)


def kinds_of(tokens: Tensor) -> Tensor:
    """(N,) tokens -> (K,) each kind of token once, in order, on the CPU."""
    occurs = torch.zeros(1 << 17, dtype=torch.bool, device=tokens.device)  # no vocabulary is larger
    for block in tokens.split(1_000_000):
        occurs[block.long()] = True
    return occurs.nonzero().flatten().cpu()


def first_tokens(tokens: Tensor, end: int) -> Tensor:
    """(N,) tokens, in which each document ends with the token `end` -> (S,) the first token of each document."""
    at_once = 10_000_000
    ends = [(tokens[i:i + at_once].long() == end).nonzero().flatten() + i for i in range(0, len(tokens), at_once)]
    starts = torch.cat((torch.zeros(1, dtype=torch.long), *(each.cpu() + 1 for each in ends)))
    return starts[starts < len(tokens)]


@dataclass
class TokenizedText:
    """Training and validation tokens of one text, (N,) each, of 2 or 4 bytes, the length of every token in bytes, (V,), tokens of another
    text, (M,), on which a model that knew it is evaluated too. If the text has several documents, each ends with the token `end`. Of a
    generated text it is known with which token each document of the training text starts, (S,), and what perfect prediction loses on the
    validation tokens. The tokens of a long text are mapped from files in `folder`. `notes` is what a reader should know about them."""

    train: Tensor
    validation: Tensor
    byte_lengths: Tensor
    earlier: Tensor | None = None
    documents: Tensor | None = None
    floor: Floor | None = None
    end: int | None = None
    folder: Path | None = None
    notes: list[str] = field(default_factory=list)

    @classmethod
    def encode(cls, corpus: Corpus, tokenizer: Tokenizer, progress: Progress = silent) -> "TokenizedText":
        """All tokens of a text. Raises CorpusError and TokenizerError."""
        several, known = corpus.has_documents, corpus.split_known()
        end = tokenizer.end if several else None
        lengths = torch.tensor([len(tokenizer.token_bytes(token)) for token in range(tokenizer.n_vocab)])
        notes = [] if end is not None or not several else [
            "its tokens have no end of text, since they come from a run on a single document: documents follow each other without a sign"]
        if corpus.bytes > LARGEST_IN_MEMORY and not known:
            folder, more = mapped_ids(corpus, tokenizer, several, progress)
            return cls(load_ids(folder, "train"), load_ids(folder, "validation"), lengths, end=end, folder=folder, notes=notes + more)
        progress("tokenising", 0.0)
        train, validation = (ids_in_memory(parts, tokenizer, several) for parts in (corpus.train(), corpus.validation()))
        if not known:
            return cls(train, validation, lengths, end=end, notes=notes)
        of_train, of_validation = known
        return cls(train, validation, lengths, documents=of_train.first_tokens(lengths[train.long()]),
                   floor=of_validation.by_token(lengths[validation.long()]))

    def __getstate__(self) -> dict[str, Any]:
        """What is sent to other processes: of mapped tokens, where they are. PyTorch cannot send 2-byte numbers without a sign, NumPy
        can."""
        sent = {name: getattr(self, name) for name in self._sent_as_arrays()}
        mapped = dict.fromkeys(PARTS) if self.folder else {}
        return {**vars(self), **{name: None if ids is None else ids.numpy() for name, ids in sent.items()}, **mapped}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        for name in self._sent_as_arrays():
            setattr(self, name, None if state[name] is None else torch.from_numpy(state[name]))
        for part in PARTS if self.folder else ():
            setattr(self, part, load_ids(self.folder, part))

    def _sent_as_arrays(self) -> tuple[str, ...]:
        return ("earlier",) if self.folder else (*PARTS, "earlier")

    def check(self, context_length: int) -> None:
        """Raise UserError if the text is too short to train on or to evaluate with."""
        require_length("the training part of the text", len(self.train), context_length)
        if len(self.validation) < 2:
            raise UserError(f"the validation part of the text has {len(self.validation)} tokens; it needs at least 2: add text")

    def starts_of_validation(self, n_tokens: int) -> list[int]:
        """The first tokens of the documents among the first `n_tokens` for validation, if that is known."""
        if self.floor:
            return self.floor.starts_within(n_tokens)
        return [] if self.end is None else first_tokens(self.validation[:n_tokens], self.end).tolist()

    def to(self, device: torch.device) -> "TokenizedText":
        """The same on a device; mapped tokens stay in their files, from which batches are taken."""
        moved = {name: getattr(self, name) for name in ("byte_lengths", "earlier", *(() if self.folder else PARTS))}
        return replace(self, **{name: None if tensor is None else tensor.to(device) for name, tensor in moved.items()})
