"""Writing: from logits to the next token, from tokens to text that appears as it is written.

`python -m gpt.generate --run stories --prompt "Once there was"` writes to the terminal.
"""

import math
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor

from gpt.attention import KVCache
from gpt.cli import Parser, user_errors_end_politely
from gpt.config import ConfigError, Field, add_flags, problems_of
from gpt.model import GPT2, evaluating
from gpt.run import DEFAULT_ROOT, find_run, load_run
from gpt.tokenizer import Tokenizer, encode_prompt, require_tokens, stream_text
from gpt.visible import visible

LIKELIEST = 6  # tokens told beside each chosen one
COLDEST = 1e-6  # a lower temperature is as good as 0, and dividing by it would overflow
SAMPLE_TOKENS = 48  # that a run writes at each of its evaluations
SAMPLING_FIELDS = (
    Field("max_new_tokens", 100, "Most tokens to write.", minimum=1, maximum=2000, step=10),
    Field("temperature", 0.8, "Below 1 likely tokens become likelier; 0 always takes the likeliest.", minimum=0, maximum=5, step=0.05),
    Field("top_k", 0, "Choose among this many likeliest tokens; 0 among all.", minimum=0, maximum=100_000, step=1),
    Field("top_p", 1.0, "Choose among the likeliest tokens that together have this probability.", minimum=0, maximum=1, step=0.01),
    Field("min_p", 0.0, "Leave out tokens less likely than this share of the likeliest one's probability.", minimum=0, maximum=1, step=0.01),
    Field("repetition_penalty", 1.0, "Above 1, tokens already in the text become less likely.", minimum=0.1, maximum=10, step=0.05),
    Field("seed", 1, "The same seed, prompt and settings write the same text.", minimum=0, maximum=2**31 - 1, step=1),
    Field("stop", "", "Stop when this text has been written; it is left out."),
)


@dataclass(frozen=True)
class Sampling:
    """How to choose tokens; SAMPLING_FIELDS says what each setting does. Raises ConfigError if a value is out of range."""

    max_new_tokens: int = 100
    temperature: float = 0.8
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    seed: int = 1
    stop: str = ""

    def __post_init__(self):
        if found := problems_of(SAMPLING_FIELDS, asdict(self)):
            raise ConfigError(found)


class Likely(NamedTuple):
    """A token on its way to being chosen: its probability as the `model` itself gave it, after the repetition penalty and the
    temperature (`tempered`), and after the cuts (`left`)."""

    token: int
    model: float
    tempered: float
    left: float


@dataclass(frozen=True)
class Piece:
    """One step of writing: the token, the text it made visible, the probability the model itself gave it (at temperature 1,
    before anything was cut off), its surprisal, which is -log of that in nats, as the loss is, and the tokens that were likeliest to the
    model, then the chosen one if it is none of them. `token` is None for text held back until the end.

    What each head read at this step is not kept: a forward pass over the ids so far (at most context_length of them) finds it again.
    """

    token: int | None
    text: str
    probability: float = 0.0
    surprisal: float = 0.0
    likeliest: tuple[Likely, ...] = ()


def penalise_repetition(logits: Tensor, ids: Tensor, penalty: float) -> Tensor:
    """(B, V) logits, less favourable for tokens in (B, N) `ids` (after Keskar et al. 2019, 1909.05858): positive logits are
    divided by the penalty. They divide all; negative ones are multiplied here, since dividing would favour them."""
    seen = logits.gather(1, ids)
    return logits.scatter(1, ids, torch.where(seen > 0, seen / penalty, seen * penalty))


def logits_to_probabilities(logits: Tensor, temperature: float = 1.0, top_k: int = 0, top_p: float = 1.0, min_p: float = 0.0) -> Tensor:
    """(B, V) logits -> (B, V) probabilities: all cuts judge the same distribution, after temperature, and what is left is
    renormalised once; temperature 0 puts 1 on the likeliest."""
    return truncate(temper(logits, temperature), top_k, top_p, min_p)


def temper(logits: Tensor, temperature: float) -> Tensor:
    """(B, V) logits -> (B, V) probabilities of all tokens: below temperature 1 the likely become likelier, at 0 one has it all."""
    if temperature < COLDEST:
        return torch.zeros_like(logits).scatter(1, logits.argmax(dim=1, keepdim=True), 1.0)
    return (logits / temperature).softmax(dim=1)


