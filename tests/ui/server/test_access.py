"""A public page: what a visitor may take, whose a run is, and what the server keeps of a visitor."""

import json
import os
import re
from pathlib import Path
from shutil import copytree

import gradio as gr
import pytest

from gpt.config import CONFIG, FIELDS, PRESETS
from gpt.data.built_in import BUILT_IN
from gpt.estimate.price import Estimate, Work
from gpt.runs.run import find_run
from gpt.ui.server import texts
from gpt.ui.server.access import HOMES, OWNERS, Access, AccessError, Caps, digest, process_identity
from gpt.ui.server.bases import base_of
from gpt.ui.server.jobs import Jobs
from gpt.ui.tabs import pricing, train
from tests.conftest import TINY
from tests.says import says
from tests.sessions import until

ANNA, BERT = "anna" * 8, "bert" * 8
PASSWORD = "open sesame"
HERE = process_identity(os.getpid())  # stands for the process that trains a run
GONE = (HERE[0], 0.0)  # a process that had our number before us


def cost(**changes) -> Estimate:
    """The price of a small CONFIG, with some of its numbers changed."""
    price = {"parameters": {"embedding": 10, "attention": 10, "feed-forward": 20, "head": 0}, "flops": {}, "weight_bytes": 160.0,
             "optimizer_bytes": 320.0, "training_bytes": 1e8, "free_bytes": 10**12,
             "flops_per_step": 1.0, "steps": 10, "seconds": 5.0,
             "step_seconds": 0.5, "evaluation_seconds": 0.5,
             "settings_to_lower": ("batch", "n_layers")}
    return Estimate(**{**price, **changes})


@pytest.fixture
def known_speed(monkeypatch):
    """The time of a run is not what these tests measure."""
    monkeypatch.setattr("gpt.estimate.price.machine_speed", lambda device, precision="auto": Work(products=1e-10))


@pytest.fixture
def access(tmp_path) -> Access:
    return Access(tmp_path, Caps(runs=2, text_bytes=1000), PASSWORD)


@pytest.fixture
def public(root, tmp_path) -> Jobs:
    """Jobs of a public page over two finished runs that began without a visitor."""
    return Jobs(copytree(root, tmp_path / "checkpoints"), Caps(runs=2), PASSWORD)


def make_run(root: Path, name: str, state: str = "done", process=HERE, created: float | None = None) -> Path:
    (root / name).mkdir(parents=True)
    (root / name / "status.json").write_text(json.dumps({"state": state, "step": 1, "steps": 1, "pid": process[0], "began": process[1]}))
    if created is not None:
        (root / name / "config.json").write_text(json.dumps({"config": {}, "created": created}))
    return root / name


