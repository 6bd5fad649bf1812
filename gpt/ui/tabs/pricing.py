"""What the form of the Train tab says before anything is trained: what the text looks like, and what training on it costs."""

from pathlib import Path
from typing import Any

from gpt.config import CONFIG, FIELDS, TOKENIZERS, ConfigError, problems_of, validate
from gpt.data.built_in import BUILT_IN, to_download
from gpt.data.dataset import require_length
from gpt.data.length import likely_vocab_size
from gpt.errors import UserError
from gpt.escape import escaped
from gpt.estimate.price import Estimate, estimate
from gpt.runs.run import new_name
from gpt.training.device import choose_device
from gpt.training.distributed import check_processes
from gpt.training.limits import memory_limit
from gpt.ui.server import texts, training_status
from gpt.ui.server.bases import Base, base_of
from gpt.ui.server.jobs import Jobs, command_line, training_arguments, with_processes
from gpt.ui.server.values import text_of, typed
from gpt.ui.tabs.settings import PROCESSES
from gpt.words import size

PART_COLOURS = {"embedding": "var(--gpt-muted)", "attention": "var(--gpt-accent)", "feed-forward": "var(--gpt-sky)",
                "head": "var(--gpt-pale)"}


def show_price(jobs: Jobs, number: int, preset: str, name: str, *values: Any) -> tuple[dict, dict]:
    """What the price and the preview show: the answer to the page's request `number`."""
    try:
        *settings, processes, visitor = values
        config, processes = typed(FIELDS, settings), known_processes(processes)
        base, name = base_of(jobs.root, text_of(preset, "the preset")), text_of(name, "the name of the run").strip()
    except UserError as error:
        return {"problems": [escaped(str(error))], "question": number}, {"sentence": "", "opening": "", "notes": "", "question": number}
    price, preview = price_of(jobs, base, name, config, visitor, processes), preview_of(jobs, base, config, visitor)
    return {**price, "question": number}, {**preview, "question": number}


def known_processes(processes: Any) -> int:
    """The number of processes. Raises UserError if it is none."""
    value = typed((PROCESSES,), [processes])["processes"]
    if problems := problems_of((PROCESSES,), {"processes": value}):
        raise UserError(problems["processes"])
    return value


def preview_of(jobs: Jobs, base: Base, config: dict[str, Any], visitor: str = "") -> dict[str, Any]:
    """What the text looks like, for the preview view."""
    try:
        text = known_text(jobs, base, config, visitor)
    except UserError as error:
        return {"sentence": "", "opening": "", "notes": escaped(str(error))}
    tokens = f"{text['train_tokens']:,}" if text["exact"] else f"about {round(text['train_tokens'], -3):,}"
    about = f" {BUILT_IN[config['corpus']].sentence}" if config["corpus"] in BUILT_IN else ""
    n = text["characters"]
    characters = f"{n / 1e6:.2f} million" if n >= 100_000 else f"{n:,}"
    has_one = text["documents"] == 1 and not config["validation"]
    documents = "the last tenth is kept for validation" if has_one else f"{text['documents']:,} documents"
    sentence = f"{characters} characters; {tokens} tokens to train on, {text['bytes_per_token']:.1f} bytes each; {documents}.{about}"
    return {"sentence": sentence, "opening": escaped(text["opening"]), "notes": escaped(" ".join(f"{note}." for note in text["notes"]))}


def known_text(jobs: Jobs, base: Base, config: dict[str, Any], visitor: str) -> dict[str, Any]:
    """The preview of a text in the tokens of `config`, or of the run to go on from; settings that are no good count as CONFIG's. Raises
    UserError if the text is not on the page or cannot be read."""
    read = read_by(jobs, config, visitor)
    if download := to_download(read.corpus):
        return texts.expected(download, read.tokenizer, read.vocab_size)
    return texts.preview(read, *tokens_of(base))


