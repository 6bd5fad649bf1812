"""The benchmark program at tiny sizes: every row's own code, the shape of the table and of the JSON, and a peer that learns."""

import http.server
import json
import math
import subprocess
import sys
import threading
from dataclasses import replace

import numpy as np
import pytest
import torch
from huggingface_hub.errors import LocalEntryNotFoundError

from gpt.config import PRESETS
from gpt.data.sources import read_corpus
from gpt.data.tokenizers.bpe import gpt2_tokenizer
from gpt.estimate.plan import LAW, Law
from gpt.model.gpt2 import GPT2
from tests.benchmarks import (
    ablating,
    generation,
    heads_in_a_minute,
    memory,
    minute,
    ours,
    peer,
    published_heads,
    records,
    scaling,
    sizes,
    time_to_loss,
    together,
    training_speed,
)
from tests.benchmarks.__main__ import ROWS, main, measure_all
from tests.benchmarks.machine import PROJECT, hardware, matrix_rates, versions
from tests.benchmarks.memory import peak_resident_bytes
from tests.benchmarks.records import ENTRIES, Outcome
from tests.benchmarks.report import HEADER, as_json, number, spread, table
from tests.benchmarks.row import NOT_MEASURED, Result, Row, Setup
from tests.benchmarks.timing import in_fresh_process
from tests.benchmarks.windows import sliding_windows
from tests.exchange.test_pretrained import made

SMALL = {"n_layers": 2, "n_heads": 2, "emb_dim": 16, "context_length": 8, "batch": 4}
CPU = torch.device("cpu")


@pytest.fixture
def setup(text_file) -> Setup:
    return Setup(read_corpus(text_file), text_file, CPU, (1, 2), {"float32": 1e11, "bfloat16": 1e9})


class TestPeer:
    def test_it_learns(self, tiny, tokens):
        training = peer.Training(tiny, tokens.train, peer.Recipe(learning_rate=5e-3, max_steps=60, warmup=5, batch=8))
        before = training.validation_loss(tokens.validation)
        losses = [training.step().item() for _ in range(60)]
        assert sum(losses[-5:]) / 5 < losses[0] - 0.5
        assert training.validation_loss(tokens.validation) < before - 0.5

    def test_it_has_the_sizes_of_ours(self, tiny):
        classic = {**tiny, **PRESETS["gpt2-classic"].changes}
        n_ours, n_peer = (sum(p.numel() for p in model.parameters()) for model in (GPT2(classic), peer.build(classic)))
        assert n_ours == n_peer

    def test_its_rate_goes_up_in_a_line_and_down_by_cosine(self):
        rates = [peer.Recipe().rate_at(step) for step in (0, 49, 99, 100, 1050, 2000)]
        assert rates == pytest.approx([1e-5, 5e-4, 1e-3, 1e-3, 5.5e-4, 1e-4])

    def test_it_predicts_every_target_of_a_window(self, tiny):
        training = peer.Training(tiny, torch.arange(9), peer.Recipe(batch=1))
        ids, targets = training.windows()  # nine tokens have one window only
        assert (ids.tolist(), targets.tolist()) == ([list(range(8))], [list(range(1, 9))])
        assert peer.loss_of(training.model, ids, targets, "none").shape == (1, 8)


