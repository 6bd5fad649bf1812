"""Cleanup: sizes of runs, renaming, deleting, zipping, and removing old snapshots to free disk space.

Two programs may clean up one folder at the same time, and a run may train meanwhile. So every function here that changes a run holds
the run's lock, the same one that its training process holds, and a file that is already gone counts as removed.
"""

import contextlib
import os
import shutil
import stat
import time
import zipfile
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import filelock

from gpt.runs.run import CONTROL_FILES, Run, RunError, check_name, list_runs
from gpt.runs.storage import replace
from gpt.words import listed, size

WINDOWS = os.name == "nt"
LOCK_SECONDS = 1.0  # a process that only checks whether a run is alive releases its lock sooner
CHUNK_BYTES = 1 << 20
SETTLED_SECONDS = 10.0  # to find the millisecond in which a run saves nothing
EARLIEST_IN_A_ZIP = 315_619_200  # 1980 began in every time zone
NAMED = 4  # runs named in a sentence at most
LEFTOVER = ".new"  # suffix of a half-written file: its process is still writing it, or was killed


def size_of(folder: Path | str) -> int:
    """Bytes of all files in a folder and below. A link takes no room here, also where `folder` itself is one; what may not be
    read, or goes away meanwhile, is not counted."""
    if os.path.islink(folder):
        return 0
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(FileNotFoundError, PermissionError):
                total += os.lstat(os.path.join(parent, name)).st_size
    return total


@contextlib.contextmanager
def locked(run: Run) -> Iterator[None]:
    """Hold the lock of `run`, so that nothing else can train, rename or clean it up. Raises RunError if it is in use or gone, OSError."""
    lock = filelock.FileLock(run.path / ".lock")
    try:
        lock.acquire(timeout=LOCK_SECONDS)
    except filelock.Timeout:
        raise RunError(f"run {run.name} is in use: wait until it has ended, or stop it first") from None
    try:
        if not (run.path / "status.json").exists():
            with contextlib.suppress(OSError):  # the lock made the folder anew: nothing else may be in it
                (run.path / ".lock").unlink()
                run.path.rmdir()
            raise _gone(run)
        yield
    finally:
        lock.release()


def rename(run: Run, name: str) -> Run:
    """The same run under another name. Raises RunError if it trains, or if the name is no name or is taken."""
    target = run.path.with_name(check_name(name))
    name_taken = RunError(f"there is a run or a folder {name} already: choose another name")
    if os.path.lexists(target):
        raise name_taken
    try:
        with contextlib.ExitStack() as lock:
            lock.enter_context(locked(run))
            if run.path.is_symlink():
                target.symlink_to(os.readlink(run.path))
                run.path.unlink()
            else:
                if WINDOWS or (run.path / ".lock").stat().st_size:  # a lock without flock is a file that would move too; see locks.py
                    lock.close()  # and on Windows no folder can be renamed that holds an open file
                _move(run.path, target)
    except FileExistsError:
        raise name_taken from None
    except OSError as error:
        raise RunError(f"run {run.name} cannot be renamed to {name} ({error.strerror}): change the permissions of its folder") from None
    return Run(target)


def _move(folder: Path, target: Path) -> None:
    """Rename a folder, but never onto another one: of two processes, only one can create the target. Raises OSError."""
    if WINDOWS:
        replace(folder, target)  # refused there if the target exists
        return
    target.mkdir()
    try:
        folder.rename(target)  # replaces a folder that is empty, and no other
    except OSError:
        with contextlib.suppress(OSError):
            target.rmdir()
        raise


def delete(run: Run) -> None:
    """Remove a run for ever; of one that is a link, only the link. Raises RunError if it trains or may not be removed."""
    try:
        if run.path.is_symlink():
            run.path.unlink()
            return
        try:
            run.delete()
        except FileNotFoundError:  # somebody else deletes it at the same time
            _remove_folder(run.path)
    except OSError as error:
        raise RunError(f"run {run.name} cannot be deleted ({error.strerror}): change the permissions of its folder") from None


