"""What a run's losses say: what the model has learned so far, and whether something is going wrong, with the setting to change.

Everything is read from the rows of metrics.jsonl. `diagnosis` is silent unless it is sure: a warning that fires on a healthy run
teaches people to ignore it.
"""

import statistics
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from gpt.data.baselines import FREQUENCIES, GUESSING, PAIRS, PERFECT
from gpt.training.trainer import tokens_per_step

WINDOW = 20  # training rows that a row is compared with
LEAST_SPIKE = 0.5  # nats above the median of the rows before it
SPIKE_DEVIATIONS = 10  # and so many median absolute deviations
MANY_SPIKES = 3
RISE = 0.03  # of the validation loss above its best, as a share: more than evaluations vary
MANY_READINGS = 4  # readings of a text after which another one teaches less than new text (Muennighoff et al. 2023)
LEARNED_BY_HEART = 0.15  # share of the validation loss that the training loss is below it
FLAT_EVALUATIONS = 5  # without progress
PROGRESS = 0.005  # share by which the loss must have fallen to count as progress
DECAYED = 0.2  # share of its highest below which the learning rate explains a flat loss
ALIKE = 0.04  # share by which two baselines must differ to be two
MOST_DROPOUT = 0.5  # that is worth advising


@dataclass(frozen=True)
class Losses:
    """The losses of a run: (step, training loss) of its training rows, (step, validation loss) of its evaluations but the one before
    the first step, the loss of each baseline by name, the last learning rate, the `perfect` loss, if it is known, and by kind of token how
    far the last evaluation is above it. Where a run was made longer its losses begin anew: a rate that has risen again lifts them for a
    while."""

    training: list[tuple[int, float]]
    validation: list[tuple[int, float]]
    baselines: dict[str, float]
    rate: float | None = None
    perfect: float | None = None
    above_perfect: dict[str, float] = field(default_factory=dict)

    @classmethod
    def read(cls, rows: Iterable[dict[str, Any]]) -> "Losses":
        training, validation, known, rate, perfect, above = [], [], {}, None, None, {}
        for row in rows:
            if row.get("kind") == "baselines":
                known = {name: row[name] for name in (GUESSING, FREQUENCIES, PAIRS) if isinstance(row.get(name), int | float)}
                perfect = row.get(PERFECT) if isinstance(row.get(PERFECT), int | float) else None
            elif row.get("mark"):
                training, validation = [], []
            elif row.get("loss") is not None:
                training.append((row["step"], row["loss"]))
                rate = row.get("lr")
            elif row.get("val_loss") is not None and row["step"] > 0:
                validation.append((row["step"], row["val_loss"]))
                above = row.get("above_perfect")
        return cls(training, validation, known, rate, perfect, _numbers(above))

    def training_at(self, step: int) -> float | None:
        """Median training loss of the WINDOW rows up to `step`."""
        before = [loss for at, loss in self.training if at <= step][-WINDOW:]
        return statistics.median(before) if before else None


def _numbers(values: Any) -> dict[str, float]:
    """The numbers by name that a row holds, or nothing if a hand has changed them."""
    return {str(name): value for name, value in values.items() if isinstance(value, int | float)} if isinstance(values, dict) else {}


def distinct(baselines: dict[str, float]) -> list[tuple[str, float]]:
    """(names, loss) of the baselines, the highest first; those too close to be told apart are one, with the lowest loss of them. On random
    letters all are one."""
    groups: list[list[tuple[str, float]]] = []
    for name, loss in sorted(baselines.items(), key=lambda baseline: -baseline[1]):
        if groups and loss > groups[-1][0][1] * (1 - ALIKE):
            groups[-1].append((name, loss))
        else:
            groups.append([(name, loss)])
    return [(", ".join(name for name, _ in group), group[-1][1]) for group in groups]


def meaning(losses: Losses) -> str:
    """The last validation loss among the baselines, in one sentence; "" if there is nothing to compare yet."""
    if not losses.validation or len(losses.baselines) < 3:
        return ""
    loss, known = losses.validation[-1][1], distinct(losses.baselines)
    beaten, ahead = ([(name, value) for name, value in known if (loss < value) == below] for below in (True, False))
    if not beaten:
        name, value = known[0]
        return f"{loss:.2f}: no better than {name} yet ({value:.2f})."
    name, value = beaten[-1]
    after = f"next: {ahead[0][0]} ({ahead[0][1]:.2f})." if ahead else "it uses more than the last token."
    if losses.perfect is not None and not ahead:
        after = f"no model can be better than {losses.perfect:.2f}."
    return f"{loss:.2f}: better than {name} ({value:.2f}); {after}"


