"""Faults other than kills, each made to happen for real where that is possible, and what must be left after it.

Each function tries its fault in an empty `folder`, with `rng` for what is random, and raises AssertionError if a run did not
survive it as promised. FAULTS names them all.
"""

import contextlib
import math
import os
import random
import resource
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from gpt.runs.run import Run, RunError, load_run
from gpt.runs.session import Session
from tests.reliability.lab import differences, ended, in_a_child, small_config, timeless, train
from tests.sessions import until

WHOLE: tempfile.TemporaryDirectory | None = None  # in which _whole has trained its run
NOBODY = 65534  # the user to whom a folder can be forbidden; root may write everywhere


def disk_full(folder: Path, rng: random.Random) -> None:
    """The disk fills up while a run trains, and is made free again: it waits, says so, and has lost nothing."""
    whole = _whole(folder)
    with _small_disk(folder / "disk") as disk:
        process = in_a_child(train, disk, "a", small_config(folder))
        run, ballast = Run(disk / "a"), disk / "ballast"
        until(lambda: len(run.rows()[0]) > rng.randrange(10, 60))
        _fill(ballast)
        until(lambda: "No space left" in str(run.status().get("error")))
        told = run.status()
        assert told["state"] == "paused", told
        assert "training waits and has lost nothing" in told["error"], told
        ballast.unlink()
        assert ended(process) == "done"
        assert run.status()["error"] is None
        assert any("training waited" in row.get("text", "") for row in run.rows()[0])
        assert differences(run, whole, ("training waited",)) == []


def disk_full_and_killed(folder: Path, rng: random.Random) -> None:
    """A run that waits for room is killed: with room it goes on from its last save."""
    whole = _whole(folder)
    with _small_disk(folder / "disk") as disk:
        process = in_a_child(train, disk, "a", small_config(folder))
        run, ballast = Run(disk / "a"), disk / "ballast"
        until(lambda: run.saves())
        _fill(ballast)
        until(lambda: "No space left" in str(run.status().get("error")))
        os.kill(process, 9)
        ended(process)
        assert run.status()["state"] == "failed"
        ballast.unlink()
        assert ended(in_a_child(train, disk, "a")) == "done"
        assert differences(run, whole, ("training waited",)) == []


def folder_forbidden(folder: Path, rng: random.Random) -> None:
    """The run's folder becomes read-only for the process, and writable again."""
    whole = _whole(folder)
    with tempfile.TemporaryDirectory(dir="/dev/shm") as shared:
        root = Path(shared) / "runs"
        config = small_config(Path(shared))
        root.mkdir()
        Path(shared).chmod(0o755)

        def as_nobody() -> None:
            tempfile.tempdir = shared
            for event in Session(root, "a", config).events():
                if event.kind == "step" and event.row["step"] == 3:  # by now everything that it needs has been imported
                    for path in (root / "a").rglob("*"):
                        os.chown(path, NOBODY, NOBODY)
                    os.chown(root / "a", NOBODY, NOBODY)
                    os.setuid(NOBODY)

        process, run = in_a_child(as_nobody), Run(root / "a")
        until(lambda: len(run.rows()[0]) > rng.randrange(10, 60))
        folders = [run.path, run.path / "snapshots", *run.path.glob("last")]
        for one in folders:
            one.chmod(0o555)
        os.chown(run.path / "metrics.jsonl", 0, 0)
        until(lambda: "Permission denied" in str(run.status().get("error")))
        os.chown(run.path / "metrics.jsonl", NOBODY, NOBODY)
        for one in folders:
            one.chmod(0o755)
        assert ended(process) == "done"
        assert timeless(run, ("training waited",)) == timeless(whole)


def save_damaged(folder: Path, rng: random.Random) -> None:
    """One byte of the newest save is another one, or the save is cut short: the save before is used, and it is said."""
    whole = _whole(folder)
    run = Run(folder / "runs" / "a")
    process = in_a_child(train, folder / "runs", "a", small_config(folder))
    until(lambda: len(run.saves()) == 2)
    os.kill(process, 9)
    ended(process)
    newest = run.saves()[0]
    data = bytearray(newest.read_bytes())
    place = rng.randrange(len(data))
    if rng.random() < 0.3:
        data = data[:place]
    else:
        header = int.from_bytes(data[:8], "little")  # below it are names and numbers, of which white space means nothing
        place = place if place < 8 or place >= 8 + header else rng.randrange(8 + header, len(data))
        data[place] ^= 1 << rng.randrange(8)
    newest.write_bytes(data)
    assert ended(in_a_child(train, folder / "runs", "a")) == "done"
    assert any(row.get("text", "").startswith(f"the save {newest.name} is damaged") for row in run.rows()[0])
    assert differences(run, whole, ("the save",)) == []


