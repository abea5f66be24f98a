import io
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
from numpy.lib.recfunctions import repack_fields

from iscc_lidar.data_schemas.sweep import Sweep
from iscc_lidar.preprocess.config import PreprocessConfig
from iscc_lidar.preprocess.datasets.folder import Folder, open_dataset
from iscc_lidar.preprocess.datasets.registry import with_options
from iscc_lidar.preprocess.plan.select import check_data
from iscc_lidar.preprocess.run.pipeline import preprocess
from iscc_lidar.preprocess.segment.windows import WindowConfig
from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.base.geometry import inverse
from iscc_lidar.shared.cache.reader import Cache
from iscc_lidar.shared.store.local import LocalStore

from folder_writer import (
    FORMATS,
    NEEDS,
    cast,
    kitti_rows,
    pcd_header,
    pose,
    rays,
    sweep,
    tum_rows,
    write_bin,
    write_folder,
    write_pcd,
)


def options(dataset: Folder, *items: str) -> Folder:
    found = with_options(dataset, items)
    assert isinstance(found, Folder)
    return found


def messages(root: Path, *items: str) -> str:
    dataset = options(open_dataset(root), *items)
    return "\n".join(problem.message for problem in dataset.problems(dataset.sequences()[0]))


def groups(root: Path, cache: Path) -> list[np.ndarray]:
    store = LocalStore(cache)
    config = PreprocessConfig(window=WindowConfig(sweeps=4, stride=2, block_sweeps=4))
    manifest = preprocess(open_dataset(root).settled()[0], store, config, accept_content=True)  # rings alike everywhere
    opened = Cache(cache)
    entry = manifest.sequences[0]
    return [opened.sweep(entry.name, index).label for index in range(entry.sweeps)]


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> list[np.ndarray]:
    folder = tmp_path_factory.mktemp("expected")
    return groups(write_folder(folder / "drive", "npy"), folder / "cache")


@pytest.mark.parametrize("form", FORMATS)
def test_every_format_gives_the_same_points_and_the_same_groups(
    tmp_path: Path, form: str, expected: list[np.ndarray]
) -> None:
    if form in NEEDS:
        pytest.importorskip(NEEDS[form])
    root = write_folder(tmp_path / "drive", form)
    dataset = open_dataset(root)
    assert dataset.sequences() == ("drive",)
    assert list(dataset.problems("drive")) == []
    read = pickle.loads(pickle.dumps(dataset)).read("drive", 3)  # noqa: S301
    points = sweep(3)
    np.testing.assert_array_equal(read.xyz, np.stack([points[axis] for axis in "xyz"], axis=1))
    np.testing.assert_array_equal(read.intensity, points["intensity"] / np.float32(255))
    np.testing.assert_allclose(read.world_SE3_sensor, pose(3), atol=1e-12)
    assert read.timestamp_ns == 300_000_000
    found = groups(root, tmp_path / "cache")
    for mine, theirs in zip(found, expected, strict=True):
        np.testing.assert_array_equal(mine, theirs)
    assert max(label.max() for label in found) >= 5  # boxes and walls


def test_a_folder_of_sequences_and_sweeps_in_their_only_folder(tmp_path: Path) -> None:
    write_folder(tmp_path / "a", sweeps=2)
    write_folder(tmp_path / "b" / "velodyne", sweeps=3)
    (tmp_path / "b" / "velodyne" / "poses.txt").rename(tmp_path / "b" / "poses.txt")
    (tmp_path / "notes").mkdir()
    (tmp_path / ".trash").mkdir()
    (tmp_path / "a" / "._000001.pcd").write_bytes(b"hidden")
    dataset = open_dataset(tmp_path)
    assert dataset.sequences() == ("a", "b")
    assert [len(dataset.sweep_names(name)) for name in ("a", "b")] == [2, 3]
    assert [file.name for file in dataset.input_files("b", 1)] == ["000001.pcd", "poses.txt"]
    assert dataset.read("b", 2).world_SE3_sensor[0, 3] == 1.0


