"""A run as a folder that Hugging Face's `transformers` loads: config.json, model.safetensors, tokenizer.json and a model card."""

import json
import tempfile
import zipfile
from pathlib import Path
from typing import Any, BinaryIO

from safetensors.torch import save_file

from gpt.data.tokenizers.base import Tokenizer
from gpt.errors import UserError
from gpt.exchange.folders import NotWritten, new_folder
from gpt.exchange.model_card import model_card
from gpt.exchange.tokenizer_json import tokenizer_config, tokenizer_json
from gpt.model.gpt2_format import SIZES, refuse_other_models, to_gpt2
from gpt.runs.run import Run, load_run


def write_huggingface(run: Run, to: Path, step: int | None = None) -> None:
    """Write the best weights of a run, or those of the snapshot at `step`, into the folder `to`, which must not exist or be empty.

    Raises UserError, and leaves nothing behind, if GPT-2's format cannot hold the model, or the folder cannot be written.
    """
    run.check_format()
    about = run.config()
    config = about["config"]
    refuse_other_models(run.name, config)
    model, tokenizer = load_run(run.path, step)
    weights = to_gpt2(model.state_dict(), config)
    with new_folder(to) as folder:
        save_file(weights, folder / "model.safetensors", {"format": "pt"})
        for name, text in {
            "config.json": json.dumps(model_config(config, tokenizer), indent=1),
            "generation_config.json": json.dumps(special_tokens(tokenizer), indent=1),
            "tokenizer.json": tokenizer_json(tokenizer),
            "tokenizer_config.json": tokenizer_config(tokenizer, config["context_length"]),
            "README.md": model_card(run, about, step),
        }.items():
            (folder / name).write_text(text, encoding="utf-8")
        (folder / "model.safetensors").chmod((folder / "config.json").stat().st_mode)  # safetensors lets only its writer read it


def write_zip(run: Run, file: BinaryIO) -> None:
    """The same folder, as a zip. Raises UserError as `write_huggingface` does, but names no folder of this machine."""
    with tempfile.TemporaryDirectory() as aside:
        folder = Path(aside) / run.name
        try:
            write_huggingface(run, folder)
        except NotWritten as error:
            raise UserError(f"run {run.name} cannot be exported ({error.reason}): make room on the disk that holds temporary "
                            "files") from error
        with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:  # weights hardly shrink
            for path in sorted(folder.iterdir()):
                archive.write(path, f"{run.name}/{path.name}")


def model_config(config: dict[str, Any], tokenizer: Tokenizer) -> dict[str, Any]:
    """CONFIG in the words of `transformers`."""
    return {"model_type": "gpt2", "architectures": ["GPT2LMHeadModel"], **{theirs: config[ours] for ours, theirs in SIZES.items()},
            "activation_function": "gelu_new", "layer_norm_epsilon": 1e-5, "tie_word_embeddings": config["tie_weights"],
            **dict.fromkeys(("resid_pdrop", "embd_pdrop", "attn_pdrop"), config["dropout_rate"]), "dtype": "float32",
            **special_tokens(tokenizer)}


def special_tokens(tokenizer: Tokenizer) -> dict[str, int | None]:
    """A vocabulary without <|endoftext|> has no special tokens; transformers would take 50,256 for them otherwise."""
    return dict.fromkeys(("bos_token_id", "eos_token_id"), tokenizer.end)
