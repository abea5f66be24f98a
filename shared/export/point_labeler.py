"""``--to point-labeler``: a folder per sequence that point_labeler opens, every group an instance without a class."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from iscc_lidar.shared.export.target import ExportOptions, Target

if TYPE_CHECKING:
    from iscc_lidar.shared.base.own import OwnFolder
    from iscc_lidar.shared.cache.reader import Cache


def refuse_unnamed(cache: Cache, options: ExportOptions) -> None:
    """Raise UserError where neither the cache nor a file has names of classes, or there are too many of them."""
    from iscc_lidar.shared.layouts.formats.point_labeler import refuse_too_many

    names = _class_names(cache, options)
    for sequence in cache.sequence_names:
        refuse_too_many(len(names), len(cache.group_ids(sequence)), f"{cache.path}: sequence {sequence}")


def write_sequence(cache: Cache, sequence: str, folder: OwnFolder, options: ExportOptions) -> int:
    """Write ``SEQUENCE/velodyne/000000.bin``, ``labels/000000.label``, ``poses.txt`` and ``calib.txt``.

    Files are named by the index of the sweep, as the tool cuts names at their first dot. Poses are relative to the
    first sweep, where the tool expects the origin. Files of a sequence that is complete are kept: a person may
    have changed them. Raises UserError where they are of other labels than the cache's.
    """
    import numpy as np

    from iscc_lidar.shared.base.geometry import inverse
    from iscc_lidar.shared.cache.instances import sequence_groups
    from iscc_lidar.shared.layouts.formats.exported import is_exported, mark_exported
    from iscc_lidar.shared.layouts.formats.point_labeler import encode

    sweeps = cache.sequence(sequence).sweeps
    if is_exported(cache, sequence, folder.path):
        return 2 * sweeps + 2
    groups = sequence_groups(cache, sequence)
    poses = []
    for index in range(sweeps):
        sweep = cache.sweep(sequence, index, without=("semantic", "queries", "pixel"))
        points = np.column_stack([sweep.xyz, sweep.intensity]).astype("<f4")
        folder.write(f"{sequence}/velodyne/{index:06d}.bin", points.tobytes())
        labels = encode(sweep.label, groups.rank_of(sweep.label), groups.moving)
        folder.write(f"{sequence}/labels/{index:06d}.label", labels.astype("<u4").tobytes())
        poses.append(sweep.world_SE3_sensor)
    rows = [(inverse(poses[0]) @ pose)[:3].ravel().tolist() for pose in poses]
    folder.write(f"{sequence}/poses.txt", "".join(" ".join(map(repr, row)) + "\n" for row in rows).encode())
    folder.write(f"{sequence}/calib.txt", b"Tr: 1 0 0 0 0 1 0 0 0 0 1 0\n")
    mark_exported(cache, sequence, folder)
    return 2 * sweeps + 2


def write_classes(cache: Cache, folder: OwnFolder, options: ExportOptions) -> int:
    """Write ``labels.xml``, which the tool reads in the folder that it is started in."""
    from iscc_lidar.shared.layouts.formats.point_labeler import labels_xml

    folder.write("labels.xml", labels_xml(_class_names(cache, options)))
    return 1


def _class_names(cache: Cache, options: ExportOptions) -> tuple[str, ...]:
    from iscc_lidar.shared.layouts.formats.label_files import class_names_for

    return class_names_for(cache.manifest.class_names, options.classes, cache.path)


TARGET: Final = Target(
    "point-labeler",
    "SEQUENCE/velodyne, labels, poses.txt, calib.txt, and labels.xml: groups as instances to name",
    write_sequence,
    write_classes,
    refuse_unnamed,
)
