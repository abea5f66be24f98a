"""Judge whether data are what a LiDAR measures, from a few sweeps spread over each sequence.

The commonest mistakes when data are converted: points of another type or with other columns, coordinates that are not
in metres or not in the sensor's frame, intensity 0..255, labels of another dataset, poses in another frame. Thresholds
are between the figures of sound sweeps of seven sensors and those of the same sweeps with each mistake; the tests
measure both.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from iscc_lidar.data_schemas.sweep import Sweep, SweepError
from iscc_lidar.preprocess.datasets._points.layouts import other_layout
from iscc_lidar.preprocess.datasets.registry import Dataset, HasRawLabels, HasWarnings
from iscc_lidar.preprocess.plan.alignment import Motions, judge_motions, try_motions
from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.base.text import counted

Level = Literal["unreadable", "error", "empty", "warning"]

_PAIRS: Final = 60  # pairs of sweeps that are read of all sequences together
_PAIRS_EACH: Final = 3  # at most; the first one mostly suffices
_MIN_POINTS: Final = 500  # of fewer nothing is judged
_SAMPLED_POINTS: Final = 16384  # of each sweep, evenly spread: shares and percentiles are as good as those of all
_FAR_M: Final = 1000.0
_NEAR_M: Final = 3.0
_MAX_FAR: Final = 0.01  # sound: 0; float64 read as float32: 0.34 and more
_MAX_SATURATED: Final = 0.1  # sound: at most 0.02; 0..255: 0.88, five columns read as four: 0.39
_MAX_UPRIGHT: Final = 3.0  # spread along z over the smaller along x and y: sound at most 0.17, other axes 4.7
_MAX_UNKNOWN: Final = 0.05  # of the points, with unknown labels: sound 0


@dataclass(frozen=True)
class Finding:
    """What is wrong with the content of a sequence.

    Attributes:
        level: "unreadable" stops preprocessing, "error" spoils the result, "empty" is a sweep without points, which has
            no effect on others.
        message: what was expected and found, the likely cause, what to do.
        sweeps: positions of the sweeps that cannot be read; None where it is not of single sweeps.
    """

    level: Level
    message: str
    sweeps: tuple[int, ...] | None = None


Faults = dict[int, list[tuple[str, Finding]]]
"""The name of each fault and the finding, by the sweep that has it."""


def judge(
    dataset: Dataset,
    sequences: Sequence[str],
    bad: Mapping[str, Collection[int]] | None = None,
    *,
    every: bool = False,
    poses: bool = True,
) -> Iterator[tuple[str, list[Finding]]]:
    """Judge sequences one after the other: yields each judged sequence's name and findings.

    At most 60 pairs of successive sweeps are read of all together, of 60 sequences if there are more; of each at most
    three, or one pair and two sweeps if its poses are sound. With ``every`` all sweeps of all sequences are read. Files
    of 0 bytes are found in any case. Sweeps that are known to be ``bad``, by sequence, are not read. Without ``poses``
    they are not judged.
    """
    count = len(sequences)
    read = range(count) if every or count <= _PAIRS else {round(k * (count - 1) / (_PAIRS - 1)) for k in range(_PAIRS)}
    pairs = max(1, min(_PAIRS_EACH, _PAIRS // max(count, 1)))
    for number, sequence in enumerate(sequences):
        findings = list(_losses(dataset, sequence))
        if all(finding.level != "unreadable" for finding in findings):
            empty = _empty_files(dataset, sequence)
            if number in read:
                skipped = {*empty, *(bad or {}).get(sequence, ())}
                findings += _judge_sequence(dataset, sequence, pairs, every, empty, skipped, poses)
            else:
                findings += (finding for of_sweep in empty.values() for _, finding in of_sweep)
        yield sequence, list(dict.fromkeys(findings))


def describe_error(error: Exception, where: str) -> str:
    """Describe what a damaged file made a reader raise."""
    known = isinstance(error, UserError | SweepError)
    return str(error) if known else f"{where}: {type(error).__name__}: {error}"


def _losses(dataset: Dataset, sequence: str) -> Iterator[Finding]:
    """Describe what is missing of a sequence that can be processed without it."""
    try:
        lost = [*(dataset.warnings(sequence) if isinstance(dataset, HasWarnings) else ())]
        lost += _gaps(sequence, dataset.sweep_names(sequence))
    except Exception as error:  # whatever a damaged file makes a reader raise, the others are still checked
        yield Finding("unreadable", describe_error(error, f"sequence {sequence}"))
        return
    yield from (Finding("warning", message) for message in lost)


def _empty_files(dataset: Dataset, sequence: str) -> Faults:
    """Find the sweeps whose file has 0 bytes."""
    found: Faults = {}
    for index in range(len(dataset.sweep_names(sequence))):
        path = next(iter(dataset.input_files(sequence, index)), None)
        if path is not None and path.is_file() and path.stat().st_size == 0:
            found[index] = [("empty", Finding("empty", _no_point(str(path), "no point")))]
    return found


def _no_point(where: str, what: str) -> str:
    return f"{where}: contains {what}; the file is damaged, fetch or convert it again"


def _judge_sequence(
    dataset: Dataset, sequence: str, pairs: int, every: bool, empty: Faults, skipped: Collection[int], poses: bool
) -> Iterator[Finding]:
    """Judge pairs of sweeps until the poses of one with a moving vehicle are sound, then single ones; or all sweeps."""
    sweeps = len(dataset.sweep_names(sequence))
    faults = dict(empty)
    motions: list[Motions] = []
    proven = False
    for start in _starts(sweeps, pairs):
        stop = min(start + (1 if proven else 2), sweeps)
        read = [_read(dataset, sequence, index, faults) for index in range(start, stop) if index not in skipped]
        sound = [sweep for sweep in read if sweep is not None]
        if poses and len(sound) == 2 and (tried := try_motions(*sound)) is not None:
            motions.append(tried)
            proven = tried.moved and not list(judge_motions([tried]))
    for index in range(sweeps) if every else ():
        if index not in faults and index not in skipped:
            _read(dataset, sequence, index, faults)
    yield from _summaries(faults)
    yield from (Finding("error", f"sequence {sequence}: {text}") for text in judge_motions(motions))


def _read(dataset: Dataset, sequence: str, index: int, faults: Faults) -> Sweep | None:
    """Read and judge a sweep, and add its faults by its index; returns it unless it has an error."""
    try:
        sweep = dataset.read(sequence, index)
        faults[index] = [*judge_sweep(dataset, sweep, index), *_judge_labels(dataset, sweep, index)]
    except Exception as error:  # whatever a damaged file makes a reader raise, the others are still checked
        message = describe_error(error, f"sequence {sequence}, sweep {dataset.sweep_names(sequence)[index]}")
        faults[index] = [("unreadable", Finding("unreadable", message, (index,)))]
    return sweep if all(finding.level == "warning" for _, finding in faults[index]) else None


def _starts(sweeps: int, pairs: int) -> list[int]:
    """Return where pairs of sweeps begin: after a sixth, the half and five sixths of a sequence."""
    last = max(sweeps - 2, 0)
    return list(dict.fromkeys(round(last * part) for part in (1 / 6, 1 / 2, 5 / 6)[:pairs])) if sweeps else []


def _summaries(faults: Faults) -> Iterator[Finding]:
    """Describe each fault once, by the first sweep that has it; sweeps without points are an error if all are."""
    by_name: dict[str, list[Finding]] = {}
    for index in sorted(faults):
        for name, finding in faults[index]:
            by_name.setdefault(name, []).append(finding)
    for name, (first, *more) in by_name.items():
        level = "error" if name == "empty" and len(more) + 1 == len(faults) else first.level
        what = (
            "cannot be read: {} of the {} that were tried"
            if level == "unreadable"
            else ("the same in {} of the {} sweeps that were read")
        )
        same = f" ({what.format(len(more) + 1, len(faults))})" if more else ""
        sweeps = tuple(index for finding in (first, *more) for index in finding.sweeps or ())
        yield Finding(level, first.message + same, sweeps or None)


def _gaps(sequence: str, names: Sequence[str]) -> Iterator[str]:
    """Report missing sweeps: names are frame numbers or times, whose usual step is the median one."""
    if len(names) < 3 or not all(name.isdecimal() for name in names):
        return
    steps = np.diff([int(name) for name in names])
    usual = float(np.median(steps))
    wide = np.flatnonzero(steps >= 1.9 * usual)
    if len(wide):
        lost = int(np.sum(np.round(steps[wide] / usual) - 1))
        first = int(wide[0])
        yield (
            f"sequence {sequence}: lacks about {counted(lost, 'sweep')} in {counted(len(wide), 'place')}, the first "
            f"between {names[first]} and {names[first + 1]}. Windows stack across them: objects that "
            "move appear twice there. Fetch the missing ones, or split the sequence there"
        )


def judge_sweep(dataset: Dataset, sweep: Sweep, index: int) -> Iterator[tuple[str, Finding]]:
    """Judge the points of a sweep: yields the name of each fault and the finding; nothing for a sound sweep."""
    path = next(iter(dataset.input_files(sweep.sequence, index)), sweep.name)
    where = str(path) if sweep.name in str(path) else f"{path}, sweep {sweep.name}"
    sample = np.arange(_SAMPLED_POINTS) * len(sweep) // _SAMPLED_POINTS if len(sweep) > _SAMPLED_POINTS else slice(None)
    with np.errstate(invalid="ignore"):
        xyz, intensity = sweep.xyz[sample].astype(np.float64), sweep.intensity[sample]
    valid = _is_valid(xyz)
    if not valid.any() and not _is_valid(sweep.xyz).any():
        finite = np.isfinite(sweep.xyz).all(axis=1).any()
        which = "no point" if not len(sweep) else "only points at zero" if finite else "only points that are NaN"
        yield "empty", Finding("empty", _no_point(where, which))
    elif len(sweep) < _MIN_POINTS:
        yield "few", Finding("warning", f"{where}: only {len(sweep)} points; expected thousands")
    elif fault := _fault(xyz[valid], intensity[valid], valid):
        yield fault[0], Finding("error", f"{where}: {fault[1]}. {other_layout(path)}")
    else:
        oddities = _oddities(xyz[valid], sweep.intensity, valid)
        yield from ((name, Finding("warning", f"{where}: {text}")) for name, text in oddities)


def _is_valid(xyz: NDArray[np.floating]) -> NDArray[np.bool_]:
    with np.errstate(invalid="ignore"):
        return np.asarray(np.isfinite(xyz).all(axis=1) & xyz.any(axis=1))


def _fault(
    xyz: NDArray[np.float64], intensity: NDArray[np.float32], valid: NDArray[np.bool_]
) -> tuple[str, str] | None:
    """Name and describe what no LiDAR measures, by the valid ones of the points: xyz [M, 3] and intensity [M]."""
    if valid.mean() < 0.1:
        return "valid", f"only {valid.mean():.0%} of the points are finite and not zero"
    range_m = np.linalg.norm(xyz, axis=1)
    far, near_m = (range_m > _FAR_M).mean(), np.percentile(range_m, 99)
    low, high = np.percentile(xyz, (10, 90), axis=0)
    spread = high - low
    saturated = (intensity >= 1).mean()
    if far > _MAX_FAR:
        return "far", (
            f"{far:.0%} of the points are farther away than {_FAR_M:.0f} m, beyond the range of any LiDAR: the type or "
            "number of columns is another one, or coordinates are in millimetres, or in the frame of a map"
        )
    if near_m < _NEAR_M:
        return "near", (
            f"99% of the points are within {near_m:.2g} m of the sensor: the type of the numbers is another one, or "
            "coordinates are not in metres"
        )
    if spread[2] > _MAX_UPRIGHT * spread[:2].min() or (xyz[:, 2].min() >= 0 and xyz[:, 2].max() <= 1):
        return "axes", (
            f"z is not the height (80% of the points lie within {' x '.join(f'{side:.1f}' for side in spread)} m along "
            "x, y, z): expected x forward, y left, z up; the columns are in another order, or the points in a camera's "
            "frame"
        )
    if saturated > _MAX_SATURATED:
        return "intensity", (
            f"{saturated:.0%} of the points have an intensity of at least 1, and are cut to 1: it is 0..255 where 0..1 "
            "is expected, or the number of columns is another one"
        )
    return None


def _oddities(
    xyz: NDArray[np.float64], intensity: NDArray[np.float32], valid: NDArray[np.bool_]
) -> Iterator[tuple[str, str]]:
    """Name and describe what few LiDARs measure, by the valid ones of the points, xyz [M, 3], and all intensities."""
    if valid.mean() < 0.6:
        yield "invalid", f"{1 - valid.mean():.0%} of the points are zero or not finite; they are ignored"
    if np.ptp(intensity) == 0:
        yield "constant", "all points have the same intensity; train without it, or convert the data with it"
    range_m = np.linalg.norm(xyz, axis=1)
    z = xyz[(range_m > 5) & (range_m < 25), 2]
    if len(z) > _MIN_POINTS and np.median(z) > 0.2:  # sound: at most -0.2
        yield (
            "above",
            (
                f"most points within 25 m are above the sensor (median z {np.median(z):.1f} m): z may point down, "
                "or the heights be above the ground instead of the sensor"
            ),
        )


def _judge_labels(dataset: Dataset, sweep: Sweep, index: int) -> Iterator[tuple[str, Finding]]:
    if not isinstance(dataset, HasRawLabels):
        return
    unknown = dataset.unknown_labels(sweep.sequence, index)
    share = sum(unknown.values()) / max(len(sweep), 1)
    if unknown:
        ids = ", ".join(map(str, list(unknown)[:8]))
        yield (
            "labels",
            Finding(
                "error" if share > _MAX_UNKNOWN else "warning",
                f"sequence {sweep.sequence}, sweep {sweep.name}: {share:.1%} of the points have labels that "
                f"{dataset.name} does not define: {ids}; they count as unlabelled. Labels of another dataset, or "
                "already mapped to training classes, must be mapped to its ids first",
            ),
        )
