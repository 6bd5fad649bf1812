"""The sequences on which heads are tried."""

from dataclasses import replace

import pytest
import torch

from gpt.data.dataset import TokenizedText
from gpt.data.known import Floor
from gpt.interpret.heads import REQUIRED_SHARE
from gpt.interpret.probes import LONGEST_REPEAT, LONGEST_WINDOW, N_REPEATS, N_WINDOWS, SHORTEST_REPEAT, Probes, make_probes
from gpt.runs.run import Run, RunError
from tests.says import says


def text(train: torch.Tensor, validation: torch.Tensor) -> TokenizedText:
    return TokenizedText(train, validation, torch.ones(1000, dtype=torch.long))


LONG = text(torch.arange(200, 300).repeat(5), torch.arange(10_000) % 1000)


def test_random_tokens_are_written_again_and_again_each_time_after_another_length():
    repeats = make_probes(LONG, 64, seed=1).repeats
    assert repeats.shape == (N_REPEATS, 2 * LONGEST_REPEAT)
    lengths = [len(set(row.tolist())) for row in repeats]
    assert (min(lengths), max(lengths)) == (LONGEST_REPEAT // 2, LONGEST_REPEAT)
    assert len(set(lengths)) == N_REPEATS
    for row, n in zip(repeats, lengths, strict=True):
        assert len(set(row[:n].tolist())) == n  # no token occurs twice in one copy
        assert torch.equal(row[n:], row[:-n])


def test_random_tokens_are_ones_that_the_training_text_contains():
    assert set(make_probes(LONG, 64, seed=1).repeats.flatten().tolist()) <= set(range(200, 300))


@pytest.mark.parametrize("context_length", [5, 64, 256])
def test_windows_begin_where_documents_do_if_that_is_known(context_length):
    documents = torch.arange(0, 10_000, 37)
    known = replace(LONG, floor=Floor(torch.zeros(10_000), torch.zeros(10_000).long(), documents, ("a",)))
    windows = make_probes(known, context_length, seed=1).windows
    assert windows.shape == (N_WINDOWS, min(context_length, LONGEST_WINDOW) + 1)
    assert make_probes(known, context_length, seed=1).names == ("a",)
    first = windows[1:-1, 1]  # tokens are their places, modulo 1,000; the first and the last window have no room before or after them
    assert torch.isin(first, documents % 1000).all()


@pytest.mark.parametrize("context_length", [2, 5, 64, 256])
def test_windows_are_pieces_of_the_validation_text_that_do_not_overlap(context_length):
    windows = make_probes(LONG, context_length, seed=1).windows
    T = min(context_length, LONGEST_WINDOW)
    assert windows.shape == (N_WINDOWS, T + 1)
    starts = windows[:, 0].tolist()
    assert all(torch.equal(row, (row[0] + torch.arange(T + 1)) % 1000) for row in windows)
    assert (starts[0], windows[-1, -1]) == (0, 999)
    absolute = torch.linspace(0, 10_000 - T - 1, N_WINDOWS).long()
    assert (absolute.diff() >= T).all()


@pytest.mark.parametrize("context_length", [8, 9, 10, 64])
def test_copies_differ_in_length_so_that_no_distance_is_right_in_most(context_length):
    lengths = [len(set(row.tolist())) for row in make_probes(LONG, context_length, seed=1).repeats]
    assert max(lengths) == min(context_length // 2, LONGEST_REPEAT)
    assert min(lengths) >= SHORTEST_REPEAT
    assert max(map(lengths.count, lengths)) < REQUIRED_SHARE * N_REPEATS


def test_windows_lie_inside_a_text_of_more_tokens_than_float32_can_count():
    """Rounded up, the last one would begin too late to be whole."""
    windows = make_probes(text(torch.arange(9), torch.zeros(1, dtype=torch.long).expand(2**24 + 12)), 8, seed=1).windows
    assert windows.shape == (N_WINDOWS, 9)


@pytest.mark.parametrize(("context_length", "n"), [(2, 0), (4, 0), (7, 0), (8, 4), (9, 4)])
def test_a_short_context_has_short_repeats_or_none(context_length, n):
    repeats = make_probes(LONG, context_length, seed=1).repeats
    assert repeats.shape == ((N_REPEATS, 2 * n) if n else (0, 0))


def test_a_short_text_has_fewer_windows_and_a_small_vocabulary_shorter_repeats():
    probes = make_probes(text(torch.tensor([5, 6, 7, 8] * 50), torch.arange(70)), 32, seed=1)
    assert probes.windows.shape == (2, 33)
    assert probes.repeats.shape == (N_REPEATS, 8)
    assert len(make_probes(text(torch.tensor([5, 6, 7] * 50), torch.arange(70)), 32, seed=1).repeats) == 0
    shortest = make_probes(text(torch.tensor([5] * 50), torch.tensor([5, 5])), 32, seed=1)
    assert shortest.windows.tolist() == [[5, 5]]
    assert len(shortest.repeats) == 0


def test_the_same_seed_makes_the_same_probes_and_no_other_random_state_is_touched():
    torch.manual_seed(7)
    before = torch.get_rng_state()
    one, same, other = (make_probes(LONG, 64, seed) for seed in (1, 1, 2))
    assert torch.equal(one.repeats, same.repeats)
    assert not torch.equal(one.repeats, other.repeats)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("context_length", [3, 64])
def test_probes_come_back_from_what_a_run_keeps(context_length):
    probes = make_probes(LONG, context_length, seed=1)
    again = Probes.from_tensors(probes.tensors(), None)
    assert torch.equal(again.repeats, probes.repeats)
    assert torch.equal(again.windows, probes.windows)
    assert (again.kinds, again.names) == (None, ())
    known = replace(probes, kinds=probes.windows % 3, names=("a", "b", "c"))
    again = Probes.from_tensors(known.tensors(), list(known.names))
    assert torch.equal(again.kinds, known.kinds)
    assert again.names == known.names


def test_a_run_keeps_its_probes(trained):
    probes = Run(trained).probes()
    assert probes.repeats.shape == (N_REPEATS, 8)
    assert probes.windows.shape[1] == 9


def test_a_run_without_probes_says_so(trained, tmp_path):
    with pytest.raises(RunError, match=says("old", "heads")):
        Run(tmp_path / "old").probes()
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "probes.safetensors").write_bytes((trained / "probes.safetensors").read_bytes()[:-3])
    with pytest.raises(RunError, match="is damaged"):
        Run(tmp_path / "damaged").probes()