class TestRows:
    def test_time_to_loss_stops_at_the_target(self, setup):
        recipe = peer.Recipe(max_steps=20, warmup=2, batch=4, eval_every=10)
        found = time_to_loss.measure(setup, 3.0, {**SMALL, "tokenizer": "char", "eval_tokens": 0},
                                     {"max_steps": 40, "eval_every": 5, "learning_rate": 0.02, "warmup": 2}, recipe)
        assert len(found.ours) == len(found.peer) == len(found.ratios) == 2
        assert found.ratios[1] == found.peer[1] / found.ours[1]
        for run in found.raw["ours"]:
            losses = [one["val_loss"] for one in run["evaluations"]]
            assert run["reached"] == (losses[-1] <= 3.0)
            assert all(loss > 3.0 for loss in losses[:-1])
        assert all(run["steps"] <= 20 for run in found.raw["peer"])

    def test_published_heads_are_looked_for_in_the_weights_that_are_there(self, setup, tmp_path):
        made(tmp_path, gpt2_tokenizer(), n_layer=7, n_head=12)
        found = published_heads.measure(setup, tmp_path)
        assert found.reached == "no"  # random weights
        assert found.ours[0] < len(published_heads.NAMED)
        assert len(found.notes) == len(published_heads.NAMED)
        assert 0 <= found.raw["values"]["induction 5.1"] <= 1

    def test_published_heads_are_not_measured_without_the_weights(self, setup, monkeypatch):
        def none(*_, **__):
            raise LocalEntryNotFoundError("none")

        monkeypatch.setattr("huggingface_hub.snapshot_download", none)
        assert published_heads.measure(setup).reached == NOT_MEASURED

    @pytest.mark.parametrize(("precision", "apart"), [("float32", 1e-3), ("bfloat16", 0.05)])
    def test_a_minute_is_measured_whole_and_its_loss_is_checked(self, setup, precision, apart):
        changes = {**SMALL, "tokenizer": "bpe", "vocab_size": 260, "precision": precision}
        found = minute.measure(setup, changes, minute.BITS, 100.0, limit=60.0, reserve=58.0)
        assert found.reached == "yes"
        for run in found.raw["runs"]:
            assert 2 < run["seconds"] < 60
            assert len(run["evaluations"]) == 2
            assert run["precision"] == precision
            assert run["anew"][minute.NATS] == pytest.approx(run[minute.NATS], abs=apart)  # it is evaluated anew in float32
            assert run["anew"][minute.BITS] == pytest.approx(run[minute.BITS], abs=apart)

    def test_a_run_that_takes_too_long_is_not_reached(self, setup):
        found = minute.measure(setup, {**SMALL, "tokenizer": "char"}, minute.NATS, 100.0, limit=0.3, reserve=0.0)
        assert found.reached == "no"
        assert "2 of 2 runs took longer" in found.notes[1]

    def test_speeds_are_taken_in_pairs(self, setup):
        found = training_speed.measure(setup, {**SMALL, "tokenizer": "char", "vocab_size": 30}, blocks=3, block=2, warm=1)
        assert len(found.ours) == len(found.peer) == len(found.ratios) == 3
        assert 0 < found.raw["share_of_float32_rate"]["ours"] < 1

    def test_writing_gives_as_many_tokens_as_asked_for(self, setup):
        base = {**PRESETS["gpt2-classic"].config, **SMALL, "tokenizer": "char", "vocab_size": 50, "context_length": 16}
        found = generation.measure(setup, base, count=4, target=0.0, rounds=2)
        assert (found.reached, len(found.ours), len(found.peer)) == ("yes", 2, 2)

    def test_two_processes_and_accumulated_halves_lie_on_the_curve_of_one(self, setup):
        found = together.measure(Setup(setup.corpus, setup.source, CPU, (1,), setup.rates), {**SMALL, "tokenizer": "char"}, steps=8)
        assert (found.reached, len(found.ours), len(found.peer)) == ("yes", 1, 1)
        assert max(found.raw["apart_two"] + found.raw["apart_accumulated"]) < 1e-4
        assert "8 steps" in found.notes[0]

    def test_scaling_has_a_slope_between_neighbours(self, setup):
        found = scaling.measure(setup, {"context_length": (8, 16), "emb_dim": (16, 32, 64)}, tokens=32, seconds=0.0)
        assert [one["axis"] for one in found.raw["slopes"]] == ["context_length", "emb_dim", "emb_dim"]
        assert found.table.count("\n") == 6
        same = {"tokens_per_second": 100.0, "flops_per_token": 5.0, "size": 2}
        grown = {"tokens_per_second": 25.0, "flops_per_token": 10.0, "size": 4}
        assert scaling.slopes(same, grown) == {"size": 2, "time": 4, "work": 2, "measured": 2, "theory": 1}

    def test_every_head_is_taken_out(self, setup):
        base = {**PRESETS["quick"].config, **SMALL, "tokenizer": "char", "vocab_size": 30}
        for work in (ablating.one_head, ablating.every_head, ablating.first_layer, ablating.importance):
            found = ablating.measure_ablating(setup, base, work, rounds=2, most=100)
            assert (found.reached, len(found.ours), found.notes) == ("yes", 2, ["on 16 sequences of 8 tokens"])

    def test_memory_is_that_of_a_fresh_process(self, tiny):
        torch.ones(200_000_000)  # 800 MB of this process must not count
        assert 50e6 < in_fresh_process(memory.peak_bytes, tiny, 2) < peak_resident_bytes()

    def test_time_to_the_target_is_interpolated(self):
        evaluations = [{"seconds": 10.0, "val_loss": 2.0}, {"seconds": 20.0, "val_loss": 1.0}]
        assert time_to_loss.crossing(evaluations, 1.5) == 15.0

    def test_the_whole_split_is_evaluated_as_the_trainer_does(self, tiny, tokens):
        trainer = ours.make_trainer({**tiny, "eval_tokens": 0}, tokens)
        nats = ours.whole_split(trainer.model, tokens.validation)
        assert nats / (len(tokens.validation) - 1) == pytest.approx(trainer.evaluation().row["val_loss"], rel=1e-5)


