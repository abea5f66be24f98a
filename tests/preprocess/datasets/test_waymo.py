"""The Waymo adapter against contexts whose points are known, and against real data by two roads."""

from __future__ import annotations

import pickle
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import cKDTree

from iscc_lidar.data_schemas.sweep import Sweep
from iscc_lidar.preprocess.datasets import _parquet_rows, _waymo_tables, registry, semantickitti, waymo
from iscc_lidar.preprocess.datasets._parquet_rows import open_rows
from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.base.geometry import inverse, transform

import waymo_writer as writer

NAME = "10_000_000"


def check(sweep: Sweep, truth, second_return: bool = True) -> None:  # type: ignore[no-untyped-def]
    """A sweep equals the truth: points and ray origins in the world, pose, pixels, labels, all in order."""
    keep = truth.pixel[:, 1] <= (2 if second_return else 1)
    assert sweep.pixel is not None
    np.testing.assert_array_equal(sweep.pixel, truth.pixel[keep])
    vehicle_SE3_sensor = np.eye(4)
    vehicle_SE3_sensor[:3, 3] = truth.mount
    np.testing.assert_allclose(sweep.world_SE3_sensor, truth.world_SE3_vehicle @ vehicle_SE3_sensor, atol=2e-6)
    assert (
        np.linalg.norm(transform(sweep.world_SE3_sensor, sweep.xyz) - truth.world[keep], axis=1).max(initial=0) < 1e-3
    )
    started = transform(sweep.world_SE3_sensor, sweep.origin)
    assert np.linalg.norm(started - truth.world_origin[keep], axis=1).max(initial=0) < 1e-3
    np.testing.assert_allclose(sweep.intensity, np.tanh(truth.intensity[keep]), atol=1e-6)
    assert (sweep.xyz.dtype, sweep.origin.dtype, sweep.intensity.dtype) == (np.float32,) * 3
    assert sweep.pixel.dtype == np.uint16
    assert (sweep.name, sweep.timestamp_ns) == (str(truth.timestamp), truth.timestamp * 1000)
    if truth.semantic is None:
        assert sweep.semantic is None
        assert sweep.instance is None
    else:
        assert sweep.semantic is not None
        assert sweep.instance is not None
        np.testing.assert_array_equal(sweep.semantic, truth.semantic[keep])
        np.testing.assert_array_equal(sweep.instance, truth.instance[keep])
        assert (sweep.semantic.dtype, sweep.instance.dtype) == (np.uint8, np.int32)


def test_gives_back_points_origins_poses_labels_and_pixels(tmp_path: Path) -> None:
    scene = writer.WaymoScene(contexts={"training": ("11_a", "10_b"), "validation": ("12_c",)})
    truth = writer.write_dataset(tmp_path, scene)
    dataset = waymo.Waymo(tmp_path, options=waymo.WaymoOptions(second_return=True))
    assert dataset.sequences() == ("10_b", "11_a", "12_c")
    assert dataset.splits() == {"train": ("10_b", "11_a"), "val": ("12_c",), "test": ()}
    for name, frames in truth.items():
        assert list(dataset.problems(name)) == []
        assert dataset.sweep_names(name) == tuple(str(frame.timestamp) for frame in frames)
        for index, frame in enumerate(frames):
            check(dataset.read(name, index), frame)


def test_first_returns_alone_by_default(tmp_path: Path) -> None:
    truth = writer.write_dataset(tmp_path)
    for index, frame in enumerate(truth[NAME]):
        check(waymo.open_dataset(tmp_path).read(NAME, index), frame, second_return=False)