def weights_damaged(folder: Path, rng: random.Random) -> None:
    """A damaged byte in the best weights or in a snapshot is found when they are looked at."""
    run = Run(shutil.copytree(_whole(folder).path, folder / "runs" / "a"))
    step = rng.choice([None, *run.snapshots()])
    data = bytearray(run.weights(step).read_bytes())
    data[rng.randrange(8 + int.from_bytes(data[:8], "little"), len(data))] ^= 1 << rng.randrange(8)
    run.weights(step).write_bytes(data)
    with contextlib.suppress(RunError):
        load_run(run.path, step)
        raise AssertionError("damaged weights were loaded")


def loss_no_number(folder: Path, rng: random.Random) -> None:
    """The weights blow up: the run ends, names step, rate and knob, keeps its best weights, and goes on with another rate."""
    root, at = folder / "runs", rng.randrange(20, 80)

    def poisoned() -> None:
        session = Session(root, "a", small_config(folder))
        for event in session.events():
            if event.kind == "step" and session.trainer.step == at:
                session.trainer.model.token_embedding.weight.data.fill_(math.nan)

    assert ended(in_a_child(poisoned)) == "failed"
    run = Run(root / "a")
    error = run.status()["error"]
    for part in ("the loss stopped being a number at step", "at a learning rate of", "set learning_rate below", "the best weights, of"):
        assert part in error, error
    model, _ = load_run(run.path)
    assert all(parameter.isfinite().all() for parameter in model.parameters())
    assert ended(in_a_child(lambda: [None for _ in Session(root, "a", changes={"learning_rate": 0.002}).events()])) == "done"
    assert all(math.isfinite(row["loss"]) for row in run.rows()[0] if "loss" in row)


def memory_short(folder: Path, rng: random.Random) -> None:
    """A CONFIG too large for the process's memory is told with what to lower."""
    config = small_config(folder, batch=1024, context_length=256, emb_dim=512, n_heads=4)

    def limited() -> None:
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + rng.randrange(300, 900) * 2**20,) * 2)
        try:
            train(folder / "runs", "a", config)
        except ValueError as error:
            (folder / "told").write_text(str(error))

    assert ended(in_a_child(limited)) == "done"
    told = (folder / "told").read_text()
    assert told.startswith("there is not enough memory for this: lower batch"), told


def clock_jumps(folder: Path, rng: random.Random) -> None:
    """The machine's clock jumps by days, back and forth: nothing changes, and no row has a time before that of another."""
    real = time.time

    def jumping() -> None:
        time.time = lambda: real() + rng.uniform(-1e6, 1e6)
        train(folder / "runs", "a", small_config(folder))

    assert ended(in_a_child(jumping)) == "done"
    run = Run(folder / "runs" / "a")
    assert differences(run, _whole(folder)) == []
    seconds = [row["seconds"] for row in run.rows()[0]]
    assert seconds == sorted(seconds)
    assert seconds[-1] < 600


def text_vanishes_or_changes(folder: Path, rng: random.Random) -> None:
    """Between stop and resume the text is gone, then another one: both are told; with the right text the run goes on."""
    root, run, corpus = folder / "runs", Run(folder / "runs" / "a"), folder / "bottles.txt"
    process = in_a_child(train, root, "a", small_config(folder))
    until(lambda: run.saves())
    run.request("stop")
    assert ended(process) == "done"
    text = corpus.read_text()
    place = rng.randrange(len(text))
    for change, told in ((corpus.unlink, "resume with --corpus and its new place"),
                         (lambda: corpus.write_text(text[:place] + "#" + text[place + 1:]), "has changed since the run began")):
        change()
        assert ended(in_a_child(train, root, "a")) == "failed"
        assert run.status()["state"] == "stopped"  # as it was before
        assert told in run.status()["error"], run.status()
    corpus.write_text(text)
    assert ended(in_a_child(train, root, "a")) == "done"
    assert differences(run, _whole(folder)) == []


FAULTS: dict[str, Callable[[Path, random.Random], None]] = {
    "disk full while training": disk_full, "disk full, then killed": disk_full_and_killed, "folder read-only": folder_forbidden,
    "save cut short or a bit flipped": save_damaged, "a bit of the weights flipped": weights_damaged, "loss no number": loss_no_number,
    "out of memory (CPU)": memory_short, "clock jumping": clock_jumps, "text gone or changed": text_vanishes_or_changes,
}


def _whole(folder: Path) -> Run:
    """The run to which nothing happens, in `folder`. It is trained once a process: nothing in it depends on where it lies."""
    global WHOLE
    if WHOLE is None:
        WHOLE = tempfile.TemporaryDirectory()
        root = Path(WHOLE.name)
        assert ended(in_a_child(train, root / "runs", "whole", small_config(root))) == "done"
    return Run(shutil.copytree(Path(WHOLE.name) / "runs" / "whole", folder / "runs" / "whole", dirs_exist_ok=True))


@contextlib.contextmanager
def _small_disk(folder: Path) -> Iterator[Path]:
    """A file system of 2 MB. Only root may mount one."""
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "small", folder], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def _fill(ballast: Path) -> None:
    """Write until nothing more fits."""
    with open(ballast, "ab", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))
