"""What to spend a given time on: a larger model reads less text in it. The sizes, and the number of steps, that promise the lowest loss."""

import math
import statistics
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from gpt.config import CONFIG, FIELDS, validate
from gpt.data.dataset import require_length
from gpt.errors import UserError
from gpt.estimate.calibration import step_seconds
from gpt.estimate.price import estimate, settings_to_lower, training_bytes
from gpt.model.flops import count_parameters
from gpt.training.device import choose_device, enough_memory, free_bytes
from gpt.training.trainer import tokens_per_step
from gpt.words import listed

MODEL, WINDOWS = ("n_layers", "emb_dim", "n_heads"), ("context_length", "batch")
SIZES = tuple(dict(zip((*MODEL, *WINDOWS), size, strict=True)) for size in (
    (3, 96, 3, 128, 8), (3, 128, 4, 256, 4), (4, 192, 6, 256, 4), (4, 256, 8, 256, 4), (6, 384, 12, 512, 4), (8, 512, 16, 512, 8),
    (12, 768, 24, 1024, 8)))  # from the smallest that LAW was fitted to; the largest want a GPU
LEAST_WINDOWS = 8  # in the training text: a context about as long as the text leaves nothing to choose from
MINUTES = (1, 5, 20, 60)  # that the page offers
MOST_MINUTES = 7 * 24 * 60
SHARE = 0.9  # of the time that is planned for: a machine is slower at times, and rarely faster
EVALUATIONS, EVALUATION_SHARE = 10, 0.2  # at most so many, after the first, and at most this share of the time for all
COMPILE_SECONDS = 30.0
DECAY_TIMES_TOKENS, LEAST_DECAY = 165_000, 0.1  # 0.4 for Tiny Shakespeare
TIMED_SECONDS = 1.0  # of real steps of the chosen size
LIMITS = {field.name: field.maximum for field in FIELDS}


@dataclass(frozen=True)
class Law:
    """How far the loss of a model of N parameters that has read D tokens lies above the lowest that any model of this kind could reach on
    the text: a / N^alpha + b / D^beta bits per byte (Hoffmann et al. 2022, 2203.15556). A token that is read again teaches less each time:
    R repetitions of U tokens are worth U r (1 - exp(-R / r)) fresh ones (Muennighoff et al. 2023, 2305.16264)."""

    a: float
    alpha: float
    b: float
    beta: float
    r: float

    def excess(self, parameters: float, tokens: float, distinct: float) -> float:
        """Of a model with so many `parameters` after so many `tokens` of a text of `distinct` ones, in bits per byte."""
        return self.a / parameters**self.alpha + self.b / self.worth(tokens, distinct)**self.beta

    def worth(self, tokens: float, distinct: float) -> float:
        """How many fresh tokens so many `tokens` of a text of `distinct` ones are worth."""
        repetitions = max(tokens / distinct - 1, 0.0)
        return min(tokens, distinct) + distinct * self.r * (1 - math.exp(-repetitions / self.r))


LAW = Law(a=2.7490, alpha=0.25, b=461.30, beta=0.55, r=3.0)  # of the runs in tests/benchmarks/sizes.json: python -m tests.benchmarks.sizes


@dataclass(frozen=True)
class Plan:
    """`config`, in which the settings `names` were chosen; training it should take `seconds` of the `minutes`."""

    config: dict[str, Any]
    names: tuple[str, ...]
    minutes: float
    seconds: float

    def sentence(self) -> str:
        """What was chosen, in words."""
        minutes = f"{self.minutes:g} {'minute' if self.minutes == 1 else 'minutes'}"
        return (f"Planned for {minutes}, of which {round(self.seconds / 60, 2):g} should be needed on this machine, as busy as it is now: "
                + listed(f"{name} {self.config[name]:,}" for name in self.names))


class Schedule(NamedTuple):
    """`steps` with an evaluation after every `eval_every` of them, in `seconds`."""

    steps: int
    eval_every: int
    seconds: float


