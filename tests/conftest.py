"""What the tests share: a tiny CONFIG, a tiny text, one trained run, and temporary files of their own."""

import os
import random
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import torch
from hypothesis import settings

import gpt.runs.recorder
from gpt.config import CONFIG
from gpt.data import token_cache
from gpt.data.dataset import TokenizedText
from gpt.data.tokenizers.letters import CharTokenizer
from gpt.model.gpt2 import GPT2
from gpt.runs.session import Session
from gpt.training.limits import own_cores
from tests import forkserver
from tests.sessions import finish
from tests.texts import tokenized

settings.register_profile("patient", deadline=None, max_examples=50)
settings.load_profile("patient")
torch.set_num_threads(1)  # these models are so small that a second thread only waits
os.environ["OMP_NUM_THREADS"] = "1"  # nor do the processes that tests begin need one
CORES = own_cores()
WORKERS = min(4, CORES)
FORK_SERVER = pytest.StashKey[ExitStack]()


def pytest_xdist_auto_num_workers(config) -> int:
    """How many processes share the tests. None is begun for single files or for -k: it would take longer than most of these."""
    few = config.option.keyword or all(".py" in argument for argument in config.args)
    return 0 if few else WORKERS


def pytest_addoption(parser):
    parser.addoption("--seed", type=int, metavar="N",
                     help="of everything that may be anything: it is drawn anew for each session, which tells it at its end")
    parser.addoption("--bfloat16-gain", type=float, metavar="N",
                     help="let precision=auto decide as on a CPU that multiplies bfloat16 N times faster than float32: 0.1 or 4, say")


def pytest_configure(config):
    config.addinivalue_line("markers", "gpu: needs a CUDA GPU")
    if config.option.seed is None:  # workers are given that of the process that has them
        config.option.seed = random.SystemRandom().randrange(1_000_000)
    config.option.hypothesis_seed = config.option.seed
    if (gain := config.getoption("bfloat16_gain")) is not None:
        forkserver.replace_bfloat16_gain(gain)
        os.environ[forkserver.GAIN] = str(gain)
    if config.getoption("dist") != "no" and not hasattr(config, "workerinput") and sys.platform == "linux":  # the process that has workers
        config.stash[FORK_SERVER] = ExitStack()
        config.stash[FORK_SERVER].enter_context(forkserver.fork_server())


def pytest_unconfigure(config):
    if FORK_SERVER in config.stash:
        config.stash[FORK_SERVER].close()


def pytest_terminal_summary(terminalreporter, config):
    terminalreporter.write_line(f"What was drawn at random comes again with --seed {config.option.seed}")


@pytest.fixture(scope="session")
def seed(request) -> int:
    """Where nothing depends on it: another one in each session."""
    return request.config.option.seed


@pytest.fixture(scope="session", autouse=True)
def own_temporary_folder(tmp_path_factory):
    """The lock that lets one run train per machine lies in the temporary folder: here each test session has its own, and its own folder
    for the tokens of long texts."""
    before = tempfile.tempdir, os.environ.get("TMPDIR")
    tempfile.tempdir = os.environ["TMPDIR"] = str(tmp_path_factory.mktemp("temporary"))
    os.environ[token_cache.VARIABLE] = str(tmp_path_factory.mktemp("tokens"))
    yield
    tempfile.tempdir = before[0]
    os.environ.pop("TMPDIR")
    if before[1] is not None:
        os.environ["TMPDIR"] = before[1]


TEXT = "\n".join(f"{n} green bottles hanging on the wall" for n in range(60))  # about 2,300 characters
TINY = {**CONFIG, "tokenizer": "char", "vocab_size": len(set(TEXT)), "n_layers": 2, "n_heads": 2, "emb_dim": 16,
        "context_length": 8, "batch": 4, "max_steps": 12, "warmup": 2, "eval_every": 4, "snapshots": 4, "head_scores": 4,
        "precision": "float32", "device": "cpu"}


@pytest.fixture
def tiny() -> dict:
    """A valid CONFIG that trains in a fraction of a second."""
    return dict(TINY)


@pytest.fixture
def text() -> str:
    return TEXT


@pytest.fixture
def text_file(tmp_path) -> str:
    """The path of a file that holds the text."""
    path = tmp_path / "bottles.txt"
    path.write_text(TEXT, encoding="utf-8")
    return str(path)


@pytest.fixture
def config(tiny, text_file) -> dict:
    """The tiny CONFIG, to be trained on the text."""
    return {**tiny, "corpus": text_file}


@pytest.fixture
def short_samples(monkeypatch):
    """Runs write little at their evaluations: a test has many of them."""
    monkeypatch.setattr(gpt.runs.recorder, "SAMPLE_TOKENS", 8)


@pytest.fixture
def tokenizer() -> CharTokenizer:
    return CharTokenizer(TEXT)


@pytest.fixture
def tokens(tokenizer) -> TokenizedText:
    """The text, split and encoded."""
    cut = int(0.9 * len(TEXT))
    return tokenized(TEXT[:cut], TEXT[cut:], tokenizer)


@pytest.fixture
def model(tiny) -> GPT2:
    """An untrained model in evaluation mode."""
    return GPT2(tiny).eval()


@pytest.fixture
def small_disk(tmp_path) -> Iterator[Path]:
    """A file system of 2 MB, which is soon full."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "small", folder], capture_output=True, check=False).returncode:
        pytest.skip("only root may mount a file system")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


@pytest.fixture
def in_background(tmp_path, tiny, text_file) -> Iterator[Session]:
    """A long session that trains in another thread, and is stopped at the end of the test."""
    session = Session(tmp_path, "long", {**tiny, "corpus": text_file, "max_steps": 0, "max_minutes": 100.0, "eval_every": 1_000_000})
    thread = threading.Thread(target=finish, args=[session])
    thread.start()
    yield session
    session.stop()
    thread.join(60)
    assert not thread.is_alive()


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """The folder of a finished run called `bottles`; its parent is the checkpoints folder. For reading only."""
    root = tmp_path_factory.mktemp("checkpoints")
    corpus = tmp_path_factory.mktemp("corpus") / "bottles.txt"
    corpus.write_text(TEXT, encoding="utf-8")
    for _ in Session(root, "bottles", {**TINY, "corpus": str(corpus)}).events():
        pass
    return root / "bottles"
