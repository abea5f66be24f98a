"""Boxes come back from KITTI's files by readers of these formats alone, and from infos without running code."""

from __future__ import annotations

import io
import pickle
import pickletools
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from iscc_lidar.data_schemas.boxes import Camera, box_corners, boxes_in_space
from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.base.geometry import euler_rotation
from iscc_lidar.shared.cache.reader import Cache
from iscc_lidar.shared.cache.sweep import GroupBoxes
from iscc_lidar.shared.export.boxes import TARGET
from iscc_lidar.shared.export.target import ExportOptions
from iscc_lidar.shared.export.write import export_cache
from iscc_lidar.shared.layouts.formats import kitti_objects as kitti
from iscc_lidar.shared.layouts.formats import mmdet3d_infos as infos

LEAST = 0.02
"""Half the boxes of so short sequences are surer."""
GOLDEN = Path(__file__).parents[2] / "data_schemas/golden"


def kitti_boxes(rows: list[list[str]], calibration: Path) -> NDArray[np.float64]:
    """Corners [N, 8, 3] in the sensor frame of objects, each the columns from the class on; after KITTI's devkit."""
    numbers = {
        line.split()[0].rstrip(":"): np.array(line.split()[1:], float) for line in calibration.read_text().splitlines()
    }
    rect = numbers["R0_rect"] if "R0_rect" in numbers else numbers["R_rect"]
    velo = numbers["Tr_velo_to_cam"] if "Tr_velo_to_cam" in numbers else numbers["Tr_velo_cam"]
    camera_T_sensor = np.eye(4)
    camera_T_sensor[:3] = rect.reshape(3, 3) @ velo.reshape(3, 4)
    found = []
    for row in rows:
        height, width, length, x, y, z, turn = (float(text) for text in row[8:15])
        around = np.array([[1, 1, -1, -1], [0, 0, 0, 0], [1, -1, -1, 1]]) * [[length / 2], [0], [width / 2]]
        lower_upper = np.concatenate([around, around - [[0], [height], [0]]], axis=1)
        cos, sin = np.cos(turn), np.sin(turn)
        corners = np.array([[cos, 0, sin], [0, 1, 0], [-sin, 0, cos]]) @ lower_upper + [[x], [y], [z]]
        found.append((np.linalg.inv(camera_T_sensor) @ np.vstack([corners, np.ones(8)]))[:3].T)
    return np.array(found).reshape(-1, 8, 3)


def assert_same_corners(found: NDArray[np.float64], boxes: GroupBoxes, tilt: float = 0) -> None:
    """Compare corners as sets, since they begin elsewhere; boxes may be tilted about their middles, radians."""
    wanted = box_corners(boxes.centre, boxes.size, boxes.heading)
    assert found.shape == wanted.shape
    assert np.allclose(found.mean(axis=1), boxes.centre, atol=1e-3)
    away = np.linalg.norm(found[:, :, None] - wanted[:, None], axis=-1)
    near = 1e-3 + tilt * np.linalg.norm(boxes.size, axis=1) / 2
    assert (away.min(axis=2) < near[:, None]).all()
    assert (away.min(axis=1) < near[:, None]).all()


def sure(cache: Cache, sequence: str, index: int, least: float) -> GroupBoxes:
    boxes = cache.group_boxes(sequence, index)
    assert boxes is not None
    return boxes.sure(least)


class WithoutCamera(Cache):
    """A cache whose sweeps have no camera."""

    def camera(self, sequence: str, index: int) -> Camera | None:
        return None


