"""Names that may become part of a path."""

import pytest

from iscc_lidar.shared.base.names import name_fault


@pytest.mark.parametrize(
    "name", ["", " ", "a ", ".", "..", "a/b", "a\\b", "a\nb", "a\x00", "\x1b[2J", "caf\udce9", "x" * 201]
)
def test_names_that_cannot_be_a_folder_s(name: str) -> None:
    assert name_fault(name)


@pytest.mark.parametrize("name", ["00", "2011_09_26_drive_0009_sync", "scene-0001", "ä b", "training_000008", "..."])
def test_names_that_can(name: str) -> None:
    assert name_fault(name) is None