def truncate(probabilities: Tensor, top_k: int = 0, top_p: float = 1.0, min_p: float = 0.0) -> Tensor:
    """(B, V) probabilities -> the same without the unlikely ones, summing to 1 again.

    top_k: Fan et al. 2018, 1805.04833. top_p: Holtzman et al. 2020, 1904.09751. min_p: Nguyen et al. 2024, 2407.01082.
    """
    if not (top_k or top_p < 1 or min_p):
        return probabilities
    n_left = min(top_k or probabilities.shape[1], probabilities.shape[1])
    ordered, order = probabilities.topk(n_left, dim=1)  # likeliest first; sorting all of a large vocabulary is slow
    keep = ordered >= min_p * ordered[:, :1]
    if top_p < 1:
        keep &= ordered.cumsum(dim=1) - ordered < top_p  # what stands before a token is less than p: the first that passes p stays
        keep[:, 0] = True
    kept = torch.zeros_like(probabilities).scatter(1, order, ordered * keep)
    return kept / kept.sum(dim=1, keepdim=True)


def draw(probabilities: Tensor, generator: torch.Generator) -> Tensor:
    """(B, V) probabilities -> (B, 1) tokens. Each token's clock rings after an exponential time at the rate of its probability,
    and the first to ring is drawn: as torch.multinomial does it, without its checks, which took longer than the drawing."""
    times = torch.empty_like(probabilities).exponential_(generator=generator)
    return (probabilities / times).argmax(dim=1, keepdim=True)


@torch.inference_mode()
def next_logits(model: GPT2, ids: Tensor, caches: list[KVCache] | None, context_length: int) -> Tensor:
    """(B, N) ids so far -> (B, V) logits of the next token; with caches, only what they do not hold is computed.

    Past context_length the window slides: every token gets a new position, so the caches are emptied and the last
    context_length tokens are read anew.
    """
    window = ids[:, -context_length:]
    if caches:
        if ids.shape[1] > context_length:
            caches[:] = [KVCache() for _ in caches]
        window = window[:, caches[0].length:]
    return model(window, caches)[:, -1].float()


@dataclass(frozen=True)
class Step:
    """How (B,) tokens were chosen: the model's own `logits`, then the probabilities after repetition penalty and temperature, and those
    `left` after the cuts, from which they were drawn; each (B, V)."""

    token: Tensor
    logits: Tensor
    tempered: Tensor
    left: Tensor


def generate_tokens(model: GPT2, idx: Tensor, sampling: Sampling, context_length: int | None = None, cached: bool = True) -> Iterator[Step]:
    """Yield a Step up to max_new_tokens times, after (B, N) ids `idx`.

    The model sees the last `context_length` tokens, at most its own. Raises UserError if `idx` is empty.
    """
    require_tokens(idx.shape[1])
    window = min(context_length or model.context_length, model.context_length)
    generator = torch.Generator(device=idx.device).manual_seed(sampling.seed)
    caches = [KVCache() for _ in model.blocks] if cached else None
    with evaluating(model):
        for _ in range(sampling.max_new_tokens):
            logits = penalised = next_logits(model, idx, caches, window)
            if sampling.repetition_penalty != 1:
                penalised = penalise_repetition(logits, idx, sampling.repetition_penalty)
            tempered = temper(penalised, sampling.temperature)
            certain = sampling.temperature < COLDEST  # and nothing is there to be cut off
            left = tempered if certain else truncate(tempered, sampling.top_k, sampling.top_p, sampling.min_p)
            token = draw(left, generator)  # (B, 1)
            idx = torch.cat((idx, token), dim=1)
            yield Step(token[:, 0], logits, tempered, left)


def generate_text(model: GPT2, idx: Tensor, max_new_tokens: int, context_length: int | None = None, **sampling) -> Tensor:
    """(B, N) ids -> (B, N + max_new_tokens) ids. `sampling` takes the settings of SAMPLING_FIELDS; `stop`, which is about text,
    has no effect here.

    Raises ConfigError for a setting out of range and UserError for an empty prompt.
    """
    settings = Sampling(max_new_tokens=max_new_tokens, **sampling)
    tokens = [step.token for step in generate_tokens(model, idx, settings, context_length)]
    return torch.cat((idx, torch.stack(tokens, dim=1)), dim=1)


