"""`python -m tests.benchmarks.records --text tinyshakespeare.txt`: how well a text can be learned in 60 s on two CPU cores.

An entry is a function of (path of the text, seed, limit in seconds) that returns an Outcome. It runs in a process of its own, on two
cores. The rules are in tests/benchmarks/README.md.
"""

import bz2
import hashlib
import lzma
import math
import os
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

from gpt.cli import Parser, user_errors_exit
from gpt.config import PRESETS
from gpt.data.baselines import PAIRS, baselines
from gpt.data.dataset import TokenizedText
from gpt.data.sources import read_corpus
from gpt.data.tokenizers.table import make_tokenizer
from gpt.errors import UserError
from tests.benchmarks import minute, ours, peer
from tests.benchmarks.machine import hardware
from tests.benchmarks.report import markdown
from tests.benchmarks.row import say
from tests.benchmarks.timing import in_fresh_process

SIZES = {"vocab_size": 1024, "context_length": 128, "batch": 8}
LIMIT_SECONDS, CORES = 60.0, 2
SHA_256 = "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed"  # of Tiny Shakespeare
LAST_STEP_SECONDS = 0.5  # that the last step of a loop which ends by the clock may take


@dataclass(frozen=True)
class Outcome:
    """`nats` of all validation tokens but the first, in windows that do not overlap, and in sliding ones (None: the entry knows no
    windows); the bytes of these tokens; and the seconds from the first line of work to a model that can predict."""

    nats: float
    sliding_nats: float | None
    bytes: int
    seconds: float

    def bits_per_byte(self) -> tuple[float, float | None]:
        return tuple(None if nats is None else nats / math.log(2) / self.bytes for nats in (self.nats, self.sliding_nats))


def quick(source: str, seed: int, limit: float) -> Outcome:
    """The preset quick with the sizes that suit this text, ended by the clock."""
    config = {**PRESETS["quick"].config, **SIZES, **minute.ONLY_AT_THE_ENDS, "corpus": source, "seed": seed, "device": "cpu",
              "max_minutes": (limit - minute.RESERVE_SECONDS) / 60}
    corpus = read_corpus(source)
    run, (model, tokenizer) = minute.one_run(config)
    text = TokenizedText.encode(corpus, tokenizer)
    sliding = ours.sliding(partial(model.loss, reduction="none"), text.validation, model.context_length)
    anew = minute.checked(run, (model, tokenizer), corpus)["anew"]
    return Outcome(anew["nats"], sliding, anew["bytes"], run["seconds"])


def plain_recipe(source: str, seed: int, limit: float) -> Outcome:
    """transformers' GPT2LMHeadModel of quick's sizes on quick's tokens, by the recipe of the other rows, its schedule tied to the clock."""
    import transformers.models.gpt2  # noqa: F401 - importing packages does not count

    begin = time.perf_counter()
    config, text = ours.encode({**PRESETS["quick"].config, **SIZES, "seed": seed, "device": "cpu"}, read_corpus(source))
    recipe = peer.Recipe(max_steps=10**6)
    training = peer.Training(config, text.train, recipe)
    end = begin + limit - LAST_STEP_SECONDS
    while (now := time.perf_counter()) < end:
        training.step(progress=(now - begin) / (end - begin))
    seconds = time.perf_counter() - begin
    nats = training.validation_loss(text.validation) * (len(text.validation) - 1)
    training.model.eval()
    sliding = ours.sliding(partial(peer.loss_of, training.model, reduction="none"), text.validation, training.T)
    return Outcome(nats, sliding, n_bytes(text), seconds)


def pairs_of_tokens(source: str, seed: int, limit: float) -> Outcome:
    """Counts of pairs of tokens of a BPE of 1,024, smoothed (gpt/data/baselines.py)."""
    begin = time.perf_counter()
    corpus = read_corpus(source)
    tokenizer = make_tokenizer("bpe", corpus.to_learn(), SIZES["vocab_size"])
    text = TokenizedText.encode(corpus, tokenizer)
    loss = baselines(text.train, text.validation, tokenizer.n_vocab)[PAIRS]
    return Outcome(loss * (len(text.validation) - 1), None, n_bytes(text), time.perf_counter() - begin)


