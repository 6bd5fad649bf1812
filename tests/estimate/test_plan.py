"""A plan for some minutes: the law by which a size is chosen, the time that is kept, what stays as it was given."""

import math
from types import SimpleNamespace

import pytest

import gpt.estimate.plan
from gpt.config import CONFIG, FIELDS, problems_of, validate
from gpt.errors import UserError
from gpt.estimate.calibration import step_seconds
from gpt.estimate.plan import EVALUATION_SHARE, EVALUATIONS, LAW, MINUTES, SHARE, SIZES, Law, in_time, plan, schedule
from gpt.model.flops import count_parameters, flops_per_token
from gpt.training.trainer import tokens_per_step
from tests.says import says

FLOPS = 1e11  # a second, of the machine that these tests plan for
TOKENS = 400_000
TINY = {**CONFIG, "n_layers": 1, "emb_dim": 8, "n_heads": 1, "context_length": 8, "vocab_size": 300}


def step_of(config: dict) -> float:
    """Seconds of a step on that machine."""
    return tokens_per_step(config) * flops_per_token(config) / FLOPS


@pytest.fixture
def machine(monkeypatch):
    """A machine on which a step takes what its arithmetic takes, an evaluation as long as 10 steps, and which has much memory. It is
    estimated to be three times as slow as it is."""
    def cost(config: dict, n_tokens: int, device: str) -> SimpleNamespace:
        return SimpleNamespace(step_seconds=3 * step_of(config), evaluation_seconds=30 * step_of(config))

    monkeypatch.setattr(gpt.estimate.plan, "estimate", cost)
    monkeypatch.setattr(gpt.estimate.plan, "step_seconds", lambda config, at_least: [step_of(config)] * 3)
    monkeypatch.setattr(gpt.estimate.plan, "free_bytes", lambda device: 10**12)


def parameters(config: dict) -> int:
    return sum(count_parameters(config).values())


class TestLaw:
    def test_more_parameters_and_more_tokens_are_better(self):
        rows = [[LAW.excess(size, tokens, TOKENS) for size in (1e5, 1e6, 1e7)] for tokens in (1e5, 4e5, 1e6, 1e7)]
        for row in (*rows, *zip(*rows, strict=True)):
            assert list(row) == sorted(row, reverse=True)

    def test_tokens_of_the_first_pass_count_in_full_and_those_of_later_ones_less_and_less(self):
        law = Law(1, 1, 1, 1, r=3.0)
        worths = [law.worth(passes * 1000, 1000) for passes in (0.5, 1, 2, 3, 1000)]
        assert worths[:2] == [500, 1000]
        assert 1000 > worths[2] - worths[1] > worths[3] - worths[2] > 0
        assert worths[2] == pytest.approx(1000 + 3000 * (1 - math.exp(-1 / 3)))
        assert worths[4] == pytest.approx(4000)  # never more than 1 + r passes


