"""Boxes in Supervisely's format: what is written is read, and what is no box is named by its file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.cache.sweep import GroupBoxes
from iscc_lidar.shared.layouts.formats.sly_point_cloud import Figure, Writer, meta, read_figures, sweep_file


def boxes_of(groups: list[int], seed: int) -> GroupBoxes:
    rng, n = np.random.default_rng(seed), len(groups)
    centre, size = rng.normal(0, 30, (n, 3)), rng.uniform(0.1, 9, (n, 3))
    return GroupBoxes(np.array(groups, np.int32), centre, size, rng.uniform(-3, 3, n), np.ones(n, np.float32))


SWEEPS = [boxes_of([3, 7], 0), boxes_of([], 1), boxes_of([7, 8], 2)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    writer = Writer("group", "salt")
    for index, boxes in enumerate(SWEEPS):
        file = tmp_path / sweep_file(index)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(writer.sweep(index, boxes, {group: f"tag {group}" for group in boxes.group.tolist()}))
    (tmp_path / "meta.json").write_bytes(meta([("group", "#808080"), ("car", "#ff0000")]))
    (tmp_path / "key_id_map.json").write_bytes(writer.keys())
    return tmp_path


def figures(folder: Path) -> list[list[Figure]]:
    return [found for _, _, found in read_figures(folder, len(SWEEPS))]


def test_what_is_written_is_read(folder: Path) -> None:
    for boxes, found in zip(SWEEPS, figures(folder), strict=True):
        assert [figure.group for figure in found] == [f"tag {group}" for group in boxes.group.tolist()]
        assert {figure.class_name for figure in found} <= {"group"}
        for k, figure in enumerate(found):
            np.testing.assert_array_equal(figure.centre, boxes.centre[k])
            np.testing.assert_array_equal(figure.size, boxes.size[k])
            assert figure.heading == boxes.heading[k]


def test_it_is_as_an_importer_takes_it(folder: Path) -> None:
    """Follow the keys as an importer does: figure to object to class; each key has a number; a track has a tag."""
    numbers = json.loads((folder / "key_id_map.json").read_text())
    declared = json.loads((folder / "meta.json").read_text())
    titles, tags = {c["title"] for c in declared["classes"]}, {tag["name"]: tag for tag in declared["tags"]}
    tracks: dict[int, list[int]] = {}
    for file in sorted((folder / "ds0/ann").glob("*.pcd.json")):
        content = json.loads(file.read_text())
        frame = numbers["videos"][content["key"]]
        assert file.name == f"{frame:06d}.pcd.json"
        objects = {item["key"]: item for item in content["objects"]}
        for figure in content["figures"]:
            assert figure["key"] in numbers["figures"]
            of = objects[figure["objectKey"]]
            assert of["classTitle"] in titles
            values = {tag["name"]: tag["value"] for tag in of["tags"]}
            assert values["keyframe"] == "true", "else it is no track"
            assert all(tags[name]["value_type"] == "any_string" for name in values)
            assert all(tags[name]["applicable_type"] == "objectsOnly" for name in values)
            tracks.setdefault(numbers["objects"][of["key"]], []).append(frame)
    assert sorted(tracks.values()) == [[0], [0, 2], [2]]
    assert len(set(numbers["figures"].values())) == 4
    assert len(set(numbers["videos"].values())) == 3


def forge(folder: Path, path: list[Any], value: object) -> None:
    """Replace a value of the first sweep, or drop it where it is None."""
    file = folder / sweep_file(0)
    content = json.loads(file.read_text())
    inner = content
    for key in path[:-1]:
        inner = inner[key]
    if value is None:
        del inner[path[-1]]
    else:
        inner[path[-1]] = value
    file.write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (["objects"], None),
        (["objects"], 5),
        (["objects", 0, "key"], None),
        (["objects", 0, "key"], ["a"]),
        (["objects", 0, "classTitle"], "x" * 2000),
        (["objects", 0, "tags"], [{"name": "iscc_group"}]),
        (["objects", 0, "tags", 0, "value"], 7),
        (["figures"], None),
        (["figures"], {"a": 1}),
        (["figures", 0, "objectKey"], "nobody"),
        (["figures", 0, "geometry"], []),
        (["figures", 0, "geometry", "position", "x"], None),
        (["figures", 0, "geometry", "position", "x"], "1"),
        (["figures", 0, "geometry", "position", "x"], float("nan")),
        (["figures", 0, "geometry", "position", "x"], 10**400),
        (["figures", 0, "geometry", "dimensions", "z"], 0),
        (["figures", 0, "geometry", "dimensions", "z"], -1.5),
        (["figures", 0, "geometry", "rotation", "z"], float("inf")),
    ],
)
def test_what_is_no_box_is_named_by_its_file(folder: Path, path: list[Any], value: object) -> None:
    forge(folder, path, value)
    with pytest.raises(UserError, match=r"000000.pcd.json: not a sweep's boxes in Supervisely's format \(") as error:
        figures(folder)
    assert len(str(error.value)) < 600


def test_files_of_no_sweep_or_of_one_twice_are_named(folder: Path) -> None:
    first = folder / sweep_file(0)
    for name in ("000003", "x", "00000", "٠٠٠٠٠٠", "-00001"):
        other = first.with_name(f"{name}.pcd.json")
        other.write_bytes(first.read_bytes())
        with pytest.raises(UserError, match=r"is of no sweep; expected 000000.pcd.json to 000002.pcd.json"):
            figures(folder)
        other.unlink()
    (first.parent / "again").mkdir()
    (first.parent / "again" / first.name).write_bytes(first.read_bytes())
    with pytest.raises(UserError, match="is of the same sweep as"):
        figures(folder)


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b"\xff", b'{"figures": ' + b"[" * 5000])
def test_damaged_files_are_named(folder: Path, content: bytes) -> None:
    (folder / sweep_file(1)).write_bytes(content)
    with pytest.raises(UserError, match=r"000001.pcd.json: "):
        figures(folder)