def test_wrong_folders_are_named(tmp_path: Path) -> None:
    (tmp_path / "a.txt").touch()
    with pytest.raises(UserError, match=r"looked for sweeps .*and found: a\.txt"):
        open_dataset(tmp_path)
    write_folder(tmp_path / "s" / "one", sweeps=1)
    write_folder(tmp_path / "s" / "two", sweeps=1)
    with pytest.raises(UserError, match=r"both contain sweeps.*pass the folder above"):
        open_dataset(tmp_path)
    write_bin(tmp_path / "s" / "one" / "000000.bin", sweep(0))
    with pytest.raises(UserError, match=r"several formats \(1 \.\w+, 1 \.\w+\); pass one as --data format"):
        open_dataset(tmp_path / "s").sweep_names("one")
    assert options(open_dataset(tmp_path / "s"), "format=bin").sequences() == ("one",)


@pytest.mark.parametrize(
    ("names", "times"),
    [
        (["9", "10", "11"], [900_000_000, 10**9, 1_100_000_000]),
        (["scan_1", "scan_2", "scan_10"], [100_000_000, 200_000_000, 10**9]),
        (
            ["1700000000.5", "1700000000.60", "1700000000.7"],
            [1700000000500000000, 1700000000600000000, 1700000000700000000],
        ),
        (["1700000000_500000000", "1700000001_000000000"], [1700000000500000000, 1700000001000000000]),
        (["1700000000500000000", "1700000000600000001"], [1700000000500000000, 1700000000600000001]),
        (["1700000000500000", "1700000000600001"], [1700000000500000000, 1700000000600001000]),
        (["a", "b"], [0, 100_000_000]),
    ],
)
def test_names_give_order_and_times(tmp_path: Path, names: list[str], times: list[int]) -> None:
    for name in reversed(names):
        write_pcd(tmp_path / f"{name}.pcd", sweep(0))
    (tmp_path / "poses.txt").write_text(kitti_rows([pose(k) for k in range(len(names))]))
    dataset = open_dataset(tmp_path)
    (sequence,) = dataset.sequences()
    assert dataset.sweep_names(sequence) == tuple(names)
    assert [dataset.read(sequence, k).timestamp_ns for k in range(len(names))] == times


def test_times_file_and_rate(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "d", sweeps=3)
    assert options(open_dataset(root), "rate_hz=20").read("d", 2).timestamp_ns == 100_000_000
    (root / "times.txt").write_text("5\n5.1\n5.25\n")
    assert open_dataset(root).read("d", 2).timestamp_ns == 5_250_000_000
    (root / "times.txt").write_text("5\n5.1\n")
    assert "times.txt: has 2 lines, expected a time in seconds for each of 3 sweeps" in messages(root)


def test_poses_in_tums_format_are_interpolated_at_the_sweeps_times(tmp_path: Path) -> None:
    for index in range(3):
        write_pcd(tmp_path / f"{1700000000 + 0.1 * index:.6f}.pcd", sweep(index))
    seconds = [f"{1700000000 + 0.05 * k - 0.01:.9f}" for k in range(6)]
    (tmp_path / "drive.tum").write_text(
        "# seconds x y z qx qy qz qw\n" + tum_rows([pose(k) for k in range(6)], seconds)
    )
    dataset = open_dataset(tmp_path)
    (sequence,) = dataset.sequences()
    got = dataset.read(sequence, 1).world_SE3_sensor
    np.testing.assert_allclose(got[0, 3], 2.2 * 0.5, atol=1e-6)
    np.testing.assert_allclose(np.arctan2(got[1, 0], got[0, 0]), 2.2 * 0.004, atol=1e-8)
    (tmp_path / "drive.tum").write_text(tum_rows([pose(k) for k in range(6)], [str(k) for k in range(6)]))
    (problem,) = list(open_dataset(tmp_path).problems(sequence))
    assert "no pose within a second" in problem.message
    assert problem.sweeps == (0, 1, 2)