def text_to_token_ids(text: str, tokenizer: Tokenizer) -> Tensor:
    """Text -> (1, N) ids."""
    return torch.tensor([tokenizer.encode(text)], dtype=torch.long)


def token_ids_to_text(ids: Tensor, tokenizer: Tokenizer) -> str:
    """(1, N) or (N,) ids -> text."""
    return tokenizer.decode(ids.flatten().tolist())


def write(model: GPT2, tokenizer: Tokenizer, prompt: str, sampling: Sampling) -> Iterator[Piece]:
    """Continue `prompt`, a Piece a token. Joined, the texts are what was written: no half characters, nothing of `stop`.

    Raises UserError if the prompt is empty, too long, or has characters the tokenizer does not know.
    """
    ids = torch.tensor([encode_prompt(tokenizer, prompt)]).to(next(model.parameters()).device)
    steps: list[Piece] = []  # one a token, its text still unknown

    def tokens() -> Iterator[int]:
        for step in generate_tokens(model, ids, sampling):
            steps.append(told(step))
            yield steps[-1].token

    held = ""  # text that may be the beginning of `stop`
    for i, text in enumerate(stream_text(tokenizer, tokens())):
        held += text
        ended = bool(sampling.stop) and sampling.stop in held
        ready = held[:held.index(sampling.stop)] if ended else held[:len(held) - _overlap(held, sampling.stop)]
        yield replace(steps[i], text=ready) if i < len(steps) else Piece(None, ready)
        if ended:
            return
        held = held[len(ready):]
    if held:
        yield Piece(None, held)


def told(step: Step) -> Piece:
    """A step of one text, in numbers; its text is not known yet."""
    logs = step.logits[0].log_softmax(dim=0)  # (V,) logarithms of the model's probabilities: of none is it too small to tell
    ids = torch.cat((logs.topk(min(LIKELIEST, len(logs))).indices, step.token))  # the chosen one last, where it may stand again
    own = logs.take(ids).tolist()
    *likeliest, chosen = map(Likely, ids.tolist(), map(math.exp, own), step.tempered[0].take(ids).tolist(), step.left[0].take(ids).tolist())
    if chosen not in likeliest:
        likeliest.append(chosen)
    return Piece(chosen.token, "", chosen.model, -own[-1], tuple(likeliest))


def _overlap(text: str, stop: str) -> int:
    """Length of the longest end of `text` that is a beginning of `stop`."""
    return next((n for n in range(min(len(text), len(stop)), 0, -1) if text.endswith(stop[:n])), 0)


def main(argv: list[str] | None = None) -> None:
    parser = Parser(prog="python -m gpt.generate", description="Let a trained run write.")
    parser.add_argument("--run", required=True, help="name of the run")
    parser.add_argument("--checkpoints", default=DEFAULT_ROOT, help="folder that holds the runs (default %(default)s)")
    parser.add_argument("--step", type=int, help="a snapshot's step; without it, the weights with the lowest validation loss")
    parser.add_argument("--prompt", required=True, help="the text to continue")
    add_flags(parser, SAMPLING_FIELDS)
    given = vars(parser.parse_args(argv))
    with user_errors_end_politely(parser):
        folder, step, prompt = find_run(given.pop("checkpoints"), given.pop("run")).path, given.pop("step"), given.pop("prompt")
        model, tokenizer = load_run(folder, step)
        pieces = write(model, tokenizer, prompt, Sampling(**given))
        first = next(pieces)  # a prompt that cannot be read is told before anything is printed
        if (n_tokens := len(tokenizer.encode(prompt))) > model.context_length:
            print(f"the prompt has {n_tokens} tokens, and the model sees {model.context_length}: it reads the last ones", file=sys.stderr)
        print(visible(prompt + first.text), end="", flush=True)
        for piece in pieces:
            print(visible(piece.text), end="", flush=True)
        print()


if __name__ == "__main__":
    main()
