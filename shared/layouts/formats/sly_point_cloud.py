"""Boxes of a sequence in Supervisely's point cloud format, which CVAT imports and exports.

``meta.json``: classes and tags; ``key_id_map.json``: numbers by key; ``ds0/ann/NAME.pcd.json``, one per sweep: objects,
with class and tags, and figures, which are boxes of the objects. CVAT takes figures of one object for a track where the
object has a tag ``keyframe``.
"""

from __future__ import annotations

import json
import math
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.base.files import read_json
from iscc_lidar.shared.base.text import one_line
from iscc_lidar.shared.cache.sweep import GroupBoxes

META_FILE: Final = "meta.json"
KEYS_FILE: Final = "key_id_map.json"
SWEEPS_FOLDER: Final = "ds0/ann"
GROUP_TAG: Final = "iscc_group"
_ENDING: Final = ".pcd.json"
_AXES: Final = ("x", "y", "z")
_FARTHEST_M: Final = 1e6
_MOST_FIGURES: Final = 100_000


@dataclass(frozen=True)
class Figure:
    """A box on a sweep.

    Attributes:
        object: key of its object.
        class_name: of its object.
        group: text of its object's tag GROUP_TAG, "" without one.
        centre: float64 [3], metres, sensor frame.
        size: float64 [3], length, width, height, metres.
        heading: radians.
    """

    object: str
    class_name: str
    group: str
    centre: NDArray[np.float64]
    size: NDArray[np.float64]
    heading: float


def sweep_file(index: int) -> str:
    """Return the file of a sweep by its index."""
    return f"{SWEEPS_FOLDER}/{index:06d}{_ENDING}"


class Writer:
    """Encodes the boxes of a sequence sweep by sweep, then what they have in common."""

    def __init__(self, class_name: str, salt: str) -> None:
        """Begin a sequence whose objects are of one class; keys are made of ``salt`` and their numbers."""
        self._class_name, self._salt = class_name, salt
        self._objects: dict[str, int] = {}
        self._figures: dict[str, int] = {}
        self._sweeps: dict[str, int] = {}

    def sweep(self, index: int, boxes: GroupBoxes, groups: Mapping[int, str]) -> bytes:
        """Encode a sweep's boxes; ``groups`` has the text of the tag of each group."""
        objects, figures = [], []
        for k, group in enumerate(boxes.group.tolist()):
            key, figure = self._key("object", group), self._key("figure", index, group)
            self._objects[key], self._figures[figure] = group + 1, len(self._figures) + 1
            tags = [
                {"name": name, "value": value, "key": self._key("tag", name, index, group)}
                for name, value in ((GROUP_TAG, groups[group]), ("keyframe", "true"))
            ]
            objects.append({"key": key, "classTitle": self._class_name, "tags": tags, "objects": [], "figures": []})
            turn = (0.0, 0.0, float(boxes.heading[k]))
            geometry = {"position": boxes.centre[k].tolist(), "rotation": turn, "dimensions": boxes.size[k].tolist()}
            figures.append(
                {
                    "key": figure,
                    "objectKey": key,
                    "geometryType": "cuboid_3d",
                    "geometry": {name: dict(zip(_AXES, of, strict=True)) for name, of in geometry.items()},
                }
            )
        key = self._key("sweep", index)
        self._sweeps[key] = index
        return _json({"description": "", "key": key, "tags": [], "objects": objects, "figures": figures})

    def keys(self) -> bytes:
        """Encode the numbers of all that was written."""
        return _json({"tags": {}, "objects": self._objects, "figures": self._figures, "videos": self._sweeps})

    def _key(self, *parts: object) -> str:
        return uuid.uuid5(uuid.NAMESPACE_OID, " ".join(map(str, (self._salt, *parts)))).hex


def meta(classes: Sequence[tuple[str, str]]) -> bytes:
    """Encode classes, each with its colour as #rrggbb, and the tags that objects have."""
    known = [
        {"id": number, "title": name, "color": color, "shape": "cuboid_3d", "geometry_config": {}}
        for number, (name, color) in enumerate(classes, start=1)
    ]
    tags = [
        {"name": name, "value_type": "any_string", "color": "", "id": number, "hotkey": "", "classes": []}
        | {"applicable_type": "objectsOnly"}
        for number, name in enumerate((GROUP_TAG, "keyframe"), start=1)
    ]
    return _json({"classes": known, "tags": tags, "projectType": "point_clouds"})


def read_figures(folder: Path, sweeps: int) -> Iterator[tuple[int, str, list[Figure]]]:
    """Read the boxes of each sweep that has a file: its index, the file for messages, and the boxes.

    Raises UserError for files that are not as the format says, are of no sweep, or of one sweep twice.
    """
    seen: dict[int, str] = {}
    for file in sorted((folder / SWEEPS_FOLDER).rglob(f"*{_ENDING}")):
        name, where = file.name.removesuffix(_ENDING), one_line(file)
        if not (len(name) == 6 and name.isascii() and name.isdigit() and int(name) < sweeps):
            raise UserError(f"{where}: is of no sweep; expected 000000{_ENDING} to {sweeps - 1:06d}{_ENDING}")
        if int(name) in seen:
            raise UserError(f"{where}: is of the same sweep as {seen[int(name)]}")
        seen[int(name)] = where
        try:
            yield int(name), where, _figures(read_json(file))
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise UserError(
                f"{where}: not a sweep's boxes in Supervisely's format ({type(error).__name__}: {one_line(error):.200})"
            ) from None


def _figures(content: dict[str, Any]) -> list[Figure]:
    objects: dict[str, tuple[str, str]] = {}
    for item in content["objects"]:
        tags = {tag["name"]: tag["value"] for tag in item.get("tags", [])}
        objects[_text(item["key"])] = _text(item["classTitle"]), _text(tags.get(GROUP_TAG, ""))
    if len(content["figures"]) > _MOST_FIGURES:
        raise ValueError(f"more than {_MOST_FIGURES} boxes on a sweep")
    found = []
    for item in content["figures"]:
        geometry = item["geometry"]
        centre, size, turn = (_vector(geometry[name]) for name in ("position", "dimensions", "rotation"))
        if not (size > 0).all():
            raise ValueError("a size is not positive")
        key = _text(item["objectKey"])
        found.append(Figure(key, *objects[key], centre, size, float(turn[2])))
    return found


def _vector(content: dict[str, Any]) -> NDArray[np.float64]:
    values = [content[axis] for axis in _AXES]
    if not all(
        isinstance(value, int | float) and math.isfinite(value) and abs(value) < _FARTHEST_M for value in values
    ):
        raise ValueError(f"expected numbers below {_FARTHEST_M:g}, not {values!r:.80}")
    return np.array(values, np.float64)


def _text(found: object) -> str:
    if not isinstance(found, str) or len(found) > 1000:
        raise ValueError(f"expected a text, not {found!r:.80}")
    return found


def _json(content: dict[str, Any]) -> bytes:
    return (json.dumps(content, indent=1) + "\n").encode()