def compressor(compress: Callable[[bytes], bytes], source: str, seed: int, limit: float) -> Outcome:
    """What the validation text adds to the compressed training text."""
    begin = time.perf_counter()
    train, validation = (part.encode() for part in read_corpus(source).strings())
    bits = 8 * (len(compress(train + validation)) - len(compress(train)))
    return Outcome(bits * math.log(2), None, len(validation), time.perf_counter() - begin)


def xz(source: str, seed: int, limit: float) -> Outcome:
    return compressor(lambda data: lzma.compress(data, preset=9 | lzma.PRESET_EXTREME), source, seed, limit)


def bzip2(source: str, seed: int, limit: float) -> Outcome:
    return compressor(bz2.compress, source, seed, limit)


ENTRIES = {entry.__name__: entry for entry in (quick, plain_recipe, pairs_of_tokens, bzip2, xz)}


def n_bytes(text: TokenizedText) -> int:
    """Of all validation tokens but the first, which nobody predicts."""
    return int(text.byte_lengths[text.validation[1:].long()].sum())


def enter(name: str, source: str, seed: int, limit: float) -> Outcome:
    """One run of an entry on the first two cores that this process may use."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])
    torch.set_num_threads(CORES)
    return ENTRIES[name](source, seed, limit)


def line(name: str, outcomes: list[Outcome], limit: float) -> tuple[str, ...]:
    """A line of the table: means over the seeds with their standard error, and the longest time."""
    def mean(values: tuple[float | None, ...]) -> str:
        if None in values:
            return "-"
        error = f" ± {statistics.stdev(values) / math.sqrt(len(values)):.4f}" if len(values) > 1 else ""
        return f"{statistics.mean(values):.4f}{error}"

    seconds = max(outcome.seconds for outcome in outcomes)
    fixed, sliding = zip(*(outcome.bits_per_byte() for outcome in outcomes), strict=True)
    return name, mean(fixed), mean(sliding), f"{seconds:.1f}" + (" (too long)" if seconds > limit else "")


def main(argv: list[str] | None = None) -> None:
    parser = Parser(prog="python -m tests.benchmarks.records", description="How well a text can be learned in a minute on two CPU cores.")
    parser.add_argument("--text", required=True, metavar="PATH", help="the text: Tiny Shakespeare; its last tenth is to be predicted")
    parser.add_argument("--only", nargs="+", choices=ENTRIES, default=list(ENTRIES), metavar="NAME", help=f"of {', '.join(ENTRIES)}")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3, 4, 5], metavar="SEED", help="a run each (default 1 2 3 4 5)")
    parser.add_argument("--seconds", type=float, default=LIMIT_SECONDS, help="limit of a run (default %(default)g)")
    given = parser.parse_args(argv)
    lines = []
    with user_errors_exit(parser):
        if given.seconds <= minute.RESERVE_SECONDS:
            raise UserError(f"{given.seconds:g} seconds are too few: give more than {minute.RESERVE_SECONDS:g}")
        if hashlib.sha256(Path(given.text).read_bytes()).hexdigest() != SHA_256:
            say(f"{given.text} is not Tiny Shakespeare, so this is no record")
        for name in given.only:
            outcomes = []
            for seed in given.seeds:
                outcomes.append(in_fresh_process(enter, name, given.text, seed, given.seconds))
                say(f"{name}, seed {seed}: {outcomes[-1].bits_per_byte()[0]:.4f} bits per byte after {outcomes[-1].seconds:.1f} s")
            lines.append(line(name, outcomes, given.seconds))
    print(hardware(torch.device("cpu"))["cpu"], *hardware(torch.device("cpu"))["flags"])
    print(markdown(("entry", "bits per byte", "sliding windows", "seconds"), lines))


if __name__ == "__main__":
    main()