def read_by(jobs: Jobs, config: dict[str, Any], visitor: str) -> texts.Read:
    """The settings by which a text is read; those that are no good count as CONFIG's. Raises UserError if a text is not on the page."""
    problems, home = problems_of(FIELDS, config), jobs.access.home(visitor)
    read = {name: CONFIG[name] if name in problems else config[name] for name in texts.Read._fields}
    if TOKENIZERS[read["tokenizer"]].problem(read["vocab_size"]):
        read["vocab_size"] = CONFIG["vocab_size"]
    texts.check_source(home, config["corpus"])
    if config["validation"] != "":
        texts.check_source(home, config["validation"])
    return texts.Read(**read)


def tokens_of(base: Base) -> tuple[Path | None, int]:
    """The file with the tokens of the run to go on from, if it is one, and when it was written."""
    tokens = base.tokenizer()
    return tokens, tokens.stat().st_mtime_ns if tokens and tokens.exists() else 0


def long_enough(jobs: Jobs, base: Base, config: dict[str, Any], visitor: str) -> dict[str, Any]:
    """The preview of a text that can be trained on with `config`. Raises UserError if it is too short or not on the page."""
    text = known_text(jobs, base, config, visitor)
    require_length("the training part of the text", text["train_tokens"], config["context_length"])
    return text


def priced(config: dict[str, Any], text: dict[str, Any]) -> dict[str, Any]:
    """`config` with the vocabulary size for the estimate."""
    return {**config, "vocab_size": likely_vocab_size(config, text["exact"], text["vocab_size"])}


def price_of(jobs: Jobs, base: Base, name: str, config: dict[str, Any], visitor: str = "", processes: int = 1) -> dict[str, Any]:
    """What training `config` with so many processes costs, or everything that is wrong with it, for the price view."""
    try:
        validate(config)
        base.check(config)
        on_cpu = (device := choose_device(config["device"])).type == "cpu"
        check_processes(processes, config["batch"], device)
        if name:
            jobs.check_free(name)
        text = long_enough(jobs, base, config, visitor)
        config = jobs.access.with_time_limit(visitor, config)
        cost = estimate(priced(config, text), text["train_tokens"], config["device"], processes)
        words = training_arguments(config, base.name, name or new_name(jobs.root, str(config["corpus"])), jobs.root)
    except ConfigError as error:
        return {"problems": [escaped(problem) for problem in error.problems.values()]}
    except UserError as error:
        return {"problems": [escaped(str(error))]}
    steps = f"{cost.steps:,}" if cost.steps else "as many as fit"
    each, exchange = ("", "") if on_cpu or processes == 1 else (" on each GPU", ", without the exchange of gradients")
    return {
        "problems": jobs.access.problems(visitor, config, cost),
        "numbers": [[f"{cost.n_parameters / 1e6:.2f} M", "parameters"], [size(cost.weight_bytes), "of weights"],
                    [size(cost.optimizer_bytes), "of optimizer state"], [size(cost.training_bytes), f"to train{each}"], [steps, "steps"],
                    [f"about {training_status.duration(cost.seconds)}", f"here{exchange}"]],
        "colours": PART_COLOURS, "bars": [["parameters", shares(cost.parameters)], ["arithmetic", shares(cost.flops)]],
        "warning": memory_warning(cost, on_cpu),
        "command": command_line(with_processes(words, processes)),
    }


def memory_warning(cost: Estimate, on_cpu: bool) -> str:
    """A sentence where the memory is short, with what to do about it; else ""."""
    if cost.fits:
        return ""
    remedy = f"lower {' or '.join(cost.settings_to_lower)}"
    limit = memory_limit() if on_cpu else None
    allowed = f" of the {size(limit)} allowed" if limit else ""
    return f"This needs about {size(cost.training_bytes)} of memory, and {size(cost.free_bytes)}{allowed} is free here: {remedy}."


def shares(amounts: dict[str, float]) -> dict[str, float]:
    """Amounts by part -> shares of their sum."""
    return {part: amount / sum(amounts.values()) for part, amount in amounts.items()}