class TestOwnership:
    def test_a_page_of_ones_own_allows_everything_and_keeps_no_register(self, tmp_path):
        access = Access(tmp_path)
        access.check("", "any")
        access.register("", "any", HERE)
        access.check_cost("", CONFIG, 10**9)
        assert access.home("") == tmp_path
        assert list(tmp_path.iterdir()) == []

    def test_a_run_is_its_beginners_alone(self, access):
        access.register(ANNA, "a", HERE)
        access.check(ANNA, "a")
        for visitor in (BERT, "", None, 5, ANNA[:10], "a" * 5000):
            with pytest.raises(AccessError):
                access.check(visitor, "a")
        with pytest.raises(AccessError, match=says("stories", "yours")):
            access.check(ANNA, "stories")

    def test_the_server_keeps_a_digest_and_not_the_key(self, access, tmp_path):
        access.register(ANNA, "a", HERE)
        kept = (tmp_path / OWNERS).read_text()
        assert ANNA not in kept
        assert json.loads(kept) == {"a": {"who": digest(ANNA), "created": None, "process": list(HERE)}}

    def test_what_is_known_of_a_run_goes_with_it(self, access):
        access.register(ANNA, "a", HERE)
        access.rename("a", "b")
        access.check(ANNA, "b")
        access.forget("b")
        with pytest.raises(AccessError):
            access.check(ANNA, "b")

    def test_a_run_stays_its_beginners_whoever_trains_it_on(self, access, tmp_path):
        path = make_run(tmp_path, "a", process=GONE, created=5.5)
        access.register(ANNA, "a", GONE)
        access.check(ANNA, "a")
        (path / "status.json").write_text(json.dumps({"state": "done", "step": 2, "steps": 2, "pid": 1, "began": 7.0}))
        access.check(ANNA, "a")
        access.rename("a", "b")
        path.rename(tmp_path / "b")
        access.check(ANNA, "b")

    def test_a_name_that_is_used_again_gives_no_run_away(self, access, tmp_path):
        def refused(name: str) -> None:
            with pytest.raises(AccessError, match=says(name, "yours")):
                access.check(ANNA, name)

        for name in ("b", "c", "d", "e"):
            access.register(ANNA, name, GONE)  # its process ended without a folder
        make_run(tmp_path, "b", process=(1, 7.0))  # begun in a terminal
        make_run(tmp_path, "c", process=(1, 7.0), created=6.5)
        refused("b")
        refused("c")
        access.unlock(BERT, PASSWORD)
        access.register(BERT, "d", HERE)
        make_run(tmp_path, "d", created=7.5)
        refused("d")
        access.rename("stories", "e")
        make_run(tmp_path, "e", process=GONE, created=8.5)
        refused("e")

    def test_a_run_that_was_deleted_elsewhere_leaves_no_claim(self, access, tmp_path):
        path = make_run(tmp_path, "a", created=5.5)
        access.register(ANNA, "a", HERE)
        access.check(ANNA, "a")
        (path / "config.json").write_text(json.dumps({"config": {}, "created": 9.5}))
        with pytest.raises(AccessError):
            access.check(ANNA, "a")

    def test_the_password_opens_everything_to_who_knows_it(self, access):
        for word in ("open sesam", "", None, 5, "\ud800"):
            with pytest.raises(AccessError, match=says("password")):
                access.unlock(BERT, word)
        access.unlock(BERT, PASSWORD)
        access.check(BERT, "stories")
        with pytest.raises(AccessError):
            access.check(ANNA, "stories")

    def test_without_a_password_nobody_is_let_in(self, tmp_path):
        with pytest.raises(AccessError):
            Access(tmp_path, Caps()).unlock(ANNA, None)

    @pytest.mark.parametrize("damage", ["{", "[]", "5", "\xff"])
    def test_a_damaged_register_gives_no_run_away(self, access, tmp_path, damage):
        access.register(ANNA, "a", HERE)
        (tmp_path / OWNERS).write_bytes(damage.encode("latin-1"))
        with pytest.raises(AccessError):
            access.check(ANNA, "a")

    def test_the_oldest_finished_runs_of_visitors_make_room_and_no_others(self, access, tmp_path):
        make_run(tmp_path, "stories")
        for name in ("one", "two", "three"):
            make_run(tmp_path, name)
            access.register(ANNA, name, HERE)
        assert sorted(path.name for path in tmp_path.iterdir() if path.is_dir()) == ["stories", "three", "two"]
        assert set(json.loads((tmp_path / OWNERS).read_text())) == {"three", "two"}
        make_run(tmp_path, "four")
        access.register(ANNA, "four", HERE, source="two")  # which it goes on from
        assert set(json.loads((tmp_path / OWNERS).read_text())) == {"two", "four"}

    def test_nothing_is_downloaded_for_visitors(self, tmp_path):
        assert Jobs(tmp_path, Caps())._environment()["HF_HUB_OFFLINE"] == "1"
        assert "HF_HUB_OFFLINE" not in Jobs(tmp_path)._environment()


    def test_a_run_that_really_trains_is_its_beginners_from_the_first_moment_and_after(self, tmp_path, text):
        jobs = Jobs(tmp_path / "runs", Caps(), PASSWORD)
        try:
            chosen, *_ = train.use_text(jobs, text, ANNA)
            config = {**TINY, "corpus": chosen["value"], "device": "cpu"}
            train.start(jobs, "", "mine", *(config[field.name] for field in FIELDS), 1, ANNA)
            jobs.access.check(ANNA, "mine")
            until(lambda: jobs.running() is None)
        finally:
            jobs.close()
        again = Access(jobs.root, Caps())
        again.check(ANNA, "mine")
        assert json.loads((jobs.root / OWNERS).read_text())["mine"]["created"] == find_run(jobs.root, "mine").config()["created"]
        with pytest.raises(AccessError):
            again.check(BERT, "mine")