def test_poses_by_frame_number_of_the_camera_and_of_another_frame(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "d", sweeps=4)
    (root / "000001.pcd").unlink()
    assert open_dataset(root).read("d", 1).world_SE3_sensor[0, 3] == 1.0  # row 2, of sweep 000002
    tr = np.array([[0.0, -1, 0, 0.1], [0, 0, -1, 0], [1, 0, 0, 0], [0, 0, 0, 1]])
    (root / "calib.txt").write_text("Tr: " + " ".join(map(str, tr[:3].ravel())) + "\n")
    (root / "poses.txt").write_text(kitti_rows([tr @ pose(k) @ inverse(tr) for k in range(4)]))
    np.testing.assert_allclose(open_dataset(root).read("d", 2).world_SE3_sensor, pose(3), atol=1e-12)
    (root / "calib.txt").unlink()
    (root / "poses.txt").write_text(kitti_rows([pose(k) for k in range(4)]))
    turned = options(open_dataset(root), "lidar_in_pose_frame=[1,0,2,0,0,1,0]").read("d", 0).world_SE3_sensor
    np.testing.assert_allclose(turned, [[-1, 0, 0, 1], [0, -1, 0, 0], [0, 0, 1, 2], [0, 0, 0, 1]], atol=1e-12)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("1 2 3\n", "has lines of 3; expected 12 numbers in every line"),
        ("", "has no line"),
        (kitti_rows([pose(0)]), "has 1 poses, expected one for each of 2 sweeps"),
        (kitti_rows([pose(0), 2 * pose(1)]), "pose 2: is not a finite rotation"),
        ("0 0 0 0 0 0 0 1\n0 0 0 0 0 0 0 1\n", "pose 2: its time is not later"),
        ("x 0 0 0 0 0 0 1\n", "expected numbers alone"),
    ],
)
def test_faulty_poses_are_named(tmp_path: Path, text: str, says: str) -> None:
    root = write_folder(tmp_path, sweeps=2)
    (root / "poses.txt").write_text(text)
    assert says in messages(root)
    dataset = open_dataset(root)
    with pytest.raises(UserError, match="poses"):
        dataset.read(dataset.sequences()[0], 1)


def test_sweeps_without_poses_name_what_to_do(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "d", sweeps=2, poses=False)
    dataset = open_dataset(root)
    assert not dataset.has_poses("d")
    assert "no poses (looked for poses.txt, *.tum); compute them with --poses odometry" in messages(root)
    (root / "a.tum").write_text(tum_rows([pose(0), pose(1)], ["0", "0.1"]))
    (root / "b.tum").write_text("")
    assert "two files of poses" in messages(root)


def test_columns_of_bin_files_are_guessed_where_one_reading_fits(tmp_path: Path) -> None:
    points = sweep(0)[1:]
    points = points[points["x"] != 0]
    columns = [points[name].astype("<f4") for name in ("x", "y", "z", "intensity", "ring")]
    times = np.linspace(0, 0.1, len(points), dtype="<f4")
    for count, extra in ((3, []), (4, []), (5, []), (6, [times]), (8, [times, times, times])):
        folder = tmp_path / f"c{count}"
        folder.mkdir()
        np.stack([*columns[:count], *extra], axis=1)[:, :count].astype("<f4").tofile(folder / "0.bin")
        (folder / "poses.txt").write_text(kitti_rows([pose(0)]))
        dataset, notes = open_dataset(folder).settled()
        assert f"rows of {count} numbers of float32" in notes[0]
        np.testing.assert_array_equal(dataset.read(f"c{count}", 0).xyz[:, 0], points["x"])
    (tmp_path / "big").mkdir()
    np.fromfile(tmp_path / "c4/0.bin", "<f4").astype(">f4").tofile(tmp_path / "big/0.bin")
    (tmp_path / "big/poses.txt").write_text(kitti_rows([pose(0)]))
    dataset, notes = open_dataset(tmp_path / "big").settled()
    assert "rows of 4 numbers of big_endian_float32" in notes[0]
    np.testing.assert_array_equal(dataset.read("big", 0).xyz[:, 0], points["x"])
    (tmp_path / "random").mkdir()
    (tmp_path / "random" / "0.bin").write_bytes(np.random.default_rng(0).bytes(16_000))
    with pytest.raises(UserError, match=r"columns cannot be guessed \(what fits: none.*--data columns"):
        open_dataset(tmp_path / "random").settled()
    named = options(open_dataset(tmp_path / "c6"), "columns=x,y,z,_,ring,time", "number_type=float32", "deskew=off")
    assert not named.read("c6", 0).intensity.any()
    with pytest.raises(UserError, match="columns must name x, y and z"):
        options(named, "columns=a,b")


