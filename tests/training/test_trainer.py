"""The training loop: what it yields, what it computes, and that looking never changes learning."""

import copy
import math

import pytest
import torch
from torch.autograd.profiler_util import FunctionEvent
from torch.nn import functional as F
from torch.profiler import ProfilerActivity, profile

import gpt.training.trainer
from gpt.data.dataset import TokenizedText
from gpt.data.tokenizers.bpe import train_bpe
from gpt.errors import UserError
from gpt.interpret import attention_maps
from gpt.model.flops import flops_per_token
from gpt.model.gpt2 import GPT2
from gpt.model.sampling import Sampling
from gpt.model.writing import write
from gpt.training.optimizer import learning_rate_at
from gpt.training.trainer import Clock, DivergedError, Event, Trainer, planned_steps, snapshot_steps, steps_per_row
from tests.says import says
from tests.texts import tokenized


class Ticking(Clock):
    """A clock that goes on by one second each time it is read."""

    def __init__(self):
        super().__init__()
        self._reads = 0

    def seconds(self) -> float:
        self._reads += 1
        return float(self._reads)


def make(config: dict, tokens: TokenizedText, clock: Clock | None = None) -> Trainer:
    return Trainer(config, GPT2(config), tokens, clock)


def rows(trainer: Trainer, kind: str) -> list[dict]:
    return [event.row for event in trainer.events() if event.kind == kind]


def curve(trainer: Trainer) -> list[tuple[float, float]]:
    return [(row["loss"], row["grad_norm"]) for row in rows(trainer, "step")]