class TestPlan:
    @pytest.mark.parametrize("minutes", MINUTES)
    def test_it_fills_its_time(self, machine, minutes):
        found = plan(minutes, TOKENS)
        step, steps, every = step_of(found.config), found.config["max_steps"], found.config["eval_every"]
        count = math.ceil(steps / every)
        assert found.seconds == pytest.approx((steps + 10 * (count + 1)) * step)
        assert found.seconds == pytest.approx(SHARE * 60 * minutes, abs=2 * step)
        assert 1 <= count <= EVALUATIONS
        assert 10 * count * step <= EVALUATION_SHARE * 60 * minutes
        assert validate(found.config) == found.config

    def test_more_time_is_for_a_larger_model_and_for_more_text(self, machine):
        plans = [plan(minutes, TOKENS).config for minutes in (0.1, 1, 5, 20, 60, 600)]
        sizes, tokens = [parameters(config) for config in plans], [config["max_steps"] * tokens_per_step(config) for config in plans]
        assert sizes == sorted(sizes)
        assert sizes[0] < sizes[-1]
        assert tokens[0] < tokens[-1]

    def test_no_other_size_promises_less(self, machine):
        excesses = {}
        for size in SIZES:
            config = {**CONFIG, **size}
            steps = schedule(config, 60, TOKENS, 3 * step_of(config)).steps
            excesses[size["emb_dim"]] = LAW.excess(parameters(config), steps * tokens_per_step(config), TOKENS)
        assert plan(60, TOKENS).config["emb_dim"] == min(excesses, key=excesses.get)

    def test_a_shape_that_was_given_stays_as_a_whole(self, machine):
        found = plan(5, TOKENS, {**CONFIG, "emb_dim": 48, "weight_decay": 0.07, "seed": 9}, given={"emb_dim", "weight_decay"})
        assert {name: found.config[name] for name in ("emb_dim", "n_layers", "n_heads", "weight_decay", "seed")} == {
            "emb_dim": 48, "n_layers": CONFIG["n_layers"], "n_heads": CONFIG["n_heads"], "weight_decay": 0.07, "seed": 9}
        assert not {"emb_dim", "n_layers", "n_heads", "weight_decay"} & set(found.names)

    def test_a_batch_and_an_interval_that_were_given_stay_and_the_model_is_chosen(self, machine):
        found = plan(600, TOKENS, {**CONFIG, "batch": 16, "eval_every": 7}, given={"batch", "eval_every"})
        assert (found.config["batch"], found.config["context_length"], found.config["eval_every"]) == (16, CONFIG["context_length"], 7)
        assert found.config["emb_dim"] > CONFIG["emb_dim"]
        assert found.seconds == pytest.approx(SHARE * 600 * 60, rel=0.01)
        assert not {"batch", "eval_every"} & set(found.names)

    def test_it_says_what_it_chose(self, machine):
        found = plan(5, TOKENS)
        assert "5 minutes, of which 4.5" in found.sentence()
        for name in (*SIZES[0], "weight_decay", "max_steps", "eval_every"):
            assert f"{name} {found.config[name]:,}" in found.sentence()
        assert {name for name, value in found.config.items() if value != CONFIG[name]} <= set(found.names)

    def test_only_what_fits_into_memory_is_chosen(self, machine, monkeypatch):
        monkeypatch.setattr(gpt.estimate.plan, "training_bytes", lambda config, n_tokens: config["emb_dim"])
        monkeypatch.setattr(gpt.estimate.plan, "free_bytes", lambda device: 100)
        assert plan(600, TOKENS).config["emb_dim"] == 96
        monkeypatch.setattr(gpt.estimate.plan, "free_bytes", lambda device: 10)
        with pytest.raises(UserError, match=says("memory", "lower")):
            plan(1, TOKENS)

    def test_only_what_is_allowed_is_chosen(self, machine):
        assert plan(600, TOKENS, allowed=lambda config: config["n_layers"] < 4).config["emb_dim"] == 128

    def test_a_context_is_much_shorter_than_the_text(self, machine):
        assert plan(60, 1500).config["context_length"] == 128
        assert plan(60, 300).config["context_length"] == 128
        with pytest.raises(UserError, match=says("100 tokens", "context_length 128", "add text")):
            plan(60, 100)


class TestSchedule:
    def test_evaluations_take_a_fifth_at_most(self, machine, monkeypatch):
        monkeypatch.setattr(gpt.estimate.plan, "estimate", lambda *_: SimpleNamespace(step_seconds=1.0, evaluation_seconds=100.0))
        found = schedule(CONFIG, 60, TOKENS, step=1.0)
        assert math.ceil(found.steps / found.eval_every) == 6
        assert found.seconds == pytest.approx(SHARE * 3600, abs=1)

    def test_minutes_that_are_too_short_for_a_step_are_told(self, machine):
        with pytest.raises(UserError, match=says("1 minutes are too short", "1e+06 s")):
            schedule(CONFIG, 1, TOKENS, step=1e6)

    def test_a_limit_of_time_or_of_passes_makes_way(self):
        found = in_time({**TINY, "epoch": 0.01, "max_minutes": 1e-5, "max_steps": 0, "grad_accum": 8}, 0.05, TOKENS).config
        assert (found["epoch"], found["max_minutes"]) == (0.0, 0.0)
        assert found["max_steps"] > 1

    def test_numbers_stay_within_their_limits(self, machine):
        found = schedule(CONFIG, 10_000, TOKENS, step=1e-4)
        changes = {"max_steps": found.steps, "eval_every": found.eval_every}
        assert problems_of(FIELDS, {**CONFIG, **changes}) == {}

    @pytest.mark.parametrize("minutes", [0, -1, math.inf, math.nan, 1e9])
    def test_minutes_that_cannot_be_planned_for(self, machine, minutes):
        with pytest.raises(UserError, match=says(f"{minutes:g} minutes", "more than 0")):
            plan(minutes, TOKENS)


class TestTiming:
    def test_real_steps_are_timed(self):
        found = in_time(TINY, 0.05, 10_000)
        assert 1 <= found.config["max_steps"] < 100_000
        assert found.seconds == pytest.approx(SHARE * 3, rel=0.1)

    def test_two_steps_at_least_and_one_if_it_is_slow(self):
        assert len(step_seconds(TINY, 0.05)) >= 2
        assert len(step_seconds(TINY, 1e-9)) == 1
