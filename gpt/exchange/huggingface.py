"""A run as a folder that Hugging Face's `transformers` loads: config.json, model.safetensors, tokenizer.json and a model card."""

import contextlib
import json
import os
import shutil
import tempfile
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from safetensors.torch import save_file

from gpt.data.tokenizer import Tokenizer
from gpt.errors import UserError
from gpt.exchange.model_card import model_card
from gpt.exchange.tokenizer_json import end_of_text, tokenizer_config, tokenizer_json
from gpt.model.gpt2_format import SIZES, problems_in_gpt2, to_gpt2
from gpt.runs.run import Run, load_run


class NotWritten(UserError):
    """A folder that cannot be written, and the `reason`."""

    def __init__(self, to: Path, reason: str):
        super().__init__(f"{to} cannot be written ({reason}): make room, or name a folder where you may write")
        self.reason = reason


def write_huggingface(run: Run, to: Path, step: int | None = None) -> None:
    """Write the best weights of a run, or those of the snapshot at `step`, into the folder `to`, which must not exist or be empty.

    Raises UserError, and leaves nothing behind, if GPT-2's format cannot hold the model, or the folder cannot be written.
    """
    run.check_format()
    about = run.config()
    config = about["config"]
    if problems := problems_in_gpt2(config):
        raise UserError(f"run {run.name} cannot be exported: {'; '.join(problems)}; train one with the preset gpt2-classic")
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
    return dict.fromkeys(("bos_token_id", "eos_token_id"), end_of_text(tokenizer))


@contextlib.contextmanager
def new_folder(to: Path) -> Iterator[Path]:
    """A folder to write into, which becomes `to` when the block has ended. Raises UserError, and leaves nothing behind, if `to` is not
    empty or cannot be written."""
    to = to.absolute()
    if not to.name or (to.exists() and (not to.is_dir() or any(to.iterdir()))):
        raise UserError(f"{to} is there already and not empty: name another folder")
    aside = to.with_name(f".{to.name}.{os.getpid()}-{threading.get_ident()}.new")
    try:
        aside.mkdir(parents=True)
        yield aside
        if to.exists():
            to.rmdir()
        aside.rename(to)
    except BaseException as error:
        shutil.rmtree(aside, ignore_errors=True)
        if isinstance(error, OSError) or "No space left" in str(error):  # safetensors has an error of its own
            raise NotWritten(to, getattr(error, "strerror", None) or "No space left on device") from error
        raise