def test_rays_of_top_start_where_the_car_was_at_their_moment(tmp_path: Path) -> None:
    writer.write_dataset(tmp_path)
    sweep = waymo.open_dataset(tmp_path).read(NAME, 1)
    assert sweep.pixel is not None
    top = sweep.pixel[:, 0] == 1
    travelled = np.linalg.norm(sweep.origin[top], axis=1)
    assert 0.5 < travelled.max() < 0.7  # 12 m/s, half a turn of 0.1 s before and behind
    for laser in (2, 3, 4, 5):
        mount = writer.EXTRINSICS[laser][:3, 3] - writer.EXTRINSICS[1][:3, 3]
        np.testing.assert_allclose(
            sweep.origin[sweep.pixel[:, 0] == laser],
            mount[None].repeat(int((sweep.pixel[:, 0] == laser).sum()), axis=0),
            atol=1e-6,
        )


layouts = st.builds(
    writer.WaymoLayout,
    row_group=st.sampled_from([1, 2, 7, 1000]),
    shuffled=st.booleans(),
    index=st.booleans(),
    fixed_size=st.booleans(),
    float32_transforms=st.booleans(),
    second_return=st.booleans(),
    compression=st.sampled_from(["snappy", "zstd", "none"]),
)
sides = st.tuples(st.integers(1, 4), st.integers(1, 9))
scenes = st.builds(
    writer.WaymoScene,
    frames=st.integers(1, 3),
    shapes=st.lists(sides, min_size=5, max_size=5).map(lambda s: dict(enumerate(s, start=1))),
    labelled_every=st.integers(1, 3),
    holes=st.sampled_from([0.0, 0.3, 1.0]),
    seed=st.integers(0, 9),
)


@settings(max_examples=40, deadline=None)
@given(scenes, layouts, st.booleans(), st.randoms())
def test_any_shape_and_layout_reads_the_same(scene, layout, second_return, random) -> None:  # type: ignore[no-untyped-def]
    with tempfile.TemporaryDirectory() as folder:
        truth = writer.write_dataset(Path(folder), scene, layout)[NAME]
        dataset = waymo.Waymo(Path(folder), options=waymo.WaymoOptions(second_return=second_return))
        assert list(dataset.problems(NAME)) == []
        indices = list(range(scene.frames)) * 2
        random.shuffle(indices)
        for index in indices:
            check(dataset.read(NAME, index), truth[index], second_return and layout.second_return)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 30), st.integers(1, 40), st.lists(st.integers(0, 29), min_size=1, max_size=40), st.integers(1, 4))
