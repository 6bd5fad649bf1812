"""The training loop: a generator of events. It prints nothing and writes no files; the caller decides what to save."""

import contextlib
import functools
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from gpt.data.dataset import TokenizedText, WindowSampler, first_tokens
from gpt.data.known import Floor
from gpt.data.packing import cost_of_packing
from gpt.errors import UserError
from gpt.model.flops import model_flops_utilisation
from gpt.model.gpt2 import GPT2, evaluating
from gpt.training.device import choose_precision, working_compiler
from gpt.training.distributed import Processes
from gpt.training.evaluation import TOKENS_AT_ONCE, Losses, add_up, evaluation_batches
from gpt.training.freezing import freeze
from gpt.training.optimizer import OPTIMIZERS, learning_rate_at
from gpt.training.parallel import whole
from gpt.training.placement import parallel

MOST_ROWS = 1000  # approximate number of training rows of a whole run
STEPS_PER_ROW_ON_GPU = 10  # at least: for a row the CPU waits for the GPU, which meanwhile gets no work


class DivergedError(UserError):
    """The loss or a weight is NaN or infinite; training cannot continue."""


class Clock:
    """Measures training time in seconds; time between `pause` and `resume` is not counted."""

    def __init__(self, seconds: float = 0.0):
        self._start, self._paused_at = time.monotonic() - seconds, None

    def seconds(self) -> float:
        return (time.monotonic() if self._paused_at is None else self._paused_at) - self._start

    def pause(self) -> None:
        if self._paused_at is None:
            self._paused_at = time.monotonic()

    def resume(self) -> None:
        if self._paused_at is not None:
            self._start += time.monotonic() - self._paused_at
            self._paused_at = None


@dataclass(frozen=True)
class Event:
    """`kind` is "step" (after each step; `row` is empty on steps without a training row), "evaluation" or "warning"."""

    kind: str
    row: dict[str, Any]


def on_all(method: Callable) -> Callable:
    """Decorator for a method of the trainer that all processes must call: when rank 0 does, between two events, the others are told to,
    with the same arguments but those that have names, which may be large."""
    @functools.wraps(method)
    def calling(self: "Trainer", *arguments: Any, **named: Any) -> Any:
        self.processes.order(method.__name__, *arguments)
        return method(self, *arguments, **named)
    return calling


