"""Which files are read, and in which order."""

import gzip
import io
import os
import zipfile
from pathlib import Path

import pytest

from gpt.data.files.errors import UnreadableFile
from gpt.data.files.listing import entries, natural


def names(path: Path, **more) -> list[str]:
    return [entry.name for entry in entries(path, **more)]


def contents(path: Path, **more) -> list[tuple[str, bytes]]:
    found = []
    for entry in entries(path, **more):
        with entry.open() as file:
            found.append((entry.name, file.read()))
    return found


def lay_out(folder: Path, *files: str) -> Path:
    for name in files:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"words of {name}")
    return folder


def zipped(path: Path, files: dict[str, bytes], **more) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, **more) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def test_chapters_come_in_the_order_in_which_people_number_them(tmp_path):
    lay_out(tmp_path, "ch10.txt", "ch2.txt", "Ch1.txt", "part 2/ch3.txt", "part 10/ch1.txt", "appendix", "2.txt", "10.txt")
    assert names(tmp_path) == ["2.txt", "10.txt", "appendix", "Ch1.txt", "ch2.txt", "ch10.txt", "part 2/ch3.txt", "part 10/ch1.txt"]


def test_natural_order_has_no_number_that_it_cannot_compare():
    assert sorted(["²", "2", "a", "", "٣", "10", "a2b"], key=natural) == ["", "2", "10", "a", "a2b", "²", "٣"]


def test_hidden_files_are_left_out_whatever_their_case_of_ending_the_others_are_not(tmp_path):
    lay_out(tmp_path, "BOOK.TXT", "b.txt", "._book.txt", ".git/config", "__MACOSX/x.txt", "no-ending", "deep/.hidden/x.txt", "deep/y.md")
    assert names(tmp_path) == ["b.txt", "BOOK.TXT", "no-ending", "deep/y.md"]
    assert [entry.ending for entry in entries(tmp_path)] == [".txt", ".txt", "", ".md"]


def test_a_hidden_file_that_is_asked_for_by_name_is_read(tmp_path):
    lay_out(tmp_path, ".bash_history")
    assert names(tmp_path / ".bash_history") == [".bash_history"]


def test_what_is_no_file_is_not_waited_for(tmp_path):
    lay_out(tmp_path, "a.txt")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "gone").symlink_to(tmp_path / "nowhere")
    (tmp_path / "round").symlink_to(tmp_path)
    assert names(tmp_path) == ["a.txt"]


def test_named_folders_are_not_entered(tmp_path):
    lay_out(tmp_path, "a.py", "test/b.py", "deep/test/c.py", "deep/d.py")
    assert names(tmp_path, without={"test"}) == ["a.py", "deep/d.py"]


def test_archives_give_what_is_in_them_also_in_each_other(tmp_path):
    (tmp_path / "1.TXT.GZ").write_bytes(gzip.compress(b"one") + gzip.compress(b" and more"))
    zipped(tmp_path / "2.zip", {"ch10.txt": b"ten", "ch2.txt": b"two", "in/x.md.gz": gzip.compress(b"packed twice"),
                                "__MACOSX/._ch2.txt": b"no", ".hidden": b"no", "empty folder/": b""})
    assert contents(tmp_path) == [("1.TXT.GZ", b"one and more"), ("2.zip/ch2.txt", b"two"), ("2.zip/ch10.txt", b"ten"),
                                  ("2.zip/in/x.md.gz", b"packed twice")]
    assert [entry.ending for entry in entries(tmp_path)] == [".txt", ".txt", ".txt", ".md"]
    assert contents(tmp_path / "2.zip")[0] == ("2.zip/ch2.txt", b"two")


@pytest.mark.parametrize("name", ["../out.txt", "/etc/out.txt", "a/../../out.txt", "..\\out.txt"])
def test_an_archive_with_a_path_that_climbs_out_is_refused(tmp_path, name):
    zipped(tmp_path / "bad.zip", {"fine.txt": b"fine", name: b"not"})
    with pytest.raises(UnreadableFile, match="leads out of it"):
        contents(tmp_path / "bad.zip")


