"""GPUs that are not NVIDIA's: what can be known of them on a CPU. Nobody has run this project on one."""

import json
import subprocess
import sys

import pytest
import torch

from gpt.errors import UserError
from gpt.runs.run import Run
from gpt.training.device import choose_device, choose_precision, describe_device, free_bytes
from gpt.training.limits import free_memory
from tests.conftest import TEXT, TINY
from tests.forkserver import PROJECT
from tests.says import says
from tests.sessions import timeless

PROGRAM = """
import json, sys
from tests.training import fake_gpu
fake_gpu.install()
from gpt.training.device import choose_device, free_bytes
from gpt.runs.session import Session
from tests.sessions import finish, stop_after
root, config = sys.argv[1], json.loads(sys.argv[2])
for name in ("auto", "cpu"):
    stop_after(Session(root, name, {**config, "device": name, "precision": "auto" if name == "auto" else "float32"}), 6)
    finish(Session(root, name))
print(free_bytes(choose_device("auto")))
"""


@pytest.fixture(scope="module")
def trained_there(tmp_path_factory) -> dict:
    """Two runs of one CONFIG, stopped and resumed, on the fake GPU and on the CPU beside it: {name: its rows and its config}; and the GPU's
    free memory."""
    root = tmp_path_factory.mktemp("fake")
    (root / "bottles.txt").write_text(TEXT, encoding="utf-8")
    config = {**TINY, "corpus": str(root / "bottles.txt")}
    done = subprocess.run([sys.executable, "-c", PROGRAM, str(root), json.dumps(config)], cwd=PROJECT, capture_output=True, text=True,
                          check=False, timeout=600)
    assert done.returncode == 0, done.stderr
    runs = {name: Run(root / name) for name in ("auto", "cpu")}
    return {"free": int(done.stdout), **{name: (timeless(run), run.config()) for name, run in runs.items()}}


def test_a_run_on_another_gpu_learns_what_a_cpu_learns(trained_there):
    (there, about), (here, _) = trained_there["auto"], trained_there["cpu"]
    assert (about["device"], about["precision"]) == ("Fake GPU", "float32")
    assert "nobody has tried" in about["precision_reason"]
    for name in ("loss", "grad_norm"):  # there every tenth step has a row, and the last one
        each = [row[name] for row in here if name in row]
        assert [row[name] for row in there if name in row] == pytest.approx([sum(each[:10]) / 10, sum(each[10:]) / 2], rel=1e-4)
    assert [row["val_loss"] for row in there if "val_loss" in row] == pytest.approx([row["val_loss"] for row in here if "val_loss" in row],
                                                                                    rel=1e-4)
    samples = [[row["text"] for row in rows if row.get("kind") == "sample"] for rows in (there, here)]
    assert samples[0] == samples[1] != []
    assert [row["step"] for row in there if row.get("kind") == "heads"] == [row["step"] for row in here if row.get("kind") == "heads"]
    assert [row["step"] for row in there if "loss" in row] == [10, 12]


def test_its_free_memory_is_asked_of_it(trained_there):
    assert trained_there["free"] == 1_000_000_000


def test_an_apple_gpu_shares_the_memory_of_the_machine(monkeypatch):
    device = torch.device("mps")
    monkeypatch.setattr(torch.mps, "recommended_max_memory", lambda: 3_000_000_000)
    monkeypatch.setattr(torch.mps, "driver_allocated_memory", lambda: 1_000_000_000)
    assert describe_device(device) == "Apple GPU"
    assert free_bytes(device) == min(2_000_000_000, free_memory())
    assert choose_precision("auto", device)[0] == "float32"
    assert choose_precision("bfloat16", device) == ("bfloat16", "bfloat16: asked for")


@pytest.mark.parametrize("kind", ["cuda", "mps", "xpu"])
@pytest.mark.parametrize("present", ["cuda", "mps", "xpu", None])
def test_a_device_is_the_one_requested_or_the_gpu_that_there_is(monkeypatch, kind, present):
    found = torch.device(present) if present else None
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda check_available: found)
    assert choose_device("cpu").type == "cpu"
    assert choose_device("auto").type == (present or "cpu")
    if kind == present:
        assert choose_device(kind).type == kind
    else:
        with pytest.raises(UserError, match=says(kind, "auto or cpu", present or "no GPU")):
            choose_device(kind)
