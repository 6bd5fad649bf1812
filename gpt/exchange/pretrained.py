"""GPT-2 itself, and every folder of its shape: from Hugging Face's files to a model and a tokenizer of this project."""

import json
import os
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from gpt.config import CONFIG, PRESETS, ConfigError, validate
from gpt.data.progress import Progress, silent
from gpt.data.tokenizers.base import Tokenizer, TokenizerError
from gpt.data.tokenizers.bpe import gpt2_tokenizer
from gpt.errors import UserError
from gpt.exchange.tokenizer_json import read_tokenizer_json
from gpt.model.gpt2 import GPT2
from gpt.model.gpt2_format import ARCHITECTURE, SIZES, from_gpt2
from gpt.training.device import enough_memory

PUBLISHED = {  # name -> (repository, megabytes of its weights)
    "gpt2": ("openai-community/gpt2", 548), "gpt2-medium": ("openai-community/gpt2-medium", 1520),
    "gpt2-large": ("openai-community/gpt2-large", 3247), "gpt2-xl": ("openai-community/gpt2-xl", 6431),
    "distilgpt2": ("distilbert/distilgpt2", 353),
}
FILES = ("config.json", "tokenizer.json", "model*.safetensors", "model.safetensors.index.json")
MEANT = {  # what config.json may say beside the sizes, and mean our model
    "activation_function": ("gelu_new", "gelu_pytorch_tanh"), "layer_norm_epsilon": (1e-5,), "scale_attn_weights": (True,),
    "scale_attn_by_inverse_layer_idx": (False,), "add_cross_attention": (False,),
}
PICKLED = ("pytorch_model*.bin", "*.ckpt*", "*.pt", "*.pth", "*.h5")


def load_pretrained(source: str | Path) -> tuple[GPT2, Tokenizer]:
    """The model, in evaluation mode and float32, and the tokenizer of one of PUBLISHED, which is downloaded once into Hugging Face's own
    cache, or of a folder on this disk. Raises UserError in one sentence, with everything that does not fit."""
    config, weights, tokenizer = read_pretrained(source)
    return built(config, weights), tokenizer


def built(config: dict[str, Any], weights: dict[str, Tensor]) -> GPT2:
    """A model with these weights, in evaluation mode. Raises UserError if there is not enough memory."""
    with enough_memory("close other programs, or take a smaller model"):
        model = GPT2(config)
        model.load_state_dict(weights)
    return model.eval()


def origin_of(source: str | Path) -> str:
    """The name by which a run says where its weights come from: a repository, or the name of a folder."""
    return PUBLISHED[str(source)][0] if str(source) in PUBLISHED else Path(source).resolve().name


def read_pretrained(source: str | Path, progress: Progress = silent) -> tuple[dict[str, Any], dict[str, Tensor], Tokenizer]:
    """(CONFIG, weights under our names, tokenizer) of what `load_pretrained` loads."""
    folder = folder_of(source, progress)
    theirs = _config_json(folder)
    tokenizer = _tokenizer(folder, theirs["vocab_size"])
    config = config_of(theirs, tokenizer)
    with enough_memory("close other programs, or take a smaller model"):
        weights = _weights(folder)
        if tokenizer.n_vocab < theirs["vocab_size"]:  # rows that only pad the vocabulary
            for name in [name for name in weights if name.endswith(("wte.weight", "lm_head.weight"))]:
                weights[name] = weights[name][:tokenizer.n_vocab]
        try:
            return config, from_gpt2(weights, config), tokenizer
        except UserError as error:
            raise UserError(f"{folder} does not hold what its config.json says: {error}") from error


def folder_of(source: str | Path, progress: Progress = silent) -> Path:
    """The folder with the files, downloaded if it is one of PUBLISHED and not here yet. Raises UserError."""
    if str(source) not in PUBLISHED:
        if os.path.isdir(source):
            return Path(source)
        raise UserError(f"{str(source)[:200]!r} is no folder here, and none of {', '.join(PUBLISHED)}: give one of these")
    from huggingface_hub import snapshot_download

    repository, megabytes = PUBLISHED[str(source)]
    try:
        return Path(snapshot_download(repository, allow_patterns=FILES, tqdm_class=telling(progress, megabytes)))
    except Exception as error:  # of that package, and of those through which it reaches the network
        reason = (str(error).strip() or type(error).__name__).splitlines()[0].removeprefix("Got: ")[:160]  # the rest is advice
        raise UserError(f"{source} ({megabytes} MB) cannot be downloaded ({reason}): put config.json, model.safetensors "
                        f"and tokenizer.json of {repository} into a folder, and run python -m gpt.pretrained --source FOLDER") from error


