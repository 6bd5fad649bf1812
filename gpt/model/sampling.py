"""Sampling: from logits to the next token, again and again."""

import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass

import torch
from torch import Tensor

from gpt.config import ConfigError, Field, problems_of
from gpt.data.tokenizers.text import require_tokens
from gpt.model.attention import KVCache
from gpt.model.gpt2 import GPT2, evaluating
from gpt.model.threads import computing_with, threads_for_few_tokens

COLDEST = 1e-6  # a lower temperature is as good as 0, and dividing by it would overflow
SAMPLE_TOKENS = 48  # length of the sample text that a run writes at each evaluation
SAMPLING_FIELDS = (
    Field("max_new_tokens", 100, "Most tokens to write.", minimum=1, maximum=2000, step=10),
    Field("temperature", 0.8, "Below 1 likely tokens become likelier; 0 always takes the likeliest.", minimum=0, maximum=5, step=0.05),
    Field("top_k", 0, "Choose among this many likeliest tokens; 0 among all.", minimum=0, maximum=100_000, step=1),
    Field("top_p", 1.0, "Choose among the likeliest tokens that together have this probability.", minimum=0, maximum=1, step=0.01),
    Field("min_p", 0.0, "Leave out tokens less likely than this share of the likeliest one's probability.", minimum=0, maximum=1, step=0.01),
    Field("repetition_penalty", 1.0, "Above 1, tokens already in the text become less likely.", minimum=0.1, maximum=10, step=0.05),
    Field("seed", 1, "The same seed, prompt and settings write the same text.", minimum=0, maximum=2**31 - 1, step=1),
    Field("stop", "", "Stop when this text has been written; it is left out. \\n is the end of a line, \\t a tab, \\\\ a backslash."),
)
DEFAULTS = {field.name: field.default for field in SAMPLING_FIELDS}



@dataclass(frozen=True)
class Sampling:
    """How to choose tokens; SAMPLING_FIELDS says what each setting does, and has the defaults. Raises ConfigError if a value is out of range."""

    max_new_tokens: int = DEFAULTS["max_new_tokens"]
    temperature: float = DEFAULTS["temperature"]
    top_k: int = DEFAULTS["top_k"]
    top_p: float = DEFAULTS["top_p"]
    min_p: float = DEFAULTS["min_p"]
    repetition_penalty: float = DEFAULTS["repetition_penalty"]
    seed: int = DEFAULTS["seed"]
    stop: str = DEFAULTS["stop"]

    @property
    def stop_text(self) -> str:
        r"""`stop` with what cannot be typed into one line: \n is the end of a line, \t a tab, \\ a backslash."""
        return re.sub(r"\\([nt\\])", lambda match: {"n": "\n", "t": "\t"}.get(match[1], match[1]), self.stop)

    def __post_init__(self):
        if found := problems_of(SAMPLING_FIELDS, asdict(self)):
            raise ConfigError(found)


def penalise_repetition(logits: Tensor, ids: Tensor, penalty: float) -> Tensor:
    """(B, V) logits, lowered for the tokens in (B, N) `ids` (after Keskar et al. 2019, 1909.05858): positive logits are divided by
    the penalty, negative ones multiplied. The paper divides all, but dividing a negative logit would raise it."""
    repeated = logits.gather(1, ids)
    return logits.scatter(1, ids, torch.where(repeated > 0, repeated / penalty, repeated * penalty))


def logits_to_probabilities(logits: Tensor, temperature: float = 1.0, top_k: int = 0, top_p: float = 1.0, min_p: float = 0.0) -> Tensor:
    """(B, V) logits -> (B, V) probabilities. top_k, top_p and min_p are all applied to the distribution after temperature, and the
    rest is renormalised once. Temperature 0 gives the likeliest token probability 1."""
    return truncate(temper(logits, temperature), top_k, top_p, min_p)


def temper(logits: Tensor, temperature: float) -> Tensor:
    """(B, V) logits -> (B, V) probabilities of all tokens: below 1, likely tokens become likelier; at 0 the likeliest gets 1."""
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
    mask = ordered >= min_p * ordered[:, :1]
    if top_p < 1:
        mask &= ordered.cumsum(dim=1) - ordered < top_p  # keep a token if the tokens before it sum to less than p
        mask[:, 0] = True
    remaining = torch.zeros_like(probabilities).scatter(1, order, ordered * mask)
    return remaining / remaining.sum(dim=1, keepdim=True)


