"""Folders of results: marked before anything is in them, and never shared by results of different sources."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.base.own import MARK_FILE, own_folder


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
