"""Two models on one text: what each expects, in pieces that both cut it into, and whose maps may be laid on each other."""

import math

import numpy as np
import pytest
import torch

from gpt.data.tokenizers.base import Tokenizer
from gpt.data.tokenizers.letters import ByteTokenizer, CharTokenizer
from gpt.errors import UserError
from gpt.interpret import attention_maps, inspect, inspect_ids
from gpt.interpret.comparison import compare, losses_to_the_end, same_tokens, token_losses
from gpt.model.gpt2 import GPT2
from tests.says import says

PROMPT = "7 green"


def build(tiny: dict, tokenizer: Tokenizer, **changes) -> GPT2:
    return GPT2({**tiny, "tokenizer": tokenizer.name, "vocab_size": tokenizer.n_vocab, **changes}).eval()


@pytest.fixture
def other(tiny) -> GPT2:
    """A model that differs from `model` in its weights."""
    return GPT2({**tiny, "seed": tiny["seed"] + 1}).eval()


@pytest.fixture
def in_bytes(tiny) -> GPT2:
    """A model that reads bytes, and more of them."""
    return build(tiny, ByteTokenizer(), context_length=32)


def test_the_loss_of_each_token_is_that_of_the_model(model, tokenizer):
    found, ids = inspect(model, tokenizer, PROMPT), torch.tensor([tokenizer.encode(PROMPT)])
    losses = token_losses(found)
    assert losses.shape == (len(PROMPT) - 1,)
    assert losses.mean() == pytest.approx(model.loss(ids[:, :-1], ids[:, 1:]).item(), rel=1e-5)


def test_with_the_same_tokens_each_piece_is_a_token(model, other, tokenizer):
    both = compare(inspect(model, tokenizer, PROMPT), tokenizer, other, tokenizer)
    assert both.same_tokens
    assert both.n_cut == 0
    assert [piece.text.decode() for piece in both.pieces] == list(PROMPT[1:])
    np.testing.assert_allclose([piece.a for piece in both.pieces], token_losses(both.a), atol=1e-9)
    np.testing.assert_allclose([piece.b for piece in both.pieces], token_losses(both.b), atol=1e-9)
    assert both.nats == pytest.approx((token_losses(both.a).mean(), token_losses(both.b).mean()))
    assert both.nats[0] != both.nats[1]


def test_a_model_compared_with_itself_does_not_differ(model, tokenizer):
    both = compare(inspect(model, tokenizer, PROMPT), tokenizer, model, tokenizer)
    assert [piece.a for piece in both.pieces] == [piece.b for piece in both.pieces]
    a, b = both.maps(1, 0)
    np.testing.assert_array_equal(a, b)


def test_maps_are_those_of_the_same_tokens_in_both(model, other, tokenizer):
    both = compare(inspect(model, tokenizer, PROMPT), tokenizer, other, tokenizer)
    ids = torch.tensor([tokenizer.encode(PROMPT)])
    for found, one in zip(both.maps(1, 1), (model, other), strict=True):
        np.testing.assert_allclose(found, attention_maps(one, ids)[0][1, 0, 1], atol=1e-6)


def test_both_are_read_as_far_back_as_the_one_that_sees_less(model, tiny, tokenizer):
    short = build(tiny, tokenizer, context_length=4)
    both = compare(inspect(model, tokenizer, PROMPT), tokenizer, short, tokenizer)
    assert both.n_cut == 3
    assert both.a.tokens == both.b.tokens == [letter.encode() for letter in PROMPT[-4:]]
    assert both.maps(0, 0)[0].shape == (4, 4)
    assert len(both.pieces) == 3


def test_costs_are_summed_from_the_end():
    assert losses_to_the_end([b"ab", b"c", b"def"], np.array([1.0, 2.0, 4.0])) == {6: 7.0, 4: 6.0, 3: 4.0, 0: 0.0}


