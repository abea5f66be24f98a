"""Recordings for rerun come back by rerun's own reader; without rerun it is named in one line."""

from __future__ import annotations

import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from iscc_lidar.data_schemas.labels import GROUND, NOISE
from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.base.palettes import distinct_colors
from iscc_lidar.shared.cache.reader import Cache
from iscc_lidar.shared.export.rerun import TARGET, group_colors
from iscc_lidar.shared.export.target import ExportOptions
from iscc_lidar.shared.export.write import export_cache

Logged = dict[tuple[str, int], dict[str, Any]]


def read(path: Path) -> Logged:
    """Read what was logged, by entity and sweep (-1: at all times)."""
    from rerun.chunk import RrdReader

    found: Logged = defaultdict(dict)
    for chunk in RrdReader(path).stream():
        batch = chunk.to_record_batch()
        columns = dict(zip(batch.schema.names, batch.columns, strict=True))
        for row in range(batch.num_rows):
            at = -1 if chunk.is_static else columns["sweep"][row].as_py()
            if not chunk.is_static:
                found[chunk.entity_path, at]["time"] = columns["time"][row].value
            for name, column in columns.items():
                if ":" in name and column[row].is_valid:
                    found[chunk.entity_path, at][name.partition(":")[2]] = column[row].values
    return found


def vectors(values: Any, width: int) -> NDArray[Any]:
    return np.array(values.flatten()).reshape(-1, width)


def test_rerun_reads_what_was_in_the_cache(tiny_cache: Path, tmp_path: Path) -> None:
    pytest.importorskip("rerun", reason="rerun-sdk, of the extra view, is not installed")
    cache = Cache(tiny_cache)
    assert export_cache(cache, tmp_path / "out", TARGET, ExportOptions(min_confidence=0.02)) == 2
    logged, poses, times = read(tmp_path / "out/01.rrd"), cache.poses("01"), cache.times_ns("01")
    assert logged["/__properties", -1]["name"].to_pylist() == ["01"]
    boxes_found = 0
    for index in range(6):
        sweep, boxes = cache.sweep("01", index), cache.group_boxes("01", index)
        assert boxes is not None
        boxes = boxes.sure(0.02)
        parts = {"groups": sweep.label >= 0, "ground": sweep.label == GROUND, "noise": sweep.label == NOISE}
        for part, rows in parts.items():
            entity = logged[f"/world/sensor/{part}", index]
            assert np.array_equal(vectors(entity["positions"], 3), sweep.xyz[rows])
            assert entity["time"] == times[index] - times[0]
        colors = np.array(logged["/world/sensor/groups", index]["colors"])
        assert np.array_equal(colors, group_colors(sweep.label[sweep.label >= 0]))
        pose = logged["/world/sensor", index]
        assert np.allclose(vectors(pose["translation"], 3)[0], poses[index, :3, 3] - poses[0, :3, 3], atol=1e-4)
        assert np.allclose(vectors(pose["mat3x3"], 9).reshape(3, 3).T, poses[index, :3, :3], atol=1e-6)
        found = logged["/world/sensor/boxes", index]
        assert np.allclose(vectors(found["centers"], 3), boxes.centre)
        assert np.allclose(vectors(found["half_sizes"], 3) * 2, boxes.size)
        turn = vectors(found["quaternions"], 4)
        assert np.allclose(np.exp(2j * np.arctan2(turn[:, 2], turn[:, 3])), np.exp(1j * boxes.heading), atol=1e-5)
        assert np.array_equal(np.array(found["colors"]), group_colors(boxes.group))
        boxes_found += len(boxes.group)
    assert boxes_found > 20


def test_a_sweep_without_boxes_does_not_keep_those_before_it(tiny_cache: Path, tmp_path: Path) -> None:
    pytest.importorskip("rerun", reason="rerun-sdk, of the extra view, is not installed")
    export_cache(Cache(tiny_cache), tmp_path / "out", TARGET, ExportOptions(min_confidence=1))
    logged = read(tmp_path / "out/00.rrd")
    assert [len(logged["/world/sensor/boxes", index]["centers"]) for index in range(6)] == [0] * 6


def test_colours_are_those_of_the_pictures() -> None:
    groups = np.array([0, 1, 77, 4_000_000], np.int32)
    found = group_colors(groups)[:, None] >> np.array([24, 16, 8, 0], np.uint32) & 255
    assert np.array_equal(found[:, :3], np.rint(distinct_colors(groups) * 255))
    assert (found[:, 3] == 255).all()


def test_without_rerun_the_extra_is_named(tiny_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rerun", None)
    with pytest.raises(UserError, match=r"needs the package rerun-sdk, which is not installed.*\[view\]") as raised:
        export_cache(Cache(tiny_cache), tmp_path / "out", TARGET, ExportOptions())
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "out").exists()


def test_recordings_that_are_switched_off_are_an_error(
    tiny_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("rerun", reason="rerun-sdk, of the extra view, is not installed")
    monkeypatch.setenv("RERUN", "off")
    with pytest.raises(UserError, match="variable RERUN switches recordings off"):
        export_cache(Cache(tiny_cache), tmp_path / "out", TARGET, ExportOptions())