def test_an_archive_that_says_that_it_unpacks_to_too_much_is_refused_before(tmp_path):
    zipped(tmp_path / "bomb.zip", {f"{i}.txt": b"0" * 300 for i in range(4)})
    with pytest.raises(UnreadableFile, match=r"it unpacks to 1\.2 kB: the most is 1\.0 kB"):
        contents(tmp_path / "bomb.zip", most_bytes=1000)


def test_an_archive_that_does_not_say_so_is_stopped_on_the_way(tmp_path):
    (tmp_path / "bomb.gz").write_bytes(gzip.compress(bytes(10_000_000)))
    file = next(entries(tmp_path / "bomb.gz", most_bytes=1_000_000)).open()
    with pytest.raises(UnreadableFile, match="it unpacks to more than"):
        file.read()


@pytest.mark.parametrize(("name", "data"), [
    ("a.gz", gzip.compress(b"words " * 1000)[:40]), ("a.gz", b"no archive"), ("a.gz", gzip.compress(b"words")[:-6] + b"123456"),
    ("a.zip", b"no archive"), ("a.zip", b"PK\x03\x04" + bytes(100))], ids=["cut off", "no gz", "other bytes", "no zip", "cut zip"])
def test_a_damaged_archive_says_that_it_is(tmp_path, name, data):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(UnreadableFile, match=r"cannot be unpacked|no \.zip file that can be read"):
        contents(tmp_path)


def test_a_member_whose_bytes_are_damaged_says_so(tmp_path):
    path = zipped(tmp_path / "a.zip", {"a.txt": b"words " * 1000})
    data = bytearray(path.read_bytes())
    data[50] ^= 255
    path.write_bytes(data)
    with pytest.raises(UnreadableFile, match="cannot be unpacked"):
        contents(path)


def test_members_with_odd_names_are_read_or_named(tmp_path):
    zipped(tmp_path / "a.zip", {".": b"dot", "9" * 5000 + ".txt": b"number", "fine.txt": b"fine"})
    assert b"fine" in [data for _, data in contents(tmp_path / "a.zip")]


def test_an_archive_without_files_says_so(tmp_path):
    zipped(tmp_path / "a.zip", {"folder/": b""})
    with pytest.raises(UnreadableFile, match="it holds no files"):
        contents(tmp_path / "a.zip")


def test_many_members_do_not_make_an_archive_slow(tmp_path):
    zipped(tmp_path / "a.zip", {f"{i}.txt": b"words" for i in range(5000)})
    assert len(contents(tmp_path / "a.zip")) == 5000  # a quarter of a second; five minutes where each was looked up in the archive anew


@pytest.mark.parametrize("at", [4, 8])
def test_an_archive_of_another_kind_says_so(tmp_path, at):
    path = zipped(tmp_path / "a.zip", {"a.txt": b"words"})
    data = bytearray(path.read_bytes())
    central = data.index(b"PK\x01\x02")
    data[central + 2 + at] = data[at] = 99  # the version that is needed, or the way of packing
    path.write_bytes(data)
    with pytest.raises(UnreadableFile, match=r"no \.zip file|cannot be unpacked"):
        contents(path)


def test_a_locked_archive_says_so(tmp_path):
    path = zipped(tmp_path / "a.zip", {"a.txt": b"words"})
    data = bytearray(path.read_bytes())
    for begin in (path.read_bytes().index(b"PK\x01\x02") + 8, 6):
        data[begin] |= 1  # the bit that says that a password is needed
    path.write_bytes(data)
    with pytest.raises(UnreadableFile, match=r"cannot be unpacked .*password"):
        contents(path)


def test_an_entry_can_be_opened_again_and_again(tmp_path):
    zipped(tmp_path / "a.zip", {"a.txt": b"words"})
    entry, = entries(tmp_path / "a.zip")
    for _ in range(3):
        with entry.open() as file:
            assert isinstance(file, io.BufferedReader)
            assert file.read() == b"words"