def test_unit_axes_and_scale_of_intensity_are_found_and_named(tmp_path: Path) -> None:
    points = sweep(2)
    camera = points.copy()
    camera["x"], camera["y"], camera["z"] = -points["y"] * 1000, -points["z"] * 1000, points["x"] * 1000
    camera["intensity"] = points["intensity"] * 200
    write_pcd(tmp_path / "0.pcd", camera)
    (tmp_path / "poses.txt").write_text(kitti_rows([np.eye(4)]))
    dataset, notes = open_dataset(tmp_path).settled()
    found = dataset.read(dataset.sequences()[0], 0)
    np.testing.assert_allclose(found.xyz, np.stack([points[axis] for axis in "xyz"], axis=1), atol=1e-4)
    np.testing.assert_allclose(found.intensity, points["intensity"] * 200 / 65535, atol=1e-6)
    np.testing.assert_array_equal(found.world_SE3_sensor[:3, 0], [0, 0, 1])  # forward is the file's z
    assert "millimetres" in notes[0]
    assert "z,-x,-y" in notes[1]
    assert "divided by 65535" in notes[2]
    fixed = options(open_dataset(tmp_path), "axes=x,y,z", "range_scale=1", "intensity_scale=100000")
    np.testing.assert_array_equal(fixed.read(dataset.sequences()[0], 0).xyz[:, 0], camera["x"])
    with pytest.raises(UserError, match="right-handed"):
        options(fixed, "axes=x,y,-z")


@pytest.mark.parametrize("scene", ["a wall", "crowns of trees"])
def test_where_no_ground_is_seen_the_axes_are_as_usual(tmp_path: Path, scene: str) -> None:
    """A wall is as flat as a ground; what is seen only above the LiDAR is not upside down."""
    rng = np.random.default_rng(0)
    points = sweep(0)[:4000].copy()
    along, across, height = rng.uniform(-20, 20, 4000), rng.uniform(-20, 20, 4000), rng.uniform(0, 1, 4000)
    is_wall = scene == "a wall"
    points["x"], points["y"] = along, np.where(is_wall, 4.0, across)
    points["z"] = np.where(is_wall, -1.5 + 4 * height, 2 + 4 * height)
    write_pcd(tmp_path / "0.pcd", points)
    (tmp_path / "poses.txt").write_text(kitti_rows([np.eye(4)]))
    dataset, notes = open_dataset(tmp_path).settled()
    np.testing.assert_allclose(dataset.read(dataset.sequences()[0], 0).xyz[:, 2], points["z"], atol=1e-4)
    assert not [note for note in notes if "axes" in note]


def test_points_in_the_box_of_the_ego_vehicle_are_invalid(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "d", sweeps=1)
    plain, masked = (
        d.read("d", 0).xyz for d in (open_dataset(root), options(open_dataset(root), "ego_box=[-9,-4,-3,9,4,1]"))
    )
    inside = (np.abs(plain) <= [9, 4, 3]).all(axis=1) & (plain[:, 2] <= 1)
    assert inside.any()
    np.testing.assert_array_equal(np.isnan(masked).all(axis=1), inside)


