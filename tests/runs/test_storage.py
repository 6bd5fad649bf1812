"""Files that survive accidents: written whole or not at all, and checked when they are read."""

import errno
import os
import random

import pytest
import torch
from safetensors.torch import save_file

from gpt.runs.storage import DamagedFile, append_line, load_tensors, save_tensors, write_atomically
from tests.says import says

TENSORS = {"weight": torch.arange(6.0).reshape(2, 3), "step": torch.tensor(3), "mask": torch.tensor([True, False]),
           "empty": torch.zeros(0, 4)}


@pytest.fixture
def saved(tmp_path):
    save_tensors(tmp_path / "a.safetensors", TENSORS, {"step": 7, "rate": 0.1, "names": ["ü", None]})
    return tmp_path / "a.safetensors"


def test_tensors_and_state_come_back(saved):
    tensors, state = load_tensors(saved)
    assert state == {"step": 7, "rate": 0.1, "names": ["ü", None]}
    assert tensors.keys() == TENSORS.keys()
    assert all(torch.equal(tensors[name], value) and tensors[name].dtype == value.dtype for name, value in TENSORS.items())


def test_one_flipped_bit_anywhere_is_found(saved):
    whole, harmless = saved.read_bytes(), 0
    for place in range(len(whole)):
        flipped = bytearray(whole)
        flipped[place] ^= 1 << random.Random(place).randrange(8)
        saved.write_bytes(flipped)
        try:
            tensors, state = load_tensors(saved)
        except DamagedFile:
            continue
        harmless += 1  # a bit that means nothing, such as one kind of white space for another
        assert state == {"step": 7, "rate": 0.1, "names": ["ü", None]}
        assert all(torch.equal(tensors[name], value) for name, value in TENSORS.items()), place
    assert harmless < len(whole) / 50


@pytest.mark.parametrize("length", [0, 5, 8, 100, -1])
def test_a_cut_file_is_found(saved, length):
    saved.write_bytes(saved.read_bytes()[:length])
    with pytest.raises(DamagedFile):
        load_tensors(saved)


def test_a_file_without_a_checksum_is_damaged(tmp_path):
    save_file({"weight": TENSORS["weight"]}, tmp_path / "old.safetensors")
    with pytest.raises(DamagedFile, match=says("checksum")):
        load_tensors(tmp_path / "old.safetensors")


def test_a_missing_file_is_no_damaged_one(tmp_path):
    with pytest.raises(FileNotFoundError):
        load_tensors(tmp_path / "none.safetensors")


class TestAFullDisk:
    def test_a_line_is_appended_whole_or_not_at_all(self, small_disk):
        path = small_disk / "rows"
        lines = [b"%06d" % i + b"x" * 5000 for i in range(1000)]
        with pytest.raises(OSError, match="No space left") as caught:
            for line in lines:
                append_line(path, line)
        assert caught.value.errno == errno.ENOSPC
        kept = path.read_bytes().splitlines()
        assert 10 < len(kept) < 1000
        assert kept == lines[:len(kept)]

    def test_tensors_that_do_not_fit_leave_the_ones_before(self, small_disk):
        path = small_disk / "a.safetensors"
        save_tensors(path, TENSORS)
        with pytest.raises(OSError, match="No space left") as caught:
            save_tensors(path, {"weight": torch.zeros(10**6)})
        assert caught.value.errno == errno.ENOSPC
        assert load_tensors(path)[0].keys() == TENSORS.keys()
        assert os.listdir(small_disk) == ["a.safetensors"]

    def test_a_file_that_does_not_fit_leaves_the_one_before(self, small_disk):
        write_atomically(small_disk / "a", b"old")
        with pytest.raises(OSError, match="No space left"):
            write_atomically(small_disk / "a", bytes(4_000_000))
        assert (small_disk / "a").read_bytes() == b"old"
        assert os.listdir(small_disk) == ["a"]
