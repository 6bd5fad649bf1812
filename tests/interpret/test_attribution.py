"""Direct logit attribution: the parts sum to the logit, and each is what the stream says it is."""

import itertools

import pytest
import torch

from gpt.interpret.attribution import attribute
from gpt.interpret.trace import trace
from gpt.model.gpt2 import GPT2

IDS = torch.tensor([[3, 1, 4, 1, 5, 9, 2, 6]])
KINDS = [dict(zip(("position", "tie_weights", "qk_norm", "activation"), values, strict=True))
         for values in itertools.product(["learned", "rope"], [True, False], [True, False], ["gelu", "relu2"])]


def grown(config: dict) -> GPT2:
    """A model whose parameters are far from their small beginnings: logits of several units, biases that are not 0."""
    model = GPT2(config)
    generator = torch.Generator().manual_seed(0)
    for parameter in model.parameters():
        parameter.data += 0.2 * torch.randn(parameter.shape, generator=generator)
    return model.eval()


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: " ".join(map(str, kind.values())))
@pytest.mark.parametrize("position", [0, 5, 7])
def test_the_parts_sum_to_the_logit(tiny, kind, position):
    model = grown({**tiny, **kind, "qkv_bias": True, "vocab_multiple": 64})
    seen = trace(model, IDS)
    with torch.no_grad():
        logits = model(IDS)[0, position]
    for token in (0, 7, model.vocab_size - 1):
        for against, expected in ((None, logits[token]), ("mean", logits[token] - logits.mean()), (4, logits[token] - logits[4])):
            found = attribute(seen, position, token, against)
            assert found.logit == pytest.approx(expected.item(), abs=1e-5)
            assert found.total == pytest.approx(found.logit, abs=1e-4)


@pytest.mark.parametrize("position", ["learned", "rope"])
def test_every_part_is_there_once(tiny, position):
    parts = attribute(trace(grown({**tiny, "position": position}), IDS), 3, 1).parts
    block = [("head", 0), ("head", 1), ("attention's bias", None), ("feed-forward", None)]
    expected = [("token embedding", None, None), *([("position embedding", None, None)] if position == "learned" else []),
                *((kind, layer, head) for layer in range(2) for kind, head in block), ("final norm's bias", None, None)]
    assert [(part.kind, part.layer, part.head) for part in parts] == expected


def test_the_amount_of_a_head_is_the_formula(tiny):
    model = grown(tiny)
    seen = trace(model, IDS)
    part = next(part for part in attribute(seen, 6, 5).parts if (part.layer, part.head) == (1, 1))
    with torch.no_grad():
        D = 8
        z = seen.attend(1).heads[0, 1, 6]
        output = z @ model.blocks[1].attention.projection.weight[:, D:].T  # head 1 feeds the second half of the projection's inputs
        x = seen.streams[-1, 0, 6]
        sigma = (((x - x.mean()) ** 2).mean() + 1e-5).sqrt()
        amount = ((output - output.mean()) / sigma * model.final_norm.weight) @ model.token_embedding.weight[5]
    assert part.amount == pytest.approx(amount.item(), rel=1e-4)


def test_a_head_whose_output_is_thrown_away_adds_nothing(tiny):
    model = grown(tiny)
    model.blocks[0].attention.projection.weight.data[:, :8] = 0
    amounts = {(part.layer, part.head): part.amount for part in attribute(trace(model, IDS), 4, 2, "mean").parts if part.kind == "head"}
    assert amounts[0, 0] == 0
    assert all(amount for head, amount in amounts.items() if head != (0, 0))


def test_what_is_added_to_all_logits_alike_cancels_against_their_mean(tiny):
    model = grown({**tiny, "tie_weights": False})
    before = attribute(trace(model, IDS), 4, 2, "mean")
    model.head.weight.data += 0.5 * torch.ones(16)  # every token's row moves by the same
    after = attribute(trace(model, IDS), 4, 2, "mean")
    assert [part.amount for part in after.parts] == pytest.approx([part.amount for part in before.parts], abs=1e-5)


def test_a_token_against_itself_is_nothing(tiny):
    found = attribute(trace(grown(tiny), IDS), 4, 2, 2)
    assert found.logit == 0
    assert all(part.amount == 0 for part in found.parts)
