"""``--to opensceneflow``: one HDF5 file per sequence and an index of all, as OpenSceneFlow's data loader reads them."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any, Final

from iscc_lidar.shared.base.errors import UserError, missing_package
from iscc_lidar.shared.export.target import ExportOptions, Target

if TYPE_CHECKING:
    from io import BufferedRandom

    from numpy.typing import NDArray

    from iscc_lidar.shared.base.own import OwnFolder
    from iscc_lidar.shared.cache.instances import Instances
    from iscc_lidar.shared.cache.reader import Cache

_MAX_CLUSTER: Final = 2**15 - 2
"""The loader adds 1 to an int16."""
_DIGITS: Final = 19
"""Of a time in ns, so that texts are in the order of the times."""


def refuse(cache: Cache, options: ExportOptions) -> None:
    """Raise UserError without h5py, and where the times of a sequence cannot be names of its groups."""
    _h5py()
    for sequence in cache.sequence_names:
        _used_sweeps(cache, sequence)


def write_sequence(cache: Cache, sequence: str, folder: OwnFolder, options: ExportOptions) -> int:
    """Write ``SEQUENCE.h5``, with an HDF5 group per sweep, and ``groups/SEQUENCE.csv``: clusters and group ids.

    An HDF5 group is named by the sweep's time in ns, 19 digits, and has for the N points of the raw file, in its order:

    - ``lidar``: float32 [N, 4], x, y, z in metres, sensor frame; intensity, 0..1.
    - ``pose``: float64 [4, 4], world_SE3_sensor.
    - ``ground_mask``: bool [N], ground and ignored points, which the loader leaves out.
    - ``cluster``: int16 [N], number of the point's group, 0 in none. Groups that move at some time come first.
    - ``dufo``, ``nnd``: uint8 [N], 1 where the point's group moves around this sweep.
    - ``dufocluster``: int16 [N], ``cluster`` where ``dufo`` is 1.

    Sweeps whose points are all ground or ignored are left out, and sequences with fewer than two others.
    """
    from iscc_lidar.shared.cache.instances import number_groups

    used = _used_sweeps(cache, sequence)
    if len(used) < 2:
        return 0
    rows = ["first_sweep,cluster,group"]
    with folder.new_file(f"{sequence}.h5") as file:
        sink = _Sink(file)
        with _h5py().File(sink, "w") as scene:
            for part in number_groups(cache, sequence, _MAX_CLUSTER, moving_first=True):
                rows += [f"{part.start},{number},{group}" for number, group in part.rows()]
                for index in range(part.start, part.stop):
                    if index in used:
                        _write_arrays(scene.create_group(used[index]), _arrays(cache, sequence, index, part))
                    sink.raise_error()
        sink.raise_error()
    folder.write(f"groups/{sequence}.csv", "\n".join([*rows, ""]).encode())
    return 2


def finish(cache: Cache, folder: OwnFolder, options: ExportOptions) -> int:
    """Write ``index_total.pkl``: a pickled list with ``[sequence, time]`` of each sweep. No code is in it."""
    import pickle

    used = {sequence: _used_sweeps(cache, sequence) for sequence in cache.sequence_names}
    index = [[sequence, time] for sequence, times in used.items() if len(times) > 1 for time in times.values()]
    folder.write("index_total.pkl", pickle.dumps(index, protocol=4))
    return 1


def _used_sweeps(cache: Cache, sequence: str) -> dict[int, str]:
    """Return the times, as texts, of the sweeps that have points in groups or noise, by their index.

    Raises UserError where times do not ascend, or are negative.
    """
    import numpy as np

    used: dict[int, str] = {}
    last = -1
    for block in cache.blocks(sequence):
        index, time, grouped, noise = (
            block.sweeps[name].to_numpy().astype(np.int64) for name in ("sweep", "timestamp_ns", "grouped", "noise")
        )
        if time.min() < 0 or (np.diff(time, prepend=last) <= 0).any():
            raise UserError(
                f"{cache.path}: sequence {sequence}: the times of its sweeps do not ascend from 0, and they name the "
                "sweeps in OpenSceneFlow's files; preprocess again with increasing times, or export with --to "
                "semantickitti"
            )
        last = int(time[-1])
        kept = grouped + noise > 0
        used.update((int(i), f"{int(t):0{_DIGITS}d}") for i, t in zip(index[kept], time[kept], strict=True))
    return used


def _arrays(cache: Cache, sequence: str, index: int, part: Instances) -> dict[str, NDArray[Any]]:
    """Return what a sweep's HDF5 group contains."""
    import numpy as np

    from iscc_lidar.data_schemas.labels import GROUND, NOT_CONSIDERED

    sweep = cache.sweep(sequence, index, without=("semantic", "queries", "pixel"))
    groups = cache.groups(sequence, index)
    cluster = part.of(sweep.label).astype(np.int16)
    of_group = np.zeros(_MAX_CLUSTER + 1, np.uint8)
    of_group[part.of(groups.group)] = groups.moving
    moves = of_group[cluster]
    return {
        "lidar": np.column_stack([sweep.xyz, sweep.intensity]),
        "pose": sweep.world_SE3_sensor,
        "ground_mask": (sweep.label == GROUND) | (sweep.label == NOT_CONSIDERED),
        "cluster": cluster,
        "dufo": moves,
        "dufocluster": cluster * moves,
        "nnd": moves,
    }


def _write_arrays(group: Any, arrays: dict[str, NDArray[Any]]) -> None:
    for name, values in arrays.items():
        small = {} if name in ("lidar", "pose") else {"chunks": values.shape, "compression": "gzip", "shuffle": True}
        group.create_dataset(name, data=values, track_times=False, **small)


class _Sink(io.RawIOBase):
    """A file for HDF5 that keeps an error for later; the library prints stack traces, and cannot close, after one."""

    def __init__(self, file: BufferedRandom) -> None:
        self._file = file
        self._error: OSError | None = None

    def raise_error(self) -> None:
        """Raise the first error of a write, if there was one."""
        if self._error is not None:
            raise self._error

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def readinto(self, buffer: Any) -> int:
        return self._file.readinto(buffer)

    def write(self, data: Any) -> int:
        if self._error is None:
            try:
                self._file.write(data)
            except OSError as error:
                self._error = error
        return len(data)

    def truncate(self, size: int | None = None) -> int:
        if self._error is None:
            try:
                self._file.truncate(size)
            except OSError as error:
                self._error = error
        return size or 0


def _h5py() -> Any:
    """Import h5py. Raises UserError where it is not installed."""
    try:
        import h5py
    except ImportError:
        raise missing_package("--to opensceneflow", "h5py", "opensceneflow") from None
    return h5py


TARGET: Final = Target(
    "opensceneflow",
    "SEQUENCE.h5 and index_total.pkl: points, poses, ground, clusters, motion for OpenSceneFlow (SeFlow)",
    write_sequence,
    finish,
    refuse,
)