@pytest.mark.parametrize(("kind", "tilt"), [(WithoutCamera, 0), (Cache, 0.03)])
def test_kittis_files_have_the_boxes_of_the_cache(
    tiny_cache: Path, tmp_path: Path, kind: type[Cache], tilt: float
) -> None:
    cache, out = kind(tiny_cache), tmp_path / "out"
    assert (cache.camera("00", 0) is None) == (tilt == 0)
    assert export_cache(cache, out, TARGET, ExportOptions(min_confidence=LEAST)) == 2 * (2 * 6 + 3)
    total = 0
    for name in cache.sequence_names:
        tracks = [line.split() for line in (out / f"kitti_tracking/training/label_02/{name}.txt").open()]
        for index, sweep in enumerate(cache.sweep_names(name)):
            boxes = sure(cache, name, index, LEAST)
            objects = [line.split() for line in (out / f"kitti_object/training/label_2/{name}/{sweep}.txt").open()]
            calibration = out / f"kitti_object/training/calib/{name}/{sweep}.txt"
            assert {len(row) for row in objects} <= {16}
            assert {(row[0], row[1], row[2]) for row in objects} <= {("Misc", "-1.00", "-1")}
            assert [float(row[15]) for row in objects] == pytest.approx(boxes.confidence.tolist(), abs=1e-6)
            assert_same_corners(kitti_boxes(objects, calibration), boxes, tilt)
            here = [row for row in tracks if row[0] == str(index)]
            assert [int(row[1]) for row in here] == boxes.group.tolist()
            assert [row[5:] for row in here] == [row[3:] for row in objects]
            assert_same_corners(
                kitti_boxes([row[2:] for row in here], out / f"kitti_tracking/training/calib/{name}.txt"), boxes, tilt
            )
            total += len(objects)
    assert total > 50


class PlainUnpickler(pickle.Unpickler):
    """Reads what needs no code."""

    def find_class(self, module: str, name: str) -> Any:
        raise AssertionError(f"{module}.{name}")


def test_infos_are_those_of_mmdetection3d_and_plain(tiny_cache: Path, tmp_path: Path) -> None:
    cache, out = Cache(tiny_cache), tmp_path / "out"
    export_cache(cache, out, TARGET, ExportOptions(min_confidence=LEAST))
    content = (out / "mmdet3d/iscc_infos_00.pkl").read_bytes()
    opcodes = {opcode.name for opcode, _, _ in pickletools.genops(content)}
    assert not opcodes & {"GLOBAL", "STACK_GLOBAL", "INST", "OBJ", "REDUCE", "BUILD", "NEWOBJ", "NEWOBJ_EX", "PERSID"}
    found = PlainUnpickler(io.BytesIO(content)).load()
    assert found["metainfo"]["categories"] == {"object": 0}
    assert [item["sample_idx"] for item in found["data_list"]] == list(range(6))
    for index, item in enumerate(found["data_list"]):
        sweep, boxes = cache.sweep("00", index), sure(cache, "00", index, LEAST)
        assert item["lidar_points"] == {"num_pts_feats": 4, "lidar_path": f"sequences/00/velodyne/{sweep.name}.bin"}
        assert item["lidar2global"] == sweep.world_SE3_sensor.tolist()
        rows = np.array([box["bbox_3d"] for box in item["instances"]]).reshape(-1, 7)
        lifted = rows[:, :3] + rows[:, 5:6] * [0, 0, 0.5]
        track = np.array([box["track_id"] for box in item["instances"]], int)
        assert_same_corners(box_corners(lifted, rows[:, 3:6], rows[:, 6]), boxes)
        assert np.array_equal(track, boxes.group)
        assert [box["num_lidar_pts"] for box in item["instances"]] == [(sweep.label == g).sum() for g in track]
        assert {box["bbox_label_3d"] for box in item["instances"]} == {0}