def test_rows_by_number_in_any_order(rows: int, group: int, numbers: list[int], held: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "t.parquet"
        pq.write_table(
            pa.table({"a.b": [[i, i] for i in range(rows)], "c": list(range(rows))}), path, row_group_size=group
        )
        reader = open_rows(path, ("a.b",), held)
        for number in numbers:
            assert reader.row(number % rows).to_pydict() == {"a.b": [[number % rows] * 2]}


@pytest.mark.parametrize(("order", "at_most"), [("time", 1.0), ("laser", 3.0), ("random", 55)])
def test_reading_in_order_decodes_no_more_than_it_must(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, order: str, at_most: float
) -> None:
    frames, lasers = 60, 5
    rows = [(f, k) for f in range(frames) for k in range(lasers)]
    if order == "laser":
        rows.sort(key=lambda row: row[1])
    if order == "random":
        np.random.default_rng(0).shuffle(rows)  # at most a pass for each of 60 frames
    pq.write_table(pa.table({"frame": [f for f, _ in rows]}), tmp_path / "t.parquet")
    decoded = []
    make = _parquet_rows.ParquetRows._new_cursor

    def counted(self, number):  # type: ignore[no-untyped-def]
        cursor = make(self, number)
        batches = cursor.batches
        cursor.batches = (decoded.append(1) or batch for batch in batches)
        return cursor

    monkeypatch.setattr(_parquet_rows.ParquetRows, "_new_cursor", counted)
    reader = open_rows(tmp_path / "t.parquet", ("frame",), 10)
    for frame in range(frames):
        for number in [i for i, row in enumerate(rows) if row[0] == frame]:
            assert reader.row(number).to_pydict() == {"frame": [frame]}
    assert len(decoded) <= at_most * len(rows)


def test_a_handle_is_small_when_pickled_even_after_reading(tmp_path: Path) -> None:
    writer.write_dataset(tmp_path)
    dataset = waymo.open_dataset(tmp_path)
    before = dataset.read(NAME, 0)
    data = pickle.dumps(dataset)
    assert len(data) < 1000
    np.testing.assert_array_equal(pickle.loads(data).read(NAME, 0).xyz, before.xyz)  # noqa: S301


def test_a_context_without_labels_has_none(tmp_path: Path) -> None:
    writer.write_dataset(tmp_path)
    shutil.rmtree(tmp_path / "training/lidar_segmentation")
    dataset = waymo.open_dataset(tmp_path)
    assert list(dataset.problems(NAME)) == []
    assert dataset.read(NAME, 0).semantic is None
    assert len(dataset.input_files(NAME, 0)) == 4


def test_intensity_stays_within_bounds_and_keeps_order(tmp_path: Path) -> None:
    writer.write_dataset(tmp_path)

    def brighten(rows: list[dict]) -> None:
        for row in rows:
            row["[LiDARComponent].range_image_return1.values"][1::4] = np.linspace(
                -1, 5000, len(row["[LiDARComponent].range_image_return1.values"]) // 4
            ).tolist()

    edit(tmp_path, "lidar", brighten)
    sweep = waymo.open_dataset(tmp_path).read(NAME, 0)
    assert sweep.intensity.min() >= 0
    assert sweep.intensity.max() == 1


def test_nominal_pose_goes_on_without_lidar_pose_and_is_less_exact(tmp_path: Path) -> None:
    truth = writer.write_dataset(tmp_path)[NAME][0]
    (tmp_path / f"training/lidar_pose/{NAME}.parquet").unlink()
    dataset = waymo.Waymo(tmp_path, options=waymo.WaymoOptions(nominal_pose=True))
    assert list(dataset.problems(NAME)) == []
    sweep = dataset.read(NAME, 0)
    first = truth.pixel[:, 1] == 1
    error = np.linalg.norm(transform(sweep.world_SE3_sensor, sweep.xyz) - truth.world[first], axis=1)
    top = truth.pixel[first, 0] == 1
    assert error[~top].max() < 1e-3
    assert 0.1 < error[top].max() < 2


def edit(root: Path, component: str, change: Callable[[list[dict]], object]) -> None:
    """Change the rows of a component's file; its column types stay."""
    path = root / "training" / component / f"{NAME}.parquet"
    table = pq.read_table(path)
    rows = table.to_pylist()
    change(rows)
    pq.write_table(pa.Table.from_pylist(rows, table.schema), path)


def drop_column(root: Path, component: str, column: str) -> None:
    path = root / "training" / component / f"{NAME}.parquet"
    pq.write_table(pq.read_table(path).drop_columns([column]), path)


def cut(root: Path, component: str) -> None:
    path = root / "training" / component / f"{NAME}.parquet"
    path.write_bytes(path.read_bytes()[:-40])


def unlink(root: Path, component: str) -> None:
    (root / "training" / component / f"{NAME}.parquet").unlink()


def retype(root: Path, component: str, column: str, values: list) -> None:  # type: ignore[type-arg]
    """Replace a column by one value that is repeated."""
    path = root / "training" / component / f"{NAME}.parquet"
    table = pq.read_table(path)
    number = table.column_names.index(column)
    pq.write_table(table.set_column(number, column, pa.array(values * len(table))), path)


SHAPE = "[LiDARComponent].range_image_return1.shape"
VALUES = "[LiDARComponent].range_image_return1.values"
EXTRINSIC = "[LiDARCalibrationComponent].extrinsic.transform"
BEAMS = "[LiDARCalibrationComponent].beam_inclination.values"
LABEL_SHAPE = "[LiDARSegmentationLabelComponent].range_image_return1.shape"


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda r: unlink(r, "lidar"), ["lidar/10_000_000.parquet", "missing"]),
        (lambda r: unlink(r, "lidar_pose"), ["lidar_pose/10_000_000.parquet", "missing"]),
        (lambda r: unlink(r, "vehicle_pose"), ["vehicle_pose/10_000_000.parquet", "missing"]),
        (lambda r: unlink(r, "lidar_calibration"), ["lidar_calibration/10_000_000.parquet", "missing"]),
        *((lambda r, c=c: cut(r, c), [c, "cut short or damaged", "fetch it again"])
          for c in ("lidar", "lidar_pose", "vehicle_pose", "lidar_calibration", "lidar_segmentation")),
        (lambda r: drop_column(r, "lidar", VALUES), ["lidar/", f"has no column {VALUES}", "2.0.1"]),
        (lambda r: drop_column(r, "lidar", VALUES.replace("1", "2")), ["lidar/", "has no column", "return2.values"]),
        (lambda r: drop_column(r, "lidar_calibration", EXTRINSIC), ["lidar_calibration/", "no column", EXTRINSIC]),
        (lambda r: drop_column(r, "vehicle_pose", writer.TIME), ["vehicle_pose/", "has no column", writer.TIME]),
        (lambda r: edit(r, "vehicle_pose", lambda rows: rows.pop(0)), ["vehicle_pose/", "no pose for", "346370"]),
        (lambda r: edit(r, "lidar_pose", lambda rows: rows.pop(0)), ["lidar_pose/", "of TOP", "346370"]),
        (lambda r: edit(r, "lidar_calibration", lambda rows: rows.pop(2)), ["calibration/", "laser 3 (SIDE_LEFT)"]),
        (lambda r: edit(r, "lidar_calibration", lambda rows: rows.pop(0)), ["calibration/", "laser 1 (TOP)"]),
        (lambda r: edit(r, "lidar", lambda rows: rows.append(rows[0])), ["lidar/", "occurs twice"]),
        (lambda r: edit(r, "lidar", lambda rows: rows[0].update({writer.CONTEXT: "9_other"})), ["lidar/", "9_other"]),
        (lambda r: edit(r, "lidar", lambda rows: rows[0].update({writer.LASER: None})), ["lidar/", writer.LASER]),
        (lambda r: edit(r, "vehicle_pose", lambda rows: rows[0].update({list(rows[0])[-1]: [2.0] * 16})),
         ["vehicle_pose/", "346370", "not rigid"]),
        (lambda r: edit(r, "lidar_calibration", lambda rows: rows[1].update({EXTRINSIC: None})), ["laser 2", "16"]),
        (lambda r: retype(r, "lidar", VALUES, [["1"]]), ["lidar/", f"column {VALUES}", "expected lists of numbers"]),
        (lambda r: retype(r, "lidar", SHAPE, ["7 36 4"]), ["lidar/", f"column {SHAPE} has type string"]),
        (lambda r: retype(r, "lidar", writer.TIME, ["1"]), ["lidar/", writer.TIME, "expected integers"]),
        (lambda r: retype(r, "lidar", writer.CONTEXT, [1]), ["lidar/", "rows of context None"]),
        (lambda r: retype(r, "lidar_calibration", EXTRINSIC, ["1 0 0"]), ["calibration/", f"column {EXTRINSIC}"]),
        (lambda r: retype(r, "lidar_calibration", BEAMS, [["low"]]), ["calibration/", f"column {BEAMS}"]),
        (lambda r: retype(r, "vehicle_pose", "[VehiclePoseComponent].world_from_vehicle.transform", [1.0]),
         ["vehicle_pose/", "expected lists of numbers"]),
        (lambda r: edit(r, "vehicle_pose", lambda rows: rows[0][list(rows[0])[-1]].__setitem__(3, 1e160)),
         ["vehicle_pose/", "346370", "not in metres"]),
    ],
)  # fmt: skip
def test_damage_is_named_by_problems_and_by_read(tmp_path: Path, damage, says: list[str]) -> None:  # type: ignore[no-untyped-def]
    writer.write_dataset(tmp_path)
    dataset = waymo.Waymo(tmp_path, options=waymo.WaymoOptions(second_return=True))
    dataset.read(NAME, 0)
    damage(tmp_path)
    with pytest.raises(UserError) as error:
        dataset.read(NAME, 0)
    found = [p.message for p in dataset.problems(NAME)]
    assert len(found) == 1
    for words in says:
        assert words in str(error.value)
        assert words in found[0]


