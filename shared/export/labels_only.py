"""``--to labels-only``: ids, ground, groups and boxes without any point, to publish labels of data that may not be."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from iscc_lidar.shared.export.target import ExportOptions, Target, refuse_without_boxes

if TYPE_CHECKING:
    from iscc_lidar.shared.base.own import OwnFolder
    from iscc_lidar.shared.cache.reader import Cache


def write_sequence(cache: Cache, sequence: str, folder: OwnFolder, options: ExportOptions) -> int:
    """Write ``sequences/NAME/part_000000.parquet``, one for each block."""
    from iscc_lidar.shared.cache.labels_only import encode

    blocks = cache.sequence(sequence).blocks
    for block in blocks:
        folder.write(_path(sequence, block.start), encode(cache, sequence, block))
    return len(blocks)


def write_contents(cache: Cache, folder: OwnFolder, options: ExportOptions) -> int:
    """Write ``labels.json``: the manifest of the cache, and the digests of the files."""
    from iscc_lidar.data_schemas.labels_only import LABELS_FILE, LabelsManifest, LabelsPart, to_json
    from iscc_lidar.shared.base.files import sha256

    parts = []
    for entry in cache.manifest.sequences:
        for block in entry.blocks:
            path = _path(entry.name, block.start)
            parts.append(LabelsPart(path, sha256(folder.path / path), cache.block(entry.name, block.start).key))
    folder.write(LABELS_FILE, to_json(LabelsManifest(cache.manifest, tuple(parts))).encode())
    return 1


def _path(sequence: str, start: int) -> str:
    return f"sequences/{sequence}/part_{start:06d}.parquet"


TARGET: Final = Target(
    "labels-only",
    "labels.json and sequences/NAME/part_*.parquet: ids, ground, groups, boxes, no points",
    write_sequence,
    write_contents,
    refuse_without_boxes,
)
