"""Heads of OpenAI's GPT-2 small whose role was published: do this project's scores find them?

Olsson et al. (2022, 2209.11895) define induction and previous-token heads; Wang et al. (2022, 2211.00593) name those of GPT-2 small that
take part in finding indirect objects. The weights are used where they are on this disk; they are not downloaded.
"""

from pathlib import Path

from gpt.data.dataset import TokenizedText
from gpt.data.sources import read_corpus
from gpt.exchange.pretrained import FILES, PUBLISHED, load_pretrained
from gpt.interpret.heads import score_heads
from gpt.interpret.probes import line_ends, make_probes
from tests.benchmarks.row import NOT_MEASURED, Result, Row, Setup, yes_no

NAMED = (("induction", 5, 1), ("induction", 5, 5), ("induction", 6, 9), ("induction", 5, 8), ("induction", 5, 9), ("previous token", 4, 11))


def measure(setup: Setup, source: str | Path | None = None) -> Result:
    """How many of the six heads have the role that was published, by the rules by which the page gives roles (gpt/interpret/heads.py)."""
    source = source or on_this_disk()
    if source is None:
        return Result(NOT_MEASURED, notes=["the weights of gpt2 are not on this disk (python -m gpt.pretrained --source gpt2)"])
    model, tokenizer = load_pretrained(source)
    tokens = TokenizedText.encode(read_corpus("stories", seed=1), tokenizer)
    scores = score_heads(model, make_probes(tokens, model.context_length, setup.seeds[0], line_ends(tokenizer)))
    found = [bool(scores.clear(role)[layer, head]) for role, layer, head in NAMED]
    values = {f"{role} {layer}.{head}": float(scores.values[role][layer, head]) for role, layer, head in NAMED}
    return Result(yes_no(all(found)), [float(sum(found))], notes=[f"{name} {value:.2f}" for name, value in values.items()],
                  raw={"values": values, "chance": {role: scores.chance[role] for role in ("induction", "previous token")}})


def on_this_disk() -> Path | None:
    """The folder with the weights of gpt2 in Hugging Face's cache, or None."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        return Path(snapshot_download(PUBLISHED["gpt2"][0], allow_patterns=FILES, local_files_only=True))
    except LocalEntryNotFoundError:
        return None


ROWS = (Row("gpt2_heads", f"heads of OpenAI's GPT-2 small whose role was published and is found, of {len(NAMED)}", f">= {len(NAMED)}",
            measure),)