@pytest.mark.parametrize(
    ("component", "change", "says"),
    [
        ("lidar", lambda row: row[VALUES].pop(), ["lidar/", "346370", "laser 1 (TOP), return 1", "do not fill"]),
        ("lidar", lambda row: row.update({SHAPE: [7, 0, 4]}), ["lidar/", "laser 1 (TOP)", "shape [7, 0, 4]"]),
        ("lidar", lambda row: row.update({SHAPE: [36, 7, 4]}), ["lidar/", "laser 1 (TOP)", "7 beam inclinations"]),
        ("lidar", lambda row: row.update({SHAPE: None}), ["lidar/", "laser 1 (TOP)", "without a shape"]),
        ("lidar_calibration", lambda row: row[BEAMS].pop(), ["laser 1 (TOP)", "6 beam inclinations for 7 rows"]),
        ("lidar_segmentation", lambda row: row.update({LABEL_SHAPE: [36, 7, 2]}), ["(36, 7) pixels", "2.0.1"]),
        ("lidar_pose", lambda row: row.update({"[LiDARPoseComponent].range_image_return1.shape": [36, 7, 6]}),
         ["laser 1 (TOP)", "lidar_pose has (36, 7)"]),
    ],
)  # fmt: skip
def test_rows_that_do_not_fit_are_named_with_frame_and_laser(tmp_path: Path, component, change, says) -> None:  # type: ignore[no-untyped-def]
    writer.write_dataset(tmp_path)
    edit(tmp_path, component, lambda rows: change(rows[0]))
    with pytest.raises(UserError) as error:
        waymo.open_dataset(tmp_path).read(NAME, 0)
    for words in says:
        assert words in str(error.value)