def telling(progress: Progress, megabytes: int) -> type | None:
    """A bar, as huggingface_hub asks for one, that tells `progress` how many bytes have come; None, its own bar, if nobody listens."""
    if progress is silent:
        return None
    from tqdm import tqdm

    class Telling(tqdm):
        most = 0.0  # megabytes: there is a bar for what comes and one for what is written, and either may be ahead

        def __init__(self, *arguments: Any, **options: Any):
            super().__init__(*arguments, **{**options, "disable": True})
            self.counts_bytes, self.bytes = options.get("unit") == "B", options.get("initial") or 0

        def update(self, n: float | None = 1) -> None:  # a bar that is disabled counts nothing itself
            if self.counts_bytes:
                self.bytes += n or 0
                Telling.most = max(Telling.most, min(self.bytes / 1e6, megabytes))
                progress(f"{Telling.most:,.0f} of {megabytes:,} MB are here.", 0.9 * Telling.most / megabytes)

    return Telling


def config_of(theirs: dict[str, Any], tokenizer: Tokenizer) -> dict[str, Any]:
    """CONFIG of a model that the `theirs` of a config.json describes. Raises UserError with everything that is another architecture."""
    problems = [f"{name} is {theirs[name]}, and here it is {' or '.join(map(str, meant))}" for name, meant in MEANT.items()
                if name in theirs and theirs[name] not in meant]
    if theirs.get("n_inner") not in (None, 4 * theirs["n_embd"]):
        problems.append(f"n_inner is {theirs['n_inner']}, and here it is four times n_embd, {4 * theirs['n_embd']}")
    if problems:
        raise UserError(f"this GPT-2 is built in another way: {'; '.join(problems)}")
    config = {**CONFIG, **PRESETS["gpt2-124m"].config, **ARCHITECTURE, **{ours: theirs[name] for ours, name in SIZES.items()},
              "tie_weights": theirs.get("tie_word_embeddings", True), "qkv_bias": True, "vocab_multiple": 1, "corpus": CONFIG["corpus"],
              "tokenizer": tokenizer.name, "vocab_size": tokenizer.n_vocab, "dropout_rate": 0.0}
    try:
        return validate(config)
    except ConfigError as error:
        raise UserError(f"this GPT-2 is not one that can be built here: {error}") from error


def _config_json(folder: Path) -> dict[str, Any]:
    try:
        theirs = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{folder} has no config.json: give a folder of Hugging Face's with a GPT-2") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{folder / 'config.json'} cannot be read ({type(error).__name__}): download it again") from error
    if not isinstance(theirs, dict) or theirs.get("model_type") != "gpt2":
        kind = theirs.get("model_type") if isinstance(theirs, dict) else None
        raise UserError(f"{folder} holds a model of the kind {str(kind)[:40]!r}: only gpt2 can be read")
    missing = [name for name in SIZES.values() if not isinstance(theirs.get(name), int) or isinstance(theirs.get(name), bool)]
    if missing:
        raise UserError(f"{folder / 'config.json'} has no whole number for {', '.join(missing)}: download it again")
    return theirs


def _tokenizer(folder: Path, vocab_size: int) -> Tokenizer:
    path = folder / "tokenizer.json"
    if path.exists():
        try:
            tokenizer = read_tokenizer_json(path.read_text(encoding="utf-8"))
        except TokenizerError as error:
            raise UserError(f"{path}: {error}") from error
        except (OSError, KeyError, TypeError, ValueError, AttributeError) as error:
            raise UserError(f"{path} cannot be read as a tokenizer ({type(error).__name__}: {error}): download it again") from error
    elif vocab_size == gpt2_tokenizer().n_vocab:
        tokenizer = gpt2_tokenizer()
    else:
        raise UserError(f"{folder} has no tokenizer.json, and {vocab_size:,} tokens are not GPT-2's own "
                        f"{gpt2_tokenizer().n_vocab:,}: add it")
    if tokenizer.n_vocab > vocab_size:
        raise UserError(f"the tokenizer of {folder} has {tokenizer.n_vocab:,} tokens and its model {vocab_size:,}: one of them belongs to "
                        "another model")
    return tokenizer


def _weights(folder: Path) -> dict[str, Tensor]:
    """All weights of the folder's safetensors files, under the names that stand there. Raises UserError."""
    index = folder / "model.safetensors.index.json"
    try:
        names = sorted(set(json.loads(index.read_text())["weight_map"].values())) if index.exists() else ["model.safetensors"]
        missing = [name for name in names if not (folder / str(name)).exists()]
        if missing and any(path for pattern in PICKLED for path in folder.glob(pattern)):
            raise UserError(f"the weights in {folder} are pickled, which may run code of strangers: give model.safetensors")
        if missing:
            half = " (the download is not complete)" if any(folder.glob("*.incomplete")) or len(missing) < len(names) else ""
            raise UserError(f"{folder} lacks {', '.join(missing)}{half}: download it again")
        return {name: weight for file in names for name, weight in load_file(folder / file).items()}
    except (OSError, SafetensorError, KeyError, TypeError, AttributeError, ValueError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f"the weights in {folder} cannot be read, they are damaged or half downloaded ({type(error).__name__}): download "
                        "them again") from error
