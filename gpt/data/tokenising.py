"""A text of any length to token ids: a bit at a time, on several cores, into a file or into memory."""

import io
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import BinaryIO

import numpy as np
import torch
from torch import Tensor

from gpt.data.cutting import CHUNK, chunks
from gpt.data.files.formats import Part
from gpt.data.tokenizers.base import Tokenizer

WORKERS = 2  # that tokenise while this thread reads: with more, reading is what takes the time
AHEAD = 4  # pieces of work that wait or are done


def dtype_of(n_vocab: int) -> np.dtype:
    """The number type of token ids: 2 bytes, or 4 if that is not enough."""
    return np.dtype(np.uint16 if n_vocab <= 1 << 16 else np.int32)


def write_ids(parts: Iterable[Part], tokenizer: Tokenizer, has_documents: bool, out: BinaryIO, progress: Callable[[int], None]) -> int:
    """Write the token ids of a text into `out`; `progress` is told how many characters are done. If it `has_documents`, each ends with the
    tokenizer's `end`. Returns the number of ids. Raises TokenizerError for characters without a token."""
    dtype, n_ids, n_characters = dtype_of(tokenizer.n_vocab), 0, 0
    end = np.array([tokenizer.end], dtype=dtype) if has_documents and tokenizer.end is not None else np.zeros(0, dtype=dtype)

    def encode(work: list[Part]) -> tuple[np.ndarray, int]:
        ids = [each for part in work for each in (tokenizer.encode_to_numpy(part.text), end if part.ends else end[:0])]
        return np.concatenate(ids).astype(dtype), sum(len(part.text) for part in work)

    with ThreadPoolExecutor(WORKERS) as pool:
        for ids, length in _in_order(pool, encode, _work(chunks(parts))):
            out.write(ids.data)
            n_ids, n_characters = n_ids + len(ids), n_characters + length
            progress(n_characters)
    return n_ids


def _in_order(pool: ThreadPoolExecutor, function: Callable, items: Iterable) -> Iterator:
    """The results of `function` for each item, in order, of which AHEAD at most are under way."""
    under_way: deque = deque()
    try:
        for item in items:
            under_way.append(pool.submit(function, item))
            if len(under_way) == AHEAD:
                yield under_way.popleft().result()
        while under_way:
            yield under_way.popleft().result()
    finally:
        for future in under_way:
            future.cancel()


def _work(parts: Iterable[Part]) -> Iterator[list[Part]]:
    """Parts in groups of about CHUNK characters: documents may be short."""
    group, length = [], 0
    for part in parts:
        group.append(part)
        length += len(part.text)
        if length >= CHUNK:
            yield group
            group, length = [], 0
    if group:
        yield group


def ids_in_memory(parts: Iterable[Part], tokenizer: Tokenizer, has_documents: bool = False) -> Tensor:
    """(N,) the token ids of a text, in the number type of `dtype_of`."""
    out = io.BytesIO()
    write_ids(parts, tokenizer, has_documents, out, lambda n_characters: None)
    return torch.from_numpy(np.frombuffer(out.getbuffer(), dtype=dtype_of(tokenizer.n_vocab)))
