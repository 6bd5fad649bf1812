"""What the page offers to other programs, as gradio_client reaches it: every endpoint, right and wrong."""

import math
import re
from pathlib import Path
from shutil import copytree

import pytest
from gradio_client import Client
from gradio_client.exceptions import AppError

import demo
from gpt.config import CONFIG
from gpt.runs.run import list_runs
from gpt.ui.server.access import Caps
from gpt.ui.server.jobs import Jobs
from tests.conftest import TEXT
from tests.says import says
from tests.sessions import until

ENDPOINTS = {"/start", "/status", "/stop", "/generate", "/attention", "/scores", "/ablate", "/runs"}
SMALL = {"tokenizer": "char", "n_layers": 1, "n_heads": 2, "emb_dim": 16, "context_length": 8, "batch": 4, "warmup": 2, "eval_every": 6,
         "precision": "float32", "device": "cpu", "snapshots": 2}
KEY = "a key of sixteen characters"


@pytest.fixture(scope="module")
def jobs(root, tmp_path_factory):
    jobs = Jobs(copytree(root, tmp_path_factory.mktemp("endpoints") / "checkpoints"))
    yield jobs
    jobs.close()


@pytest.fixture(scope="module")
def client(jobs) -> Client:
    page = demo.launch(jobs, "127.0.0.1", None)
    yield Client(page.local_url, verbose=False, analytics_enabled=False)
    page.close()


@pytest.fixture
def nothing_starts(jobs, monkeypatch):
    started = []
    monkeypatch.setattr("gpt.ui.server.jobs.subprocess.Popen", lambda *arguments, **_: started.append(arguments))
    before = [run.name for run in list_runs(jobs.root)]
    yield
    assert started == []
    assert [run.name for run in list_runs(jobs.root)] == before


def offered(client: Client) -> dict:
    return client.view_api(return_format="dict", print_info=False)["named_endpoints"]


def test_these_and_no_others_are_offered_each_with_types_and_a_description(client):
    endpoints = offered(client)
    assert set(endpoints) == ENDPOINTS
    kinds = {parameter["parameter_name"]: parameter["type"].get("type") for parameter in endpoints["/generate"]["parameters"]}
    assert kinds == {"run": "string", "prompt": "string", "max_new_tokens": "integer", "temperature": "number", "top_k": "integer",
                     "top_p": "number", "seed": "integer", "step": None}  # a whole number or nothing
    assert all(endpoint["description"] for endpoint in endpoints.values())


def test_the_readme_has_them_all_with_their_parameters(client):
    readme = (Path(demo.__file__).parent / "gpt" / "ui" / "README.md").read_text(encoding="utf-8")
    for name, endpoint in offered(client).items():
        row = next(line for line in readme.splitlines() if line.startswith(f"| `{name}`"))
        for parameter in endpoint["parameters"]:
            assert f"`{parameter['parameter_name']}`" in row, (name, parameter["parameter_name"])


def test_runs_are_listed_the_newest_first(client):
    runs = client.predict(api_name="/runs")
    assert [run["run"] for run in runs] == ["bytes", "bottles"]
    assert runs[1]["state"] == "done"
    assert runs[1]["snapshots"][0] == 0
    assert runs[1]["val_loss"] == pytest.approx(runs[1]["bits_per_byte"] * math.log(2))  # a character is a byte here


@pytest.mark.parametrize("run", ["", "bottles"])
def test_the_status_of_a_run_has_what_it_wrote_last(client, run):
    status = client.predict(run, api_name="/status")
    assert status["run"] == (run or "bytes")
    assert (status["step"], status["steps"], status["active"], status["problem"]) == (12, 12, False, "")
    assert len(status["sample"]) > 20


def test_text_streams(client):
    job = client.submit("bottles", "7 green", max_new_tokens=8, api_name="/generate")
    last, shown = job.result(), job.outputs()
    assert last.startswith("7 green")
    assert len(last) == len("7 green") + 8
    assert [len(text) for text in shown] == sorted(len(text) for text in shown)
    assert all(last.startswith(text) for text in shown)
    assert client.predict("bottles", "7 green", max_new_tokens=8, api_name="/generate") == last
    assert client.predict("bottles", "7 green", max_new_tokens=8, step=0, api_name="/generate") != last


def test_a_prompt_is_read_and_one_head_is_shown(client):
    whole = client.predict("bottles", "7 green", api_name="/attention")
    assert whole["tokens"] == list("7·green")
    assert len(whole["heads"]) == 4
    assert re.fullmatch(r"Layer 1 head 1 (puts|has no) .*\.", whole["heads"][3]["sentence"])
    assert "weights" not in whole
    one = client.predict("bottles", "7 green", layer=1, head=0, api_name="/attention")
    assert [len(row) for row in one["weights"]] == [1, 2, 3, 4, 5, 6, 7]
    assert [sum(row) for row in one["weights"]] == pytest.approx([1] * 7, abs=1e-3)