def test_a_compiled_step_learns_the_same(tiny, tokens, monkeypatch):
    """Traced and taken apart as for compiling, but run by PyTorch itself: building the kernels takes half a minute."""
    compiled, real = [], torch.compile
    monkeypatch.setattr(torch, "compile", lambda function: compiled.append(function) or real(function, backend="aot_eager"))
    config = {**tiny, "max_steps": 4}
    plain, fused = (curve(make({**config, "compile": compile}, tokens)) for compile in (False, True))
    assert len(compiled) == 1 and len(plain) == 4
    torch.testing.assert_close(torch.tensor(fused), torch.tensor(plain), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_the_loss_falls(tiny, tokens, optimizer):
    found = rows(make({**tiny, "optimizer": optimizer, "max_steps": 60, "learning_rate": 0.01}, tokens), "evaluation")
    assert found[0]["val_loss"] == pytest.approx(math.log(tiny["vocab_size"]), abs=0.1)
    assert found[-1]["val_loss"] < 2.2


def test_events_come_in_order_with_rows_of_the_agreed_keys(tiny, tokens):
    events = list(make({**tiny, "max_steps": 5, "eval_every": 2}, tokens).events())
    assert [(event.kind, event.row["step"]) for event in events] == [
        ("evaluation", 0), ("step", 1), ("step", 2), ("evaluation", 2), ("step", 3), ("step", 4), ("evaluation", 4), ("step", 5),
        ("evaluation", 5)]
    assert set(events[0].row) == {"step", "tokens", "seconds", "val_loss", "bits_per_byte", "by_context"}
    assert set(events[1].row) == {"step", "tokens", "seconds", "loss", "lr", "grad_norm", "tokens_per_second", "mfu"}
    assert events[-1].row["tokens"] == 5 * 4 * 8


def test_the_same_seed_gives_the_same_curve_bit_for_bit(tiny, tokens):
    config = {**tiny, "dropout_rate": 0.2}
    assert curve(make(config, tokens)) == curve(make(config, tokens))
    assert curve(make(config, tokens)) != curve(make({**config, "seed": 2}, tokens))


@pytest.mark.parametrize("dropout_rate", [0.0, 0.2])
def test_looking_never_changes_learning(tiny, tokens, tokenizer, dropout_rate):
    config = {**tiny, "dropout_rate": dropout_rate}
    undisturbed = curve(make({**config, "eval_every": 1000}, tokens))
    watched = make({**config, "eval_every": 1}, tokens)
    seen = []
    for event in watched.events():
        if event.kind == "step":
            seen.append((event.row["loss"], event.row["grad_norm"]))
        attention_maps(watched.model, tokens.validation[None, :8].long())
        list(write(watched.model, tokenizer, "green", Sampling(max_new_tokens=3)))
    assert seen == undisturbed


def test_accumulated_batches_equal_one_large_batch(tiny, tokens):
    halves = curve(make({**tiny, "batch": 4, "grad_accum": 2, "max_steps": 5}, tokens))
    whole = curve(make({**tiny, "batch": 8, "grad_accum": 1, "max_steps": 5}, tokens))
    torch.testing.assert_close(torch.tensor(halves), torch.tensor(whole), rtol=1e-5, atol=1e-5)


def test_loss_and_bits_per_byte_by_hand(tiny):
    text = "zwölf Boxkämpfer jagen Viktor quer über den Sylter Deich – " * 4
    tokenizer = train_bpe([text], 280)
    config = {**tiny, "tokenizer": "bpe", "vocab_size": tokenizer.n_vocab}
    tokens = tokenized(text, text[:100], tokenizer)
    trainer = make(config, tokens)
    ids, nats = tokenizer.encode(text[:100]), 0.0
    for start in range(0, len(ids) - 1, 8):
        window = torch.tensor(ids[start:start + 9])
        nats += F.cross_entropy(trainer.model.eval()(window[None, :-1])[0], window[1:], reduction="sum").item()
    n_bytes = sum(len(tokenizer.token_bytes(token)) for token in ids[1:])
    row = trainer.evaluation().row
    assert n_bytes > len(ids)
    assert row["val_loss"] == pytest.approx(nats / (len(ids) - 1), rel=1e-6)
    assert row["bits_per_byte"] == pytest.approx(nats / math.log(2) / n_bytes, rel=1e-6)


def test_an_evaluation_in_small_portions_gives_the_same_loss(tiny, tokens, monkeypatch):
    whole = make(tiny, tokens).evaluation().row["val_loss"]
    monkeypatch.setattr(gpt.training.trainer, "TOKENS_AT_ONCE", 1)
    assert make(tiny, tokens).evaluation().row["val_loss"] == pytest.approx(whole, rel=1e-6)


def test_an_evaluation_leaves_the_mode_and_remembers_the_best(tiny, tokens):
    trainer = make(tiny, tokens)
    trainer.model.train()
    loss = trainer.evaluation().row["val_loss"]
    assert trainer.model.training
    assert trainer.best_loss == loss


def test_a_capped_evaluation_says_so(tiny, tokens):
    n = len(tokens.validation)
    warnings = rows(make({**tiny, "eval_tokens": 50}, tokens), "warning")
    assert [row["text"] for row in warnings] == [
        f"evaluations read the first 50 of {n} validation tokens; set eval_tokens to 0 for all"]
    assert not rows(make({**tiny, "eval_tokens": 0}, tokens), "warning")
    assert not rows(make({**tiny, "eval_tokens": n}, tokens), "warning")


def test_before_the_first_step_a_few_tokens_are_enough(tiny, tokens, monkeypatch):
    monkeypatch.setattr(gpt.training.trainer, "TOKENS_AT_ONCE", 16)
    trainer = make({**tiny, "max_steps": 1, "eval_tokens": 0}, tokens)
    alike = make({**tiny, "eval_tokens": 16}, tokens)
    first, last = rows(trainer, "evaluation")
    assert first["val_loss"] == alike.evaluation().row["val_loss"]
    assert last["val_loss"] == trainer.evaluation().row["val_loss"]


def test_a_capped_evaluation_reads_the_first_tokens_only(tiny, tokens):
    capped = make({**tiny, "eval_tokens": 50}, tokens).evaluation().row["val_loss"]
    tokens.validation = tokens.validation[:51]
    assert make({**tiny, "eval_tokens": 0}, tokens).evaluation().row["val_loss"] == capped


@pytest.mark.parametrize(("epoch", "max_steps", "steps"), [
    (1.0, 0, 20), (0.5, 0, 10), (2.5, 0, 50), (0.001, 0, 1), (0.0, 7, 7), (1.0, 7, 7), (0.25, 7, 5), (0.0, 0, 0)])
def test_steps_are_planned_by_epoch_or_max_steps_whichever_comes_first(tiny, epoch, max_steps, steps):
    assert planned_steps({**tiny, "epoch": epoch, "max_steps": max_steps}, n_tokens=640) == steps  # 32 tokens a step


def test_a_fractional_epoch_ends_the_run(tiny, tokens):
    trainer = make({**tiny, "epoch": 0.1, "max_steps": 0}, tokens)
    assert len(rows(trainer, "step")) == trainer.steps == round(0.1 * len(tokens.train) / 32)


def test_max_minutes_ends_the_run_with_an_evaluation_and_a_warning(tiny, tokens):
    trainer = make({**tiny, "max_steps": 0, "max_minutes": 1.0}, tokens, Ticking())
    events = list(trainer.events())
    assert events[0].kind == "warning"
    assert "cannot be repeated exactly" in events[0].row["text"]
    assert [event.kind for event in events[-2:]] == ["step", "evaluation"]
    assert 5 < trainer.step < 60
    assert trainer.progress() == 1
    assert all(event.row["lr"] >= 0 for event in events if event.kind == "step")


def test_max_minutes_may_come_before_max_steps(tiny, tokens):
    trainer = make({**tiny, "max_steps": 1000, "max_minutes": 1.0}, tokens, Ticking())
    list(trainer.events())
    assert trainer.step < 60


def test_the_rates_of_the_rows_follow_the_schedule(tiny, tokens):
    found = [row["lr"] for row in rows(make({**tiny, "max_steps": 10, "warmup": 4}, tokens), "step")]
    assert found == [learning_rate_at(step, step / 10, tiny["learning_rate"], 4) for step in range(10)]


def test_a_long_run_has_rows_that_are_means_of_several_steps(tiny, tokens, monkeypatch):
    single = rows(make(tiny, tokens), "step")
    monkeypatch.setattr(gpt.training.trainer, "MOST_ROWS", 5)
    events = [event.row for event in make(tiny, tokens).events() if event.kind == "step"]
    assert [bool(row) for row in events] == [False, False, True] * 4
    for i, row in enumerate(row for row in events if row):
        assert row["loss"] == pytest.approx(sum(each["loss"] for each in single[3 * i:3 * i + 3]) / 3)


def test_mfu_is_a_number_where_the_peak_is_known_and_none_elsewhere(tiny, tokens, monkeypatch):
    assert rows(make({**tiny, "max_steps": 1}, tokens), "step")[0]["mfu"] is None
    monkeypatch.setattr("gpt.model.flops.peak_flops", lambda device, precision: 1e9)
    row = rows(make({**tiny, "max_steps": 1}, tokens), "step")[0]
    assert row["mfu"] == pytest.approx(row["tokens_per_second"] * flops_per_token(tiny) / 1e9)


def test_gradients_are_clipped_to_the_limit(tiny, tokens, monkeypatch):
    asked, clip = [], torch.nn.utils.clip_grad_norm_

    def listening(parameters, limit):
        asked.append(limit)
        return clip(parameters, limit)

    monkeypatch.setattr(torch.nn.utils, "clip_grad_norm_", listening)
    list(make({**tiny, "max_steps": 1, "grad_clip": 0.5}, tokens).events())
    list(make({**tiny, "max_steps": 1, "grad_clip": 0.0}, tokens).events())
    assert asked == [0.5, math.inf]


def test_a_run_has_about_a_thousand_rows_however_long_it_is():
    assert {steps_per_row(step, 1000) for step in range(1, 1001)} == {1}
    assert {steps_per_row(step, 1001) for step in range(1, 1001)} == {2}
    assert {steps_per_row(step, 50_000) for step in range(1, 50_001)} == {50}
    assert [steps_per_row(step, 0) for step in (1, 499, 500, 999, 1000, 1999, 2000, 10**6)] == [1, 1, 2, 2, 4, 4, 8, 2048]
    assert sum(step % steps_per_row(step, 0) == 0 for step in range(1, 10**6)) < 4000


def test_on_a_gpu_no_row_makes_every_step_wait():
    assert [steps_per_row(1, steps, "cuda") for steps in (0, 1000, 10_000, 10_001, 50_000)] == [10, 10, 10, 11, 50]


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
@pytest.mark.parametrize("grad_clip", [0.0, 1.0])
def test_a_step_asks_for_no_number_and_so_never_waits_for_a_gpu(tiny, tokens, optimizer, grad_clip):
    trainer = make({**tiny, "optimizer": optimizer, "grad_clip": grad_clip, "grad_accum": 2}, tokens)
    trainer._update()  # what happens once: the windows of an epoch are shuffled
    trainer.step += 1
    with profile(activities=[ProfilerActivity.CPU]) as trace:
        trainer._update()
    assert any(event.name == "aten::mm" for event in trace.events())
    waiting = {"aten::_local_scalar_dense", "aten::nonzero", "aten::is_nonzero"}
    callers = [caller_of(event) for event in trace.events() if event.name in waiting]
    assert set(callers) <= {"aten::_fused_adamw_"}  # which reads the number of its steps on a CPU only


def caller_of(event: FunctionEvent) -> str:
    """The outermost operation of PyTorch that an event is part of, below the step of an optimizer."""
    name = event.name
    while event := event.cpu_parent:
        name = event.name if event.name.startswith("aten::") else name
    return name


def test_a_run_that_is_extended_goes_on_with_a_rate_for_the_new_end(tiny, tokens):
    trainer = make(tiny, tokens)
    rates = []
    for event in trainer.events():
        if event.kind == "step":
            rates.append(event.row["lr"])
            if trainer.step == 12:  # even when the last step is done
                trainer.extend(12)
    assert len(rates) == 24
    assert rates[12] > rates[11]
    assert trainer.config["max_steps"] == trainer.steps == 24


def test_a_run_ends_with_an_evaluation_also_if_the_clock_runs_out_between_two_looks_at_it(tiny, tokens, monkeypatch):
    trainer = make({**tiny, "max_steps": 0, "max_minutes": 1.0, "eval_every": 10**6}, tokens)
    shares = iter([0.0] * 7)
    monkeypatch.setattr(trainer, "progress", lambda: next(shares, 1.0))
    kinds = [event.kind for event in trainer.events() if trainer.step]
    assert kinds[-1] == "evaluation"
    assert trainer.is_done()


def test_a_loss_that_is_no_number_ends_the_run(tiny, tokens):
    trainer = make(tiny, tokens)
    with pytest.raises(DivergedError, match=says("step 4", "0.0075", "learning_rate below 0.01", "warmup above 2")):
        for event in trainer.events():
            if event.kind == "step" and event.row["step"] == 3:
                trainer.model.token_embedding.weight.data.fill_(math.nan)


def test_a_validation_loss_that_is_no_number_ends_the_run_too(tiny, tokens):
    trainer = make(tiny, tokens)
    with pytest.raises(DivergedError, match="at step 4"):
        for event in trainer.events():
            if event.kind == "step" and event.row["step"] == 4:  # an evaluation follows
                trainer.model.token_embedding.weight.data.fill_(math.nan)


def test_a_gradient_norm_that_is_no_number_is_left_out_of_the_row(tiny, tokens, monkeypatch):
    monkeypatch.setattr(torch.nn.utils, "clip_grad_norm_", lambda parameters, limit: torch.tensor(math.inf))
    found = rows(make({**tiny, "max_steps": 2}, tokens), "step")
    assert [row["grad_norm"] for row in found] == [None, None]


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_half_precision_learns_too(tiny, tokens, precision):
    found = rows(make({**tiny, "precision": precision, "max_steps": 30}, tokens), "evaluation")
    assert found[-1]["val_loss"] < found[0]["val_loss"] - 0.5


def timeless(event: Event) -> dict:
    """An event without what the clock says."""
    return {"kind": event.kind, **{key: value for key, value in event.row.items() if key not in ("seconds", "tokens_per_second")}}


@pytest.mark.parametrize("stop_at", [3, 4, 5])
def test_a_run_goes_on_bit_for_bit_from_its_state(tiny, tokens, stop_at):
    config = {**tiny, "dropout_rate": 0.2, "eval_every": 2}
    whole = make(config, tokens)
    expected = [timeless(event) for event in whole.events() if event.row["step"] > stop_at]
    first = make(config, tokens)
    for event in first.events():
        if first.step == stop_at and event.kind == ("evaluation" if first.evaluation_due() else "step"):
            break
    state, weights = copy.deepcopy(first.state()), copy.deepcopy(first.model.state_dict())
    torch.manual_seed(99)
    second = make(config, tokens)
    second.load(weights, state)
    assert [timeless(event) for event in second.events()] == expected
    assert all(torch.equal(a, b) for a, b in zip(whole.model.parameters(), second.model.parameters(), strict=True))
    assert second.best_loss == whole.best_loss


def test_a_text_too_short_is_told(tiny, tokenizer):
    short = tokenized("green", "wall", tokenizer)
    with pytest.raises(UserError, match=says("training", "5 tokens", "context_length 8", "9")):
        make(tiny, short)


@pytest.mark.parametrize(("steps", "count", "expected"), [
    (100, 4, [0, 1, 10, 100]), (1000, 5, [0, 1, 10, 100, 1000]), (100, 3, [0, 1, 100]), (100, 2, [0, 100]), (50, 1, [50]),
    (50, 0, []), (0, 5, [0, 1, 2, 4, 8]), (0, 1, []), (3, 12, [0, 1, 2, 3]), (1, 5, [0, 1]),
])
def test_snapshots_are_spaced_on_a_log_scale(steps, count, expected):
    assert snapshot_steps(steps, count) == expected


@pytest.mark.parametrize("steps", [1, 2, 7, 500, 5000, 100_000])
@pytest.mark.parametrize("count", [2, 3, 12, 100])
def test_snapshots_begin_at_0_end_with_the_run_and_are_not_too_many(steps, count):
    found = snapshot_steps(steps, count)
    assert (found[0], found[-1]) == (0, steps)
    assert found == sorted(set(found))
    assert len(found) <= count


def test_a_paused_clock_stands_still(monkeypatch):
    now = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    clock = Clock(5.0)
    now[0] += 2
    clock.pause()
    now[0] += 50
    clock.pause()  # pausing twice changes nothing
    assert clock.seconds() == 7
    clock.resume()
    clock.resume()
    now[0] += 1
    assert clock.seconds() == 8


def test_the_trainer_reads_no_clock_but_its_own(tiny, tokens):
    trainer = make({**tiny, "max_steps": 2}, tokens, Clock(1000.0))
    assert all(row["seconds"] >= 1000 for row in rows(trainer, "step"))


def test_dropout_differs_from_batch_to_batch_and_depends_on_nothing_before(tiny, tokens):
    """Without a learning rate, and with windows that are all the same, losses differ by dropout alone."""
    config = {**tiny, "dropout_rate": 0.5, "learning_rate": 1e-9, "max_steps": 4}
    same = TokenizedText(tokens.train[:9], tokens.validation, tokens.byte_lengths)
    torch.manual_seed(99)
    losses = [loss for loss, _ in curve(make(config, same))]
    assert len({round(loss, 5) for loss in losses}) == 4
    torch.manual_seed(7)
    assert [loss for loss, _ in curve(make(config, same))] == losses
