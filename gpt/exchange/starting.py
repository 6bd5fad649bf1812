"""What a run can go on from: another run, a published GPT-2, or a folder of its shape."""

from pathlib import Path

from gpt.exchange.pretrained import origin_of, read_pretrained
from gpt.runs.earlier_text import text_of
from gpt.runs.run import Run, load_best, load_matching_tokenizer
from gpt.runs.start import Start, rate_after


def find_start(source: str, root: Path | str) -> Start:
    """The best weights of the run `source` below `root`, if there is one; else what gpt.exchange.pretrained reads. Raises UserError."""
    run = Run(Path(root) / source)
    if source and run.path.parent == Path(root) and (run.path / "config.json").exists():
        run.check_format()
        about = run.config()
        tokenizer = load_matching_tokenizer(run, about["config"]["vocab_size"])
        return Start(source, about["config"], load_best(run)[0], tokenizer, rate_after(about), text_of(run))
    config, weights, tokenizer = read_pretrained(source)
    return Start(origin_of(source), config, weights, tokenizer, rate_after({"config": config}))
