"""Labels as point_labeler reads and writes them, with groups as instances of classes of their own.

One uint32 per point: the class in the low 16 bits, the instance in the high ones. point_labeler colours points by
class, so that groups are spread over eight classes; it keeps one box for a whole instance, and one per sweep where the
class is above 200, so that what moves has classes there. A class id is below 1024.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from xml.sax.saxutils import escape

import numpy as np
from numpy.typing import NDArray

from iscc_lidar.data_schemas.labels import GROUND, NOISE
from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.base.palettes import hues
from iscc_lidar.shared.layouts.layout import class_colors

MAX_CLASSES: Final = 180
"""Classes that a person may give, beside unlabelled."""
_GROUPS: Final = 181
_COLOURS: Final = 8
_GROUND: Final = 189
_NOISE: Final = 190
_MOVING: Final = 400
_MAX_INSTANCE: Final = 2**16 - 1
_STUFF_COLOURS: Final = {_GROUND: ("ground, not named", "110 90 60"), _NOISE: ("no group, not named", "90 90 90")}


@dataclass(frozen=True)
class ToolLabels:
    """What the labels of points say.

    Attributes:
        class_index: int64 [N], 0 for unlabelled, groups that are not named, ground and noise.
        rank: int64 [N], place of the point's group among the sequence's groups in ascending order; -1 for none.
        instance: int64 [N], the whole number where it is an instance that is none of the groups; 0 for none.
    """

    class_index: NDArray[np.int64]
    rank: NDArray[np.int64]
    instance: NDArray[np.int64]


def refuse_too_many(classes: int, groups: int, where: str) -> None:
    """Raise UserError for more classes or groups than the tool's numbers can name."""
    if classes - 1 > MAX_CLASSES:
        raise UserError(
            f"{where}: {classes - 1} classes; point_labeler's files can name {MAX_CLASSES} beside the groups"
        )
    if groups > _COLOURS * _MAX_INSTANCE:
        raise UserError(f"{where}: {groups} groups; point_labeler's files can name {_COLOURS * _MAX_INSTANCE}")


def encode(label: NDArray[np.int32], rank: NDArray[np.int64], moving: NDArray[np.bool_]) -> NDArray[np.uint32]:
    """Encode labels of a sweep in which no group is named yet: uint32 [N].

    Args:
        label: int32 [N], ids of groups, and codes.
        rank: int64 [N], place of the point's group among the sequence's groups in ascending order; -1 for none.
        moving: bool [G], whether each of these groups moves at some time.
    """
    group = np.arange(len(moving))
    of_groups = (_GROUPS + group % _COLOURS + _MOVING * moving) | ((group // _COLOURS + 1) << 16)
    found = np.zeros(len(label), np.uint32)
    found[label == GROUND], found[label == NOISE] = _GROUND, _NOISE
    inside = rank >= 0
    found[inside] = of_groups[rank[inside]]
    return found


def decode(raw: NDArray[np.uint32], groups: int, classes: int, where: str) -> ToolLabels:
    """Decode labels [N], of a sequence with a number of groups and classes.

    Raises UserError for a class that labels.xml does not have.
    """
    low, instance = (raw & 0xFFFF).astype(np.int64), (raw >> 16).astype(np.int64)
    low = np.where(low > _MOVING, low - _MOVING, low)
    is_class, is_group = low < classes, (low >= _GROUPS) & (low < _GROUPS + _COLOURS)
    unknown = ~(is_class | is_group | (low == _GROUND) | (low == _NOISE))
    if unknown.any():
        raise UserError(f"{where}: has the class {int(raw[unknown][0]) & 0xFFFF}, which labels.xml does not have")
    rank = np.where(is_group & (instance > 0), (instance - 1) * _COLOURS + low - _GROUPS, -1)
    rank[rank >= groups] = -1
    own = (instance > 0) & (rank < 0) & (is_group | (is_class & (low > 0)))
    return ToolLabels(np.where(is_class, low, 0), rank, np.where(own, raw.astype(np.int64), 0))


def labels_xml(class_names: Sequence[str]) -> bytes:
    """Write the file of the tool's labels: names, numbers and colours."""
    shown = [(index, name, _rgb(color)) for index, (name, color) in
             enumerate(zip(class_names, class_colors(class_names).tolist(), strict=True))]  # fmt: skip
    wheel = hues(np.arange(_COLOURS) / _COLOURS, np.full(_COLOURS, 0.65)).tolist()
    groups = [(_GROUPS + k, f"group {k + 1}, not named", _rgb(color)) for k, color in enumerate(wheel)]
    stuff = [(number, name, color) for number, (name, color) in _STUFF_COLOURS.items()]
    entries = [_entry(*found, root="class") for found in shown]
    entries += [_entry(*found, root="not named") for found in [*groups, *stuff]]
    return ("<config>\n" + "".join(entries) + "</config>\n").encode()


def _entry(number: int, name: str, color: str, root: str) -> str:
    parts = {"id": number, "name": escape(name), "description": escape(name), "color": color, "root": root}
    if number and number not in _STUFF_COLOURS:
        parts |= {"moving": number + _MOVING, "instanceable": "true"}
    inside = "".join(f"    <{key}>{value}</{key}>\n" for key, value in parts.items())
    return f"  <label>\n{inside}  </label>\n"


def _rgb(color: Sequence[float]) -> str:
    return " ".join(str(round(255 * value)) for value in color)
