from pathlib import Path

import numpy as np

from benchmarks.preprocess.group_quality import bench_group_quality
from benchmarks.preprocess.opponents import connected_components, plain_hdbscan


def write_street(root: Path, sweeps: int = 14) -> None:
    """Two parked cars and one that drives, on flat ground, in SemanticKITTI's layout."""
    folder = root / "sequences" / "00"
    for part in ("velodyne", "labels"):
        (folder / part).mkdir(parents=True)
    rng = np.random.default_rng(0)
    for k in range(sweeps):
        r, angle = np.repeat(np.geomspace(4, 40, 30), 150), rng.uniform(-np.pi, np.pi, 4500)
        xyz = [np.column_stack([r * np.cos(angle), r * np.sin(angle), np.full(4500, -1.73)])]
        label = [np.full(4500, 40)]
        for i, x in enumerate((9.0, 18.0, -12.0 + k), start=1):
            xyz.append(np.array([x, 6.0 if i < 3 else -6.0, -1.4]) + rng.random((300, 3)) * [4, 1.8, 1.4])
            label.append(np.full(300, (i << 16) + 10))
        points = np.concatenate(xyz)
        np.column_stack([points, np.full(len(points), 0.2)]).astype("<f4").tofile(folder / "velodyne" / f"{k:06d}.bin")
        np.concatenate(label).astype("<u4").tofile(folder / "labels" / f"{k:06d}.label")
    (folder / "calib.txt").write_text("Tr: 1 0 0 0 0 1 0 0 0 0 1 0\n")
    (folder / "poses.txt").write_text("1 0 0 0 0 1 0 0 0 0 1 0\n" * sweeps)


def test_an_easy_street_is_solved(tmp_path: Path) -> None:
    write_street(tmp_path)
    figures, table = bench_group_quality(tmp_path, "00", starts=(0, 2, 30), plain_starts=())
    assert figures["ours.w0.objects"] == 3
    assert figures["ours.w2.coverage"] > 0.95
    assert figures["ours.class.car.coverage"] > 0.95
    assert figures["ours.sequence.id_switches"] == 0
    assert "ours.w30.coverage" not in figures
    assert "ours.w0" in table
    assert "components_0.45.w0" in table


def test_connected_components_against_a_flood_fill() -> None:
    xyz = np.random.default_rng(2).uniform(0, 6, (250, 3)) * [1, 1, 0.3]
    label = connected_components(xyz, 0.5, min_points=3)
    cells = [tuple(c) for c in np.floor(xyz / 0.5).astype(int).tolist()]
    part = {cell: cell for cell in cells}
    changed = True
    while changed:
        changed = False
        for a in part:
            for b in part:
                if max(abs(p - q) for p, q in zip(a, b, strict=True)) <= 1 and part[b] < part[a]:
                    part[a], changed = part[b], True
    slow = [part[cell] for cell in cells]
    for i in range(len(xyz)):
        same = np.array([s == slow[i] for s in slow])
        assert (label[i] >= 0) == (same.sum() >= 3)
        if label[i] >= 0:
            np.testing.assert_array_equal(label == label[i], same)


def test_controls_take_few_points() -> None:
    for n in (0, 1, 5):
        assert len(plain_hdbscan(np.zeros((n, 3)))) == len(connected_components(np.zeros((n, 3)), 0.3)) == n