def test_heads_are_scored(client):
    scores = client.predict("bottles", api_name="/scores")
    assert len(scores["heads"]) == 4
    assert scores["chance"].keys() == scores["about"].keys()
    assert 0 <= scores["heads"][0]["scores"]["previous token"] <= 1


def test_heads_are_taken_out(client):
    effect = client.predict("bottles", [[0, 0], [1, 1]], api_name="/ablate")
    assert effect["change"] == pytest.approx(effect["after"] - effect["before"])
    assert effect["sentence"].startswith("Without layer 0 head 0 and layer 1 head 1")
    assert client.predict("bottles", [[0, 0], [1, 1]], replace="zero", api_name="/ablate")["after"] != effect["after"]


@pytest.mark.parametrize(("name", "values", "told"), [
    ("generate", {"run": "cups", "prompt": "7"}, "no run cups"), ("generate", {"run": "../../etc", "prompt": "7"}, "cannot name a run"),
    ("generate", {"run": ["bottles"], "prompt": "7"}, "cannot name a run"), ("generate", {"run": None, "prompt": "7"}, "cannot name a run"),
    ("generate", {"run": "bottles", "prompt": ""}, "prompt | empty"), ("generate", {"run": "bottles", "prompt": "ü"}, "'ü'"),
    ("generate", {"run": "bottles", "prompt": 7}, "the prompt is '7' | text"),
    ("generate", {"run": "bottles", "prompt": "7" * 1_100_000}, "1,100,000 characters | up to 100,000"),
    ("generate", {"run": "bottles", "prompt": "7", "max_new_tokens": 10**9}, "max_new_tokens | 1 to 2000"),
    ("generate", {"run": "bottles", "prompt": "7", "temperature": "hot", "top_k": -1, "top_p": 2}, "'hot' | top_k is -1 | top_p is 2"),
    ("generate", {"run": "bottles", "prompt": "7", "step": 5}, "no snapshot at step 5 | 12"),
    ("generate", {"run": "bottles", "prompt": "7", "step": True}, "step is True | whole number"),
    ("generate", {"run": "bottles", "prompt": "7", "step": 1.5}, "step is 1.5 | whole number"),
    ("attention", {"run": "cups", "prompt": "7"}, "no run cups"), ("attention", {"run": "bottles", "prompt": ""}, "prompt | empty"),
    ("attention", {"run": "bottles", "prompt": "7", "layer": 1}, "layer and head | give both"),
    ("attention", {"run": "bottles", "prompt": "7", "layer": 2, "head": 0}, "layer is 2 | 0 to 1"),
    ("attention", {"run": "bottles", "prompt": "7", "layer": "a", "head": 0}, "layer is a | 0 to 1"),
    ("scores", {"run": "cups"}, "no run cups"), ("scores", {"run": {}}, "cannot name a run"),
    ("scores", {"run": "bottles", "step": -1}, "step is -1"),
    ("ablate", {"run": "bottles", "heads": []}, "no head is chosen"),
    ("ablate", {"run": "bottles", "heads": [[9, 0]]}, "layer is 9 | 0 to 1"),
    ("ablate", {"run": "bottles", "heads": 5}, "heads is no list | [[0, 1], [2, 0]]"),
    ("ablate", {"run": "bottles", "heads": [[0, 0]] * 99}, "heads is no list"),
    ("ablate", {"run": "bottles", "heads": [[0, 0]], "replace": "noise"}, "replace is 'noise' | mean, zero"),
    ("status", {"run": "cups"}, "no run cups"), ("status", {"run": 5}, "the name of the run is '5'"),
    ("stop", {}, "nothing is training | stop"),
])
def test_a_mistake_gets_a_sentence(client, name, values, told):
    with pytest.raises(AppError, match=says(told)) as caught:
        client.predict(**values, api_name=f"/{name}")
    assert "\n" not in str(caught.value)
    assert "Traceback" not in str(caught.value)


@pytest.mark.parametrize("values", [{}, {"prompt": "7"}, {"run": "bottles", "prompt": "7", "colour": "red"}])
def test_fields_that_are_missing_or_unknown_are_told_by_the_client(client, values):
    with pytest.raises(TypeError, match=r"No value provided|not a valid key-word argument"):
        client.predict(**values, api_name="/generate")


