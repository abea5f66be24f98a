"""``--to semantickitti``: one ``.label`` file per sweep, as SemanticKITTI's tools and point_labeler read them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.export.target import ExportOptions, Target

if TYPE_CHECKING:
    from iscc_lidar.shared.base.own import OwnFolder
    from iscc_lidar.shared.cache.reader import Cache

_MAX_INSTANCE: Final = 2**16 - 1


def write_sequence(cache: Cache, sequence: str, folder: OwnFolder, options: ExportOptions) -> int:
    """Write ``sequences/NN/labels/NAME.label``: instance (high 16 bits) = group, class (low 16 bits) = 0.

    Instance 0 is noise, ground and ignored points. Group ids are renumbered from 1 in each sequence; ``groups.csv``
    next to the labels lists instance and group id. Raises UserError for more groups than 16 bits can name.
    """
    import numpy as np

    from iscc_lidar.shared.cache.instances import number_groups, sequence_groups

    groups = len(sequence_groups(cache, sequence).group)
    if groups > _MAX_INSTANCE:
        raise UserError(
            f"{cache.path}: sequence {sequence} has {groups} groups; SemanticKITTI's labels can name at most "
            f"{_MAX_INSTANCE}"
        )
    (instances,) = number_groups(cache, sequence, _MAX_INSTANCE)
    names = cache.sweep_names(sequence)
    for index, name in enumerate(names):
        instance = instances.of(cache.label(sequence, index)).astype(np.uint32)
        folder.write(f"sequences/{sequence}/labels/{name}.label", (instance << 16).astype("<u4").tobytes())
    rows = [f"{instance},{group}" for instance, group in instances.rows()]
    folder.write(f"sequences/{sequence}/groups.csv", "\n".join(["instance,group", *rows, ""]).encode())
    return len(names)


TARGET: Final = Target("semantickitti", "sequences/NN/labels/NAME.label: uint32, instance << 16", write_sequence)