def moving_sweep(unit: float, base: float, dtype: str) -> tuple[np.ndarray, np.ndarray]:
    """A sweep whose sensor drives 2 m during it, and the same seen from where it is at the sweep's time."""
    directions = rays()
    part = np.arange(len(directions)) / len(directions)
    origin = np.stack([2.0 * part, 0 * part, 0 * part], axis=1)
    distance = cast(origin, directions)
    distance[distance > 60] = 0
    points = np.zeros(len(part), [("x", "<f4"), ("y", "<f4"), ("z", "<f4"), ("t", dtype)])
    points["x"], points["y"], points["z"] = (directions * distance[:, None]).T
    points["t"] = base + (0.1 * part / unit)
    truth = directions * distance[:, None] + origin * (distance > 0)[:, None]
    return points, truth


@pytest.mark.parametrize(
    ("unit", "base", "dtype"),
    [
        (1.0, 0.0, "<f4"),
        (1e-9, 0.0, "<u4"),
        (1e-3, 0.0, "<f4"),
        (1e-9, 1.7e18, "<u8"),
        (1.0, 1.7e9, "<f8"),
        (1e-6, 5e6, "<u4"),
    ],
)
def test_points_are_deskewed_by_their_times(tmp_path: Path, unit: float, base: float, dtype: str) -> None:
    points, truth = moving_sweep(unit, base, dtype)
    poses = [np.eye(4), np.eye(4)]
    poses[1][0, 3] = 2.0
    for index in range(2):
        np.save(tmp_path / f"{1700000000 + 0.1 * index:.3f}.npy", points)
    (tmp_path / "poses.txt").write_text(kitti_rows(poses))
    dataset, notes = open_dataset(tmp_path).settled()
    found = dataset.read(dataset.sequences()[0], 0)
    np.testing.assert_allclose(found.xyz, truth, atol=2e-3)
    assert (
        np.abs(found.origin[truth.any(axis=1), 0] - 2.0 * (np.arange(len(truth)) / len(truth))[truth.any(axis=1)]).max()
        < 1e-3
    )
    assert any("deskewed by column t" in note for note in notes)
    off = options(open_dataset(tmp_path), "deskew=off").read(dataset.sequences()[0], 0)
    np.testing.assert_array_equal(off.xyz[:, 0], points["x"])


def test_labels_are_those_of_the_columns_or_of_files_next_to_them(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "d", sweeps=2)
    (warning,) = open_dataset(root).warnings("d")
    assert "not used without" in warning
    assert open_dataset(root).read("d", 0).semantic is None
    (root / "classes.txt").write_text("unlabelled\nground\nother\n")
    dataset = open_dataset(root)
    assert dataset.class_names == ("unlabelled", "ground", "other")
    np.testing.assert_array_equal(dataset.read("d", 0).semantic, sweep(0)["label"])
    assert dataset.unknown_labels("d", 0) == {}
    (root / "labels").mkdir()
    raw = np.full(len(sweep(0)), 1 | 7 << 16, np.uint32)
    raw[:3] = 9
    raw.tofile(root / "labels" / "000000.label")
    found = dataset.read("d", 0)
    assert found.semantic is not None
    assert found.instance is not None
    assert found.semantic.tolist()[:4] == [0, 0, 0, 1]
    assert found.instance.tolist()[:4] == [0, 0, 0, 7]
    assert dataset.unknown_labels("d", 0) == {9: 3}
    assert "labels/000000.label" in {str(f.relative_to(root)) for f in dataset.input_files("d", 0)}
    raw[:-1].tofile(root / "labels" / "000000.label")
    assert "expected 4 for each" in messages(root)
    (root / "classes.txt").write_text("a\na\n")
    assert "different names of classes" in messages(root)