def test_hidden_files_are_no_contexts_and_one_in_two_splits_is_a_problem(tmp_path: Path) -> None:
    writer.write_dataset(tmp_path)
    (tmp_path / f"training/lidar/._{NAME}.parquet").touch()
    dataset = waymo.open_dataset(tmp_path)
    assert dataset.sequences() == (NAME,)
    shutil.copytree(tmp_path / "training", tmp_path / "validation")
    (problem,) = dataset.problems(NAME)
    assert "is in training and validation" in problem.message


def test_classes_that_waymo_does_not_have_are_counted(tmp_path: Path) -> None:
    writer.write_dataset(tmp_path)
    dataset = waymo.open_dataset(tmp_path)
    assert dataset.unknown_labels(NAME, 0) == {}

    def strange(rows: list[dict]) -> None:  # type: ignore[type-arg]
        rows[0]["[LiDARSegmentationLabelComponent].range_image_return1.values"][1] = 99

    edit(tmp_path, "lidar_segmentation", strange)
    labelled = [index for index in range(3) if dataset.read(NAME, index).semantic is not None]
    assert {99: 1} in [dataset.unknown_labels(NAME, index) for index in labelled]


def test_damaged_pages_are_named_when_read(tmp_path: Path) -> None:
    writer.write_dataset(tmp_path)
    path = tmp_path / f"training/lidar/{NAME}.parquet"
    column = pq.ParquetFile(path).metadata.row_group(0).column(4)
    assert column.path_in_schema.startswith(VALUES)
    data = bytearray(path.read_bytes())
    middle = column.data_page_offset + 40
    data[middle : middle + 400] = b"\xff" * 400
    path.write_bytes(data)
    with pytest.raises(UserError, match=r"lidar/10_000_000\.parquet: not readable as Parquet.*row 0"):
        waymo.open_dataset(tmp_path).read(NAME, 0)


