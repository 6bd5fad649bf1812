"""Tokens of long texts in files: made once, whole or not at all, and never more of them than there is room for."""

import json
import os
import pickle
import shutil
import time
from collections import namedtuple

import pytest
import torch

from gpt.data import dataset, token_cache
from gpt.data.corpus import Corpus, CorpusError
from gpt.data.dataset import TokenizedText
from gpt.data.sources import read_corpus
from gpt.data.token_cache import cache_folder, key_of, load_ids, make_room, mapped_ids
from gpt.data.tokenizers.bpe import gpt2_tokenizer
from gpt.data.tokenizers.letters import ByteTokenizer, CharTokenizer
from tests.says import says
from tests.texts import tokenized

TEXT = "words of a text that counts as long here, né 42. " * 40
Usage = namedtuple("Usage", "total used free")


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """Its own folder, and every text is a long one."""
    monkeypatch.setattr(dataset, "LARGEST_IN_MEMORY", 100)
    monkeypatch.setenv("GPT2_FROM_SCRATCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def corpus(tmp_path) -> Corpus:
    (tmp_path / "long.txt").write_text(TEXT, encoding="utf-8")
    return read_corpus(str(tmp_path / "long.txt"))


def entries(cache) -> list[str]:
    return sorted(path.name for path in cache.iterdir()) if cache.exists() else []


@pytest.mark.parametrize("tokenizer", [gpt2_tokenizer(), ByteTokenizer(), CharTokenizer(TEXT)], ids=lambda tokenizer: tokenizer.name)
def test_mapped_tokens_are_those_that_a_short_text_has(corpus, cache, monkeypatch, tokenizer):
    mapped = TokenizedText.encode(corpus, tokenizer)
    assert mapped.folder.parent == cache
    monkeypatch.setattr(dataset, "LARGEST_IN_MEMORY", 10**9)
    held = TokenizedText.encode(corpus, tokenizer)
    assert held.folder is None
    for part in ("train", "validation", "byte_lengths"):
        assert torch.equal(getattr(mapped, part).long(), getattr(held, part).long())
        assert getattr(mapped, part).dtype == getattr(held, part).dtype


def test_the_second_time_nothing_is_tokenised(corpus, monkeypatch):
    TokenizedText.encode(corpus, ByteTokenizer())
    monkeypatch.setattr(token_cache, "write_ids", None)
    text = TokenizedText.encode(corpus, ByteTokenizer())
    assert bytes(text.train.tolist()).decode() == corpus.strings()[0]
    assert text.notes == ["its tokens were made before, and come from the cache"]


def test_another_text_split_or_tokenizer_is_another_entry(corpus, tmp_path):
    (tmp_path / "other.txt").write_text(TEXT + "!", encoding="utf-8")
    (tmp_path / "own.txt").write_text("own", encoding="utf-8")
    other = read_corpus(str(tmp_path / "other.txt"))
    with_own = read_corpus(str(tmp_path / "long.txt"), validation=str(tmp_path / "own.txt"))
    keys = [key_of(*each) for each in ((corpus, ByteTokenizer(), False), (corpus, gpt2_tokenizer(), False), (corpus, ByteTokenizer(), True),
                                       (other, ByteTokenizer(), False), (with_own, ByteTokenizer(), False),
                                       (corpus, CharTokenizer("ab"), False), (corpus, CharTokenizer("abc"), False))]
    assert len(set(keys)) == len(keys)
    assert key_of(read_corpus(str(tmp_path / "long.txt")), ByteTokenizer(), False) == keys[0]


@pytest.mark.parametrize("damage", ["flipped", "cut", "missing", "no about", "other about"])
def test_damaged_tokens_are_made_anew_and_that_is_said(corpus, damage):
    before = TokenizedText.encode(corpus, ByteTokenizer())
    folder = before.folder
    data = bytearray((folder / "train.ids").read_bytes())
    data[50] ^= 1
    {"flipped": lambda: (folder / "train.ids").write_bytes(data), "cut": lambda: os.truncate(folder / "validation.ids", 10),
     "missing": lambda: (folder / "train.ids").unlink(), "no about": lambda: (folder / "about.json").write_text("{"),
     "other about": lambda: (folder / "about.json").write_text("[]")}[damage]()
    after = TokenizedText.encode(corpus, ByteTokenizer())
    assert "damaged" in after.notes[0]
    assert bytes(after.train.tolist()).decode() == corpus.strings()[0]
    assert json.loads((folder / "about.json").read_text())["name"] == "long.txt"


def test_without_room_nothing_is_begun(corpus, cache, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(10**9, 10**9, 1000))
    with pytest.raises(CorpusError, match=says("take about", "1.0 kB is free in", "GPT2_FROM_SCRATCH_CACHE")):
        TokenizedText.encode(corpus, ByteTokenizer())
    assert entries(cache) == []


def test_a_disk_that_is_full_on_the_way_leaves_nothing(corpus, cache, monkeypatch):
    def refuse(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(token_cache._Hashed, "write", refuse)
    with pytest.raises(CorpusError, match=says("cannot be written", "No space left", "GPT2_FROM_SCRATCH_CACHE")):
        TokenizedText.encode(corpus, ByteTokenizer())
    assert entries(cache) == []


def test_a_folder_that_cannot_be_made_says_so(corpus, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("GPT2_FROM_SCRATCH_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(CorpusError, match=says("cannot be written", "GPT2_FROM_SCRATCH_CACHE")):
        TokenizedText.encode(corpus, ByteTokenizer())


@pytest.mark.parametrize("how", [KeyboardInterrupt, MemoryError])
def test_what_ends_the_work_leaves_nothing_half_written(corpus, cache, monkeypatch, how):
    def end(*_):
        raise how

    monkeypatch.setattr(token_cache, "write_ids", end)
    with pytest.raises(how):
        TokenizedText.encode(corpus, ByteTokenizer())
    assert entries(cache) == []


def test_a_text_that_changes_meanwhile_leaves_nothing(corpus, cache, tmp_path):
    (tmp_path / "long.txt").write_text(TEXT[:-10], encoding="utf-8")
    with pytest.raises(CorpusError, match="changed while it was read"):
        TokenizedText.encode(corpus, ByteTokenizer())
    assert entries(cache) == []


def test_what_was_not_used_for_the_longest_time_makes_room(cache, monkeypatch):
    now = time.time()
    for i in range(5):
        (cache / f"entry{i}").mkdir(parents=True)
        (cache / f"entry{i}" / "train.ids").write_bytes(bytes(1000))
        (cache / f"entry{i}" / "about.json").write_text("{}")
        os.utime(cache / f"entry{i}", (now - i * 100, now - i * 100))
    for name, age in ((".new-old", 10**6), (".new-young", 10)):
        (cache / name).mkdir()
        os.utime(cache / name, (now - age, now - age))
    (cache / "not ours").mkdir()
    monkeypatch.setattr(token_cache, "MOST_BYTES", 3100)
    make_room(cache, cache / "entry4")
    assert entries(cache) == [".new-young", "entry0", "entry1", "entry4", "not ours"]


def test_a_text_is_used_when_it_is_read(corpus, cache):
    folder = TokenizedText.encode(corpus, ByteTokenizer()).folder
    os.utime(folder, (1000, 1000))
    TokenizedText.encode(corpus, ByteTokenizer())
    assert folder.stat().st_mtime > time.time() - 100


def test_two_processes_may_make_the_same_at_the_same_time(corpus, cache, monkeypatch):
    writing = token_cache._write

    def write_after_another(*arguments):
        monkeypatch.setattr(token_cache, "_write", writing)
        mapped_ids(corpus, ByteTokenizer(), False, lambda *_: None)
        writing(*arguments)

    monkeypatch.setattr(token_cache, "_write", write_after_another)
    text = TokenizedText.encode(corpus, ByteTokenizer())
    assert bytes(text.train.tolist()).decode() == corpus.strings()[0]
    assert entries(cache) == [text.folder.name]


def test_other_processes_are_sent_the_place_and_not_the_tokens(corpus):
    mapped, held = TokenizedText.encode(corpus, ByteTokenizer()), tokenized(TEXT, TEXT, ByteTokenizer())
    held.earlier = held.validation
    for text, most in ((mapped, 5000), (held, 20_000)):
        sent = pickle.dumps(text)
        assert len(sent) < most + 8 * len(text.byte_lengths)
        there = pickle.loads(sent)
        assert all(torch.equal(getattr(there, part), getattr(text, part)) for part in ("train", "validation", "byte_lengths"))
    assert torch.equal(there.earlier, held.earlier)


def test_a_process_on_another_machine_says_what_it_lacks(corpus):
    text = TokenizedText.encode(corpus, ByteTokenizer())
    sent = pickle.dumps(text)
    shutil.rmtree(text.folder)
    with pytest.raises(CorpusError, match=says("several machines", "GPT2_FROM_SCRATCH_CACHE")):
        pickle.loads(sent)


def test_the_folder_is_this_users_unless_it_is_named(monkeypatch):
    monkeypatch.delenv("GPT2_FROM_SCRATCH_CACHE")
    assert cache_folder().parts[-2:] == ("gpt2-from-scratch", "tokens")


def test_progress_is_told_to_its_end(corpus):
    told = []
    TokenizedText.encode(corpus, ByteTokenizer(), lambda sentence, share: told.append((sentence, share)))
    assert {sentence for sentence, _ in told} == {"tokenising"}
    assert told[-1] == ("tokenising", 1.0)


def test_what_is_written_to_mapped_tokens_stays_in_memory(corpus):
    text = TokenizedText.encode(corpus, ByteTokenizer())
    text.train[0] = 7
    assert load_ids(text.folder, "train")[0] != 7
