"""A cache from Python is what its reader reads."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import iscc_lidar
from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.cache import reader


def test_sequences_and_sweeps_read_as_the_reader_reads_them(tiny_cache: Path) -> None:
    cache, expected = iscc_lidar.open_cache(tiny_cache), reader.Cache(tiny_cache)
    assert (list(cache), len(cache), "00" in cache, "99" in cache) == (["00", "01"], 2, True, False)
    assert (cache.dataset, cache.class_names[1], cache.path, cache.skipped) == (
        "synthetic",
        "car",
        str(tiny_cache),
        (),
    )
    sequence, stored = cache["00"], expected.sweep("00", 5)
    assert len(sequence) == 6
    for sweep in (sequence[5], sequence[-1], sequence[4:][-1], list(sequence)[5]):
        assert (sweep.sequence, sweep.index, sweep.name, len(sweep)) == ("00", 5, "000005", len(stored.xyz))
        np.testing.assert_array_equal(sweep.points, np.column_stack([stored.xyz, stored.intensity]))
        np.testing.assert_array_equal(sweep.label, stored.label)
        np.testing.assert_array_equal(sweep.classes, stored.semantic)
        np.testing.assert_array_equal(sweep.pose, stored.world_SE3_sensor)
        assert sweep.points.dtype == np.float32
    groups = expected.groups("00", 5)
    assert sequence[5].groups["group"].to_pylist() == groups.group.tolist()
    assert sequence.groups.num_rows == sum(sweep.groups.num_rows for sweep in sequence)
    assert len(sequence[5].queries.kind) == len(stored.queries.kind)
    boxes = sequence[5].boxes
    assert boxes is not None
    assert len(boxes) > 0
    assert repr(cache) == f"<Cache {tiny_cache}: synthetic, 2 sequences>"
    assert repr(sequence) == "<CachedSequence 00: 6 sweeps>"
    assert repr(sequence[5]) == f"<CachedSweep 00/000005: {len(stored.xyz):,} points>"


def test_what_is_not_there_is_named(tiny_cache: Path, tmp_path: Path) -> None:
    cache = iscc_lidar.open_cache(tiny_cache)
    with pytest.raises(UserError, match="no sequence '99'; there are 00, 01"):
        cache["99"]
    with pytest.raises(UserError, match="sequence 00 has 6 sweeps, none at 6"):
        cache["00"][6]
    with pytest.raises(UserError, match="no finished cache here"):
        iscc_lidar.open_cache(tmp_path)
    with pytest.raises(UserError, match="not a URL of an object store"):
        iscc_lidar.open_cache("http://example.org/cache")


def test_each_group_is_a_row_with_its_track(tiny_cache: Path) -> None:
    sequence, cache = iscc_lidar.open_cache(tiny_cache)["00"], reader.Cache(tiny_cache)
    table = sequence.tracks()
    rows = sequence.groups.to_pylist()
    assert table["group"].to_pylist() == sorted({row["group"] for row in rows})
    for found in table.to_pylist():
        own = [row for row in rows if row["group"] == found["group"]]
        assert found["sweeps"] == [row["sweep"] for row in own]
        assert found["points"] == sum(row["points"] for row in own)
        assert found["moving"] == any(row["moving"] for row in own)
        assert found["class"] is None
        for index, centre, heading in zip(found["sweeps"], found["centre"], found["heading"], strict=True):
            boxes, pose = sequence[index].group_boxes, sequence[index].pose
            assert boxes is not None
            (k,) = np.flatnonzero(boxes.group == found["group"])
            assert found["size"] == boxes.size[k].tolist()
            assert found["confidence"] == boxes.confidence[k]
            np.testing.assert_allclose(centre, pose[:3, :3] @ boxes.centre[k] + pose[:3, 3], atol=1e-9)
            ahead = pose[:3, :3] @ [np.cos(boxes.heading[k]), np.sin(boxes.heading[k]), 0]
            np.testing.assert_allclose([np.cos(heading), np.sin(heading)], ahead[:2], atol=1e-3)
    assert table.num_rows == len(cache.group_ids("00"))


def test_a_group_has_the_class_of_most_of_its_labelled_points(tiny_cache: Path, tmp_path: Path) -> None:
    sequence = iscc_lidar.open_cache(tiny_cache)["00"]
    names = iscc_lidar.open_cache(tiny_cache).class_names
    (tmp_path / "classes.txt").write_text("".join(f"{name}\n" for name in names))
    (tmp_path / "00").mkdir()
    counts: dict[int, dict[str, int]] = {}
    for sweep in sequence[:3]:
        assert sweep.classes is not None
        classes = np.where(sweep.label % 3 == 0, 0, sweep.classes).astype("<u4")
        (classes | 7 << 16).tofile(tmp_path / "00" / f"{sweep.name}.label")
        for group, index in zip(sweep.label.tolist(), classes.tolist(), strict=True):
            if group >= 0 and index:
                of = counts.setdefault(group, {})
                of[names[index]] = of.get(names[index], 0) + 1
    found = dict(zip(*(sequence.tracks(tmp_path)[name].to_pylist() for name in ("group", "class")), strict=True))
    for group, name in found.items():
        most = max(counts.get(group, {"": 0}).values())
        assert (name or "") in [n for n, count in counts.get(group, {"": 0}).items() if count == most]
    assert any(found.values())
    with pytest.raises(UserError, match=r"none: expected classes.txt and SEQUENCE/NAME.label"):
        sequence.tracks(tmp_path / "none")
    with pytest.raises(UserError, match="labels: is a int, expected a path"):
        sequence.tracks(7)  # type: ignore[arg-type]