def _remove_folder(folder: Path) -> None:
    """Like shutil.rmtree, but what is gone already is no error."""
    for _ in range(10):
        with contextlib.suppress(FileNotFoundError):  # somebody else removes it too
            shutil.rmtree(folder)
        if not folder.exists():
            return


def _gone(run: Run) -> RunError:
    return RunError(f"run {run.name} was deleted or renamed meanwhile")


def write_zip(run: Run, file: BinaryIO) -> None:
    """Write the run into `file` as a zip, a megabyte at a time. Weights don't compress, so nothing is compressed.

    The run may train meanwhile. Its files are replaced and never changed inside, but for two that only grow: so all of them
    are opened first, and what is copied is the run as it was in that moment. Raises RunError if the run cannot be read, or
    saves so often that there is no such moment.
    """
    with contextlib.ExitStack() as opened:
        files = _open_consistently(run, opened)
        with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
            for name, source, about in files:
                entry = zipfile.ZipInfo(f"{run.name}/{name}", time.localtime(max(about.st_mtime, EARLIEST_IN_A_ZIP))[:6])
                entry.file_size, entry.external_attr = about.st_size, 0o644 << 16
                with archive.open(entry, "w") as target:
                    remaining = about.st_size
                    while remaining and (chunk := source.read(min(CHUNK_BYTES, remaining))):
                        target.write(chunk)
                        remaining -= len(chunk)


def _open_consistently(run: Run, opened: contextlib.ExitStack) -> list[tuple[str, BinaryIO, os.stat_result]]:
    """(name, open file, what it was then) of all that belongs to a run, all from one moment: if one goes away meanwhile, they are
    opened anew."""
    deadline = time.monotonic() + SETTLED_SECONDS
    while time.monotonic() < deadline:
        with contextlib.ExitStack() as attempt:
            try:
                files = _open_all(run.path.resolve(strict=True), attempt)
            except FileNotFoundError:  # or a file was removed
                if run.path.exists():
                    continue
                raise _gone(run) from None
            except OSError as error:
                raise RunError(f"run {run.name} cannot be read ({error.strerror}): change the permissions of its folder") from None
            opened.push(attempt.pop_all())
            return files
    raise RunError(f"run {run.name} changes too quickly to be copied: pause it, then try again")


def _open_all(top: Path, opened: contextlib.ExitStack) -> list[tuple[str, BinaryIO, os.stat_result]]:
    """Open every file of a folder but links. Raises FileNotFoundError if meanwhile a file is removed, or another folder takes its place."""
    files, before = [], _identity(top)
    for parent, folders, names in os.walk(top, onerror=_raise):
        folders[:] = sorted(name for name in folders if not name.endswith(LEFTOVER))
        for name in sorted(names):
            path = Path(parent) / name
            if name in (".lock", *CONTROL_FILES) or name.endswith(LEFTOVER) or not stat.S_ISREG(path.lstat().st_mode):
                continue
            source = opened.enter_context(path.open("rb"))
            files.append((path.relative_to(top).as_posix(), source, os.fstat(source.fileno())))
    if _identity(top) != before:
        raise FileNotFoundError(top)
    return files


def _identity(folder: Path) -> list[int]:
    """Numbers that another folder of the same name does not have, even if the system gives it the number of one that was deleted."""
    about = folder.stat()
    return [about.st_dev, about.st_ino, (folder / "config.json").stat().st_ino if (folder / "config.json").exists() else 0]


def _raise(error: OSError) -> None:
    raise error


