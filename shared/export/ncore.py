"""``--to ncore``: one NCore V4 component store per sequence: point clouds with groups, poses, tracked cuboids."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.export.target import ExportOptions, Target

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from iscc_lidar.shared.base.own import OwnFolder
    from iscc_lidar.shared.cache.reader import Cache
    from iscc_lidar.shared.cache.sweep import GroupBoxes
    from iscc_lidar.shared.layouts.formats.ncore_store import StoreWriter

SENSOR: Final = "lidar"
"""Name of the sensor frame, in which points and cuboids are."""
CLOUDS: Final = "iscc_lidar"
"""Name of the source of point clouds."""
CLASS: Final = "object"
"""Class of all cuboids: groups have none."""
_INSTANCE: Final = "default"


def write_sequence(cache: Cache, sequence: str, folder: OwnFolder, options: ExportOptions) -> int:
    """Write ``SEQUENCE.ncore4.zarr.itar``, with NCore's components poses, intrinsics, masks, cuboids, point_clouds.

    Point clouds, one per sweep, have all points of the raw file in its order, with the attributes group_id, int32:
    group or a code below 0, and intensity. The frame ``rig`` is the sensor's, since a cache knows no vehicle. Cuboids
    are those of at least ``min_confidence``, track_id the group; none where the cache has no boxes of groups.

    Raises UserError where two sweeps are of the same microsecond.
    """
    from iscc_lidar.shared.layouts.formats.ncore_store import EncodedList, StoreWriter

    names, times = cache.sweep_names(sequence), _microseconds(cache, sequence)
    observations, confidences = EncodedList(), list[float]()
    with folder.new_file(f"{sequence}.ncore4.zarr.itar") as file:
        store = StoreWriter(file)
        store.group("", _sequence_attributes(cache, sequence, options, times))
        store.group("point_clouds")
        clouds = f"point_clouds/{CLOUDS}"
        _component(store, "point_clouds", CLOUDS)
        schemas = {name: _invariant(dtype) for name, dtype in (("group_id", "int32"), ("intensity", "float32"))}
        store.group(f"{clouds}/pcs", {"coordinate_unit": "METERS", "attribute_schemas": schemas})
        for index, name in enumerate(names):
            sweep = cache.sweep(sequence, index, without=("semantic", "queries", "pixel"))
            cloud = f"{clouds}/pcs/{index}"
            about = {"sweep": index, "name": name}
            store.group(cloud, {"reference_frame_id": SENSOR, "generic_meta_data": about})
            store.array(f"{cloud}/xyz", sweep.xyz)
            store.array(f"{cloud}/group_id", sweep.label)
            store.array(f"{cloud}/intensity", sweep.intensity)
            store.group(f"{cloud}/generic_data")
            boxes = cache.group_boxes(sequence, index)
            if boxes is not None:
                boxes = boxes.sure(options.min_confidence)
                observations.extend(_observations(boxes, int(times[index]), cache.manifest.config_key))
                confidences += boxes.confidence.tolist()
        store.array(f"{clouds}/pc_timestamps_us", times)
        _write_poses(store, cache.poses(sequence), times)
        _write_cuboids(store, observations, confidences)
        for kind, parts in (("intrinsics", ("cameras", "lidars")), ("masks", ("cameras",))):  # readers ask for them
            store.group(kind)
            _component(store, kind, _INSTANCE)
            for part in parts:
                store.group(f"{kind}/{_INSTANCE}/{part}")
        store.finish()
    return 1


def _microseconds(cache: Cache, sequence: str) -> NDArray[np.uint64]:
    """Return the times of the sweeps, from 0 where they begin below it."""
    import numpy as np

    times = cache.times_ns(sequence)
    times = (times - min(0, int(times.min(initial=0)))) // 1000
    if len(early := np.flatnonzero(np.diff(times) <= 0)):
        first, names = int(early[0]), cache.sweep_names(sequence)
        raise UserError(
            f"{cache.path}: sequence {sequence}: sweep {names[first + 1]} is not a microsecond later than sweep "
            f"{names[first]} before it, as NCore needs; correct its times and preprocess again"
        )
    return times.astype(np.uint64)


def _sequence_attributes(
    cache: Cache, sequence: str, options: ExportOptions, times: NDArray[np.uint64]
) -> dict[str, Any]:
    from iscc_lidar.data_schemas.labels import CODES

    about = {
        "dataset": cache.manifest.dataset,
        "config_key": cache.manifest.config_key,
        "min_confidence": options.min_confidence,
        "group_id": "from 0: group; " + "; ".join(f"{code}: {meaning}" for code, meaning in CODES.items()),
    }
    start, last = (int(times[0]), int(_pose_times(times)[-1])) if len(times) else (0, -1)
    return {
        "sequence_id": sequence,
        "sequence_timestamp_interval_us": {"start": start, "stop": last + 1},
        "generic_meta_data": about,
        "version": "v4",
        "component_group_name": "",
    }


def _component(store: StoreWriter, kind: str, instance: str) -> None:
    about = {"component_name": kind, "component_instance_name": instance, "component_version": "v1"}
    store.group(f"{kind}/{instance}", {**about, "generic_meta_data": {}})


def _invariant(dtype: str) -> dict[str, Any]:
    """Describe an attribute of points that a rigid transform leaves as it is."""
    return {"transform_type": "INVARIANT", "dtype": dtype, "shape_suffix": []}


def _pose_times(times: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return the times of the poses: readers interpolate, so that a single one comes again a microsecond later."""
    import numpy as np

    return np.append(times, times[-1] + np.uint64(1)) if len(times) == 1 else times


