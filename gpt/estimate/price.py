"""The price of a CONFIG before anything is built: parameters, memory and time on this machine."""

import functools
import math
import os
from dataclasses import dataclass
from typing import NamedTuple

import torch

from gpt.data.baselines import MOST_TOKENS
from gpt.data.dataset import LARGEST_IN_MEMORY
from gpt.data.documents import VALIDATION_SHARE
from gpt.data.tokenising import dtype_of
from gpt.data.tokenizers.table import TOKENIZERS
from gpt.estimate.calibration import FRESH_NUMBERS, fresh_seconds, probe_seconds
from gpt.model.flops import count_parameters, flops_by_part, flops_per_token
from gpt.model.gpt2 import LOGITS_AT_ONCE, padded_vocab_size
from gpt.model.sampling import SAMPLE_TOKENS
from gpt.training.device import choose_device, choose_precision, free_bytes
from gpt.training.evaluation import TOKENS_AT_ONCE
from gpt.training.optimizer import OPTIMIZERS
from gpt.training.trainer import planned_steps, tokens_per_step

# Measured on Linux with PyTorch 2.13 for CPUs, VmHWM of new processes; tests/estimate/test_price.py checks the total to within 20 %.
PROCESS_BYTES = 360e6  # resident memory before a model is built: Python, PyTorch, its optimizers and kernels
COUNTING_BYTES = 100e6  # while tokens of a text of millions are counted, of which there are MOST_TOKENS at most
HEAP = 1.15  # bytes that malloc holds per byte of short-lived tensors: 1.08 to 1.24, because freed memory is fragmented
MEMORY_SETTINGS = ("batch", "context_length", "n_layers", "emb_dim", "vocab_size")  # memory depends on them; least harmful to lower first


@dataclass(frozen=True)
class Estimate:
    """`parameters` and `flops` (per token, forward and backward) are given by part of the model. `training_bytes` is the peak memory
    of training (of all processes together, but on GPUs what PyTorch takes on each), `free_bytes` what is free. `flops_per_step` are
    floating point operations. `steps` is 0 if only max_minutes ends the run. `seconds` is the time of the whole run; max_minutes limits
    it, but not the time of one step or one evaluation. `settings_to_lower` are those to lower if memory is short."""

    parameters: dict[str, int]
    flops: dict[str, float]
    weight_bytes: float
    optimizer_bytes: float
    training_bytes: float
    free_bytes: int
    flops_per_step: float
    steps: int
    seconds: float
    step_seconds: float
    evaluation_seconds: float
    settings_to_lower: tuple[str, ...]

    @property
    def n_parameters(self) -> int:
        return sum(self.parameters.values())

    @property
    def fits(self) -> bool:
        return self.training_bytes <= self.free_bytes


def flops_per_step(config: dict) -> float:
    """One optimizer step: its tokens, and the matrix products of the optimizer's update."""
    return tokens_per_step(config) * flops_per_token(config) + OPTIMIZERS[config["optimizer"]].update_flops(config)


# Memory

