"""``--to cvat``: point clouds, and boxes of the groups as tracks in the format that CVAT imports, to name in CVAT."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.export.target import ExportOptions, Target, refuse_without_boxes

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from iscc_lidar.shared.base.own import OwnFolder
    from iscc_lidar.shared.cache.reader import Cache

UNNAMED: Final = "group"
"""Class of groups that are not named."""


def refuse_unnamed(cache: Cache, options: ExportOptions) -> None:
    """Raise UserError where there are no names of classes, or no boxes of groups."""
    if UNNAMED in _class_names(cache, options):
        raise UserError(f"{cache.path}: a class is called {UNNAMED}, which in CVAT are groups without a name")
    refuse_without_boxes(cache, options)


def group_tag(cache: Cache, sequence: str, group: int) -> str:
    """Return the text that a box carries, so that it is known again: its group, and of which labels that is."""
    return f"{group} of {cache.labels_digest(sequence)[:12]}"


def write_sequence(cache: Cache, sequence: str, folder: OwnFolder, options: ExportOptions) -> int:
    """Write ``SEQUENCE/data/000000.pcd``, and ``SEQUENCE/annotations`` in Supervisely's point cloud format.

    Files are named by the index of the sweep. Every group of at least ``min_confidence`` has a box on each of its
    sweeps, of the class ``group``, whose attribute ``iscc_group`` names the group.
    """
    from iscc_lidar.shared.layouts.formats.sly_point_cloud import KEYS_FILE, META_FILE, Writer, meta, sweep_file

    writer = Writer(UNNAMED, f"{cache.labels_digest(sequence)} {sequence}")
    sweeps = cache.sequence(sequence).sweeps
    for index in range(sweeps):
        sweep = cache.sweep(sequence, index, without=("semantic", "queries", "pixel"))
        folder.write(f"{sequence}/data/{index:06d}.pcd", _pcd(sweep.xyz, sweep.intensity))
        boxes = cache.require_group_boxes(sequence, index).sure(options.min_confidence)
        tags = {group: group_tag(cache, sequence, group) for group in boxes.group.tolist()}
        folder.write(f"{sequence}/annotations/{sweep_file(index)}", writer.sweep(index, boxes, tags))
    folder.write(f"{sequence}/annotations/{META_FILE}", meta(_colored(_class_names(cache, options))))
    folder.write(f"{sequence}/annotations/{KEYS_FILE}", writer.keys())
    return 2 * sweeps + 2


def write_labels(cache: Cache, folder: OwnFolder, options: ExportOptions) -> int:
    """Write ``labels.json``, the labels of a task or project, for the field "Raw" of CVAT."""
    from iscc_lidar.shared.layouts.formats.sly_point_cloud import GROUP_TAG

    attribute = {"name": GROUP_TAG, "mutable": False, "input_type": "text", "default_value": "", "values": [""]}
    colored = _colored(_class_names(cache, options))
    labels = [{"name": n, "color": color, "type": "any", "attributes": [attribute]} for n, color in colored]
    folder.write("labels.json", (json.dumps(labels, indent=1) + "\n").encode())
    return 1


def _class_names(cache: Cache, options: ExportOptions) -> tuple[str, ...]:
    from iscc_lidar.shared.layouts.formats.label_files import class_names_for

    return class_names_for(cache.manifest.class_names, options.classes, cache.path)


def _colored(names: tuple[str, ...]) -> list[tuple[str, str]]:
    from iscc_lidar.shared.base.palettes import LIGHT_GREY, hex_color
    from iscc_lidar.shared.layouts.layout import class_colors

    colors = class_colors(names)
    return [
        (UNNAMED, LIGHT_GREY),
        *((name, hex_color(color)) for name, color in zip(names[1:], colors[1:], strict=True)),
    ]


def _pcd(xyz: NDArray[np.float32], intensity: NDArray[np.float32]) -> bytes:
    """Encode points as a binary .pcd."""
    import numpy as np

    header = (
        "# .PCD v0.7\nVERSION 0.7\nFIELDS x y z intensity\nSIZE 4 4 4 4\nTYPE F F F F\nCOUNT 1 1 1 1\n"
        f"WIDTH {len(xyz)}\nHEIGHT 1\nVIEWPOINT 0 0 0 1 0 0 0\nPOINTS {len(xyz)}\nDATA binary\n"
    )
    return header.encode() + np.column_stack([xyz, intensity]).astype("<f4").tobytes()


TARGET: Final = Target(
    "cvat",
    "SEQUENCE/data/*.pcd, SEQUENCE/annotations (Supervisely), labels.json: boxes of groups as tracks to name",
    write_sequence,
    write_labels,
    refuse_unnamed,
)
