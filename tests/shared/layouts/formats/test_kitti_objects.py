"""KITTI's lines to boxes in the sweep and back, on made-up and on real files; and what is wrong with a file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from iscc_lidar.data_schemas.boxes import Camera, box_corners, points_in_box
from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.layouts.formats.kitti_objects import (
    KittiObjects,
    format_objects,
    image_boxes,
    read_camera,
    read_objects,
    to_camera,
    to_sensor,
)

LINE = "Car 0.10 1 -1.60 600.0 170.0 650.0 200.0 1.5 1.7 4.2 1.0 1.6 20.0 -1.55"
CALIBRATION = """P2: 700 0 600 45 0 700 180 0.2 0 0 1 0.003
R0_rect: 1 0 0 0 1 0 0 0 1
Tr_velo_to_cam: 0 -1 0 0.01 0 0 -1 -0.08 1 0 0 -0.27
"""


@pytest.fixture
def camera(tmp_path: Path) -> Camera:
    (tmp_path / "calib.txt").write_text(CALIBRATION)
    return read_camera(tmp_path / "calib.txt")


def test_a_line_becomes_a_box_where_it_should_be(camera: Camera, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(f"{LINE}\nDontCare -1 -1 -10 500 150 520 160 -1 -1 -1 -1000 -1000 -1000 -10\n")
    boxes = to_sensor(read_objects(tmp_path / "a.txt"), camera)
    assert boxes.kind.tolist() == ["Car", "DontCare"]
    # 20 m ahead of the camera and 1 m to its right; the camera is .27 m before the sensor.
    np.testing.assert_allclose(boxes.centre[0], [20.27, -0.99, -1.6 - 0.08 + 0.75], atol=1e-9)
    np.testing.assert_allclose(boxes.size[0], [4.2, 1.7, 1.5])
    np.testing.assert_allclose(boxes.heading[0], 1.55 - np.pi / 2, atol=1e-9)
    assert np.isnan(boxes.centre[1]).all()
    assert boxes.image_box[1].tolist() == [500, 150, 520, 160]


@given(
    st.lists(
        st.tuples(st.floats(-40, 40), st.floats(-2, 3), st.floats(1, 70), st.floats(0.3, 12), st.floats(-3.14, 3.14)),
        min_size=1,
        max_size=20,
    ),
    st.tuples(*[st.floats(-0.02, 0.02)] * 2),
)
def test_there_and_back_is_where_it_was(rows: list[tuple[float, ...]], tilt: tuple[float, float]) -> None:
    a = np.array(rows)
    camera_SE3_sensor = np.array([[0.0, -1, 0, 0], [0, 0, -1, -0.08], [1, 0, 0, -0.27], [0, 0, 0, 1]])
    roll, pitch = tilt
    lean = np.array([[np.cos(pitch), 0, np.sin(pitch)], [0, 1, 0], [-np.sin(pitch), 0, np.cos(pitch)]])
    lean = lean @ np.array([[1, 0, 0], [0, np.cos(roll), -np.sin(roll)], [0, np.sin(roll), np.cos(roll)]])
    camera_SE3_sensor[:3, :3] = camera_SE3_sensor[:3, :3] @ lean
    camera = Camera(np.array([[700.0, 0, 600, 45], [0, 700, 180, 0.2], [0, 0, 1, 0.003]]), camera_SE3_sensor, 1242, 375)
    n = len(a)
    objects = KittiObjects(
        np.full(n, "Car"),
        np.zeros(n),
        np.zeros(n, np.int32),
        np.zeros(n),
        np.tile([0.0, 0, 50, 50], (n, 1)),
        np.stack([a[:, 3] / 3, a[:, 3] / 2, a[:, 3]], axis=1),
        a[:, :3],
        a[:, 4],
    )
    back = to_camera(to_sensor(objects, camera), camera)
    np.testing.assert_allclose(back.location, objects.location, atol=1e-9)
    np.testing.assert_allclose(back.size, objects.size)
    turned = np.angle(np.exp(1j * (back.rotation_y - objects.rotation_y)))
    assert np.abs(turned).max() < 1e-3  # a camera that leans sees upright boxes lean


def test_lines_are_read_as_they_were_written(tmp_path: Path, camera: Camera) -> None:
    (tmp_path / "a.txt").write_text(LINE + "\n")
    once = read_objects(tmp_path / "a.txt")
    (tmp_path / "b.txt").write_text(format_objects(to_camera(to_sensor(once, camera), camera, np.array([0.75]))))
    again = read_objects(tmp_path / "b.txt", scored=True)
    assert again.score is not None
    assert again.score.tolist() == [0.75]
    for name in ("truncation", "occlusion", "image_box", "size", "location", "rotation_y"):
        np.testing.assert_allclose(getattr(again, name), getattr(once, name), atol=1e-4)
    assert again.alpha[0] == pytest.approx(-1.55 - np.arctan2(1.0, 20.0), abs=1e-4)


def test_a_box_in_the_image_is_around_its_corners(camera: Camera, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(LINE)
    boxes = to_sensor(read_objects(tmp_path / "a.txt"), camera)
    pixel, depth = camera.project(box_corners(boxes.centre, boxes.size, boxes.heading)[0])
    assert (depth > 0).all()
    np.testing.assert_allclose(image_boxes(boxes, camera)[0], [*pixel.min(axis=0), *pixel.max(axis=0)])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (LINE.rsplit(" ", 1)[0], "line 1: 14 columns, expected 15"),
        (LINE.replace("20.0", "twenty"), "line 1: expected numbers"),
        (f"{LINE}\n{LINE.replace('20.0', 'nan')}", "line 2: a number is not finite"),
        (LINE.replace("1.7", "0.0"), "line 1: height, width and length of a Car must be positive"),
    ],
)
def test_a_line_that_is_wrong_is_named(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "000007.txt").write_text(text)
    with pytest.raises(UserError, match=rf"000007\.txt, {message}"):
        read_objects(tmp_path / "000007.txt")


def test_files_that_are_missing_or_incomplete_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"label_2/000001\.txt: missing"):
        read_objects(tmp_path / "label_2/000001.txt")
    with pytest.raises(UserError, match=r"calib/000001\.txt: missing"):
        read_camera(tmp_path / "calib/000001.txt")
    (tmp_path / "calib.txt").write_text(CALIBRATION.replace("R0_rect", "R1_rect"))
    with pytest.raises(UserError, match=r"calib\.txt: expected rows P2, R0_rect, Tr_velo_to_cam"):
        read_camera(tmp_path / "calib.txt")


def test_real_boxes_hold_the_points_of_their_objects(real_data: Path, real_boxes: Path) -> None:
    for data, least in ((real_data / "kitti_detection", 50), (real_boxes, 500)):
        root = data / "training"
        inside = grown = 0
        for label in sorted(root.glob("label_2/*.txt")):
            camera = read_camera(root / "calib" / label.name)
            boxes = to_sensor(read_objects(label), camera)
            xyz = np.fromfile(root / "velodyne" / f"{label.stem}.bin", np.float32).reshape(-1, 4)[:, :3]
            for k in np.flatnonzero(boxes.kind == "Car"):
                # Above the road: the lower 30 cm are full of it.
                middle, size = boxes.centre[k] + np.array([0, 0, 0.15]), boxes.size[k] - np.array([0, 0, 0.3])
                inside += points_in_box(xyz, middle, size, boxes.heading[k]).sum()
                grown += points_in_box(xyz, middle, size + np.array([0.4, 0.4, 0]), boxes.heading[k]).sum()
        assert inside > least
        assert inside > 0.9 * grown, data


def test_classes_in_any_case_are_kittis_as_in_its_own_evaluation(tmp_path: Path) -> None:
    names = ["car", "VAN", "Pedestrian", "person_Sitting", "CYCLIST", "dontcare", "Bus"]
    lines = [LINE.replace("Car", name) for name in names]
    (tmp_path / "a.txt").write_bytes(b"\xef\xbb\xbf" + "\r\n".join([*lines, "", ""]).encode())
    found = read_objects(tmp_path / "a.txt").kind.tolist()
    assert found == ["Car", "Van", "Pedestrian", "Person_sitting", "Cyclist", "DontCare", "Bus"]