class TestReport:
    def test_a_failing_row_is_told_and_the_rest_goes_on(self, setup, tmp_path, capsys):
        def broken(setup: Setup) -> Result:
            raise ValueError("the sky fell")

        def sound(setup: Setup) -> Result:
            return Result("yes", [1.0, 3.0, 2.0], [10.0, 10.0, 10.0], [10.0, 3.3, 5.0], table="| a second table |")

        rows = [Row("one", "falling, s", "< 1", broken), Row("two", "standing, s", "> 1", sound)]
        results = measure_all(rows, setup, {"command": "x"}, tmp_path / "found.json")
        lines = table(rows, results).splitlines()
        assert lines[0] == "| " + " | ".join(HEADER) + " |"
        assert lines[2] == "| `one`: falling, s | < 1 | - | - | - | no |"
        assert lines[3] == "| `two`: standing, s | > 1 | 2 (1-3) | 10 (10-10) | 5 | yes |"
        assert "- `one`: failed: ValueError: the sky fell" in lines
        assert lines[-1] == "| a second table |"
        saved = json.loads((tmp_path / "found.json").read_text())
        assert saved["command"] == "x"
        assert "the sky fell" in saved["rows"]["one"]["raw"]["traceback"]
        assert saved["rows"]["two"]["median"] == {"ours": 2.0, "peer": 10.0, "ratio": 5.0}
        assert saved == json.loads(json.dumps(as_json(rows, results, {"command": "x"})))

    def test_the_program_says_what_it_ran_on(self, text_file, tmp_path, monkeypatch, capsys):
        monkeypatch.setattr("tests.benchmarks.__main__.matrix_rates", lambda device: matrix_rates(device, side=32, seconds=0.0))
        argv = ["--text", text_file, "--only", "gpu_shakespeare", "gpu_124m", "--seeds", "7", "--json", str(tmp_path / "found.json")]
        assert main(argv) == 0
        assert capsys.readouterr().out.count("| not measured |") == 2
        saved = json.loads((tmp_path / "found.json").read_text())
        assert saved["command"].endswith(f"--only gpu_shakespeare gpu_124m --seeds 7 --json {tmp_path / 'found.json'}")
        assert saved["seeds"] == [7]
        assert saved["hardware"]["cores"] > 0
        assert saved["versions"]["torch"] == torch.__version__
        assert set(saved["matrix_products_GFLOP_per_s"]) == {"float32", "bfloat16"}
        assert set(saved["rows"]) == {"gpu_shakespeare", "gpu_124m"}

    @pytest.mark.parametrize(("flags", "told"), [
        (["--text", "/no/such.txt"], "there is no text"), (["--text", "stories", "--json", "/no/such/folder/a.json"], "there is no folder"),
    ])
    def test_a_mistake_is_told_in_one_line(self, capsys, flags, told):
        with pytest.raises(SystemExit) as caught:
            main(flags)
        err = capsys.readouterr().err
        assert (caught.value.code, err.count("\n")) == (2, 1)
        assert told in err

    def test_numbers_are_short(self):
        assert [number(value) for value in (25312.4, 1.54321, 0.0123456, 59.94)] == ["25,312", "1.543", "0.01235", "59.94"]
        assert [spread([]), spread([2.0]), spread([3.0, 1.0])] == ["-", "2", "2 (1-3)"]

    def test_every_row_has_a_name_of_its_own(self):
        assert len({row.name for row in ROWS}) == len(ROWS)

    def test_the_machine_is_described(self):
        assert hardware(CPU)["cpu"]
        assert versions()["python"] == sys.version.split()[0]