def test_all_problems_are_told_not_just_the_first(tmp_path: Path) -> None:
    writer.write_dataset(tmp_path)
    unlink(tmp_path, "lidar_calibration")
    cut(tmp_path, "lidar_pose")
    edit(tmp_path, "vehicle_pose", lambda rows: rows.pop(1))
    edit(tmp_path, "lidar", lambda rows: rows.pop(7))
    found = [p.message for p in waymo.open_dataset(tmp_path).problems(NAME)]
    assert len(found) == 4
    told = "\n".join(found)
    assert "component lidar_calibration contains mounts and beam inclinations" in told
    assert "pre-training needs only lidar, lidar_calibration, lidar_pose, vehicle_pose" in told
    assert "lidar_pose/10_000_000.parquet: not readable as Parquet" in told
    assert "no pose for 1 of 3 frames, first 1550083467446373" in told
    assert "no range image of laser 3 (SIDE_LEFT) for 1 of 3 frames" in told


def test_without_lidar_pose_the_way_out_is_named(tmp_path: Path) -> None:
    writer.write_dataset(tmp_path)
    shutil.rmtree(tmp_path / "training/lidar_pose")
    with pytest.raises(UserError, match="--data nominal_pose=true to use"):
        waymo.open_dataset(tmp_path).read(NAME, 0)


def test_an_empty_lidar_table_is_a_problem(tmp_path: Path) -> None:
    writer.write_dataset(tmp_path)
    edit(tmp_path, "lidar", lambda rows: rows.clear())
    dataset = waymo.open_dataset(tmp_path)
    assert dataset.sweep_names(NAME) == ()
    assert [p for p in dataset.problems(NAME) if "contains no frame" in p.message]


def test_wrong_root_says_what_was_looked_for_and_found(tmp_path: Path) -> None:
    (tmp_path / "train_tfrecords").mkdir()
    with pytest.raises(UserError, match=r"looked for \{training.*lidar/\*\.parquet and found: train_tfrecords"):
        waymo.open_dataset(tmp_path)
    with pytest.raises(UserError, match="no such folder"):
        waymo.open_dataset(tmp_path / "none")
    with pytest.raises(UserError, match="contains no context 7"):
        waymo.Waymo(tmp_path).read("7", 0)


def test_the_registry_knows_it_and_not_its_helpers() -> None:
    assert "waymo" in registry.names()
    assert not [name for name in registry.names() if name.startswith("_")]


@pytest.fixture(scope="module")
def two_roads(real_data: Path) -> tuple[waymo.Waymo, semantickitti.SemanticKitti]:
    """The same PandaSet frames in Waymo's and in SemanticKITTI's layout."""
    return (
        waymo.open_dataset(real_data / "waymo_v2_from_pandaset"),
        semantickitti.open_dataset(real_data / "semantickitti_from_pandaset"),
    )


def test_two_roads_to_the_same_real_points(two_roads: tuple[waymo.Waymo, semantickitti.SemanticKitti]) -> None:
    ours, original = two_roads
    context, sequence = ours.sequences()[0], original.sequences()[0]
    assert list(ours.problems(context)) == []
    # The LiDAR is tilted in the vehicle; the original's sensor frame is the LiDAR's, but turned to face forward.
    vehicle_R_laser = ours._calibration(context, 1).vehicle_SE3_laser[:3, :3]
    yaw = np.arctan2(vehicle_R_laser[1, 0], vehicle_R_laser[0, 0])
    tilt = np.eye(4)
    tilt[:3, :3] = vehicle_R_laser @ writer.rotation(0, 0, yaw).T
    worlds = []
    for index in (0, 25, 51):
        ours_sweep, sweep = ours.read(context, index), original.read(sequence, index)
        worlds.append(ours_sweep.world_SE3_sensor @ tilt @ inverse(sweep.world_SE3_sensor))
        placed = transform(worlds[0] @ sweep.world_SE3_sensor, sweep.xyz)
        distance, _ = cKDTree(placed).query(transform(ours_sweep.world_SE3_sensor, ours_sweep.xyz)[::10])
        assert 0.02 < np.median(distance) < 0.03  # the grid of 64 x 1800
    np.testing.assert_allclose(worlds, worlds[:1] * 3, atol=1e-6)  # one rigid transform for all frames


