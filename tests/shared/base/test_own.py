"""Folders of results: marked before anything is in them, and never shared by results of different sources."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.base.own import MARK_FILE, OwnFolder, own_folder


def test_results_of_one_source_are_continued_and_of_another_refused(tmp_path: Path) -> None:
    out = tmp_path / "out"
    own_folder(out, "labels", "cache A").write("a/1.label", b"1")
    own_folder(out, "labels", "cache A").write("a/2.label", b"2")
    own_folder(out, "labels")  # whoever does not know the source
    with pytest.raises(UserError, match="contains labels of cache A, not of cache B, and they must not mix"):
        own_folder(out, "labels", "cache B")
    with pytest.raises(UserError, match="contains labels, not predictions"):
        own_folder(out, "predictions", "cache A")
    assert (out / "a/1.label").read_bytes() == b"1"


@pytest.mark.parametrize("of", [None, 3, ["x"], "", "\x1b[2J", "y" * 10**4])
def test_a_mark_may_say_anything(tmp_path: Path, of: object) -> None:
    mark = {"program": "iscc-lidar", "content": "labels", "of": of}
    (tmp_path / MARK_FILE).write_text(json.dumps({k: v for k, v in mark.items() if v is not None}))
    with pytest.raises(UserError, match="contains labels of ") as found:
        own_folder(tmp_path, "labels", "cache A")
    assert "\x1b" not in str(found.value)
    assert len(str(found.value)) < 2000


def test_a_large_file_appears_in_one_step_or_not_at_all(tmp_path: Path) -> None:
    folder = own_folder(tmp_path / "out", "labels")
    with pytest.raises(RuntimeError), folder.new_file("a/b") as file:  # noqa: PT012
        file.write(b"half")
        raise RuntimeError
    assert [path.name for path in (tmp_path / "out/a").iterdir()] == []
    for text in (b"one", b"two"):
        with folder.new_file("a/b") as file:
            file.write(b"....")
            file.seek(0)
            file.write(text)
            assert file.read() == b"."
    assert (tmp_path / "out/a/b").read_bytes() == b"two."
    with pytest.raises(UserError, match=r"'\.\.' is not a name"), folder.new_file("../b"):
        pass


def test_what_a_reader_would_take_for_results_is_removed_and_the_rest_left(tmp_path: Path) -> None:
    folder = own_folder(tmp_path / "out", "labels")
    folder.remove_others("a", (), ".seg")
    for name in ("1.seg", "2.seg", "3.csv"):
        folder.write(f"a/{name}", b"")
    folder.remove_others("a", {"2.seg"}, ".seg")
    assert sorted(path.name for path in (tmp_path / "out/a").iterdir()) == ["2.seg", "3.csv"]
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/4.seg").touch()
    (tmp_path / "out/b").symlink_to(tmp_path / "elsewhere")
    folder.remove_others("b", (), ".seg")
    assert (tmp_path / "elsewhere/4.seg").exists()


def test_temporary_files_of_killed_programs_are_removed_in_own_folders_alone(tmp_path: Path) -> None:
    torn = ".1.seg.99.tmp"
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / torn).touch()
    folder = own_folder(tmp_path / "out", "labels")
    folder.remove_torn()
    folder.write("a/b/1.seg", b"")
    (tmp_path / "out/link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "out/.c.98.tmp").mkdir()
    for place in ("", "a/b", ".c.98.tmp"):
        (tmp_path / "out" / place / torn).touch()
    own_folder(tmp_path / "out", "labels").remove_torn()
    left = sorted(str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*"))
    assert left == [".iscc-lidar.json", "a", "a/b", "a/b/1.seg", "link"]
    assert (tmp_path / "elsewhere" / torn).exists()
    (tmp_path / "elsewhere/.iscc-lidar.json").unlink(missing_ok=True)
    OwnFolder(tmp_path / "elsewhere", "labels").remove_torn()
    assert (tmp_path / "elsewhere" / torn).exists()
