"""``--to rerun``: one ``.rrd`` recording per sequence for the viewer rerun, the same that ``iscc-cache view`` shows."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from iscc_lidar.shared.base.errors import UserError, missing_package
from iscc_lidar.shared.export.target import ExportOptions, Target

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from iscc_lidar.shared.base.own import OwnFolder
    from iscc_lidar.shared.cache.reader import Cache
    from iscc_lidar.shared.cache.sweep import CachedSweep, GroupBoxes

SENSOR: Final = "world/sensor"
_POINT_PX: Final = -1.5
"""Radii below 0 are in points of the screen."""
_EYE_M: Final = ((-30.0, 0.0, 22.0), (8.0, 0.0, 0.0))
"""Where from and what at, in the frame of the first sweep."""


def refuse_without_rerun(cache: Cache, options: ExportOptions) -> None:
    """Raise UserError where rerun is not installed."""
    _rerun()


def write_sequence(cache: Cache, sequence: str, folder: OwnFolder, options: ExportOptions) -> int:
    """Write ``SEQUENCE.rrd``; see ``write_recording``."""
    with folder.new_file(f"{sequence}.rrd") as file:
        write_recording(cache, sequence, Path(file.name), options.min_confidence)
    return 1


def write_recording(cache: Cache, sequence: str, path: Path, min_confidence: float) -> None:
    """Write a recording of a sequence to a file, one sweep after the other.

    ``world/sensor`` has the pose, and below it ``groups``, each point in the colour of its group, ``ground`` and
    ``noise`` in greys, and ``boxes`` of at least ``min_confidence``; ``world/trajectory`` is the way of the sensor.
    Ignored points are left out. The world begins where the first sweep was taken, since viewers compute in float32. The
    time lines are ``sweep``, the index, and ``time``, from the first sweep.

    Raises UserError where rerun is missing, or switched off by the environment.
    """
    rr = _rerun()
    name = hashlib.sha256(f"{cache.manifest.config_key} {sequence}".encode()).hexdigest()[:32]
    recording = rr.RecordingStream("iscc-lidar", recording_id=name, send_properties=False)
    if not rr.is_enabled(recording):
        raise UserError("the environment variable RERUN switches recordings off; unset it")
    recording.set_log_time_enabled(False)
    recording.save(path, default_blueprint=_blueprint(cache.poses(sequence)))
    try:
        recording.send_recording_name(sequence)
        _log_all(rr, recording, cache, sequence, min_confidence)
    finally:
        recording.flush()
        recording.disconnect()


def _rerun() -> Any:
    try:
        import rerun
    except ModuleNotFoundError:
        raise missing_package("a recording for the viewer rerun", "rerun-sdk", "view") from None
    return rerun


def _blueprint(poses: NDArray[np.float64]) -> Any:
    """Look at the first sweep from behind and above, on a dark ground, one sweep after the other at 10 Hz."""
    import rerun.blueprint as rrb

    from iscc_lidar.shared.base.palettes import BACKGROUND

    eye = None
    if len(poses):
        behind, ahead = (poses[0, :3, :3] @ away for away in _EYE_M)
        eye = rrb.EyeControls3D(position=behind, look_target=ahead)
    space = rrb.Spatial3DView(origin="world", name="groups", background=_packed(BACKGROUND), eye_controls=eye)
    times = rrb.TimePanel(timeline="sweep", play_state="paused", fps=10)
    return rrb.Blueprint(space, times, collapse_panels=True)


def _log_all(rr: Any, recording: Any, cache: Cache, sequence: str, min_confidence: float) -> None:
    import numpy as np

    from iscc_lidar.shared.base.palettes import MID_GREY

    poses, times = cache.poses(sequence), cache.times_ns(sequence)
    begin = poses[:1, :3, 3].sum(axis=0)
    recording.log("world", rr.ViewCoordinates.RIGHT_HAND_Z_UP, static=True, strict=True)
    if len(poses) > 1:
        way = rr.LineStrips3D([poses[:, :3, 3] - begin], colors=[_packed(MID_GREY)])
        recording.log("world/trajectory", way, static=True, strict=True)
    for index in range(len(poses)):
        recording.set_time("sweep", sequence=index)
        recording.set_time("time", duration=np.timedelta64(int(times[index] - times[0]), "ns"))
        pose = rr.Transform3D(translation=poses[index, :3, 3] - begin, mat3x3=poses[index, :3, :3])
        recording.log(SENSOR, pose, strict=True)
        sweep = cache.sweep(sequence, index, without=("semantic", "queries", "pixel"))
        _log_points(rr, recording, sweep)
        boxes = cache.group_boxes(sequence, index)
        if boxes is not None:
            _log_boxes(rr, recording, boxes.sure(min_confidence))


def _log_points(rr: Any, recording: Any, sweep: CachedSweep) -> None:
    from iscc_lidar.data_schemas.labels import GROUND, NOISE
    from iscc_lidar.shared.base.palettes import LIGHT_GREY, MID_GREY

    grouped = sweep.label >= 0
    for part, rows, colors in (
        ("groups", grouped, group_colors(sweep.label[grouped])),
        ("ground", sweep.label == GROUND, _packed(MID_GREY)),
        ("noise", sweep.label == NOISE, _packed(LIGHT_GREY)),
    ):
        points = rr.Points3D(sweep.xyz[rows], colors=colors, radii=_POINT_PX)
        recording.log(f"{SENSOR}/{part}", points, strict=True)


def _log_boxes(rr: Any, recording: Any, boxes: GroupBoxes) -> None:
    import numpy as np

    half, none = boxes.heading / 2, np.zeros(len(boxes.heading))
    found = rr.Boxes3D(
        centers=boxes.centre,
        half_sizes=boxes.size / 2,
        quaternions=np.stack([none, none, np.sin(half), np.cos(half)], axis=1),
        colors=group_colors(boxes.group),
        labels=[f"group {group}: {sure:.2f}" for group, sure in zip(boxes.group, boxes.confidence, strict=True)],
        show_labels=False,
    )
    recording.log(f"{SENSOR}/boxes", found, strict=True)


def group_colors(groups: NDArray[np.int32]) -> NDArray[np.uint32]:
    """Return the colours of groups [N], those of ``iscc-cache show``, as 0xRRGGBBAA, uint32 [N]."""
    import numpy as np

    from iscc_lidar.shared.base.palettes import distinct_colors

    red, green, blue = np.rint(distinct_colors(groups) * 255).astype(np.uint32).T
    packed: NDArray[np.uint32] = red << 24 | green << 16 | blue << 8 | np.uint32(255)
    return packed


def _packed(color: str) -> int:
    """Return #rrggbb as 0xRRGGBBAA."""
    return int(f"{color[1:]}ff", 16)


TARGET: Final = Target(
    "rerun",
    "SEQUENCE.rrd: coloured groups, ground, boxes and poses for the viewer rerun",
    write_sequence,
    refuse=refuse_without_rerun,
)