def test_real_sweeps_line_up_by_their_poses(two_roads: tuple[waymo.Waymo, semantickitti.SemanticKitti]) -> None:
    ours, context = two_roads[0], two_roads[0].sequences()[0]
    first, last = ours.read(context, 47), ours.read(context, 51)

    def near(poses: bool) -> float:
        placed = [transform(s.world_SE3_sensor, s.xyz) if poses else s.xyz for s in (first, last)]
        distance, _ = cKDTree(placed[0]).query(placed[1][::20], distance_upper_bound=0.1)
        return float(np.isfinite(distance).mean())

    assert near(True) > near(False) + 0.1


def test_real_far_away_float32_poses_load(real_data: Path) -> None:
    file = next((real_data / "waymo_v2_pose_only/training/vehicle_pose").glob("*.parquet"))
    poses = _waymo_tables.vehicle_poses(file)
    assert len(poses) == 199
    positions = np.array([pose[:3, 3] for pose in poses.good.values()])
    assert np.linalg.norm(np.diff(positions[np.argsort(list(poses.good))], axis=0), axis=1).max() < 4  # 40 m/s at 10 Hz
    for pose in poses.good.values():
        np.testing.assert_allclose(pose[:3, :3] @ pose[:3, :3].T, np.eye(3), atol=1e-12)
    dataset = waymo.Waymo(real_data / "waymo_v2_pose_only")
    assert len([p for p in dataset.problems(dataset.sequences()[0]) if "missing; component" in p.message]) == 3


def test_boxes_are_joined_by_frame_and_moved_to_the_sensor(tmp_path: Path) -> None:
    ((context, truths),) = writer.write_dataset(tmp_path).items()
    times = [truth.timestamp for truth in truths]
    file = writer.write_boxes(
        tmp_path,
        context,
        [
            (times[1], 1, (10.0, 2.0, 1.0, 4.5, 1.9, 1.6, 0.3)),
            (times[0], 2, (5.0, -2.0, 1.0, 0.8, 0.7, 1.8, 0.0)),
            (times[1], 4, (7.0, -2.0, 1.0, 1.8, 0.7, 1.8, -2.0)),
        ],
    )
    dataset = waymo.open_dataset(tmp_path)
    assert list(dataset.problems(context)) == []
    assert file in dataset.input_files(context, 0)
    first, second, third = (dataset.read(context, k).boxes for k in range(3))
    assert first is not None
    assert second is not None
    assert third is not None
    assert (first.kind.tolist(), second.kind.tolist(), len(third)) == (["Pedestrian"], ["Vehicle", "Cyclist"], 0)
    np.testing.assert_allclose(second.centre + truths[1].mount, [[10.0, 2.0, 1.0], [7.0, -2.0, 1.0]], atol=1e-6)
    np.testing.assert_allclose(second.size[0], [4.5, 1.9, 1.6])
    np.testing.assert_allclose(second.heading, [0.3, -2.0])


def test_a_box_that_is_not_finite_is_a_problem(tmp_path: Path) -> None:
    ((context, truths),) = writer.write_dataset(tmp_path).items()
    writer.write_boxes(tmp_path, context, [(truths[0].timestamp, 1, (float("nan"), 2.0, 1.0, 4.5, 1.9, 1.6, 0.3))])
    (problem,) = waymo.open_dataset(tmp_path).problems(context)
    assert "lidar_box" in problem.message
    assert "row 0: a box's numbers are not finite" in problem.message


def test_without_the_component_there_are_no_boxes(tmp_path: Path) -> None:
    ((context, _),) = writer.write_dataset(tmp_path).items()
    assert waymo.open_dataset(tmp_path).read(context, 0).boxes is None
