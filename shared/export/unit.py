"""``--to unit``: one ``.seg`` file per sweep, as UNIT's data set of SemanticKITTI reads the segments to learn from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.export.target import ExportOptions, Target

if TYPE_CHECKING:
    from iscc_lidar.shared.base.own import OwnFolder
    from iscc_lidar.shared.cache.reader import Cache

_FOLDER: Final = "assets/segments_gridsample"
_MAX_INSTANCE: Final = 2**15 - 1


def refuse(cache: Cache, options: ExportOptions) -> None:
    """Raise UserError where the reader, which sorts files by name, would pair labels with other sweeps' points."""
    for sequence in cache.sequence_names:
        names = cache.sweep_names(sequence)
        points, labels = (sorted(names, key=lambda name: name + end) for end in (".bin", "_0.seg"))
        if points != names or labels != names:
            raise UserError(
                f"{cache.path}: sequence {sequence}: names of its sweeps are not in the order of the sweeps when "
                "sorted, and UNIT pairs points and labels by it; expected names of one length, as 000000, 000001"
            )


def write_sequence(cache: Cache, sequence: str, folder: OwnFolder, options: ExportOptions) -> int:
    """Write ``assets/segments_gridsample/NN/NAME_PART.seg``: int16 per point, -1 noise and ignored, 0 ground.

    Groups are numbered from 1 in each sequence, and keep their numbers in it: PART is 0. With more than 32,767 groups
    the sequence is cut into parts with numbers of their own; UNIT compares numbers within a part only.
    ``groups/NN.csv`` lists part, instance and group id.
    """
    import numpy as np

    from iscc_lidar.data_schemas.labels import GROUND
    from iscc_lidar.shared.cache.instances import number_groups

    names, rows, written = cache.sweep_names(sequence), ["part,instance,group"], set[str]()
    for number, part in enumerate(number_groups(cache, sequence, _MAX_INSTANCE)):
        rows += [f"{number},{instance},{group}" for instance, group in part.rows()]
        for index in range(part.start, part.stop):
            label, file = cache.label(sequence, index), f"{names[index]}_{number}.seg"
            segment = np.where(label >= 0, part.of(label), np.where(label == GROUND, 0, -1))
            folder.write(f"{_FOLDER}/{sequence}/{file}", segment.astype("<i2").tobytes())
            written.add(file)
    folder.remove_others(f"{_FOLDER}/{sequence}", written, ".seg")
    folder.write(f"groups/{sequence}.csv", "\n".join([*rows, ""]).encode())
    return len(written) + 1


TARGET: Final = Target(
    "unit", "assets/segments_gridsample/NN/NAME_0.seg: int16 instances, for UNIT", write_sequence, refuse=refuse
)
