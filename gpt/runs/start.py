"""Where a run begins that goes on from another model: its weights, its tokens, and what CONFIG has to be then."""

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from gpt.config import CONFIG
from gpt.data.tokenizer import Tokenizer
from gpt.errors import UserError

INHERITED = ("vocab_size", "vocab_multiple", "context_length", "emb_dim", "n_layers", "n_heads", "position", "activation", "qk_norm",
             "qkv_bias", "tie_weights", "tokenizer")  # settings that belong to the weights
LOWER_RATE = 0.1  # of the learning rate with which the weights were trained: a higher one would forget them first


@dataclass(frozen=True)
class Start:
    """The weights to begin with, by parameter, their tokenizer and CONFIG. `origin` is the name of the run or of the model."""

    origin: str
    config: dict[str, Any]
    weights: dict[str, Tensor]
    tokenizer: Tokenizer

    def config_with(self, given: dict[str, Any]) -> dict[str, Any]:
        """CONFIG of a run that goes on from here: what was `given`, what belongs to the weights, the same text and optimizer at a lower
        rate, and the defaults for the rest. Raises UserError, with both values, for each given setting that contradicts the weights."""
        clashes = [f"{name} is {self.config[name]} in {self.origin} and {given[name]} here" for name in INHERITED
                   if name in given and given[name] != self.config[name]]
        if clashes:
            raise UserError(f"a run that goes on from {self.origin} has its model: {'; '.join(clashes)}; leave these settings out")
        usual = {"corpus": self.config["corpus"], "optimizer": self.config["optimizer"],
                 "learning_rate": LOWER_RATE * self.config["learning_rate"]}
        return {**CONFIG, **usual, **{name: self.config[name] for name in INHERITED}, **given}
