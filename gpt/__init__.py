"""GPT-2 from scratch: a GPT to train, to talk to and to take apart."""

from gpt.attention import CausalAttention, MultiHeadAttention, SelfAttention
from gpt.config import CONFIG, PRESETS, validate
from gpt.dataset import GPTDataset
from gpt.errors import UserError
from gpt.generate import Sampling, generate_text, text_to_token_ids, token_ids_to_text, write
from gpt.interpret import attention_maps
from gpt.layers import FeedForward, LayerNorm, TransformerBlock
from gpt.model import GPT2
from gpt.run import load_run
from gpt.trainer import Trainer

__all__ = ["CONFIG", "GPT2", "PRESETS", "CausalAttention", "FeedForward", "GPTDataset", "LayerNorm", "MultiHeadAttention", "Sampling",
           "SelfAttention", "Trainer", "TransformerBlock", "UserError", "attention_maps", "generate_text", "load_run",
           "text_to_token_ids", "token_ids_to_text", "validate", "write"]
