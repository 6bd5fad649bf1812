"""Tokens of sentencepiece, and what all tokenizers with an end of text have in common."""

import sys
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpt.data.files.formats import Part
from gpt.data.tokenising import ids_in_memory
from gpt.data.tokenizers.base import TextToLearn, TokenizerError
from gpt.data.tokenizers.table import TOKENIZERS, load_tokenizer, make_tokenizer
from gpt.data.tokenizers.unigram import SPACE, UnigramTokenizer, learn_unigram, library
from tests.data.tokenizers.test_tokenizers import TEXTS

SAMPLE = "The cat sat on the mat, and the dog sat on the log.\nOnce there was a cat named Fen, and a dog named Rolo.\n" * 20
UNIGRAM = UnigramTokenizer(learn_unigram([SAMPLE], 320))


@given(TEXTS | st.text(f"ab \n{SPACE}\0"))
def test_every_text_comes_back(text):
    assert UNIGRAM.decode(UNIGRAM.encode(text)) == text


@given(st.text("The cat,\nsat  on\t"), st.lists(st.integers(0, 80), max_size=3))
def test_tokens_do_not_depend_on_where_a_text_is_cut(text, cuts):
    text, cuts = text * 3, sorted({0, len(text * 3), *(cut for cut in cuts if cut < len(text * 3))})
    parts = [Part(text[begin:end], end == len(text)) for begin, end in pairwise(cuts)] or [Part("", True)]
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr("gpt.data.cutting.CHUNK", 20)
        assert ids_in_memory(parts, UNIGRAM).tolist() == UNIGRAM.encode(text)


def test_frequent_words_are_pieces():
    pieces = [UNIGRAM.token_bytes(i) for i in UNIGRAM.encode(" the dog\n")]
    assert (pieces[0], pieces[-1]) == (b" the", b"\n")
    assert len(UNIGRAM.encode(SAMPLE)) < 0.8 * len(SAMPLE)


def test_the_library_reads_the_model_to_the_same_ids(tmp_path):
    from sentencepiece import SentencePieceProcessor

    (tmp_path / "tokenizer.model").write_bytes(UNIGRAM.model)
    theirs = SentencePieceProcessor(model_file=str(tmp_path / "tokenizer.model"))
    assert theirs.encode(SAMPLE) == UNIGRAM.encode(SAMPLE)


def test_it_learns_from_the_training_text_alone_and_never_more_than_asked_for():
    tokenizer = make_tokenizer("sentencepiece", TextToLearn.of("abab abab\n" * 50, "zqzq zqzq\n" * 50), 320)
    pieces = {tokenizer.token_bytes(i) for i in range(tokenizer.n_vocab)}
    assert tokenizer.n_vocab <= 320
    assert b" abab" in pieces or b"abab" in pieces
    assert b"z" in pieces  # as a byte
    assert not any(b"zq" in piece for piece in pieces)


def test_too_many_characters_for_the_vocabulary_are_a_sentence():
    with pytest.raises(TokenizerError, match="raise vocab_size"):
        learn_unigram(["".join(map(chr, range(0x4E00, 0x4E00 + 600))) + "\n"], 300)


@pytest.mark.parametrize(("vocab_size", "fine"), [(256, False), (299, False), (300, True), (65536, True), (65537, False)])
def test_the_vocabulary_has_limits(vocab_size, fine):
    assert (UnigramTokenizer.problem(vocab_size) is None) is fine


def test_without_the_package_a_sentence_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "sentencepiece", None)
    library.cache_clear()
    with pytest.raises(TokenizerError, match="pip install sentencepiece"):
        make_tokenizer("sentencepiece", TextToLearn.of(SAMPLE), 320)
    monkeypatch.undo()
    library.cache_clear()


@pytest.mark.parametrize("state", [{"model": ""}, {"model": "AAAA"}, {"model": 5}, {}])
def test_a_damaged_model_is_a_tokenizer_error(tmp_path, state):
    import json

    (tmp_path / "tokenizer.json").write_text(json.dumps({"name": "sentencepiece", **state}))
    with pytest.raises(TokenizerError, match="cannot be read as a tokenizer"):
        load_tokenizer(tmp_path / "tokenizer.json")


@pytest.mark.parametrize("name", TOKENIZERS)
def test_an_end_of_text_is_one_more_token_that_stands_for_nothing(tmp_path, name):
    without, having = (make_tokenizer(name, TextToLearn.of(SAMPLE), 320, has_end) for has_end in (False, True))
    assert without.end is None or name == "gpt2"
    assert having.end == having.n_vocab - 1
    assert having.special == {"<|endoftext|>": having.end}
    assert having.token_bytes(having.end) == b""
    text = "cat<|endoftext|>sat" if name != "char" else SAMPLE[:30]
    assert having.end not in having.encode(text)
    assert having.decode([*having.encode(text), having.end]) == text
    having.save(tmp_path / "tokenizer.json")
    loaded = load_tokenizer(tmp_path / "tokenizer.json")
    assert (loaded.end, loaded.n_vocab, loaded.encode(SAMPLE)) == (having.end, having.n_vocab, having.encode(SAMPLE))


@pytest.mark.parametrize("name", ["bpe", "sentencepiece"])
def test_the_vocabulary_asked_for_includes_the_end(name):
    assert make_tokenizer(name, TextToLearn.of(SAMPLE), 320, has_end=True).n_vocab <= 320