def plan(minutes: float, n_tokens: int, config: dict[str, Any] = CONFIG, given: Collection[str] = (),
         allowed: Callable[[dict[str, Any]], bool] = lambda config: True) -> Plan:
    """`config` with the sizes, the weight decay and the number of steps that promise the lowest loss after `minutes` of training on a text
    of `n_tokens` training tokens on this machine; settings that were `given` stay, all of MODEL or of WINDOWS if one of them was. What is
    not `allowed` is not chosen. Real steps are timed, for a second or three of them.

    Raises UserError for minutes that cannot be planned for, for too short a text, and if no size fits into the memory that is free.
    """
    config = limited_by_steps(config)
    together = [name for group in (MODEL, WINDOWS) if set(group) & set(given) for name in group]
    stay = {name: config[name] for name in (*given, *together)}
    sizes = [{**config, **size, **stay} for size in SIZES]
    sizes = [size for size in sizes if allowed(size)] or sizes[:1]
    short = min(sizes, key=lambda size: size["context_length"])
    require_length("the training part of the text", n_tokens, short["context_length"])
    sizes = [size for size in sizes if LEAST_WINDOWS * size["context_length"] <= n_tokens] or [short]
    fitting = [size for size in sizes if fits(size, n_tokens)] or sizes[:1]
    best = min(fitting, key=lambda size: promised_excess(size, minutes, n_tokens, given))
    timed = in_time({**best, **({} if "weight_decay" in given else {"weight_decay": weight_decay(n_tokens)})}, minutes, n_tokens, given)
    return replace(timed, names=(*(name for name in (*SIZES[0], "weight_decay") if name not in stay), *timed.names))


def in_time(config: dict[str, Any], minutes: float, n_tokens: int, given: Collection[str] = ()) -> Plan:
    """`config` with as many steps as `minutes` allow on this machine; `eval_every` stays if it was `given`. Raises UserError for minutes
    that cannot be planned for, and for a model that does not fit into the memory that is free."""
    config = validate(limited_by_steps(config))
    if not fits(config, n_tokens):
        raise UserError(f"training this takes more memory than is free: lower {' or '.join(settings_to_lower(config))}")
    with enough_memory(f"lower {' or '.join(settings_to_lower(config))}"):
        step = statistics.median(step_seconds({**config, "compile": False}, TIMED_SECONDS))
    found = schedule(config, minutes, n_tokens, step, given)
    changes = {"max_steps": found.steps, "eval_every": found.eval_every}
    return Plan({**config, **changes}, tuple(name for name in changes if name not in given), minutes, found.seconds)


def schedule(config: dict[str, Any], minutes: float, n_tokens: int, step: float, given: Collection[str] = ()) -> Schedule:
    """As many steps as `minutes` allow if one takes `step` seconds. Raises UserError for minutes that cannot be planned for."""
    if not 0 < minutes <= MOST_MINUTES:
        raise UserError(f"nothing can be planned for {minutes:g} minutes: give more than 0 and at most {MOST_MINUTES:,}")
    cost = estimate(config, n_tokens, config["device"])
    evaluation = step * cost.evaluation_seconds / cost.step_seconds  # both were estimated at one moment, which may have been a busy one
    available = SHARE * 60 * minutes - (COMPILE_SECONDS if config["compile"] else 0.0) - evaluation
    if "eval_every" in given:
        every = config["eval_every"]
        steps = int(available / (step + evaluation / every))
    else:
        count = min(EVALUATIONS, max(1, int(EVALUATION_SHARE * available / evaluation)))
        steps = int((available - count * evaluation) / step)
        every = min(math.ceil(steps / count), LIMITS["eval_every"])
    if steps < 1:
        raise UserError(f"{minutes:g} minutes are too short: one step takes {step:.2g} s here, and an evaluation about {evaluation:.2g} s")
    steps = min(steps, LIMITS["max_steps"])
    return Schedule(steps, every, steps * step + (math.ceil(steps / every) + 1) * evaluation)


def promised_excess(config: dict[str, Any], minutes: float, n_tokens: int, given: Collection[str]) -> float:
    """What LAW says of training `config` for `minutes`, by the measured speed of this machine; infinity if they are too short for it."""
    try:
        steps = schedule(config, minutes, n_tokens, estimate(config, n_tokens, config["device"]).step_seconds, given).steps
    except UserError:
        return math.inf
    return LAW.excess(sum(count_parameters(config).values()), steps * tokens_per_step(config), n_tokens)


def limited_by_steps(config: dict[str, Any]) -> dict[str, Any]:
    """`config` which only its number of steps ends."""
    return {**config, "epoch": 0.0, "max_minutes": 0.0, "max_steps": config["max_steps"] or CONFIG["max_steps"]}


def fits(config: dict[str, Any], n_tokens: int) -> bool:
    """Whether training `config` fits into the memory that is free."""
    return training_bytes(config, n_tokens) <= free_bytes(choose_device(config["device"]))


def weight_decay(n_tokens: int) -> float:
    """For a text of `n_tokens` training tokens: the shorter it is, the more often it is read, and the sooner learned by heart. What decay
    leaves of an old step then depends on the passes since, not on the steps (Wang and Aitchison 2024, 2405.13698)."""
    return round(min(max(DECAY_TIMES_TOKENS / n_tokens, LEAST_DECAY), LIMITS["weight_decay"]), 2)