@pytest.mark.parametrize("form", FORMATS)
def test_files_that_are_cut_short_are_named(tmp_path: Path, form: str) -> None:
    if form in NEEDS:
        pytest.importorskip(NEEDS[form])
    root = write_folder(tmp_path / "d", form, sweeps=3)
    path = next(root.glob("000001.*"))
    path.write_bytes(path.read_bytes()[: -len(path.read_bytes()) // 2 - 1])
    dataset = open_dataset(root)
    checked = check_data(dataset, ["d"], every=True)
    text = "\n".join(problem.message for problem in checked.problems["d"])
    assert "000001" in text
    with pytest.raises(UserError, match="000001"):
        dataset.read("d", 1)
    assert isinstance(dataset.read("d", 0), Sweep)


def forged_npz(shape: str) -> bytes:
    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    member = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode()
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("points.npy", member)
    return out.getvalue()


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("0.pcd", b"FIELDS x y z\nSIZE 4 4 4\nTYPE F F F\nCOUNT 1 1 1\nWIDTH 99999999999\nHEIGHT 1\nDATA binary\n"),
        ("0.pcd", b"FIELDS x y z\nSIZE 4 4 4\nTYPE F F F\nCOUNT 1 1 9999999\nWIDTH 1\nHEIGHT 1\nDATA binary\n"),
        ("0.pcd", b"FIELDS x y z\nSIZE 4 4 4\nTYPE F F Q\nWIDTH 1\nHEIGHT 1\nDATA binary\n"),
        ("0.pcd", b"FIELDS x y x\nSIZE 4 4 4\nTYPE F F F\nWIDTH 0\nHEIGHT 1\nDATA binary\n"),
        ("0.pcd", pcd_header(sweep(0), "binary_compressed").encode() + b"\x05\0\0\0\xff\xff\xff\x7f12345"),
        ("0.pcd", b"\xff" * 70_000),
        ("0.ply", b"ply\nformat ascii 1.0\nelement vertex 9000000000\nproperty float x\nend_header\n"),
        ("0.ply", b"ply\nformat ascii 1.0\nelement vertex -1\nproperty float x\nend_header\n"),
        ("0.ply", b"ply\nformat ascii 1.0\nelement vertex 1\nproperty list uchar float x\nend_header\n"),
        ("0.ply", b"ply\nformat ascii 1.0\nelement vertex 1\nproperty quad x\nend_header\n1\n"),
        (
            "0.ply",
            b"ply\nformat ascii 1.0\nelement vertex 2\nproperty float x\nproperty float y\nend_header\n1 a\n2 3\n",
        ),
        ("0.npz", forged_npz("(1000000000, 4)")),
        ("0.npz", forged_npz("(-1, 4)")),
        ("0.npz", forged_npz("(3,")),
        ("0.npz", b"PK\x05\x06" + bytes(18)),
        ("0.npy", b"\x93NUMPY\x01\x00\x10\x00{'descr': '|O',}"),
        ("0.npy", b""),
    ],
)
def test_forged_files_are_named(tmp_path: Path, name: str, data: bytes) -> None:
    (tmp_path / name).write_bytes(data)
    (tmp_path / "poses.txt").write_text(kitti_rows([pose(0)]))
    dataset = open_dataset(tmp_path)
    sequence = dataset.sequences()[0]
    with pytest.raises(UserError, match=r"/0\.\w+: "):
        dataset.read(sequence, 0)


def test_sound_data_give_no_error(tmp_path: Path) -> None:
    write_folder(tmp_path / "d", sweeps=5)
    dataset, _ = open_dataset(tmp_path).settled()
    checked = check_data(dataset, dataset.sequences(), accept=("error",), every=True)
    assert not checked.problems


