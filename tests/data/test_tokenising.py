"""A text of any length becomes the same tokens as one short enough to be tokenised whole."""

import io
import itertools
import re
from contextlib import contextmanager

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpt.data import cutting, tokenising
from gpt.data.cutting import chunks, cut_runs
from gpt.data.files.formats import Part
from gpt.data.tokenising import dtype_of, ids_in_memory, write_ids
from gpt.data.tokenizers.base import TokenizerError
from gpt.data.tokenizers.bpe import gpt2_tokenizer, train_bpe
from gpt.data.tokenizers.letters import ByteTokenizer, CharTokenizer
from tests.texts import as_documents

LEARNED = train_bpe(["the cat sat on the mat, and then the dog sat too.\n\n  if x == 1:\n    return 'yes'\n"] * 9, 300)
TOKENIZERS = pytest.mark.parametrize("tokenizer", [gpt2_tokenizer(), LEARNED, ByteTokenizer(), CharTokenizer("ab \n\tc.é1'\u3000\x1c")],
                                     ids=lambda tokenizer: tokenizer.name)
TEXTS = st.text("aab  \n\tc.é1'\u3000", max_size=300)


@contextmanager
def small_chunks():
    """Texts of a few characters are cut as ones of millions are elsewhere."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        for name, value in (("CHUNK", 12), ("LONGEST_RUN", 5), ("_LONG_RUN", re.compile(r"\S{5}|\s{5}"))):
            monkeypatch.setattr(cutting, name, value)
        monkeypatch.setattr(tokenising, "CHUNK", 12)
        yield


@TOKENIZERS
@given(text=TEXTS, cuts=st.lists(st.integers(0, 300), max_size=3))
def test_tokens_do_not_depend_on_where_a_text_is_cut(tokenizer, text, cuts):
    cuts = sorted({0, len(text), *(cut for cut in cuts if cut < len(text))})
    pieces = [text[begin:end] for begin, end in itertools.pairwise(cuts)] or [""]
    parts = [Part(piece, i == len(pieces) - 1) for i, piece in enumerate(pieces)]
    with small_chunks():
        assert ids_in_memory(parts, tokenizer).tolist() == tokenizer.encode(text)
        assert max((len(part.text) for part in chunks(parts)), default=0) <= 24


@given(st.text("ab \n", max_size=60))
def test_runs_are_cut_to_their_length_and_nothing_is_lost(text):
    with small_chunks():
        pieces = cut_runs(text)
        assert "".join(pieces) == text
        longest = max((len(run) for piece in pieces for run in re.findall(r"\S+|\s+", piece)), default=0)
        assert longest <= 5 + 5  # a cut is made where a run has reached 5, and it may go on with up to 4 more before the next


@TOKENIZERS
def test_a_million_blanks_and_a_million_letters_are_tokenised(tokenizer):
    text = "a " * 99 + " " * 1_100_000 + "b" + "ab" * 550_000 + " b" * 9
    ids = ids_in_memory([Part(text, True)], tokenizer)
    assert tokenizer.decode(ids.tolist()) == text
    assert ids.tolist() == tokenizer.encode(text)


@TOKENIZERS
def test_long_texts_are_the_same_tokens_in_chunks_of_the_usual_size(tokenizer):
    text = ("ab c.  a1\n\n'b ab\tcab " * 40 + "ab" * 40) * 1500
    assert len(text) > 4 * cutting.CHUNK
    parts = [Part(text[i:i + 70_000], i + 70_000 >= len(text)) for i in range(0, len(text), 70_000)]
    assert ids_in_memory(parts, tokenizer).tolist() == tokenizer.encode(text)


@pytest.mark.parametrize("tokenizer", [gpt2_tokenizer(), ByteTokenizer(has_end=True), CharTokenizer("abc", has_end=True)],
                         ids=lambda tokenizer: tokenizer.name)
def test_each_document_ends_with_the_end_of_text(tokenizer):
    documents = ["ab", "", "cab"]
    ids = ids_in_memory(as_documents(*documents), tokenizer, has_documents=True).tolist()
    assert ids == [id for text in documents for id in (*tokenizer.encode(text), tokenizer.end)]
    assert ids_in_memory(as_documents(*documents), tokenizer).tolist() == [id for id in ids if id != tokenizer.end]


def test_ids_take_two_bytes_or_four():
    assert [dtype_of(n).itemsize for n in (2, 65_536, 65_537, 131_072)] == [2, 2, 4, 4]
    out = io.BytesIO()
    n_ids = write_ids(as_documents("a" * 1000), gpt2_tokenizer(), False, out, lambda n: None)
    assert len(out.getvalue()) == 2 * n_ids


def test_progress_reaches_the_number_of_characters():
    told = []
    write_ids(as_documents(*["ab " * 1000] * 500), ByteTokenizer(), False, io.BytesIO(), told.append)
    assert told == sorted(told)
    assert told[-1] == 1_500_000
    assert len(told) >= 5


def test_an_unknown_character_ends_it_with_its_name():
    with pytest.raises(TokenizerError, match="'x'"):
        ids_in_memory(as_documents("abc" * 200_000, "abx"), CharTokenizer("abc"))


def test_a_text_that_cannot_be_read_to_its_end_ends_it():
    def parts():
        yield Part("abc" * 300_000, False)
        raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        ids_in_memory(parts(), ByteTokenizer())


def test_no_text_is_no_tokens():
    assert ids_in_memory([], ByteTokenizer()).numpy().dtype == np.uint16
    assert len(ids_in_memory([], ByteTokenizer())) == len(ids_in_memory([Part("", True)], gpt2_tokenizer())) == 0