def _write_poses(store: StoreWriter, poses: NDArray[np.float64], times: NDArray[np.uint64]) -> None:
    import numpy as np

    at = _pose_times(times)
    moving = poses[np.minimum(np.arange(len(at)), len(poses) - 1)]
    dynamic = {"poses": moving.tolist(), "timestamps_us": at.tolist(), "dtype": "float64"}
    static = {"pose": np.eye(4).tolist(), "dtype": "float64"}
    store.group("poses")
    _component(store, "poses", _INSTANCE)
    store.group(f"poses/{_INSTANCE}/static_poses", {str((SENSOR, "rig")): static})
    store.group(f"poses/{_INSTANCE}/dynamic_poses", {str(("rig", "world")): dynamic} if len(times) else {})


def _write_cuboids(store: StoreWriter, observations: Any, confidences: list[float]) -> None:
    import numpy as np

    store.group("cuboids")
    _component(store, "cuboids", _INSTANCE)
    store.group(f"cuboids/{_INSTANCE}/cuboids", {"cuboid_track_observations": observations})
    store.group(f"cuboids/{_INSTANCE}/generic_data")
    store.array(f"cuboids/{_INSTANCE}/generic_data/confidence", np.array(confidences, np.float32))


def _observations(boxes: GroupBoxes, time_us: int, version: str) -> list[dict[str, Any]]:
    columns = (boxes.group.tolist(), boxes.centre.tolist(), boxes.size.tolist(), boxes.heading.tolist())
    return [
        {
            "track_id": str(group),
            "class_id": CLASS,
            "timestamp_us": time_us,
            "reference_frame_id": SENSOR,
            "reference_frame_timestamp_us": time_us,
            "bbox3": {"centroid": centre, "dim": size, "rot": [0.0, 0.0, heading]},
            "source": "AUTOLABEL",
            "source_version": version,
        }
        for group, centre, size, heading in zip(*columns, strict=True)
    ]


TARGET: Final = Target(
    "ncore",
    "SEQUENCE.ncore4.zarr.itar: point clouds with group ids, poses and tracked cuboids, as nvidia-ncore reads them",
    write_sequence,
)
