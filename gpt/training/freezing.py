"""Parts of a model that stay as they are while the rest learns. What the first layers compute is the most general (Yosinski et al. 2014,
1411.1792), so a new text may leave them as they are; and what is frozen has no gradient and no optimizer state, nor, if nothing below it
learns, a backward pass."""

from gpt.config import frozen_parts
from gpt.model.gpt2 import GPT2


def freeze(model: GPT2) -> None:
    """Let no gradient reach the parts that the model's CONFIG names in `freeze`. A head that is tied to the token embedding is frozen with
    it."""
    for part in frozen_parts(model.config):
        embeddings = (model.token_embedding, model.position_embedding)
        for module in embeddings if part == "embeddings" else [model.blocks[int(part)]]:
            if module is not None:
                module.requires_grad_(False)
