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


def squared_lengths(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Compute squared lengths [N] of vectors [N, 3], in float32: several times as fast as numpy.linalg.norm."""
    found: NDArray[np.float32] = np.einsum("ij,ij->i", vectors, vectors)
    return found
