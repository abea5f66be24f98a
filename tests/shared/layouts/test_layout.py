"""Each dataset has one record, found by its name."""

from __future__ import annotations

import subprocess
import sys

import pytest

from iscc_lidar.preprocess.datasets import registry
from iscc_lidar.shared.layouts.layout import Layout, all_layouts, find_layout


def test_every_dataset_that_can_be_read_has_a_layout() -> None:
    assert tuple(layout.name for layout in all_layouts()) == registry.names()
    for layout in all_layouts():
        assert find_layout(layout.name) == layout
        assert layout.description
        assert layout.how_to_get


@pytest.mark.parametrize("layout", all_layouts(), ids=lambda layout: layout.name)
def test_a_layout_fits_together(layout: Layout) -> None:
    assert layout.class_names[0] == "unlabelled"
    assert len(set(layout.class_names)) == len(layout.class_names)
    assert len(layout.colors) in (0, len(layout.class_names))
    assert all(len(bytes.fromhex(color)) == 3 for color in layout.colors)
    assert set(layout.class_names) >= layout.ground_classes


def test_box_classes_are_scored_by_one_rule_each() -> None:
    rules = [rule for layout in all_layouts() for rule in layout.box_rules]
    assert [rule.name for rule in rules] == ["Car", "Pedestrian", "Cyclist", "Vehicle"]


@pytest.mark.parametrize("name", ["mydata", "layout", "formats", "__init__", ""])
def test_nothing_is_known_of_a_dataset_without_a_module(name: str) -> None:
    assert find_layout(name) == Layout(name)


def test_layouts_are_imported_without_what_takes_long() -> None:
    code = (
        "import sys; from iscc_lidar.shared.layouts.layout import all_layouts; all_layouts(); "
        "print({'pyarrow', 'zarr', 'torch', 'scipy', 'fsspec'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
