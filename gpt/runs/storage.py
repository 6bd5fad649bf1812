"""Files that survive accidents: written whole or not at all, and checked when they are read.

Tensors are stored in safetensors files, which cannot run code when they are loaded. Each file contains the SHA-256 of its content,
so that a byte changed on the disk is detected before the run continues from it.
"""

import contextlib
import errno
import hashlib
import json
import os
import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

REPLACE_SECONDS = 3.0 if os.name == "nt" else 0.0  # for which a refused replacement is tried again
REPLACE_PAUSE = 0.02


class DamagedFile(ValueError):
    """A file that does not hold what was written into it."""


def write_atomically(path: Path, data: bytes, durable: bool = True) -> None:
    """Write under another name, then move into place: a reader sees the old file or the new one, never half of one.

    `durable` waits until the disk has the data, so that a power cut cannot leave an empty file under the new name.
    """
    with moved_into_place(path) as new, open(new, "wb") as file:
        file.write(data)
        file.flush()
        if durable:
            os.fsync(file.fileno())


def bring_to_disk(path: Path) -> None:
    """Wait until the disk has all of a file. It is opened for writing, since Windows refuses to do this for a reader. Raises OSError."""
    with open(path, "r+b") as file:
        os.fsync(file.fileno())


def append_line(path: Path, line: bytes) -> None:
    """Add a line to a file, or, if the disk refuses, nothing at all: half a line would spoil the next one. Raises OSError."""
    with open(path, "ab", buffering=0) as file:
        before = file.tell()
        written = 0
        try:
            while written < len(line) + 1:
                written += file.write((line + b"\n")[written:])
        except OSError:
            file.truncate(before)
            raise


def save_tensors(path: Path, tensors: dict[str, Tensor], state: Any = None) -> None:
    """Write tensors, and with them a `state` of plain JSON values, with a checksum over both. Raises OSError."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    written = json.dumps(state)
    with moved_into_place(path) as new:
        new.touch()
        mode = new.stat().st_mode  # what the umask allows; save_file lets nobody but the owner read
        try:
            save_file(tensors, new, {"state": written, "sha256": checksum(tensors, written)})
            new.chmod(mode)
        except SafetensorError as error:  # how it tells that the disk is full
            number = re.search(r"os error (\d+)", str(error))
            code = int(number.group(1)) if number else errno.EIO
            raise OSError(code, os.strerror(code), str(path)) from error
        bring_to_disk(new)


def load_tensors(path: Path) -> tuple[dict[str, Tensor], Any]:
    """(tensors, state) of a file that `save_tensors` wrote. Raises DamagedFile, or OSError if it cannot be read."""
    with open(path, "rb"):  # raises what is wrong; safe_open says of a file that it may not read that it does not exist
        pass
    try:
        with safe_open(path, "pt") as file:
            tensors, metadata = {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118 - no mapping
    except SafetensorError as error:
        raise DamagedFile(f"it is no whole safetensors file: {error}") from error
    state = metadata.get("state", "null")
    if metadata.get("sha256") != checksum(tensors, state):
        raise DamagedFile("its checksum is not that of what it holds")
    return tensors, json.loads(state)


def checksum(tensors: dict[str, Tensor], state: str) -> str:
    """SHA-256 over the state and over each tensor's name, type, shape and bytes, in the order of the names."""
    sha = hashlib.sha256(state.encode())
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        sha.update(f"\n{name} {tensor.dtype} {list(tensor.shape)}\n".encode())
        sha.update(tensor.reshape(-1).view(torch.uint8).numpy())
    return sha.hexdigest()


def split_tensors(value: Any, name: str, tensors: dict[str, Tensor]) -> Any:
    """Copy a nested state, moving each tensor into `tensors` and leaving {"tensor": its name} in its place."""
    if isinstance(value, Tensor):
        tensors[name] = value
        return {"tensor": name}
    if isinstance(value, dict):
        return {"items": [[key, split_tensors(item, f"{name}.{key}", tensors)] for key, item in value.items()]}
    if isinstance(value, (list, tuple)):
        return [split_tensors(item, f"{name}.{i}", tensors) for i, item in enumerate(value)]
    return value


def join_tensors(value: Any, tensors: dict[str, Tensor]) -> Any:
    """The inverse of split_tensors."""
    if isinstance(value, dict):
        if "tensor" in value:
            return tensors[value["tensor"]]
        return {key: join_tensors(item, tensors) for key, item in value["items"]}
    return [join_tensors(item, tensors) for item in value] if isinstance(value, list) else value


def replace(source: Path, target: Path) -> None:
    """os.replace, tried again for REPLACE_SECONDS where it is refused: Windows replaces no file that somebody has open, and no folder with
    one in it, and readers of a run's files are done in a moment. Raises OSError."""
    deadline = time.monotonic() + REPLACE_SECONDS
    while True:
        try:
            return os.replace(source, target)
        except PermissionError:
            if time.monotonic() > deadline:
                raise
            time.sleep(REPLACE_PAUSE)


@contextlib.contextmanager
def moved_into_place(path: Path) -> Iterator[Path]:
    """A temporary path that is renamed to `path` after a successful write; after a failed one it is removed, to free the disk."""
    new = path.with_name(f"{path.name}.{os.getpid()}-{threading.get_ident()}.new")  # nobody else's, should others write `path` too
    try:
        yield new
        replace(new, path)
    except BaseException:
        with contextlib.suppress(OSError):
            new.unlink(missing_ok=True)
        raise
