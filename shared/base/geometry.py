"""Rigid transforms and lengths. ``dst_SE3_src`` is float64 [4, 4] and transforms points from frame src to dst."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def transform(dst_SE3_src: NDArray[np.float64], xyz_src: NDArray[np.floating]) -> NDArray[np.float64]:
    """Transform points [N, 3], metres, from frame src to frame dst, in float64."""
    return xyz_src.astype(np.float64) @ dst_SE3_src[:3, :3].T + dst_SE3_src[:3, 3]


def inverse(dst_SE3_src: NDArray[np.float64]) -> NDArray[np.float64]:
    """Invert a rigid transform: src_SE3_dst, float64 [4, 4]."""
    src_SE3_dst = np.eye(4)
    src_SE3_dst[:3, :3] = dst_SE3_src[:3, :3].T
    src_SE3_dst[:3, 3] = -dst_SE3_src[:3, :3].T @ dst_SE3_src[:3, 3]
    return src_SE3_dst


def euler_rotation(roll: float = 0.0, pitch: float = 0.0, yaw: float = 0.0) -> NDArray[np.float64]:
    """Compute the rotation matrix Rz(yaw) Ry(pitch) Rx(roll), float64 [3, 3], of angles in radians."""
    (cr, cp, cy), (sr, sp, sy) = np.cos([roll, pitch, yaw]), np.sin([roll, pitch, yaw])
    rx = np.array([[1, 0, 0], [0, cr, -sr], [0, sr, cr]])
    ry = np.array([[cp, 0, sp], [0, 1, 0], [-sp, 0, cp]])
    rz = np.array([[cy, -sy, 0], [sy, cy, 0], [0, 0, 1]])
    return np.asarray(rz @ ry @ rx)


def squared_lengths(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Compute squared lengths [N] of vectors [N, 3], in float32: several times as fast as numpy.linalg.norm."""
    found: NDArray[np.float32] = np.einsum("ij,ij->i", vectors, vectors)
    return found