class TestCaps:
    @pytest.mark.parametrize(("changes", "told"), [
        ({"parameters": {"embedding": 1, "attention": 60_000_000, "head": 0}},
         "60.0 million parameters | 10 million | emb_dim or n_layers"),
        ({"parameters": {"embedding": 60_000_000, "attention": 1, "head": 0}}, "emb_dim or vocab_size"),
        ({"training_bytes": 16e9}, "16.0 GB of memory | 3 GB | batch or n_layers"),
        ({"weight_bytes": 1e9}, "of disk | 500 MB | snapshots or emb_dim"),
        ({"step_seconds": 7200.0}, "120 minutes | step | 10 minutes | grad_accum"),
        ({"evaluation_seconds": 1200.0}, "20 minutes | evaluation | 10 minutes | eval_tokens"),
    ])
    def test_each_is_told_with_the_limit_and_what_to_lower(self, changes, told):
        problem, = Caps().problems(CONFIG, cost(**changes))
        assert re.search(says(told), problem)

    def test_a_small_config_is_under_all(self):
        assert Caps().problems(CONFIG, cost()) == []

    def test_the_clock_ends_a_visitors_run_whatever_was_estimated(self, access):
        assert access.with_time_limit(ANNA, CONFIG) == {**CONFIG, "max_minutes": 10.0}
        assert access.with_time_limit(ANNA, {**CONFIG, "max_minutes": 2.0})["max_minutes"] == 2.0
        access.unlock(ANNA, PASSWORD)
        assert access.with_time_limit(ANNA, CONFIG) == CONFIG

    @pytest.mark.usefixtures("known_speed")
    def test_the_page_says_what_train_does_about_a_run_that_would_take_longer(self, public):
        config = {**CONFIG, "max_steps": 10**6, "max_minutes": 30.0, "device": "cpu"}
        price = pricing.price_of(public, base_of(public.root, ""), "", config, ANNA)
        assert price["problems"] == []
        assert ["about 10 min 0 s", "here"] in price["numbers"]
        assert "--max_minutes 10" in price["command"]

    @pytest.mark.usefixtures("known_speed")
    def test_of_a_long_text_the_vocabulary_may_be_as_large_as_was_asked(self, public):
        part = "".join(f"{n:x} " for n in range(1_000))
        chosen, *_ = train.use_text(public, part + "a b " * 100_000, ANNA)
        config = {**CONFIG, "corpus": chosen["value"], "tokenizer": "bpe", "vocab_size": 60_000, "emb_dim": 256, "device": "cpu"}
        told = pricing.price_of(public, base_of(public.root, ""), "", config, ANNA)["problems"]
        assert any("million parameters" in problem for problem in told)
        with pytest.raises(gr.Error, match="million parameters"):
            train.start(public, "", "new", *config.values(), 1, ANNA)

    @pytest.mark.usefixtures("known_speed")
    def test_the_whole_config_is_judged_before_anything_starts(self, public, monkeypatch):
        monkeypatch.setattr("gpt.ui.server.jobs.subprocess.Popen", lambda *_, **__: pytest.fail("it was started"))
        large = {**PRESETS["gpt2-124m"].config, "device": "cpu"}
        told = pricing.price_of(public, base_of(public.root, "gpt2-124m"), "", large, ANNA)["problems"]
        assert len(told) == 4
        with pytest.raises(gr.Error, match=says("124.", "10 million")):
            train.start(public, "gpt2-124m", "new", *large.values(), 1, ANNA)
        with pytest.raises(gr.Error, match="reload the page"):
            train.start(public, "quick", "new", *CONFIG.values(), 1, "")
        public.access.unlock(ANNA, PASSWORD)
        assert pricing.price_of(public, base_of(public.root, "gpt2-124m"), "", large, ANNA)["problems"] == []

    def test_every_cap_is_told_to_visitors(self):
        words = ("10 million parameters", "3 GB", "500 MB", "10 minutes", "40 snapshots", "20 runs", "100 MB")
        assert all(word in Caps().in_words() for word in words)