@pytest.mark.usefixtures("nothing_starts")
@pytest.mark.parametrize(("values", "told"), [
    ({"settings": {"emb_dim": 127}}, "emb_dim 127 | 4 heads | 124 or 128"), ({"settings": {"batch": 5000}}, "batch is 5000 | 1 to 1024"),
    ({"settings": {"learning_rate": None}}, "learning_rate is missing"),
    ({"settings": {"n_leyers": 2}}, "n_leyers | did you mean n_layers"),
    ({"settings": {"seed": 1.5, "dropout_rate": "much"}}, "dropout_rate is 'much' | 0 to 0.9 | seed is 1.5"),
    ({"settings": {"batch": "x"}}, "batch is 'x' | 1 to 1024"), ({"settings": {"batch": None}}, "batch is missing"),
    ({"settings": {"device": 5}}, "device is 5 | auto, cpu"),
    ({"settings": {"max_steps": 0}}, "max_steps | end"), ({"settings": [1]}, "settings is '[1]' | object"),
    ({"settings": {"corpus": "/etc/passwd"}}, "text | this page"), ({"corpus": "../../etc/passwd"}, "text | this page"),
    ({"corpus": 7}, "corpus is '7' | text"), ({"text": 7}, "the text is '7'"), ({"text": " \n"}, "it is empty"),
    ({"text": "too short"}, f"tokens | context_length {CONFIG['context_length']}"), ({"preset": "slow"}, "no preset 'slow'"),
    ({"run": "bottles"}, "bottles | already"), ({"run": "../a"}, "cannot name a run"), ({"run": 5}, "the name of the run is '5'"),
])
def test_a_bad_start_starts_nothing(client, values, told):
    with pytest.raises(Exception, match=says(told)):
        client.predict(**values, api_name="/start")


def test_a_text_with_which_nothing_begins_is_not_kept(client, jobs):
    before = sorted(jobs.root.glob(".texts/*"))
    for values in ({"text": "too short"}, {"text": TEXT, "run": "bottles"}, {"text": TEXT, "settings": {"batch": 0}}):
        with pytest.raises(AppError):
            client.predict(**values, api_name="/start")
    assert sorted(jobs.root.glob(".texts/*")) == before


@pytest.mark.parametrize(("values", "begun"), [
    ({}, ("stories", 1000)), ({"preset": "induction"}, ("repeats", 400)), ({"preset": "induction", "corpus": "stories"}, ("stories", 400)),
    ({"settings": {"max_steps": 30.0}}, ("stories", 30))])
def test_what_is_not_given_is_the_presets_own(client, jobs, monkeypatch, values, begun):
    started = []
    monkeypatch.setattr(jobs, "start", lambda config, *_: started.append((config["corpus"], config["max_steps"])))
    client.predict(**values, run="new", api_name="/start")
    assert started == [begun]


def test_a_run_is_started_watched_and_stopped(client, jobs):
    started = client.predict(text=TEXT, settings={**SMALL, "max_steps": 0, "max_minutes": 10.0}, run="mine", api_name="/start")
    assert started == {"run": "mine"}
    assert client.predict(api_name="/status")["run"] == "mine"
    until(lambda: client.predict("mine", api_name="/status")["step"] or False if jobs.starting() is None else False)
    with pytest.raises(AppError, match=says("run mine is training", "stop it first")):
        client.predict(text=TEXT, settings=SMALL, api_name="/start")
    assert client.predict(api_name="/runs")[0]["active"]
    assert client.predict("mine", "7", max_new_tokens=3, api_name="/generate").startswith("7")  # a tool may be used meanwhile
    assert client.predict(api_name="/stop") == {"run": "mine"}
    until(lambda: not client.predict("mine", api_name="/status")["active"])
    assert client.predict("mine", api_name="/status")["state"] == "stopped"


def test_a_start_that_fails_says_so_in_its_status(client, jobs, monkeypatch):
    monkeypatch.setattr(jobs, "failure", lambda: ("gone", "there is not enough memory for this: lower batch"))
    assert client.predict(api_name="/status") == {"run": "gone", "state": "failed",
                                                  "problem": "there is not enough memory for this: lower batch"}
    assert client.predict("bottles", api_name="/status")["state"] == "done"


def test_on_a_public_page_a_program_has_limits_and_a_key(root, tmp_path, monkeypatch):
    jobs = Jobs(copytree(root, tmp_path / "checkpoints"), Caps(parameters=50_000))
    page = demo.launch(jobs, "127.0.0.1", None)
    try:
        client = Client(page.local_url, verbose=False, analytics_enabled=False)
        started = []
        monkeypatch.setattr(jobs, "start", lambda config, preset, run, processes: started.append((run, config["max_minutes"], processes)))
        for values, told in (({"settings": SMALL}, "key"), ({"key": 5, "text": TEXT}, "key"),
                             ({"key": KEY}, "million parameters | emb_dim")):
            with pytest.raises(AppError, match=says(told)):
                client.predict(**values, api_name="/start")
        assert started == []
        assert client.predict(text=TEXT, settings=SMALL, run="theirs", key=KEY, api_name="/start") == {"run": "theirs"}
        assert started == [("theirs", Caps().minutes, 1)]
        texts = list(jobs.root.glob(".visitors/*/.texts/*.txt"))
        assert len(texts) == 1
    finally:
        page.close()