def test_real_sweeps_in_another_format_are_the_same(real_data: Path, tmp_path: Path) -> None:
    source = real_data / "semantickitti" / "sequences" / "00"
    raw = np.fromfile(source / "velodyne" / "000003.bin", "<f4").reshape(-1, 4)
    points = np.zeros(len(raw), [("x", "<f4"), ("y", "<f4"), ("z", "<f4"), ("intensity", "<f4")])
    for column, name in enumerate(points.dtype.names or ()):
        points[name] = raw[:, column]
    for index in range(2):
        write_pcd(tmp_path / f"{index}.pcd", points)
    (tmp_path / "poses.txt").write_text(kitti_rows([np.eye(4), np.eye(4)]))
    found = open_dataset(tmp_path).settled()[0].read(tmp_path.name, 1)
    np.testing.assert_array_equal(found.xyz, raw[:, :3])
    np.testing.assert_array_equal(found.intensity, raw[:, 3])


def test_lidars_with_extrinsics_become_one_sweep(tmp_path: Path) -> None:
    for lidar, sweeps in (("top", 3), ("rear", 2)):
        write_folder(tmp_path / "drive" / lidar, sweeps=sweeps, poses=lidar == "top")
    rows = "1 0 0 1 0 1 0 0 0 0 1 2", "-1 0 0 -3 0 -1 0 0 0 0 1 1"
    (tmp_path / "drive" / "extrinsics.txt").write_text(f"# on the vehicle\ntop {rows[0]}\nrear {rows[1]}\n")
    dataset, points = open_dataset(tmp_path), np.stack([sweep(1)[axis] for axis in "xyz"], axis=1)
    assert dataset.sequences() == ("drive",)
    assert list(dataset.problems("drive")) == []
    found = dataset.read("drive", 1)
    np.testing.assert_array_equal(found.xyz[: len(points)], points)
    valid = points.any(axis=1)
    np.testing.assert_allclose(found.xyz[len(points) :][valid], points[valid] * [-1, -1, 1] + [-4, 0, -1], atol=1e-5)
    assert not found.xyz[len(points) :][~valid].any()
    np.testing.assert_array_equal(found.origin[-1], [-4, 0, -1])
    assert len(dataset.read("drive", 2)) == len(points)  # the other one stopped before
    names = [str(file.relative_to(tmp_path / "drive")) for file in dataset.input_files("drive", 1)]
    assert names == ["top/000001.pcd", "top/poses.txt", "rear/000001.pcd", "extrinsics.txt"]
    for text, says in (("top 1 2", "line 1: expected the name of a folder and 12 numbers"), ("", "has no line")):
        (tmp_path / "drive" / "extrinsics.txt").write_text(text)
        with pytest.raises(UserError, match=says):
            open_dataset(tmp_path).sweep_names("drive")
    (tmp_path / "drive" / "extrinsics.txt").write_text(f"top {rows[0]}\n../up {rows[1]}\n")
    with pytest.raises(UserError, match="is not a name"):
        open_dataset(tmp_path).sweep_names("drive")


def as_millimetres(points: np.ndarray) -> np.ndarray:
    points = points.copy()
    for axis in "xyz":
        points[axis] *= 1000
    return points


def as_camera(points: np.ndarray) -> np.ndarray:
    turned = points.copy()
    turned["x"], turned["y"], turned["z"] = -points["y"], -points["z"], points["x"]
    return turned


def of_16_bits(points: np.ndarray) -> np.ndarray:
    points = points.copy()
    points["intensity"] *= 200
    return points


def renamed(points: np.ndarray) -> np.ndarray:
    return points.astype([(n.replace("intensity", "reflectivity"), points.dtype[n]) for n in points.dtype.names or ()])


def timed(points: np.ndarray) -> np.ndarray:
    found = np.zeros(len(points), [*points.dtype.descr, ("t", "<f4")])
    for name in points.dtype.names or ():
        found[name] = points[name]
    found["t"] = np.linspace(0, 0.1, len(points))
    return found