@dataclass
class CleanupReport:
    """What make_room removed, in bytes and by run, and what remains."""

    limit: int
    left: int  # bytes that the folder takes now
    freed: int = 0
    snapshots: dict[str, int] = field(default_factory=dict)  # run -> how many
    saves: list[str] = field(default_factory=list)  # finished runs that lost a save, most of them all
    stuck: list[str] = field(default_factory=list)  # runs of which something may not be removed, with the reason

    def removed(self) -> str:
        """What went, in a sentence; "" if nothing did."""
        removed = []
        if self.snapshots:
            n = sum(self.snapshots.values())
            removed.append(f"{n} {'snapshot' if n == 1 else 'snapshots'} of {listed(self.snapshots, NAMED, 'other runs')}")
        if self.saves:
            removed.append(f"saves for extending {listed(self.saves, NAMED, 'other runs')}")
        return (f"to keep the runs within {size(self.limit)}, the page removed {' and '.join(removed)} ({size(self.freed)}); "
                "best weights, curves and samples stay.") if removed else ""

    def trouble(self) -> str:
        """Why the folder still takes too much, in sentences; "" if it doesn't."""
        sentences = [f"Not everything was removed: {'; '.join(self.stuck)}."] if self.stuck else []
        if self.left > self.limit:
            why = "" if self.stuck else ", and holds nothing more that may go by itself"
            sentences.append(f"The folder takes {size(self.left)}, more than its limit of {size(self.limit)}{why}: delete runs, or begin "
                             "the page with a higher --limit-gb.")
        return " ".join(sentences)


def make_room(root: Path | str, limit_bytes: int, keep: Collection[str] = ()) -> CleanupReport:
    """Bring the folder `root` within `limit_bytes` by removing what runs can do without, and no more than is needed.

    Snapshots go first, the oldest run's first, and of a run the latest first, since they are most like its best weights. Only
    if that is not enough, finished runs lose the saves for extending them. Best weights, config, tokenizer and metrics
    always stay, and so does all of a run that trains, that is named in `keep`, or that is a link to somewhere else.
    """
    root = Path(root).resolve()
    report = CleanupReport(limit_bytes, size_of(root))
    if report.left <= limit_bytes:
        return report
    try:
        with filelock.FileLock(root / ".tidying").acquire(timeout=0):  # two at once would remove twice as much as is needed
            report.left = size_of(root)
            _make_room(root, report, keep)
    except filelock.Timeout:
        report.stuck.append("another page makes room just now")
    except OSError as error:
        report.stuck.append(f"the folder cannot be written ({error.strerror})")
    return report


def _make_room(root: Path, report: CleanupReport, keep: Collection[str]) -> None:
    runs = [run for run in reversed(list_runs(root)) if run.name not in keep and not run.path.is_symlink() and _is_run(run)]
    for remove in (_remove_snapshots, _remove_saves):
        for run in runs:
            if report.left <= report.limit:
                return
            try:
                remove(run, report)
            except (RunError, FileNotFoundError):  # it trains, or was deleted meanwhile: then there is nothing to remove
                continue
            except OSError as error:
                report.stuck.append(f"{run.name} ({error.strerror})")


def _is_run(run: Run) -> bool:
    """Whether this is a run for certain: a folder of something else may have a status.json too."""
    try:
        run.config()
    except (RunError, OSError):
        return False
    return True


def _remove_snapshots(run: Run, report: CleanupReport) -> None:
    for _ in _removed(run, reversed(_files(run.path / "snapshots", "step-*")), report):
        report.snapshots[run.name] = report.snapshots.get(run.name, 0) + 1


def _remove_saves(run: Run, report: CleanupReport) -> None:
    for _ in _removed(run, _files(run.path / "last", "*"), report, only_done=True):
        if run.name not in report.saves:
            report.saves.append(run.name)


def _files(folder: Path, pattern: str) -> list[Path]:
    """The files in a folder that is no link, those of earlier steps first."""
    if folder.is_symlink():
        return []
    found = [path for path in folder.glob(pattern) if path.is_file() and not path.is_symlink()]
    return sorted(found, key=lambda path: (len(path.name), path.name))


def _removed(run: Run, paths: Iterable[Path], report: CleanupReport, only_done: bool = False) -> Iterator[Path]:
    """Remove `paths` of a run one by one, yielding each, until the folder is within its limit; `only_done`: only if the run is done."""
    with locked(run):
        if only_done and run.status()["state"] != "done":
            return
        for path in paths:
            if report.left <= report.limit:
                return
            n_bytes = path.lstat().st_size
            path.unlink()
            report.left -= n_bytes
            report.freed += n_bytes
            yield path