plain = st.recursive(
    st.integers(-(2**40), 2**40) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(st.dictionaries(st.text(), plain, max_size=3), st.lists(plain, max_size=5))
def test_infos_written_one_by_one_are_read_as_one(metainfo: dict[str, Any], items: list[Any]) -> None:
    content = infos.start(metainfo) + b"".join(infos.item(item) for item in [*items, *items]) + infos.END
    assert pickle.loads(content) == {"metainfo": metainfo, "data_list": [*items, *items]}  # noqa: S301


@given(
    st.lists(st.floats(-60, 60), min_size=3, max_size=3),
    st.lists(st.floats(0.1, 20), min_size=3, max_size=3),
    st.floats(-10, 10),
    st.floats(-3, 3),
)
def test_any_box_comes_back_from_an_upright_camera(
    centre: list[float], size: list[float], heading: float, yaw: float
) -> None:
    camera_SE3_sensor = kitti.VIRTUAL_CAMERA.camera_SE3_sensor @ np.diag([1.0, 1, 1, 1])
    camera_SE3_sensor[:3, :3] = camera_SE3_sensor[:3, :3] @ euler_rotation(yaw=yaw)
    camera = Camera(kitti.VIRTUAL_CAMERA.image_P_camera, camera_SE3_sensor, 1242, 375)
    boxes = boxes_in_space(np.array(["Misc"]), np.array([centre]), np.array([size]), np.array([heading]))
    found = kitti.to_sensor(kitti.to_camera(boxes, camera), camera)
    assert np.allclose(found.centre, boxes.centre)
    assert np.allclose(found.size, boxes.size)
    assert np.allclose(np.exp(1j * found.heading), np.exp(1j * boxes.heading))


def test_a_calibration_is_read_back(tmp_path: Path) -> None:
    camera = kitti.VIRTUAL_CAMERA
    (tmp_path / "calib.txt").write_text(kitti.format_calibration(camera))
    found = kitti.read_camera(tmp_path / "calib.txt")
    assert np.array_equal(found.image_P_camera, camera.image_P_camera)
    assert np.array_equal(found.camera_SE3_sensor, camera.camera_SE3_sensor)


class WithCamera(Cache):
    """A cache whose sweeps have a camera of their own."""

    def camera(self, sequence: str, index: int) -> Camera | None:
        turned = np.eye(4)
        turned[:3, :3] = kitti.VIRTUAL_CAMERA.camera_SE3_sensor[:3, :3] @ euler_rotation(yaw=0.4)
        turned[:3, 3] = (0.1, -0.2, 0.3)
        return Camera(kitti.VIRTUAL_CAMERA.image_P_camera, turned, 640, 480)


def test_the_sequences_own_camera_is_taken(tiny_cache: Path, tmp_path: Path) -> None:
    cache, out = WithCamera(tiny_cache), tmp_path / "out"
    export_cache(cache, out, TARGET, ExportOptions(min_confidence=LEAST))
    name = cache.sweep_names("00")[2]
    calibration = out / f"kitti_object/training/calib/00/{name}.txt"
    objects = [line.split() for line in (out / f"kitti_object/training/label_2/00/{name}.txt").open()]
    assert_same_corners(kitti_boxes(objects, calibration), sure(cache, "00", 2, LEAST))
    own = cache.camera("00", 2)
    assert own is not None
    assert np.allclose(kitti.read_camera(calibration).camera_SE3_sensor, own.camera_SE3_sensor)
    assert max(float(row[6]) for row in objects) <= 639


def test_another_confidence_writes_all_again_and_the_same_none(tiny_cache: Path, tmp_path: Path) -> None:
    cache, out = Cache(tiny_cache), tmp_path / "out"
    assert export_cache(cache, out, TARGET, ExportOptions(min_confidence=LEAST)) > 0
    first = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    assert (out / "kitti_tracking/training/label_02/00.txt").read_text() != ""
    assert export_cache(cache, out, TARGET, ExportOptions(min_confidence=LEAST)) == 0
    assert export_cache(cache, out, TARGET, ExportOptions(min_confidence=1)) > 0
    assert (out / "kitti_tracking/training/label_02/00.txt").read_text() == ""
    assert export_cache(cache, out, TARGET, ExportOptions(min_confidence=LEAST)) > 0
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == first


def test_a_cache_without_boxes_of_groups_is_refused(tmp_path: Path) -> None:
    shutil.copytree(GOLDEN / "2.0", tmp_path / "old")
    with pytest.raises(UserError, match=r"groups of sequence .* have no boxes.*: iscc-cache upgrade .*old"):
        export_cache(Cache(tmp_path / "old"), tmp_path / "out", TARGET, ExportOptions())
    assert not (tmp_path / "out").exists()