class Trainer:
    """Trains `model` on `text` as `config` says, from the current step to the end of the run; where several `processes` train together,
    on this one's share of each batch.

    Each use of randomness has its own source, so that evaluation never changes training: the windows and the dropout of a batch are
    functions of the seed and the batch's number, and the weights were drawn when the model was built.
    """

    def __init__(self, config: dict, model: GPT2, text: TokenizedText, clock: Clock | None = None, processes: Processes | None = None):
        text.check(config["context_length"])
        self.config, self.model, self.clock = config, model, clock or Clock()
        self.processes = processes or Processes()
        freeze(model)
        self.parallel = parallel(model, self.processes.count, torch.compile if config["compile"] else lambda loss: loss)
        self.device = next(model.parameters()).device
        self.text = text.to(self.device)
        alone = text.end is not None and not config["pack"]
        documents = first_tokens(text.train, text.end) if alone else text.documents
        self.batches = WindowSampler(self.text.train, config["context_length"], config["batch"], config["seed"],
                                     self.processes.rank, self.processes.count, documents, alone)
        self.precision, self.precision_reason = choose_precision(config["precision"], self.device)
        self.optimizers = OPTIMIZERS[config["optimizer"]].make(model, config, getattr(torch, self.precision))
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=self.precision == "float16")
        self.tokens_per_step = tokens_per_step(config)
        self.steps = planned_steps(config, len(text.train))
        self.step = 0
        self.best_loss = math.inf
        self._pending: list[tuple[Tensor, Tensor]] = []  # loss and gradient norm of the steps since the last training row
        self._rate = 0.0
        self._seconds = self.clock.seconds()  # when the progress was measured last
        self._ends = False
        self._evaluated = 0  # the step of the last evaluation
        self._has_learned = False  # before its first step, since it goes on from another model
        if config["compile"] or self.processes.count > 1:
            self._rehearse()

    def _rehearse(self) -> None:
        """A step without an update: what is to be compiled is compiled now, and DistributedDataParallel finds the order of the gradients,
        by which it groups them from the second step on, and on which the last bits of a sum depend. Raises UserError if the compiler
        does not work."""
        self.model.train()
        with working_compiler():
            with self._autocast():
                loss = self.parallel.loss(*self._batch(0))
            loss.backward()
        self.model.zero_grad(set_to_none=True)

    def events(self) -> Iterator[Event]:
        """One event a step, and one for each evaluation: before the first step, every `eval_every` steps, at the end."""
        self.obey()
        for event in self._events():
            yield event
            self.obey()

    def obey(self) -> None:
        """On rank 0: let the other processes go on. On the others: do what rank 0 says until then. Raises RunIsOver."""
        for name, arguments in self.processes.orders():
            getattr(self, name)(*arguments)

    def _events(self) -> Iterator[Event]:
        self._measure_progress()
        self._ends = self.progress() >= 1
        if self.step == 0:
            yield from self._warnings()
            few = 0 if self._has_learned else TOKENS_AT_ONCE  # of random weights all tokens are about equally unlikely: a few are enough
            yield self.evaluation(at_most=few)
        elif self.evaluation_due() and self._evaluated < self.step:  # the run was interrupted between a step and its evaluation
            yield self.evaluation()
        since = self.clock.seconds()
        while not self._ends:
            self._measure_progress()
            self._pending.append(self._update())
            self.step += 1
            self._measure_progress()
            self._ends = self.progress() >= 1
            due = self.step % steps_per_row(self.step, self.steps, self.device.type) == 0 or self._ends
            yield Event("step", self._training_row(since) if due else {})
            if due:
                since = self.clock.seconds()
            if self.evaluation_due():
                yield self.evaluation()
                since = self.clock.seconds()

    def evaluation_due(self) -> bool:
        """Whether this step is followed by an evaluation; if so, the step is complete only after that evaluation."""
        return self.step % self.config["eval_every"] == 0 or self._ends

    @on_all
    def extend(self, steps: int) -> None:
        """Add `steps` to the planned length of the run; the learning rate then reaches zero at the new end."""
        self.steps += steps
        self.config |= {"max_steps": self.steps, "epoch": 0.0}
        self._ends = self.progress() >= 1

    def next_rate(self) -> float:
        """The learning rate of the next step."""
        return learning_rate_at(self.step, self.progress(), self.config["learning_rate"], self.config["warmup"])

    def is_done(self) -> bool:
        """Whether the last step and its evaluation are done."""
        return self._ends and self._evaluated == self.step

    def progress(self) -> float:
        """The share of the run that is done, 0 to 1, by whichever of epoch, max_steps and max_minutes ends it first."""
        by_steps = self.step / self.steps if self.steps else 0.0
        limit = 60 * self.config["max_minutes"]
        return min(1.0, max(by_steps, self._seconds / limit if limit else 0.0))

    def _measure_progress(self) -> None:
        """Look at the clock, rank 0's, since learning rate and end must be the same in all processes."""
        if self.config["max_minutes"]:
            self._seconds = self.processes.of_rank_0(self.clock.seconds())

    def evaluation(self, at_most: int = 0) -> Event:
        """Validation loss in nats per token and in bits per byte, over fixed windows that do not overlap, and by how many tokens the model
        could look back on. It uses the first `eval_tokens` tokens, or the first `at_most` if that is fewer (0: no limit). A model that
        knew another text before has its loss on all that is kept of that one too, so that what it forgets is seen."""
        tokens, floor = self.validation_tokens(at_most), self.text.floor
        losses = self._losses(tokens, self.text.starts_of_validation(len(tokens)), floor)
        self.best_loss, self._evaluated = min(self.best_loss, losses.val_loss), self.step
        row = {**self.position(), "val_loss": losses.val_loss, "bits_per_byte": losses.bits_per_byte,
               "by_context": [(count, round(loss, 4)) for count, loss in losses.by_context()]}
        if floor:
            row |= {"perfect": floor.perfect(len(tokens)), "above_perfect": floor.excess(losses.by_kind, len(tokens))}
        if losses.answers:
            row["accuracy"] = losses.right / losses.answers
        if self.text.earlier is not None:
            row["earlier_val_loss"] = self._losses(self.text.earlier).val_loss
        return Event("evaluation", row)

    def _losses(self, tokens: Tensor, starts: Sequence[int] = (), floor: Floor | None = None) -> Losses:
        """Of all but the first of (N,) tokens, each process taking its share of the windows. `starts` are the first tokens of documents."""
        with evaluating(self.model), torch.inference_mode(), self._autocast():
            context_length = self.config["context_length"]
            at_once = max(1, TOKENS_AT_ONCE // context_length)
            batches = list(evaluation_batches(tokens, context_length, at_once, starts))
            rank, count = self.processes.rank, self.processes.count
            mine = [batches[i % len(batches)] for i in range(rank, math.ceil(len(batches) / count) * count, count)]
            losses = [self.model.loss(batch.ids, batch.targets, reduction="none") for batch in mine]
            n_own = len(range(rank, len(batches), count))  # where there are too few, a process only helps the others
            own = add_up(losses[:n_own], mine[:n_own], self.text.byte_lengths, context_length, floor)
        self._meet()
        sums = self.processes.sum([*own.nats, *own.tokens, own.bytes, own.answers, own.right, *own.by_kind])
        if not all(map(math.isfinite, sums)):
            raise self._diverged()
        T = context_length
        nats, tokens, (n_bytes, answers, right, *by_kind) = sums[:T], sums[T:2 * T], sums[2 * T:]
        return Losses(nats, tokens, n_bytes, by_kind, answers, right)

    def _meet(self) -> None:
        """Before a GPU is waited for: notice a process that has ended. On a CPU the exchange itself does."""
        if self.device.type != "cpu":
            self.processes.meet()

    def validation_tokens(self, at_most: int = 0) -> Tensor:
        """(M,) tokens that an evaluation reads, whole documents if they are known; all but the first are predicted."""
        limit = min((limit for limit in (self.config["eval_tokens"], at_most) if limit), default=len(self.text.validation))
        tokens = self.text.validation[:limit + 1].to(self.device)
        return tokens[:self.text.floor.end_of_documents(len(tokens))] if self.text.floor else tokens

    def _warnings(self) -> Iterator[Event]:
        limit, n = self.config["eval_tokens"], len(self.text.validation)
        if limit and n > limit + 1:
            yield Event("warning", {**self.position(), "text": f"evaluations read the first {limit:,} of {n:,} validation tokens; "
                                                                "set eval_tokens to 0 for all"})
        if self.text.floor and (share := self.text.floor.longer_than(self.config["context_length"])):
            yield Event("warning", {**self.position(), "text": f"{max(100 * share, 0.1):.1f} % of the documents are longer than "
                                                                "context_length: perfect is the loss of a reader who sees all of them"})
        if self.text.end is not None:
            yield Event("warning", {**self.position(), "text": cost_of_packing(self.text, self.config)})
        if self.config["max_minutes"]:
            yield Event("warning", {**self.position(), "text": "max_minutes ties the learning rate to the clock: a run like this "
                                                                "cannot be repeated exactly"})

    def _update(self) -> tuple[Tensor, Tensor]:
        """One step of the optimizer. Returns loss and gradient norm as tensors on the device: converting them to numbers here
        would force a wait for the GPU."""
        self.model.train()
        self._rate = rate = self.next_rate()
        accumulate = self.config["grad_accum"]
        loss = torch.zeros((), device=self.device)
        last = (self.step + 1) * accumulate - 1
        for index in range(self.step * accumulate, last + 1):
            with self.parallel.not_averaging() if index < last else contextlib.nullcontext():
                loss += self._backward(index) / accumulate
        self._meet()
        for optimizer in self.optimizers:
            self.scaler.unscale_(optimizer)
            for group in optimizer.param_groups:
                group["lr"] = rate * group["factor"]
        norm = whole(torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.config["grad_clip"] or math.inf))
        for optimizer in self.optimizers:
            self.scaler.step(optimizer)
            optimizer.zero_grad(set_to_none=True)
        self.scaler.update()
        return self.processes.average(loss), norm

    def _batch(self, index: int) -> tuple[Tensor, Tensor]:
        """Inputs and targets of batch number `index`, (B, T) each, on the device, also where the tokens are not."""
        ids, targets = self.batches(index)
        return ids.to(self.device), targets.to(self.device)

    def _backward(self, index: int) -> Tensor:
        """Add the gradients of batch number `index` to those of the step. Returns its loss."""
        ids, targets = self._batch(index)
        seed_dropout(self.device, (self.config["seed"] * 1_000_003 + index) * self.processes.count + self.processes.rank)
        with self._autocast():
            loss = self.parallel.loss(ids, targets)
        self.scaler.scale(loss / self.config["grad_accum"]).backward()
        return loss.detach()

    def _training_row(self, since: float) -> dict[str, Any]:
        loss, norm = (torch.stack(values).mean().item() for values in zip(*self._pending, strict=True))
        if not math.isfinite(loss):
            raise self._diverged()
        n_tokens, position = len(self._pending) * self.tokens_per_step, self.position()
        speed = n_tokens / max(position["seconds"] - since, 1e-9)
        self._pending = []
        mfu = model_flops_utilisation(self.config, speed / self.processes.count, self.device, self.precision)
        return {**position, "loss": loss, "lr": self._rate,
                "grad_norm": norm if math.isfinite(norm) else None,  # float16 overflows at times; the scaler skips such a step
                "tokens_per_second": speed, "mfu": mfu}

    @on_all
    def check_finite(self) -> None:
        """Raise DivergedError if a weight, or a loss since the last training row, is NaN or infinite."""
        sums = [loss for loss, _ in self._pending] + [whole(parameter.detach().sum()) for parameter in self.model.parameters()]
        if not torch.stack(sums).isfinite().all():
            raise self._diverged()

    def _diverged(self) -> DivergedError:
        since = self.step - len(self._pending)
        step = next((since + i for i, (loss, _) in enumerate(self._pending, 1) if not math.isfinite(loss.item())), self.step)
        remedy = (f"set learning_rate below {self.config['learning_rate']:g}, or warmup above {self.config['warmup']}"
                  if self.config["grad_clip"] else "set grad_clip to 1")
        return DivergedError(f"the loss stopped being a number at step {step}, at a learning rate of {self._rate:.3g}: {remedy}")

    def position(self) -> dict[str, Any]:
        return {"step": self.step, "tokens": self.step * self.tokens_per_step, "seconds": round(self.clock.seconds(), 3)}

    def _autocast(self) -> contextlib.AbstractContextManager:
        if self.precision == "float32":
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, getattr(torch, self.precision))

    @on_all
    def weights(self) -> dict[str, Tensor]:
        """The model's weights by parameter."""
        return self.parallel.weights()

    @on_all
    def whole_model(self) -> GPT2:
        """The model as one process would have it, to write and to be looked at."""
        return self.parallel.whole_model()

    @on_all
    def state(self) -> dict[str, Any]:
        """Everything needed to resume the run exactly, with as many processes, except the model's weights."""
        return {"step": self.step, "evaluated": self._evaluated, "best_loss": self.best_loss, "seconds": self.clock.seconds(),
                "has_learned": self._has_learned, "pending": self._pending, "scaler": self.scaler.state_dict(),
                "optimizers": [self.parallel.optimizer_state(optimizer) for optimizer in self.optimizers]}

    def load(self, weights: dict[str, Tensor], state: dict[str, Any]) -> None:
        """On rank 0: go, with the other processes, to where the run was when its model had these weights and `state` was taken."""
        position = {name: value for name, value in state.items() if name != "optimizers"}
        position["started"] = [bool(optimizer["state"]) for optimizer in state["optimizers"]]
        self._load(position, weights=weights, optimizers=state["optimizers"])

    def start_from(self, weights: dict[str, Tensor]) -> None:
        """On rank 0, before the first step: let the model of every process have these weights."""
        self._start_from(weights=weights)

    @on_all
    def _start_from(self, weights: dict[str, Tensor] | None = None) -> None:
        self._has_learned = True
        self.parallel.load_weights(weights or {})

    @on_all
    def _load(self, position: dict[str, Any], weights: dict[str, Tensor] | None = None, optimizers: list[dict] | None = None) -> None:
        self.step, self._evaluated, self.best_loss = position["step"], position["evaluated"], position["best_loss"]
        self._has_learned = position.get("has_learned", False)
        self.clock, self._seconds = Clock(position["seconds"]), position["seconds"]
        self._pending = [(loss.to(self.device), norm.to(self.device)) for loss, norm in position["pending"]]
        self.scaler.load_state_dict(position["scaler"])
        self.parallel.load_weights(weights or {})
        for i, (optimizer, has_started) in enumerate(zip(self.optimizers, position["started"], strict=True)):
            if has_started:  # float16 may have skipped all steps so far
                self.parallel.load_optimizer(optimizer, optimizers[i] if optimizers else {})