@pytest.mark.parametrize(
    ("change", "says", "given"),
    [
        (as_millimetres, "range_scale is 0.001 as the files of sequence b show, 1 as those", "range_scale=1"),
        (as_camera, "axes is z,-x,-y as the files of sequence b show, x,y,z as", "axes=x,y,z"),
        (of_16_bits, "intensity_scale is 65535 as the files of sequence b show, 255 as", "intensity_scale=65535"),
        (renamed, "intensity_field is reflectivity as the files of sequence b show, intensity as", ""),
        (timed, "time_field is t as the files of sequence b show, none as", "deskew=off"),
    ],
)
def test_a_sequence_that_shows_other_options_than_the_first_is_refused(
    tmp_path: Path, change: object, says: str, given: str
) -> None:
    assert callable(change)
    for name in ("a", "b", "c"):
        write_folder(tmp_path / name, sweeps=0)
        for index in range(3):
            write_pcd(tmp_path / name / f"{index}.pcd", change(sweep(index)) if name == "b" else sweep(index))
        (tmp_path / name / "poses.txt").write_text(kitti_rows([pose(index) for index in range(3)]))
    dataset = open_dataset(tmp_path)
    for opened in (dataset, dataset.settled()[0], pickle.loads(pickle.dumps(dataset.settled()[0]))):  # noqa: S301
        (problem,) = opened.problems("b")
        assert says in problem.message
        assert "put sequence b into a ROOT of its own" in problem.message
        assert problem.sweeps is None  # the sequence as such
        assert [*opened.problems("a"), *opened.problems("c")] == []
    if given:
        assert list(options(open_dataset(tmp_path), given).settled()[0].problems("b")) == []


def test_bin_files_of_another_width_than_those_of_the_first_sequence_are_refused(tmp_path: Path) -> None:
    for name, width in (("a", 4), ("b", 5)):
        folder = write_folder(tmp_path / name, sweeps=0)
        points = sweep(0)[sweep(0)["x"] != 0][:4000]  # 20,000 numbers are rows of 4 as well
        columns = [points[field].astype("<f4") for field in ("x", "y", "z", "intensity", "ring")]
        np.stack(columns[:width], axis=1).tofile(folder / "0.bin")
        (folder / "poses.txt").write_text(kitti_rows([pose(0)]))
    (problem,) = open_dataset(tmp_path).settled()[0].problems("b")
    assert "a row of .bin files is 5 numbers of float32 as the files of sequence b show, 4 numbers" in problem.message


def test_sequences_may_differ_in_what_is_no_fault(tmp_path: Path) -> None:
    """Labels and intensity in some sequences only, too few points to show the axes, other formats."""
    write_folder(tmp_path / "a", sweeps=3)
    for name, fields in (("b", ["x", "y", "z", "intensity"]), ("c", ["x", "y", "z"])):
        folder = write_folder(tmp_path / name, sweeps=0)
        for index in range(2):
            points = repack_fields(sweep(index)[fields])
            write_pcd(folder / f"{index}.pcd", points[:300] if name == "b" else points)
        (folder / "poses.txt").write_text(kitti_rows([pose(0), pose(1)]))
    write_folder(tmp_path / "d", "npz", sweeps=2)
    dataset = open_dataset(tmp_path).settled()[0]
    assert [problem for name in dataset.sequences() for problem in dataset.problems(name)] == []
    (lost,) = [warning for warning in dataset.warnings("c") if "intensity" in warning]
    assert "has no column intensity, as others have; intensity is 0 there" in lost


def test_an_intensity_beyond_any_is_clipped(tmp_path: Path) -> None:
    points = sweep(0)
    points["intensity"][5] = 1e37
    write_pcd(tmp_path / "0.pcd", points)
    (tmp_path / "poses.txt").write_text(kitti_rows([pose(0)]))
    dataset, notes = open_dataset(tmp_path).settled()
    assert any("divided by 1e+09" in note for note in notes)
    assert dataset.read(tmp_path.name, 0).intensity.max() == 1
