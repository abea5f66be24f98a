import os
from pathlib import Path

import pytest

from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.base.files import new_folder, read_lines, read_text, remove_torn, sha256, write_bytes, write_text


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def test_a_file_is_replaced_in_one_step(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b.txt"
    write_text(path, "one")
    write_text(path, "zwei")
    assert path.read_text() == "zwei"
    assert names(path.parent) == ["b.txt"]


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "b"
    write_bytes(path, b"old")
    with pytest.raises(TypeError):
        write_bytes(path, "not bytes")  # type: ignore[arg-type]
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["b"]


def test_a_folder_appears_complete_or_not_at_all(tmp_path: Path) -> None:
    target = tmp_path / "sequences" / "block"
    with pytest.raises(RuntimeError), new_folder(target) as aside:  # noqa: PT012
        (aside / "half").touch()
        raise RuntimeError
    assert names(target.parent) == []
    for text in ("one", "two"):
        with new_folder(target) as aside:
            (aside / text).write_text(text)
            assert not (target / text).exists()
    assert names(target) == ["two"]
    assert names(target.parent) == ["block"]


def test_digest(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"abc")
    assert sha256(tmp_path / "f") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_marks_line_ends_and_blank_lines_at_the_end_change_nothing(tmp_path: Path, end: str, mark: bytes) -> None:
    path = tmp_path / "text.txt"
    path.write_bytes(mark + end.join(["ä 1", "", "2", "", " "]).encode())
    assert read_lines(path) == ["ä 1", "", "2"]
    assert read_text(path).startswith("ä")


def test_other_encodings_folders_and_missing_files_are_named(tmp_path: Path) -> None:
    (tmp_path / "utf16.txt").write_bytes("1 2".encode("utf-16"))
    with pytest.raises(UserError, match=r"utf16\.txt: not a text file: byte 0 is not UTF-8"):
        read_text(tmp_path / "utf16.txt")
    with pytest.raises(UserError, match="not a text file: Is a directory"):
        read_text(tmp_path)
    with pytest.raises(FileNotFoundError):
        read_text(tmp_path / "none")


def plant(at: Path, what: str, outside: Path) -> None:
    """Put something where a temporary file or folder of this process will be."""
    outside.mkdir()
    (outside / "kept").write_text("kept")
    if what == "fifo":
        os.mkfifo(at)
    elif what == "file":
        at.write_text("left")
    elif what == "folder":
        (at / "deep").mkdir(parents=True)
        (at / "deep" / "link").symlink_to(outside)
    else:
        at.symlink_to({"link": outside, "link to a file": outside / "kept", "dead link": outside / "gone"}[what])


PLANTED = ("link", "link to a file", "dead link", "fifo", "file", "folder")


@pytest.mark.parametrize("what", PLANTED)
def test_what_lies_at_a_temporary_name_is_replaced_and_never_followed(tmp_path: Path, what: str) -> None:
    here, outside = tmp_path / "here", tmp_path / "outside"
    here.mkdir()
    plant(here / f".a.{os.getpid()}.tmp", what, outside)
    with new_folder(here / "a") as aside:
        (aside / "new").write_text("new")
    assert (names(here), names(here / "a"), (here / "a").is_symlink()) == (["a"], ["new"], False)
    assert (names(outside), (outside / "kept").read_text()) == (["kept"], "kept")


@pytest.mark.parametrize("what", PLANTED)
def test_a_file_is_never_written_through_what_lies_at_its_temporary_name(tmp_path: Path, what: str) -> None:
    here, outside = tmp_path / "here", tmp_path / "outside"
    here.mkdir()
    plant(here / f".a.{os.getpid()}.tmp", what, outside)
    write_bytes(here / "a", b"new")
    assert (names(here), (here / "a").read_bytes(), (here / "a").is_symlink()) == (["a"], b"new", False)
    assert (names(outside), (outside / "kept").read_text()) == (["kept"], "kept")


@pytest.mark.parametrize("what", PLANTED)
def test_left_temporary_names_are_removed_and_never_followed(tmp_path: Path, what: str) -> None:
    here, outside = tmp_path / "here", tmp_path / "outside"
    here.mkdir()
    (here / "a").write_text("kept")
    plant(here / ".a.123.tmp", what, outside)
    remove_torn(here)
    assert (names(here), names(outside), (outside / "kept").read_text()) == (["a"], ["kept"], "kept")


@pytest.mark.parametrize("what", ["link", "link to a file", "file", "fifo"])
def test_a_folder_does_not_replace_what_is_no_folder(tmp_path: Path, what: str) -> None:
    here, outside = tmp_path / "here", tmp_path / "outside"
    here.mkdir()
    plant(here / "a", what, outside)
    with pytest.raises(OSError, match="a'"), new_folder(here / "a") as aside:
        (aside / "new").touch()
    assert (names(here), names(outside)) == (["a"], ["kept"])
