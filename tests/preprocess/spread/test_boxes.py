"""Boxes on sweeps without labels, and areas of which nothing is known."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from iscc_lidar.data_schemas.boxes import Boxes, boxes_in_space, points_in_box
from iscc_lidar.data_schemas.spread import FROM_LABEL, FROM_NOTHING, FROM_POSITION, UNKNOWN_KIND
from iscc_lidar.preprocess.spread.box_motion import SeenSweep
from iscc_lidar.preprocess.spread.boxes import LabelledSweep, gather_boxes, spread_boxes, to_sensor, to_world
from iscc_lidar.preprocess.spread.rule import SpreadConfig
from iscc_lidar.preprocess.spread.run import spread
from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.base.geometry import euler_rotation
from iscc_lidar.shared.cache import spread_part as part
from iscc_lidar.shared.cache.reader import Cache
from iscc_lidar.shared.cache.spread_labels import SpreadLabels, read_rows
from iscc_lidar.shared.cache.sweep import Groups
from iscc_lidar.shared.store.local import LocalStore

SENSOR = np.zeros(3)


def boxes(*rows: tuple[str, float, float]) -> Boxes:
    kind = np.array([row[0] for row in rows])
    centre = np.array([[x, y, 0.5] for _, x, y in rows], np.float64).reshape(-1, 3)
    return boxes_in_space(kind, centre, np.tile([2.0, 1.0, 1.0], (len(rows), 1)), np.zeros(len(rows)))


def seen(index: int, *groups: tuple[int, float, float]) -> SeenSweep:
    """A sweep with a block of points for each group."""
    rng = np.random.default_rng(index)
    block = rng.uniform([-0.95, -0.45, 0.05], [0.95, 0.45, 0.95], (40, 3))
    xyz = np.concatenate([block + np.array([x, y, 0.0]) for _, x, y in groups])
    return SeenSweep(index, xyz, np.repeat(np.array([g for g, _, _ in groups], np.int32), 40), SENSOR)


def table(sweep: SeenSweep) -> Groups:
    ids = np.unique(sweep.label[sweep.label >= 0])
    parts = [sweep.xyz[sweep.label == group] for group in ids]
    corner = (np.array([f(part, axis=0) for part in parts]) for f in (np.mean, np.min, np.max))
    return Groups(ids, np.array([len(p) for p in parts], np.int32), np.zeros(len(ids), np.bool_), *corner)


def labelled(sweep: SeenSweep, found: Boxes) -> LabelledSweep:
    return LabelledSweep(sweep, found, np.ones(len(sweep.label), np.bool_))


def test_a_box_stands_where_its_group_is_seen_and_what_was_never_shown_is_unknown() -> None:
    first = seen(0, (1, 10, 0), (2, 20, 0), (5, 30, 5))
    evidence = gather_boxes([labelled(first, boxes(("Car", 10, 0), ("Bus", 20, 0)))])
    later = seen(1, (1, 10, 0), (3, 40, 0), (5, 30, 5))  # 2 is gone, 3 is new, 5 was seen and has no box
    found = spread_boxes(later, table(later), evidence)
    assert found.boxes.kind.tolist() == ["Car", UNKNOWN_KIND]
    assert found.source.tolist() == [FROM_POSITION, FROM_NOTHING]
    assert found.boxes.centre[0].tolist() == [10, 0, 0.5]
    assert np.abs(found.boxes.centre[1] - [40, 0, 0.5]).max() < 0.2


def test_a_group_in_two_boxes_and_a_box_of_two_groups_are_unknown() -> None:
    first = seen(0, (1, 10, 0), (1, 10, 3), (2, 20, 0), (3, 20, 0))
    evidence = gather_boxes([labelled(first, boxes(("Person", 10, 0), ("Person", 10, 3), ("Car", 20, 0)))])
    assert not evidence.of_group
    found = spread_boxes(first, table(first), evidence)
    assert set(found.boxes.kind.tolist()) == {UNKNOWN_KIND}
    centres = found.boxes.centre[:, :2].round().tolist()
    assert [10, 0] in centres
    assert [10, 3] in centres
    assert centres.count([20, 0]) == 3  # the box, and the two groups in it


def test_what_nobody_looked_at_is_unknown() -> None:
    first = seen(0, (1, 10, 0), (2, -20, 0))
    front = LabelledSweep(first, boxes(("Car", 10, 0)), first.xyz[:, 0] > 0)
    found = spread_boxes(first, table(first), gather_boxes([front]))
    assert found.boxes.kind.tolist() == ["Car", UNKNOWN_KIND]


def test_large_groups_hide_no_object() -> None:
    first = seen(0, (1, 10, 0))
    wall = SeenSweep(1, np.c_[np.linspace(-20, 20, 50), np.full(50, 9), np.ones(50)], np.full(50, 8, np.int32), SENSOR)
    found = spread_boxes(wall, table(wall), gather_boxes([labelled(first, boxes(("Car", 10, 0)))]))
    assert len(found.boxes) == 0


def test_boxes_in_another_frame_and_back() -> None:
    pose = np.eye(4)
    pose[:3, :3] = euler_rotation(yaw=2.0)
    pose[:3, 3] = [100.0, -50.0, 3.0]
    there = to_world(boxes(("Car", 10, 2)), pose)
    points = (np.array([[10.5, 2.2, 0.4], [12.0, 2.0, 0.5]]) @ pose[:3, :3].T) + pose[:3, 3]
    assert points_in_box(points, there.centre[0], there.size[0], float(there.heading[0])).tolist() == [True, False]
    back = to_sensor(there, pose)
    assert np.allclose(back.centre, [[10, 2, 0.5]])
    assert np.allclose(back.heading, 0)


def test_boxes_of_a_street_are_mostly_where_they_were_labelled(tiny_cache: Path, tmp_path: Path) -> None:
    cache = Cache(tiny_cache)
    spread(cache, LocalStore(tmp_path / "out"), [("00", "000002"), ("01", "000002")], SpreadConfig())
    labels = SpreadLabels(tmp_path / "out", cache)
    own = labels.boxes("00", 2)
    true = cache.boxes("00", 2)
    assert true is not None
    assert own.boxes.kind.tolist() == true.kind.tolist()
    assert (own.source == FROM_LABEL).all()
    close, objects = 0, 0
    for sequence in ("00", "01"):
        for index in (0, 1, 3, 4, 5):
            found, true = labels.boxes(sequence, index), cache.boxes(sequence, index)
            assert true is not None
            assert ((found.boxes.kind == UNKNOWN_KIND) == (found.source == FROM_NOTHING)).all()
            for kind, centre in zip(found.boxes.kind, found.boxes.centre, strict=True):
                if kind != UNKNOWN_KIND:
                    same = true.centre[true.kind == kind]
                    close += bool((np.linalg.norm(same - centre, axis=1) < 0.5).any())
                    objects += 1
    assert objects > 5
    assert close >= 0.8 * objects
    counts = labels.box_counts()
    assert counts["label"] == len(own.boxes) + len(labels.boxes("01", 2).boxes)
    assert counts["position"] + counts["group"] == objects


def test_damaged_boxes_are_refused(tiny_cache: Path, tmp_path: Path) -> None:
    cache = Cache(tiny_cache)
    store = LocalStore(tmp_path / "out")
    spread(cache, store, [("00", "000002")], SpreadConfig())
    labels = SpreadLabels(tmp_path / "out", cache)
    points, good = labels.sweep("00", 2), labels.boxes("00", 2)

    def content(found: Boxes, source: np.ndarray) -> bytes:
        return part.encode([part.SpreadSweep(2, points, part.SpreadBoxes(found, source))], "key")

    classes = len(cache.manifest.class_names)
    assert read_rows(content(good.boxes, good.source), 2, 3, classes).num_rows == 1
    for wrong, source in (
        (replace(good.boxes, heading=good.boxes.heading * np.nan), good.source),
        (replace(good.boxes, centre=good.boxes.centre + 1e12), good.source),
        (replace(good.boxes, kind=np.array(["x" * 2000] * len(good.boxes))), good.source),
        (good.boxes, good.source + 9),
    ):
        with pytest.raises(ValueError, match="a box has"):
            read_rows(content(wrong, source), 2, 3, classes)
    with pytest.raises(UserError, match="has no labels for sweep 99"):
        labels.boxes("00", 99)
