"""``--to boxes``: tracked boxes of the groups as KITTI's files of objects and tracks, and infos of mmdetection3d."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from iscc_lidar.shared.export.target import ExportOptions, Target, refuse_without_boxes

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from iscc_lidar.shared.base.own import OwnFolder
    from iscc_lidar.shared.cache.reader import Cache
    from iscc_lidar.shared.cache.sweep import GroupBoxes, Groups

CLASS: Final = "Misc"
"""KITTI's class of what is of none of its others: groups have no class."""
_METAINFO: Final[dict[str, Any]] = {"dataset": "iscc-lidar", "info_version": "1.1", "categories": {"object": 0}}
_VELODYNE: Final = {"semantickitti", "synthetic"}


def write_sequence(cache: Cache, sequence: str, folder: OwnFolder, options: ExportOptions) -> int:
    """Write the boxes of a sequence in three layouts; those of less than ``min_confidence`` are left out.

    ``kitti_object/training/{label_2,calib}/SEQUENCE/NAME.txt``: objects in a camera's frame, their score the
    confidence. The camera is that of the sequence's first sweep, or else a virtual one. Frames of KITTI's own benchmark
    lie directly in the folders of their split, as there.
    ``kitti_tracking/training/{label_02,calib}/SEQUENCE.txt``: the same with frame = index of the sweep, track = group.
    ``mmdet3d/iscc_infos_SEQUENCE.pkl``: boxes in the sensor frame; see ``_info``.
    """
    import numpy as np

    from iscc_lidar.data_schemas.boxes import boxes_in_space
    from iscc_lidar.shared.layouts.formats import mmdet3d_infos as infos
    from iscc_lidar.shared.layouts.formats.kitti_objects import (
        VIRTUAL_CAMERA,
        format_calibration,
        format_objects,
        format_tracks,
        to_camera,
    )

    names, times, poses = cache.sweep_names(sequence), cache.times_ns(sequence), cache.poses(sequence)
    camera = (cache.camera(sequence, 0) if names else None) or VIRTUAL_CAMERA
    calibration = format_calibration(camera).encode()
    split = _benchmark_split(cache, sequence)
    inner = f"{sequence}/" if split is None else ""
    objects_in, tracks_in = f"kitti_object/{split or 'training'}", "kitti_tracking/training"
    with (
        folder.new_file(f"{tracks_in}/label_02/{sequence}.txt") as tracks_file,
        folder.new_file(f"mmdet3d/iscc_infos_{sequence}.pkl") as infos_file,
    ):
        infos_file.write(infos.start(_METAINFO))
        for index, name in enumerate(names):
            boxes = cache.require_group_boxes(sequence, index).sure(options.min_confidence)
            placed = boxes_in_space(np.full(len(boxes.group), CLASS), boxes.centre, boxes.size, boxes.heading)
            objects = to_camera(placed, camera, boxes.confidence.astype(np.float64))
            folder.write(f"{objects_in}/label_2/{inner}{name}.txt", format_objects(objects).encode())
            folder.write(f"{objects_in}/calib/{inner}{name}.txt", calibration)
            tracks_file.write(format_tracks(index, boxes.group, objects).encode())
            of_sweep = {
                "sample_idx": index,
                "token": f"{sequence}/{name}",
                "timestamp": int(times[index]) / 1e9,
                "lidar_points": {"num_pts_feats": 4, "lidar_path": _points_file(cache, sequence, name)},
                "lidar2global": poses[index].tolist(),
                "instances": _instances(boxes, cache.groups(sequence, index)),
            }
            infos_file.write(infos.item(of_sweep))
        infos_file.write(infos.END)
    folder.write(f"{tracks_in}/calib/{sequence}.txt", format_calibration(camera, tracking=True).encode())
    return 2 * len(names) + 3


def _instances(boxes: GroupBoxes, groups: Groups) -> list[dict[str, Any]]:
    """Describe boxes as mmdetection3d does: the middle of the lower face, size, heading; in the sensor frame."""
    import numpy as np

    lower = boxes.centre - boxes.size * (0, 0, 0.5)
    box: NDArray[np.float64] = np.concatenate([lower, boxes.size, boxes.heading[:, None]], axis=1)
    points = groups.points[np.searchsorted(groups.group, boxes.group)]
    columns = (boxes.group.tolist(), boxes.confidence.tolist(), points.tolist())
    return [
        {
            "bbox_3d": row,
            "bbox_label_3d": 0,
            "track_id": group,
            "score": round(confidence, 6),
            "num_lidar_pts": count,
        }
        for row, group, confidence, count in zip(box.tolist(), *columns, strict=True)
    ]


def _points_file(cache: Cache, sequence: str, name: str) -> str:
    """Return the path of a sweep's points below the dataset's folder; of those without a .bin, SEQUENCE/NAME.bin."""
    if cache.manifest.dataset in _VELODYNE:
        return f"sequences/{sequence}/velodyne/{name}.bin"
    split = _benchmark_split(cache, sequence)
    return f"{sequence}/{name}.bin" if split is None else f"{split}/velodyne/{name}.bin"


def _benchmark_split(cache: Cache, sequence: str) -> str | None:
    """Return training or testing for a frame of KITTI's object benchmark, which is a sequence of its own; else None."""
    split, _, frame = sequence.partition("_")
    return split if cache.manifest.dataset == "kitti" and split in ("training", "testing") and frame else None


TARGET: Final = Target(
    "boxes",
    "tracked boxes: KITTI's label_2 and label_02 with calib, mmdet3d/iscc_infos_SEQUENCE.pkl",
    write_sequence,
    refuse=refuse_without_boxes,
)