def draw(probabilities: Tensor, generator: torch.Generator) -> Tensor:
    """(B, V) probabilities -> (B, 1) tokens. For each token an exponential random time is drawn, with the token's probability as rate, and
    the token with the smallest time is chosen: as in torch.multinomial, but without its checks, which took longer than the draw."""
    times = torch.empty_like(probabilities).exponential_(generator=generator)
    return (probabilities / times).argmax(dim=1, keepdim=True)


@torch.inference_mode()
def next_logits(model: GPT2, ids: Tensor, caches: list[KVCache] | None, context_length: int) -> Tensor:
    """(B, N) ids so far -> (B, V) logits of the next token; with caches, only tokens that are not cached are computed.

    Beyond context_length the window slides: every token gets a new position, so the caches are cleared and the last
    context_length tokens are computed again.
    """
    window = ids[:, -context_length:]
    if caches:
        if ids.shape[1] > context_length:
            for cache in caches:
                cache.clear()
        window = window[:, caches[0].length:]
    return model.unembed(model.stream(window, caches)[:, -1]).float()  # only the last position predicts the next token


@dataclass(frozen=True)
class SamplingStep:
    """How (B,) tokens were chosen. `logits` are the model's own, `tempered` the probabilities after repetition penalty and temperature,
    `truncated` those after top_k, top_p and min_p, from which `token` was drawn; each (B, V)."""

    token: Tensor
    logits: Tensor
    tempered: Tensor
    truncated: Tensor


def generate_tokens(model: GPT2, idx: Tensor, sampling: Sampling, context_length: int | None = None, cached: bool = True) -> Iterator[SamplingStep]:
    """Yield a SamplingStep up to max_new_tokens times, after (B, N) ids `idx`.

    The model reads the last `context_length` tokens, or fewer if its own context_length is smaller. Raises UserError if `idx` is empty.
    """
    require_tokens(idx.shape[1])
    window = min(context_length or model.context_length, model.context_length)
    generator = torch.Generator(device=idx.device).manual_seed(sampling.seed)
    caches = [KVCache(window) for _ in model.blocks] if cached else None
    threads = threads_for_few_tokens(model)
    with evaluating(model):
        for _ in range(sampling.max_new_tokens):
            with computing_with(threads):
                step = sample(next_logits(model, idx, caches, window), idx, sampling, generator)
            idx = torch.cat((idx, step.token[:, None]), dim=1)
            yield step


def sample(logits: Tensor, idx: Tensor, sampling: Sampling, generator: torch.Generator) -> SamplingStep:
    """Choose the tokens that follow (B, N) `idx` by their (B, V) logits."""
    penalised = logits
    if sampling.repetition_penalty != 1:
        penalised = penalise_repetition(logits, idx, sampling.repetition_penalty)
    tempered = temper(penalised, sampling.temperature)
    greedy = sampling.temperature < COLDEST  # one token has probability 1: truncation changes nothing
    truncated = tempered if greedy else truncate(tempered, sampling.top_k, sampling.top_p, sampling.min_p)
    return SamplingStep(draw(truncated, generator)[:, 0], logits, tempered, truncated)


def generate_text(model: GPT2, idx: Tensor, max_new_tokens: int, context_length: int | None = None, end: int | None = None,
                  **sampling) -> Tensor:
    """(B, N) ids -> (B, N + max_new_tokens) ids, or fewer if every row has come to the token `end` before: a tokenizer's `end` ends a
    document. `sampling` takes the settings of SAMPLING_FIELDS; `stop`, which is about text, has no effect here.

    Raises ConfigError for a setting out of range and UserError for an empty prompt.
    """
    settings = Sampling(max_new_tokens=max_new_tokens, **sampling)
    tokens, ended = [], torch.zeros(len(idx), dtype=torch.bool, device=idx.device)  # (B,)
    for step in generate_tokens(model, idx, settings, context_length):
        tokens.append(step.token if end is None else step.token.where(~ended, end))
        ended |= tokens[-1] == (-1 if end is None else end)
        if ended.all():
            break
    return torch.cat((idx, torch.stack(tokens, dim=1)), dim=1)
