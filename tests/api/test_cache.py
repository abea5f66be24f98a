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