def test_different_tokenizers_are_compared_in_pieces_that_both_cut(tiny, in_bytes):
    tokenizer = CharTokenizer("aé€b ")
    model = build(tiny, tokenizer)
    both = compare(inspect(model, tokenizer, "aé €b"), tokenizer, in_bytes, ByteTokenizer())
    assert not both.same_tokens
    assert [piece.text.decode() for piece in both.pieces] == list("é €b")  # two bytes, one, three and one
    in_letters, by_byte = token_losses(both.a), token_losses(both.b)
    np.testing.assert_allclose([piece.a for piece in both.pieces], in_letters, atol=1e-9)
    np.testing.assert_allclose([piece.b for piece in both.pieces],
                               [by_byte[:2].sum(), by_byte[2], by_byte[3:6].sum(), by_byte[6]], atol=1e-9)
    assert both.bits_per_byte == pytest.approx((in_letters.sum() / math.log(2) / 7, by_byte.sum() / math.log(2) / 7))
    with pytest.raises(UserError, match=says("different tokens")):
        both.maps(0, 0)


def test_what_only_one_of_them_can_expect_is_left_out(tiny, in_bytes):
    """The one that reads letters sees the last three of five; the first of them is expected by nothing."""
    tokenizer = CharTokenizer("abcde")
    both = compare(inspect(in_bytes, ByteTokenizer(), "abcde"), ByteTokenizer(), build(tiny, tokenizer, context_length=3), tokenizer)
    assert both.n_cut == 2
    assert [piece.text for piece in both.pieces] == [b"d", b"e"]
    assert [piece.a for piece in both.pieces] == pytest.approx(token_losses(both.a)[-2:].tolist())


def test_half_a_character_at_the_beginning_is_left_out(tiny, in_bytes):
    tokenizer = CharTokenizer("é€b")
    seen = inspect_ids(in_bytes, ByteTokenizer(), list("€éb".encode())[1:])
    both = compare(seen, ByteTokenizer(), build(tiny, tokenizer), tokenizer)
    assert [piece.text.decode() for piece in both.pieces] == ["b"]


def test_broken_characters_cannot_be_read_by_another_tokenizer(tiny, in_bytes):
    tokenizer, text = CharTokenizer("é€b"), "b€é".encode()
    for broken in (text[:-1], text[:2] + text[3:], b"\xff", b"b\xff"):
        with pytest.raises(UserError, match="broken characters"):
            compare(inspect_ids(in_bytes, ByteTokenizer(), list(broken)), ByteTokenizer(), build(tiny, tokenizer), tokenizer)
    compare(inspect_ids(in_bytes, ByteTokenizer(), list(text[:-1])), ByteTokenizer(), in_bytes, ByteTokenizer())  # the same reads them


def test_letters_that_the_other_does_not_know_are_told(tiny, in_bytes):
    tokenizer = CharTokenizer("abc")
    with pytest.raises(UserError, match="never saw 'x'"):
        compare(inspect(in_bytes, ByteTokenizer(), "abx"), ByteTokenizer(), build(tiny, tokenizer), tokenizer)


def test_a_single_token_leaves_nothing_to_expect(model, other, tokenizer):
    with pytest.raises(UserError, match=says("one token", "write more")):
        compare(inspect(model, tokenizer, "7"), tokenizer, other, tokenizer)


def test_only_heads_that_both_have_are_compared(model, tiny, tokenizer):
    flat = build(tiny, tokenizer, n_layers=1, n_heads=4)
    both = compare(inspect(model, tokenizer, PROMPT), tokenizer, flat, tokenizer)
    assert both.shape == (1, 2)
    assert both.maps(0, 1)[1].shape == (7, 7)
    with pytest.raises(UserError, match=says("layer 1 head 0", "layers 0 to 0", "heads 0 to 1")):
        both.maps(1, 0)
    with pytest.raises(UserError, match=says("layer 0 head 3")):
        both.maps(0, 3)


def test_tokenizers_are_the_same_if_every_number_means_the_same():
    assert same_tokens(CharTokenizer("abc"), CharTokenizer("cba"))
    assert not same_tokens(CharTokenizer("abc"), CharTokenizer("abd"))
    assert not same_tokens(CharTokenizer("abc"), ByteTokenizer())
