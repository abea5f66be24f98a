from pathlib import Path

import pytest

from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.base.files import read_lines, read_text
from iscc_lidar.shared.base.names import name_fault
from iscc_lidar.shared.base.text import printable


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_marks_line_ends_and_blank_lines_at_the_end_change_nothing(tmp_path: Path, end: str, mark: bytes) -> None:
    path = tmp_path / "text.txt"
    path.write_bytes(mark + end.join(["ä 1", "", "2", "", " "]).encode())
    assert read_lines(path) == ["ä 1", "", "2"]
    assert read_text(path).startswith("ä")


def test_other_encodings_folders_and_missing_files_are_named(tmp_path: Path) -> None:
    (tmp_path / "utf16.txt").write_bytes("1 2".encode("utf-16"))
    with pytest.raises(UserError, match=r"utf16\.txt: is not a text file in UTF-8"):
        read_text(tmp_path / "utf16.txt")
    with pytest.raises(UserError, match="is a folder"):
        read_text(tmp_path)
    with pytest.raises(FileNotFoundError):
        read_text(tmp_path / "none")


def test_control_characters_and_bytes_that_are_not_text_are_printed_as_escapes() -> None:
    assert printable("a\x1b[2Jb\n\udcff ä") == "a\\x1b[2Jb\\n\\udcff ä"


@pytest.mark.parametrize(
    "name", ["", " ", "a ", ".", "..", "a/b", "a\\b", "a\nb", "a\x00", "\x1b[2J", "caf\udce9", "x" * 201]
)
def test_names_that_cannot_be_a_folder_s(name: str) -> None:
    assert name_fault(name)


@pytest.mark.parametrize("name", ["00", "2011_09_26_drive_0009_sync", "scene-0001", "ä b", "training_000008", "..."])
def test_names_that_can(name: str) -> None:
    assert name_fault(name) is None