class TestTexts:
    def test_visitors_see_their_own(self, public, text):
        chosen, *_ = train.use_text(public, text, ANNA)
        assert [label for label, _ in chosen["choices"]] == [*BUILT_IN, "pasted"]
        config = {**CONFIG, "corpus": chosen["value"], "tokenizer": "char"}
        assert "tokens to train on" in pricing.preview_of(public, base_of(public.root, ""), config, ANNA)["sentence"]
        for other in (BERT, "", None):
            assert pricing.preview_of(public, base_of(public.root, ""), config, other)["notes"].startswith("that text is not on this page")
            assert len(texts.choices(public.access.home(other))) == len(BUILT_IN)
        with pytest.raises(gr.Error, match="reload the page"):
            train.use_text(public, text, "")

    def test_the_oldest_make_room_and_those_of_the_page_itself_stay(self, access, tmp_path):
        own = texts.save_text(tmp_path, "own", b"x" * 900)
        kept = []
        for i in range(3):
            kept.append(texts.save_text(access.home(ANNA if i % 2 else BERT), "given", str(i).encode() * 400))
            access.make_room_for(kept[-1])
        assert [path.exists() for path in kept] == [False, True, True]
        assert own.exists()
        with pytest.raises(AccessError, match="give a shorter one"):
            access.check_text(ANNA, 1001)

    def test_the_folders_of_texts_are_no_runs(self, access, tmp_path):
        texts.save_text(access.home(ANNA), "given", b"some text")
        assert (tmp_path / HOMES).is_dir()
        assert Jobs(tmp_path, Caps()).running() is None


class TestControl:
    @pytest.mark.parametrize("command", ["pause", "stop"])
    def test_others_runs_cannot_be_controlled(self, public, monkeypatch, command):
        asked = []
        monkeypatch.setattr(public, "running", lambda: "bottles")
        monkeypatch.setattr("gpt.runs.run.Run.request", lambda run, word: asked.append((run.name, word)))
        with pytest.raises(gr.Error, match=says("bottles", "yours")):
            train.toggle_pause(public, BERT) if command == "pause" else train.ask(public, command, BERT)
        assert asked == []
        public.access.unlock(BERT, PASSWORD)
        train.toggle_pause(public, BERT) if command == "pause" else train.ask(public, command, BERT)
        assert asked == [("bottles", command)]

    def test_a_visitor_cannot_hold_the_machine_by_a_pause(self, public, monkeypatch):
        monkeypatch.setattr(public, "running", lambda: "bottles")
        public.access.register(ANNA, "bottles", HERE)
        with pytest.raises(gr.Error, match=says("paused", "stop", "resume")):
            train.toggle_pause(public, ANNA)

    @pytest.mark.parametrize(("caps", "told"), [(Caps(snapshots=1), "holds [0-9]+ snapshots, and a visitor's may hold 1: begin another"),
                                                (Caps(disk=1000.0), "MB of disk, and a visitor's may take 0.001 MB: begin another run")])
    def test_a_visitors_run_does_not_grow_for_ever(self, root, tmp_path, monkeypatch, caps, told):
        jobs, asked = Jobs(copytree(root, tmp_path / "checkpoints"), caps, PASSWORD), []
        monkeypatch.setattr(jobs, "running", lambda: "bottles")
        monkeypatch.setattr("gpt.ui.server.training_status.current_run", lambda jobs: find_run(jobs.root, "bottles"))
        monkeypatch.setattr("gpt.runs.run.Run.request", lambda run, word: asked.append(word))
        monkeypatch.setattr(jobs, "extend", lambda name, steps: asked.append(steps))
        monkeypatch.setattr(train, "show_message", lambda sentence: None)
        jobs.access.register(ANNA, "bottles", HERE)
        for act in (lambda: train.save_snapshot(jobs, ANNA), lambda: train.add_steps(jobs, 5, ANNA)):
            with pytest.raises(gr.Error, match=told):
                act()
        assert asked == []
        jobs.access.unlock(ANNA, PASSWORD)
        train.save_snapshot(jobs, ANNA)
        train.add_steps(jobs, 5, ANNA)
        assert asked == ["snapshot", 5]
