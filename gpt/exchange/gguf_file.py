"""A run as a GGUF file, which llama.cpp and the programs around it load. Format: github.com/ggml-org/ggml, docs/gguf.md."""

from pathlib import Path

from gpt.data.tokenizers.bpe import BPETokenizer, as_printable, merges
from gpt.errors import UserError
from gpt.exchange.folders import new_folder
from gpt.model.gpt2_format import PREFIX, is_transposed, refuse_other_models, to_gpt2
from gpt.runs.run import Run, load_run

NORMAL, CONTROL = 1, 3  # kinds of tokens


def write_gguf(run: Run, to: Path, step: int | None = None) -> None:
    """Write the best weights of a run, or those of the snapshot at `step`, in float32 as NAME.gguf into the new folder `to`.

    Raises UserError, and leaves nothing behind, if GPT-2's format cannot hold the model, GGUF cannot hold its tokens, or the folder cannot
    be written.
    """
    import gguf

    run.check_format()
    config = run.config()["config"]
    refuse_other_models(run.name, config)
    model, tokenizer = load_run(run.path, step)
    if not isinstance(tokenizer, BPETokenizer):
        raise UserError(f"run {run.name} cannot be exported to GGUF: its tokens are single {tokenizer.name}s, and llama.cpp reads GPT-2's "
                        "or learned ones; train one with tokenizer bpe or gpt2")
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.GPT2, config["n_layers"])
    with new_folder(to) as folder:
        writer = gguf.GGUFWriter(folder / f"{run.name}.gguf", gguf.MODEL_ARCH_NAMES[gguf.MODEL_ARCH.GPT2])
        writer.add_name(run.name)
        writer.add_block_count(config["n_layers"])
        writer.add_context_length(config["context_length"])
        writer.add_embedding_length(config["emb_dim"])
        writer.add_feed_forward_length(4 * config["emb_dim"])
        writer.add_head_count(config["n_heads"])
        writer.add_layer_norm_eps(1e-5)
        writer.add_file_type(gguf.LlamaFileType.ALL_F32)
        _add_tokens(writer, tokenizer)
        for name, weight in to_gpt2(model.state_dict(), config).items():
            theirs = names.get_name(name.removeprefix(PREFIX), (".weight", ".bias"))
            writer.add_tensor(theirs, (weight.T if is_transposed(name) else weight).contiguous().numpy())  # rows of outputs
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()


def _add_tokens(writer: "gguf.GGUFWriter", tokenizer: BPETokenizer) -> None:  # noqa: F821
    """The tokens in the order of their ids, their kinds, and the pairs that are merged."""
    special = {i: name for name, i in tokenizer.special.items()}
    ids = range(tokenizer.n_vocab)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list([special.get(i) or as_printable(tokenizer.token_bytes(i)) for i in ids])
    writer.add_token_types([CONTROL if i in special else NORMAL for i in ids])
    writer.add_token_merges([f"{as_printable(left)} {as_printable(right)}" for left, right in merges(tokenizer.ranks)])
    # Of a vocabulary that names no end, llama.cpp would stop at token 11.
    end = tokenizer.ranks[b"\0"] if tokenizer.end is None else tokenizer.end
    writer.add_bos_token_id(end)
    writer.add_eos_token_id(end)
    writer.add_add_bos_token(False)
