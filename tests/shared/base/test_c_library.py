"""Compiled libraries: found, not there, of another version, or broken; each with a reason."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from iscc_lidar.shared.base.c_library import load_library

TREE = "iscc_lidar.preprocess.segment.native._spanning_tree"


def test_one_that_was_never_compiled_is_reported() -> None:
    found, why = load_library("iscc_lidar.shared._nothing", 1)
    assert found is None
    assert "not compiled: install iscc-lidar again where there is a C compiler" in why


def test_one_of_another_version_is_refused() -> None:
    if load_library(TREE, 1)[0] is None:
        pytest.skip("there was no C compiler")
    found, why = load_library(TREE, 99)
    assert found is None
    assert "of another version" in why


def test_one_that_is_broken_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = tmp_path / "broken.so"
    broken.write_bytes(b"no library")
    spec = importlib.util.spec_from_file_location("broken", tmp_path / "broken.py")
    assert spec is not None
    spec.origin = str(broken)
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: spec)
    found, why = load_library("broken", 1)
    assert found is None
    assert "do not load" in why