def seed_dropout(device: torch.device, seed: int) -> None:
    """Seed PyTorch's global generator of `device`, from which nothing but dropout draws."""
    (torch.default_generator if device.type == "cpu" else torch.get_device_module(device)).manual_seed(seed)


def steps_per_row(step: int, steps: int, device: str = "cpu") -> int:
    """Number of steps averaged in one training row, so that a run has about MOST_ROWS rows. In a run of unknown length (`steps` is 0)
    it begins with 1 and doubles each time the number of steps done has doubled. `device` is the kind of device that trains."""
    fewest = 1 if device == "cpu" else STEPS_PER_ROW_ON_GPU
    return max(fewest, math.ceil(steps / MOST_ROWS) if steps else 2 ** (2 * step // MOST_ROWS).bit_length())


def tokens_per_step(config: dict) -> int:
    return config["batch"] * config["grad_accum"] * config["context_length"]


def planned_steps(config: dict, n_tokens: int) -> int:
    """Steps of the whole run on `n_tokens` training tokens; 0 if only max_minutes ends it."""
    limits = [config["max_steps"]] if config["max_steps"] else []
    if config["epoch"]:
        limits.append(max(1, round(config["epoch"] * n_tokens / tokens_per_step(config))))
    return min(limits, default=0)


def snapshot_steps(steps: int, count: int) -> list[int]:
    """At most `count` steps from 0 to `steps`; after 0 they are evenly spaced on a log scale, because most is learned early.

    In a run of unknown length (`steps` is 0) they are 0 and the powers of two.
    """
    if count < 2:
        return [steps] if count and steps else []
    if not steps:
        return [0, *(2 ** i for i in range(count - 1))]
    return sorted({0, steps} | {round(steps ** (i / (count - 2))) for i in range(count - 2)})