def saved_widths(config: dict, on_gpu: bool) -> tuple[list[int], list[int]]:
    """Sizes, in numbers per token, of the tensors that one layer saves for the backward pass: first those that are always float32,
    then those in the format of the matrix products. Counted as in Korthikanti et al. 2022 (2205.05198), but the fused kernels save no
    attention weights. PyTorch's fused CPU kernel has no dropout; with dropout, a CPU saves three sets of T weights per head."""
    C, T, H = config["emb_dim"], config["context_length"], config["n_heads"]
    always = [C, C]  # the residual stream, before both norms
    products = [C, 3 * C, C, C, 4 * C, 4 * C]  # norm -> queries, keys and values -> heads; norm -> before and after the nonlinearity
    if config["qk_norm"] or config["position"] == "rope":
        products.append(2 * C)  # queries and keys after normalisation or rotation
    if config["dropout_rate"]:
        always += [C // 4, C // 4] if on_gpu else [C, C]  # dropout masks: a byte per number on a GPU, a float on a CPU
        products += [] if on_gpu else [T * H] * 3
    return always, products


def activation_bytes(config: dict, on_gpu: bool, precision: str) -> float:
    """Bytes that the forward pass of one batch saves for its backward pass, plus those of the logits, their log-softmax and their
    gradient, at most LOGITS_AT_ONCE numbers each."""
    tokens = config["batch"] * config["context_length"]
    always, products = saved_widths(config, on_gpu)
    a_layer = 4 * sum(always) + (4 if precision == "float32" else 2) * sum(products)
    logits = 3 * min(tokens * padded_vocab_size(config), LOGITS_AT_ONCE)
    return tokens * (config["n_layers"] * a_layer + 4 * 2 * config["emb_dim"]) + 4 * logits


def evaluation_bytes(config: dict) -> float:
    """Evaluation saves nothing for a backward pass; its peak is the largest tensors of one layer plus two sets of logits."""
    tokens = evaluated_at_once(config)
    widest = 15 if config["activation"] == "relu2" else 11  # times C: tensors of feed-forward alive at once, and the residual stream
    return 4 * (tokens * widest * config["emb_dim"] + 2 * min(tokens * padded_vocab_size(config), LOGITS_AT_ONCE))


def evaluated_at_once(config: dict) -> int:
    """Tokens of one batch of an evaluation, as in Trainer.evaluation."""
    T = config["context_length"]
    return max(T, min(TOKENS_AT_ONCE, config["eval_tokens"] or TOKENS_AT_ONCE) // T * T)


def optimizer_bytes(config: dict) -> float:
    return 4 * OPTIMIZERS[config["optimizer"]].state_numbers(config)


def training_bytes(config: dict, n_tokens: float = 0, processes: int = 1) -> float:
    """Peak memory of training on a text of `n_tokens` tokens: weights, optimizer state, and the largest additional memory of any phase of
    a step. On a CPU it is the resident memory of all processes, on a GPU the memory that PyTorch allocates on each."""
    device = choose_device(config["device"])
    on_gpu, precision = device.type != "cpu", choose_precision(config["precision"], device)[0]
    peak = peak_bytes({**config, "batch": math.ceil(config["batch"] / processes)}, on_gpu, precision, processes > 1)
    held = ids_bytes(config, n_tokens)
    if on_gpu:
        return peak + held
    counting = COUNTING_BYTES * min(n_tokens / MOST_TOKENS, 1)
    return processes * max(peak + held, process_bytes(config) + held + counting)


def ids_bytes(config: dict, n_tokens: float) -> float:
    """What the token ids of a text take of memory: nothing if they lie in files."""
    tokenizer = TOKENIZERS[config["tokenizer"]]
    if n_tokens * tokenizer.bytes_per_token > LARGEST_IN_MEMORY:
        return 0.0
    return dtype_of(getattr(tokenizer, "n_vocab", config["vocab_size"])).itemsize * n_tokens


def tokens_of_file(config: dict) -> float:
    """About how many tokens the text has if it is a file, before it is read; 0 for another text."""
    try:
        return os.path.getsize(config["corpus"]) / TOKENIZERS[config["tokenizer"]].bytes_per_token
    except OSError:
        return 0.0


def process_bytes(config: dict) -> float:
    """Resident memory of the process on a CPU before the text and the model."""
    return PROCESS_BYTES + TOKENIZERS[config["tokenizer"]].learning_bytes


def peak_bytes(config: dict, on_gpu: bool, precision: str, is_shared: bool = False) -> float:
    """The peak is in one of two phases: at the start of the backward pass, with all tensors saved for it; or during the optimizer's
    update, while, on a CPU, malloc still holds the memory of the last evaluation. With batches that several processes share, gradients stay
    allocated from step to step, where they are exchanged."""
    weights, state = 4 * sum(count_parameters(config).values()), optimizer_bytes(config)
    heap, gradients = 1 if on_gpu else HEAP, weights
    casts = 0 if precision == "float32" else weights / 2  # autocast keeps its copy of each weight until the forward pass ends
    backward = heap * activation_bytes(config, on_gpu, precision) + casts + (gradients if config["grad_accum"] > 1 or is_shared else 0)
    evaluation = heap * evaluation_bytes(config)
    update = gradients + 4 * OPTIMIZERS[config["optimizer"]].update_numbers(config)
    if on_gpu:
        return weights + state + max(backward, evaluation + (gradients if is_shared else 0), update)
    return process_bytes(config) + weights + state + max(backward, evaluation + update)


def settings_to_lower(config: dict) -> tuple[str, ...]:
    """One or two settings to lower: halving each saves at least half as much memory as halving the best one; least harmful first."""
    learns = TOKENIZERS[config["tokenizer"]].learns_vocab_size
    can = [name for name in MEMORY_SETTINGS if config[name] > 1 and (name != "vocab_size" or learns)]
    saved = {name: training_bytes(config) - training_bytes({**config, name: config[name] // 2}) for name in can}
    return tuple(name for name in can if saved[name] >= max(saved.values()) / 2)[:2]


# Time

class Work(NamedTuple):
    """Amounts of work, by kind. The same class also holds a machine's speed: the seconds for one unit of each kind.

    The time of a sequence of kernels is modelled as a sum: matrix products; element-wise work, which is limited by memory bandwidth and
    grows with the numbers saved for the backward pass; and kernel launches, independent of size (after Williams et al. 2009).
    """

    steps: float = 0.0
    layers: float = 0.0  # layers, forward and backward
    products: float = 0.0  # floating point operations
    elements: float = 0.0  # numbers
    logits: float = 0.0  # numbers
    fresh: float = 0.0  # numbers in tensors so large that their memory is allocated anew each time

    def times(self, factor: float) -> "Work":
        return Work(*(factor * amount for amount in self))

    def plus(self, other: "Work") -> "Work":
        return Work(*(a + b for a, b in zip(self, other, strict=True)))


def pass_work(config: dict, tokens: int, on_gpu: bool) -> Work:
    """Forward and backward passes over `tokens` tokens at once."""
    L, V = config["n_layers"], padded_vocab_size(config)
    widths = [width for kind in saved_widths(config, on_gpu) for width in kind]
    attended = config["n_heads"] * config["context_length"]  # attention weights, computed but not saved
    fresh = sum(width for width in widths if tokens * width >= FRESH_NUMBERS) * L + (2 * V if tokens * V >= FRESH_NUMBERS else 0)
    again = 2 * V * config["emb_dim"] if tokens * V > LOGITS_AT_ONCE else 0  # in this case the loss computes the logits twice
    return Work(1, L, tokens * (flops_per_token(config) + again), tokens * L * (sum(widths) + attended), tokens * V,
                2 * tokens * fresh)  # each saved number and its gradient


def step_work(config: dict, on_gpu: bool, processes: int = 1) -> Work:
    """One optimizer step, as seen by a GPU, or by a CPU whose cores all processes share: its batches, and the update of each parameter,
    which every process makes for itself. The exchange of gradients is not counted."""
    batch = pass_work(config, config["batch"] * config["context_length"] // (processes if on_gpu else 1), on_gpu)
    update = Work(products=OPTIMIZERS[config["optimizer"]].update_flops(config), elements=sum(count_parameters(config).values()))
    return batch.times(config["grad_accum"]).plus(update.times(1 if on_gpu else processes))


def evaluation_work(config: dict, tokens: float, on_gpu: bool) -> Work:
    """One evaluation on `tokens` tokens and the sample after it. A forward pass is a third of forward and backward."""
    at_once = min(evaluated_at_once(config), math.ceil(tokens))
    sample = pass_work(config, 1, on_gpu).times(SAMPLE_TOKENS)
    return pass_work(config, at_once, on_gpu).times(tokens / at_once).plus(sample).times(1 / 3)


@functools.cache
def _speed(device: str, precision: str) -> Work:
    """The rates that fit the probes' times best (least squares of relative errors); negative rates are set to 0."""
    measured = probe_seconds(device, precision)
    shares = torch.tensor([step_work(config, device != "cpu")[:-1] for config, _ in measured], dtype=torch.float64)
    shares /= torch.tensor([seconds for _, seconds in measured], dtype=torch.float64)[:, None]
    scale = shares.amax(dim=0)  # kinds of work differ by powers of ten
    solved = torch.linalg.lstsq(shares / scale, torch.ones(len(measured), 1, dtype=torch.float64)).solution[:, 0] / scale
    return Work(*solved.clamp(min=0).tolist(), fresh_seconds(device))


def machine_speed(device: str, precision: str = "auto") -> Work:
    """Seconds for one unit of each kind of work on a device of this machine; measured once, in under a second."""
    chosen = choose_device(device)
    return _speed(chosen.type, choose_precision(precision, chosen)[0])


def seconds_of(work: Work, speed: Work) -> float:
    return sum(amount * rate for amount, rate in zip(work, speed, strict=True))


def estimate(config: dict, n_train_tokens: int, device: str = "auto", processes: int = 1) -> Estimate:
    """The price of training `config` on `n_train_tokens` tokens on this machine, with so many processes. `config` must be valid."""
    config = {**config, "device": device}
    chosen, speed = choose_device(device), machine_speed(device, config["precision"])
    on_gpu = chosen.type != "cpu"
    steps = planned_steps(config, n_train_tokens)
    n_validation = n_train_tokens * VALIDATION_SHARE / (1 - VALIDATION_SHARE)
    n_tokens = n_train_tokens + n_validation
    evaluated = min(config["eval_tokens"] or n_validation, n_validation)
    share = processes if on_gpu else 1
    first = evaluation_work(config, min(evaluated, TOKENS_AT_ONCE) / share, on_gpu)
    step, evaluation = step_work(config, on_gpu, processes), evaluation_work(config, evaluated / share, on_gpu)
    evaluations = evaluation.times(steps / config["eval_every"]).plus(first)
    seconds = seconds_of(step.times(steps).plus(evaluations), speed)
    if limit := 60 * config["max_minutes"]:
        seconds = min(seconds, limit) if steps else limit
    parameters = count_parameters(config)
    return Estimate(parameters, flops_by_part(config), 4.0 * sum(parameters.values()), optimizer_bytes(config),
                    training_bytes(config, n_tokens, processes), free_bytes(chosen),
                    flops_per_step(config), steps, seconds, seconds_of(step, speed), seconds_of(evaluation, speed),
                    settings_to_lower(config))
