"""Own recordings in every format that the adapter ``folder`` reads: sweeps of a simulated street with boxes."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Records = NDArray[Any]

FIELDS: Final = [("x", "<f4"), ("y", "<f4"), ("z", "<f4"), ("intensity", "<f4"), ("ring", "<u2"), ("label", "<u1")]
_GRID: Final = 1024  # points lie on a grid of 1/1024 m, which LAS and text store exactly
STEP_M: Final = 0.5
_BOXES: Final = np.array(
    [  # two corners each: walls on both sides, then what stands in the street
        *([-40, 9, -1.7, 60, 10, 4], [-40, -12, -1.7, 60, -11, 5]),
        *(
            [6, 3, -1.7, 10, 5, 0],
            [14, -5, -1.7, 18, -3, 0.2],
            [-9, 3.5, -1.7, -5, 5.5, 0],
            [3, -7, -1.7, 3.6, -6.4, 0.3],
        ),
        *([25, 2, -1.7, 30, 4.5, 0.5], [-20, -6, -1.7, -15, -4, 0], [11, 6, -1.7, 11.3, 6.3, 3]),
    ]
)


def pose(index: int) -> NDArray[np.float64]:
    """Pose of the LiDAR in the sweep: it drives forward and turns a little."""
    angle = 0.004 * index
    found = np.eye(4)
    found[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    found[0, 3] = STEP_M * index
    return found


def cast(origin: NDArray[np.float64], directions: NDArray[np.float64]) -> NDArray[np.float64]:
    """Distance [N] along directions [N, 3] from origins [1 or N, 3] to ground and boxes, infinite for none."""
    with np.errstate(divide="ignore", invalid="ignore"):
        ground = np.where(directions[:, 2] < 0, (-1.7 - origin[:, 2]) / directions[:, 2], np.inf)
        low = (_BOXES[:, None, :3] - origin) / directions
        high = (_BOXES[:, None, 3:] - origin) / directions
    near, far = np.minimum(low, high).max(axis=2), np.maximum(low, high).min(axis=2)
    hit = np.where((near <= far) & (near > 0), near, np.inf).min(axis=0)
    return np.minimum(ground, hit)


def rays() -> NDArray[np.float64]:
    """Directions [N, 3] of one revolution, of 24 lasers."""
    elevation, azimuth = np.radians(np.linspace(-24, 6, 24)), np.linspace(-np.pi, np.pi, 240, endpoint=False)
    azimuth, elevation = (grid.ravel() for grid in np.meshgrid(azimuth, elevation, indexing="ij"))
    return np.stack(
        [np.cos(elevation) * np.cos(azimuth), np.cos(elevation) * np.sin(azimuth), np.sin(elevation)], axis=1
    )


def sweep(index: int, at: Callable[[int], NDArray[np.float64]] = pose) -> Records:
    """Points of a sweep: every 50th is exactly zero, as of rays that hit nothing."""
    world_SE3_sensor, directions = at(index), rays()
    distance = cast(world_SE3_sensor[None, :3, 3], directions @ world_SE3_sensor[:3, :3].T)
    distance[(distance > 70) | (np.arange(len(distance)) % 50 == 0)] = 0
    records = np.zeros(len(distance), FIELDS)
    xyz = np.round(directions * distance[:, None] * _GRID) / _GRID
    records["x"], records["y"], records["z"] = xyz.T
    records["intensity"] = np.arange(len(distance)) * 7 % 256
    records["ring"] = np.arange(len(distance)) % 24
    records["label"] = (xyz[:, 2] > -1.6).astype(np.uint8) + 1
    return records


def write_bin(path: Path, points: Records) -> None:
    np.stack([points[name] for name in ("x", "y", "z", "intensity")], axis=1).astype("<f4").tofile(path)


def write_npy(path: Path, points: Records) -> None:
    np.save(path, np.stack([points[name] for name in ("x", "y", "z", "intensity")], axis=1))


def write_npy_records(path: Path, points: Records) -> None:
    np.save(path, points)


def write_npz(path: Path, points: Records) -> None:
    np.savez_compressed(path, **{name: points[name] for name in points.dtype.names or ()})


def pcd_header(points: Records, encoding: str) -> str:
    kinds = [(points.dtype[name].kind.upper(), points.dtype[name].itemsize) for name in points.dtype.names or ()]
    return (
        "# .PCD v0.7 - Point Cloud Data file format\nVERSION 0.7\n"
        f"FIELDS {' '.join(points.dtype.names or ())}\nSIZE {' '.join(str(size) for _, size in kinds)}\n"
        f"TYPE {' '.join(kind for kind, _ in kinds)}\nCOUNT {' '.join('1' for _ in kinds)}\nWIDTH {len(points)}\n"
        f"HEIGHT 1\nVIEWPOINT 0 0 0 1 0 0 0\nPOINTS {len(points)}\nDATA {encoding}\n"
    )


def _text(points: Records) -> str:
    return "".join(" ".join(repr(value) for value in row) + "\n" for row in points.tolist())


def write_pcd_ascii(path: Path, points: Records) -> None:
    path.write_text(pcd_header(points, "ascii") + _text(points))


def write_pcd(path: Path, points: Records) -> None:
    path.write_bytes(pcd_header(points, "binary").encode() + points.tobytes())


def write_pcd_compressed(path: Path, points: Records) -> None:
    import lzf

    plain = b"".join(np.ascontiguousarray(points[name]).tobytes() for name in points.dtype.names or ())
    packed = lzf.compress(plain, 2 * len(plain))
    path.write_bytes(
        pcd_header(points, "binary_compressed").encode() + struct.pack("<II", len(packed), len(plain)) + packed
    )


_PLY: Final = {"f4": "float", "u2": "ushort", "u1": "uchar", "f8": "double", "u4": "uint"}


def ply_header(points: Records, form: str) -> str:
    lines = [f"property {_PLY[points.dtype[name].str[1:]]} {name}" for name in points.dtype.names or ()]
    return "\n".join(
        [
            *("ply", f"format {form} 1.0", "comment of a test", "element station 2", "property double height"),
            *(f"element vertex {len(points)}", *lines, "element face 0", "property list uchar int vertex_indices"),
            "end_header\n",
        ]
    )


def write_ply_ascii(path: Path, points: Records) -> None:
    path.write_text(ply_header(points, "ascii") + "1.5\n2.5\n" + _text(points))


def write_ply(path: Path, points: Records) -> None:
    path.write_bytes(ply_header(points, "binary_little_endian").encode() + bytes(16) + points.tobytes())


def write_ply_big_endian(path: Path, points: Records) -> None:
    swapped = points.astype(points.dtype.newbyteorder(">"))
    path.write_bytes(ply_header(points, "binary_big_endian").encode() + bytes(16) + swapped.tobytes())


def write_las(path: Path, points: Records, unit_m: float = 1 / _GRID) -> None:
    import laspy

    header = laspy.LasHeader(point_format=3, version="1.2")
    header.scales, header.offsets = np.full(3, unit_m), np.zeros(3)
    las = laspy.LasData(header)
    las.x, las.y, las.z = points["x"], points["y"], points["z"]
    las.intensity = points["intensity"].astype(np.uint16)
    if "label" in (points.dtype.names or ()):
        las.classification = points["label"]
    las.write(path)


FORMATS: Final[dict[str, tuple[str, Callable[[Path, Records], None]]]] = {
    "bin": (".bin", write_bin),
    "npy": (".npy", write_npy),
    "npy_records": (".npy", write_npy_records),
    "npz": (".npz", write_npz),
    "pcd_ascii": (".pcd", write_pcd_ascii),
    "pcd": (".pcd", write_pcd),
    "pcd_compressed": (".pcd", write_pcd_compressed),
    "ply_ascii": (".ply", write_ply_ascii),
    "ply": (".ply", write_ply),
    "ply_big_endian": (".ply", write_ply_big_endian),
    "las": (".las", write_las),
    "laz": (".laz", write_las),
}
NEEDS: Final = {"pcd_compressed": "lzf", "las": "laspy", "laz": "lazrs"}


def kitti_rows(poses: list[NDArray[np.float64]]) -> str:
    return "".join(" ".join(repr(value) for value in p[:3].ravel().tolist()) + "\n" for p in poses)


def tum_rows(poses: list[NDArray[np.float64]], seconds: list[str]) -> str:
    from scipy.spatial.transform import Rotation

    rows = (
        (s, *p[:3, 3].tolist(), *Rotation.from_matrix(p[:3, :3]).as_quat().tolist())
        for s, p in zip(seconds, poses, strict=True)
    )
    return "".join(f"{row[0]} " + " ".join(repr(value) for value in row[1:]) + "\n" for row in rows)


def write_folder(root: Path, form: str = "pcd", sweeps: int = 6, poses: bool = True) -> Path:
    """Write sweeps with poses in KITTI's format into ``root``."""
    suffix, write = FORMATS[form]
    root.mkdir(parents=True, exist_ok=True)
    for index in range(sweeps):
        write(root / f"{index:06d}{suffix}", sweep(index))
    if poses:
        (root / "poses.txt").write_text(kitti_rows([pose(index) for index in range(sweeps)]))
    return root
