"""A pretrained GPT-2 as a run: from then on the page, the commands and the tests see it as one that was trained here."""

from pathlib import Path

from gpt.data.dataset import TokenizedText
from gpt.data.progress import Progress, silent
from gpt.data.sources import read_corpus
from gpt.exchange.pretrained import PUBLISHED, built, origin_of, read_pretrained
from gpt.interpret.probes import line_ends, make_probes
from gpt.runs.description import description
from gpt.runs.run import Run, RunError, check_name, new_name
from gpt.runs.writer import RunWriter
from gpt.training.trainer import Trainer

EVALUATED_TOKENS = 4096  # of the text on which its loss is measured: ten seconds for GPT-2 on two cores


def import_run(source: str | Path, root: Path | str, name: str | None = None, corpus: str = "stories", progress: Progress = silent) -> Run:
    """Write what `load_pretrained` loads into a new run below `root`. Its loss is measured, and its heads will be scored, on the validation
    part of `corpus`; `progress` is told how far this is. Raises UserError, and leaves nothing behind, if that is not possible."""
    name = name or (str(source) if str(source) in PUBLISHED and not (Path(root) / str(source)).exists() else new_name(root, str(source)))
    writer = RunWriter(Path(root) / check_name(name))
    if writer.path.exists():
        raise RunError(f"there is a run {name} already: choose another name")
    config, weights, tokenizer = read_pretrained(source, progress)
    progress(f"its loss on {corpus} is measured.", 0.95)
    text = read_corpus(corpus, config["seed"])
    config |= {"corpus": corpus, "precision": "float32", "eval_tokens": EVALUATED_TOKENS, "device": "cpu"}
    model, origin = built(config, weights), origin_of(source)
    tokens = TokenizedText.encode(text, tokenizer)
    evaluation = Trainer(config, model, tokens).evaluation()
    with writer:
        if (writer.path / "config.json").exists():  # it was made while the weights were read
            raise RunError(f"there is a run {name} already: choose another name")
        try:
            writer.write_status(state="starting", error=None, step=0, steps=0, val_loss=None, bits_per_byte=None)
            writer.write_probes(make_probes(tokens, config["context_length"], config["seed"], line_ends(tokenizer)))
            loss = evaluation.row["val_loss"]
            writer.save_best(weights, 0, loss)
            about = {"imported_from": origin, "steps": 0, "device": "none", "precision": "float32",
                     "precision_reason": f"trained elsewhere, weights of {origin}"}
            writer.write_config({**description(config, text, tokens, tokenizer, model), **about}, tokenizer)
            writer.append({**evaluation.row, "seconds": 0.0})
            writer.write_status(state="done", progress=1.0, seconds=0.0, eta_seconds=None, val_loss=loss, best_val_loss=loss,
                                bits_per_byte=evaluation.row["bits_per_byte"])
        except BaseException:
            writer.discard()
            raise
    return Run(writer.path)