class TestClients:
    def test_they_go_on_from_where_they_were(self, page):
        words = [sys.executable, "-m", "tests.benchmarks.clients", page.url, "2"]
        clients = subprocess.Popen(words, cwd=PROJECT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert page.seen.wait(30)
        told = json.loads(clients.communicate()[0])
        assert told["faults"] == []
        assert told["looks"] == told["rows"] == len(page.asked) >= 4
        ones = [asked["data"] for asked in page.asked if asked["session_hash"] == "page1"]
        assert ones[:2] == [{"page": "page1", "run": None, "cursor": 0}, {"page": "page1", "run": "a", "cursor": 5}]
        assert {(asked["component_id"], asked["fn_name"]) for asked in page.asked} == {(3, "poll")}


class StandIn(http.server.BaseHTTPRequestHandler):
    """Answers as the page does: a monitor with id 3, and one new row at each look. `seen` is set at the fourth."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self._answer({"components": [{"id": 2, "props": {}}, {"id": 3, "props": {"elem_id": "monitor"}}]})

    def do_POST(self):
        self.server.asked.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
        if len(self.server.asked) == 4:
            self.server.seen.set()
        self._answer({"run": "a", "cursor": 5, "rows": [{"step": 1}], "wait": 0.05})

    def _answer(self, value: dict) -> None:
        data = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        pass


@pytest.fixture
def page():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), StandIn)
    server.asked, server.seen = [], threading.Event()
    server.url = f"http://127.0.0.1:{server.server_address[1]}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


class TestRecords:
    @pytest.mark.parametrize(("n", "context_length", "at_once"),
                             [(23, 8, 2), (17, 8, 5), (9, 8, 1), (5, 8, 2), (2, 8, 2), (100, 8, 3), (10, 8, 4)])
    def test_sliding_windows_predict_every_token_but_the_first_once(self, n, context_length, at_once):
        batches = list(sliding_windows(torch.arange(n), context_length, at_once))
        assert torch.cat([targets[counts] for _, targets, counts in batches]).tolist() == list(range(1, n))
        for ids, targets, counts in batches:
            assert torch.equal(ids + 1, targets)
            seen = torch.arange(ids.shape[1]) + 1  # tokens before each prediction
            assert (seen[None].expand_as(ids)[counts & (ids[:, :1] > 0)] > context_length // 2).all()

    @pytest.mark.parametrize("name", ENTRIES)
    def test_an_entry_says_how_well_it_predicts_and_how_long_it_took(self, monkeypatch, text_file, name):
        small = replace(PRESETS["quick"], changes={**SMALL, "vocab_size": 260})
        monkeypatch.setitem(PRESETS, "quick", small)
        found = ENTRIES[name](text_file, 1, 5.0)
        fixed, sliding = found.bits_per_byte()
        assert -1 < fixed < 10  # a compressor may take less for both texts than for the first, if it is short
        assert sliding is None or 0 < sliding < 10
        assert found.seconds > 0
        assert found.bytes <= len(read_corpus(text_file).strings()[1].encode())

    def test_a_compressor_is_charged_for_what_the_validation_text_adds(self, text_file):
        found = records.compressor(lambda data: data + b"its own header", text_file, 1, 60.0)
        assert found.bits_per_byte() == (pytest.approx(8.0), None)

    def test_a_line_has_means_with_their_error_and_says_what_took_too_long(self):
        outcomes = [Outcome(nats, None, 100, 61.0) for nats in (100 * math.log(2), 300 * math.log(2))]
        assert records.line("a", outcomes, 60.0) == ("a", "2.0000 ± 1.0000", "-", "61.0 (too long)")
        assert records.line("a", outcomes[:1], 90.0) == ("a", "1.0000", "-", "61.0")


class TestHeadsInAMinute:
    def test_a_run_is_measured_and_becomes_a_line(self):
        changes = {**SMALL, "context_length": 128, "max_steps": 4, "eval_every": 2, "eval_tokens": 600, "head_scores": 3, "device": "cpu"}
        outcome = heads_in_a_minute.run(1, changes)
        assert outcome.loss > outcome.perfect > 0
        assert outcome.lost.keys() >= set(heads_in_a_minute.AGAIN)
        assert len(outcome.cells()) == len(heads_in_a_minute.COLUMNS) - 1

    def test_the_best_head_is_found_and_when_its_role_was_said(self):
        rows = [{"step": 3, "kind": "formed", "role": "locality"}, {"step": 7, "kind": "formed", "role": "induction"}]
        scores = np.array([[0.1, 0.2], [0.7, 0.3]])
        assert str(heads_in_a_minute.best(scores, rows, "induction", "induction on text")) == "0.70 (1.0, step 7)"
        assert str(heads_in_a_minute.best(scores, rows, "previous token")) == "0.70 (1.0, step -)"


class TestSizes:
    def test_the_law_by_which_plans_are_made_is_the_one_that_fits_the_runs(self):
        law, _, error = sizes.fit(sizes.fitted(sizes.read()))
        assert (law.alpha, law.beta, law.r) == (LAW.alpha, LAW.beta, LAW.r)
        assert (law.a, law.b) == (pytest.approx(LAW.a, rel=1e-3), pytest.approx(LAW.b, rel=1e-3))
        assert error < 0.02

    def test_a_known_law_is_found(self):
        law = Law(2.0, 0.3, 5000.0, 0.8, 3.0)
        rows = [{"text": text, "parameters": parameters, "tokens": tokens, "distinct": distinct,
                 "bits_per_byte": lowest + law.excess(parameters, tokens, distinct)}
                for text, distinct, lowest in (("a", 3e5, 1.5), ("b", 6e5, 0.2))
                for parameters in (3e5, 1e6, 4e6) for tokens in (2e5, 1e6, 5e6)]
        found, lowest, error = sizes.fit(rows)
        assert (found.alpha, found.beta, found.r) == (0.3, 0.8, 3.0)
        assert (found.a, found.b) == (pytest.approx(2.0), pytest.approx(5000.0))
        assert lowest == {"a": pytest.approx(1.5), "b": pytest.approx(0.2)}
        assert error < 1e-9

    def test_a_row_is_made_anew_from_its_settings(self, text_file):
        row = {"text": "tinyshakespeare", **SMALL, "weight_decay": 0.2, "max_steps": 3, "vocab_size": 300, "bits_per_byte": 9.9}
        again = sizes.run(row, text_file)
        assert {**again, "bits_per_byte": 9.9} | row == {**again, "bits_per_byte": 9.9}
        assert (again["tokens"], 0 < again["bits_per_byte"] < 9.9) == (3 * 4 * 8, True)
        quarter = sizes.run({**row, "text": "a quarter of it"}, text_file)
        assert quarter["distinct"] <= again["distinct"]
