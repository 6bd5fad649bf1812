"""GPT-2 as a choice in the lists of runs: it is fetched once, in the background, and says how far it is."""

import threading

import gradio as gr
import pytest

from gpt.errors import UserError
from gpt.exchange import pretrained
from gpt.exchange.pretrained import telling
from gpt.ui.server import fetching
from gpt.ui.server.access import Caps
from gpt.ui.server.fetching import CHOICE, LABEL, NAME, Fetching
from gpt.ui.server.jobs import Jobs
from gpt.ui.tabs.run_picker import RunPicker
from tests.says import says
from tests.sessions import until


@pytest.fixture
def fetched(own_root, monkeypatch):
    """Fetching over two runs, whose download waits for `go`, and then makes a run or raises what `fails` holds."""
    fetched = Fetching(Jobs(own_root))
    fetched.go, fetched.fails, fetched.begun = threading.Event(), [], []

    def import_run(source, root, name, progress):
        fetched.begun.append(source)
        progress("100 of 548 MB are here.", 0.2)
        assert fetched.go.wait(10)
        if fetched.fails:
            raise fetched.fails[0]
        (root / "bottles").rename(root / name)

    monkeypatch.setattr(fetching, "import_run", import_run)
    return fetched


def state(fetched: Fetching, wanted: str) -> dict:
    until(lambda: fetched.state()["state"] == wanted)
    return fetched.state()


def test_it_is_offered_with_its_size_until_it_is_here(fetched, own_root):
    assert fetched.choices(["a"]) == [("a", "a"), (LABEL, CHOICE)]
    assert "548 MB" in LABEL
    (own_root / NAME).mkdir()
    assert fetched.choices(["a"]) == [("a", "a")]


def test_it_says_how_far_it_is_and_is_fetched_once_for_all(fetched):
    assert fetched.state()["state"] == "idle"
    for _ in range(3):
        fetched.begin()
    until(lambda: fetched.begun)
    assert fetched.state() == {"state": "working", "sentence": "GPT-2: 100 of 548 MB are here.", "share": 0.2}
    fetched.go.set()
    assert state(fetched, "done")["share"] == 1
    assert fetched.begun == ["gpt2"]


@pytest.mark.parametrize(("error", "told"), [
    (UserError("gpt2 (548 MB) cannot be downloaded"), "GPT-2 is not here: gpt2 (548 MB) cannot be downloaded."),
    pytest.param(ValueError("<b>"), "GPT-2 is not here: ValueError: <b>.",
                 marks=pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning"))])
def test_a_failure_is_one_sentence_and_it_can_be_tried_again(fetched, error, told):
    fetched.fails.append(error)
    fetched.go.set()
    fetched.begin()
    assert state(fetched, "failed")["sentence"] == told
    fetched.fails.clear()
    fetched.begin()
    state(fetched, "done")


def test_the_newest_run_is_shown_until_gpt2_is_here(fetched):
    with gr.Blocks(analytics_enabled=False):
        picker = RunPicker(fetched, "test", gr.Textbox("Once"))
    run, slider, step, _, said = picker.take(CHOICE, "Once")
    assert (run["value"], step, said["state"]) == ("bytes", "", "working")
    fetched.go.set()
    state(fetched, "done")
    run, slider, step, _ = picker.take_fetched("Once")
    assert (run["value"], run["choices"]) == ("gpt2", [("bytes", "bytes"), ("gpt2", "gpt2")])
    assert slider["value"] == slider["maximum"]  # its best weights
    assert picker.take("bytes", "Once")[0] == gr.skip()
    begun = len(fetched.begun)
    assert picker.take(CHOICE, "Once")[0]["value"] == "gpt2"  # from a list that was made before
    assert len(fetched.begun) == begun


def test_visitors_cannot_have_it_fetched(own_root):
    public = Fetching(Jobs(own_root, Caps()))
    assert public.choices(["a"]) == [("a", "a")]
    with pytest.raises(UserError, match=says("only whoever runs this page", "gpt.pretrained --source gpt2")):
        public.begin()


def test_bytes_are_told_and_files_are_not():
    told = []
    bar = telling(lambda *said: told.append(said), 100)
    files, coming, written = bar(total=3, unit="it"), bar(total=0, unit="B", initial=0), bar(total=0, unit="B", initial=0)
    files.update(1)
    coming.update(25e6)
    written.update(10e6)
    coming.update(75e6)
    coming.update(75e6)  # more than was announced
    assert told == [("25 of 100 MB are here.", 0.225), ("25 of 100 MB are here.", 0.225), ("100 of 100 MB are here.", 0.9),
                    ("100 of 100 MB are here.", 0.9)]


def test_without_a_listener_the_bar_is_that_of_the_library():
    assert telling(pretrained.silent, 100) is None