def diagnosis(losses: Losses, config: dict[str, Any], train_tokens: int) -> str:
    """What is going wrong in a run on a text of `train_tokens` tokens, and the setting to change, in one sentence; "" if nothing is."""
    return (_spikes(losses, config) or _overfitting(losses, config) or _learned_by_heart(losses, config, train_tokens)
            or _plateau(losses, config))


def _spikes(losses: Losses, config: dict[str, Any]) -> str:
    """Training loss that jumps, which a high learning rate does; the first steps, which warm up, do not count."""
    spikes: list[tuple[int, float]] = []
    values, quiet_until = [loss for _, loss in losses.training], 0
    for i in range(WINDOW, len(values)):
        step, loss = losses.training[i]
        before = values[i - WINDOW:i]
        median = statistics.median(before)
        deviation = statistics.median(abs(value - median) for value in before)
        if i >= quiet_until and step > config["warmup"] and loss - median > max(LEAST_SPIKE, SPIKE_DEVIATIONS * deviation):
            spikes.append((step, loss - median))
            quiet_until = i + WINDOW  # a loss that stays up has jumped once
    if len(spikes) < MANY_SPIKES:
        return ""
    step, jump = spikes[-1]
    return (f"Spikes: the loss has jumped {len(spikes)} times, last by {jump:.1f} at step {step:,}. The learning rate is too high: lower "
            f"learning_rate from {config['learning_rate']:g} to {config['learning_rate'] / 2:g}.")


def _overfitting(losses: Losses, config: dict[str, Any]) -> str:
    """Validation loss that has risen since its best while the training loss fell on."""
    if len(losses.validation) < 3:
        return ""
    best_step, best = min(losses.validation, key=lambda evaluation: evaluation[1])
    after = [loss for step, loss in losses.validation if step > best_step]
    then, now = losses.training_at(best_step), losses.training_at(losses.validation[-1][0])
    if len(after) < 2 or min(after[-2:]) < best * (1 + RISE) or then is None or now >= then:
        return ""
    return (f"Overfitting: since step {best_step:,} the validation loss has risen from {best:.2f} to {after[-1]:.2f}, and the training "
            f"loss has fallen from {then:.2f} to {now:.2f}. {_more_text(config)} The best weights are kept.")


def _learned_by_heart(losses: Losses, config: dict[str, Any], train_tokens: int) -> str:
    """A text read many times, and known much better than text of the same kind that was kept back."""
    if not losses.validation or not train_tokens:
        return ""
    step, validation = losses.validation[-1]
    training = losses.training_at(step)
    readings = step * tokens_per_step(config) / train_tokens
    if readings < MANY_READINGS or training is None or training > validation * (1 - LEARNED_BY_HEART):
        return ""
    return (f"The text has been read {readings:.0f} times, and the model learns it by heart: its loss there is {training:.2f}, on text "
            f"that was kept back {validation:.2f}. {_more_text(config)}")


def _more_text(config: dict[str, Any]) -> str:
    dropout = round(config["dropout_rate"] + 0.1, 2)
    return f"Give it more text, {f'set dropout_rate to {dropout:g}, ' if dropout <= MOST_DROPOUT else ''}or lower max_steps."


def _plateau(losses: Losses, config: dict[str, Any]) -> str:
    """A validation loss that has stopped falling long before the learning rate has."""
    evaluations = losses.validation
    if len(evaluations) <= FLAT_EVALUATIONS or (losses.rate is not None and losses.rate < DECAYED * config["learning_rate"]):
        return ""
    before = min(loss for _, loss in evaluations[:-FLAT_EVALUATIONS])
    since = min(loss for _, loss in evaluations[-FLAT_EVALUATIONS:])
    if since < before * (1 - PROGRESS):
        return ""
    rate = config["learning_rate"]
    stuck = losses.baselines and since > 0.98 * losses.baselines.get(FREQUENCIES, 0)
    remedy = (f"It has learned no more than how often each token comes: change learning_rate, now {rate:g}, by a factor of 3, up or down."
              if stuck else f"Halve learning_rate, now {rate:g}, or raise n_layers, emb_dim or context_length.")
    return f"A plateau: the validation loss has not fallen since step {evaluations[-FLAT_EVALUATIONS - 1][0]:,}. {remedy}"
