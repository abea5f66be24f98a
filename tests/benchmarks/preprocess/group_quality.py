"""Quality and cost of the groups on instance-labelled sweeps in SemanticKITTI's layout, and of other methods'.

Every method gets the same points: above the ground of the window, as this package finds it. Scores are over true
objects of 50 or more points in range, those that were called ground among them; see ``object_metrics``. Points
that nobody labelled do not count. Instance labels serve for scoring only.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from iscc_lidar.data_schemas.labels import NOISE
from iscc_lidar.data_schemas.manifest import Window
from iscc_lidar.preprocess.datasets.registry import Dataset, open_dataset
from iscc_lidar.preprocess.segment.clustering import ClusteringConfig
from iscc_lidar.preprocess.segment.ground import GroundConfig, heights
from iscc_lidar.preprocess.segment.linking import (
    LinkingConfig,
    SweepLabels,
    assign_sequence_ids,
    link_shared_sweeps,
    sequence_labels,
)
from iscc_lidar.preprocess.segment.motion import MotionConfig, moving_groups
from iscc_lidar.preprocess.segment.segment_window import segment_stack
from iscc_lidar.preprocess.segment.sweeps import RangeConfig, considered_mask
from iscc_lidar.preprocess.segment.windows import WindowConfig, plan_windows
from iscc_lidar.shared.base.geometry import inverse, transform

from benchmarks.preprocess.object_metrics import MOVED_M, ObjectScores, mean, object_scores, read_motion, width_shares
from benchmarks.preprocess.opponents import connected_components, plain_hdbscan

_METHODS = ("ours", "components_0.45", "components_0.3", "plain_hdbscan")


@dataclass(frozen=True)
class Points:
    """Points in range of successive sweeps.

    Attributes:
        xyz: float64 [N, 3], metres, in the world frame; of a window in that of its middle sweep's sensor.
        range_m: float64 [N], from where the ray began.
        sweep: int64 [N], index of the sweep.
        truth: int32 [N], true object, 0 for none.
        semantic: uint8 [N], class, 0 where nobody labelled the point.
        world_SE3_sensor: float64 [sweeps, 4, 4].
    """

    xyz: NDArray[np.float64]
    range_m: NDArray[np.float64]
    sweep: NDArray[np.int64]
    truth: NDArray[np.int32]
    semantic: NDArray[np.uint8]
    world_SE3_sensor: NDArray[np.float64]

    def window(self, start: int, stop: int) -> Points:
        """Return sweeps ``start`` up to ``stop``, counted from 0 again."""
        rows = slice(*np.searchsorted(self.sweep, [start, stop]))
        poses = self.world_SE3_sensor[start:stop]
        xyz = transform(inverse(poses[len(poses) // 2]), self.xyz[rows])
        return Points(xyz, self.range_m[rows], self.sweep[rows] - start, self.truth[rows], self.semantic[rows], poses)


Method = Callable[[Points], NDArray[np.int32]]
"""Groups of the points of a window: int32 [N], negative for none."""


def bench_group_quality(
    root: Path, sequence: str, starts: Sequence[int] = (0, 8, 20, 32, 40), plain_starts: Sequence[int] = (0, 20)
) -> tuple[dict[str, float], str]:
    """Score this package's groups and other methods' on one sequence.

    Args:
        root: folder in SemanticKITTI's layout, with instance ids in the labels.
        sequence: its name below ``sequences/``.
        starts: first sweeps of the windows to score; those that do not fit are left out.
        plain_starts: those of them on which plain ``hdbscan`` runs too, minutes each.

    Returns:
        figures by name (``ours.w20.coverage``), and the same as a table to print.
    """
    dataset = open_dataset("semantickitti", root)
    points = read_points(dataset, sequence)
    sweeps = len(points.world_SE3_sensor)
    methods: dict[str, Method] = {
        "ours": segment,
        "components_0.45": above_ground(lambda xyz: connected_components(xyz, 0.3)),
        "components_0.3": above_ground(lambda xyz: connected_components(xyz, 0.2)),
        "plain_hdbscan": above_ground(plain_hdbscan),
    }
    progress = tqdm(desc=f"scoring {sequence}", unit="window", leave=False)
    length = WindowConfig().sweeps
    fitting = [s for s in starts if s == 0 or s + length <= sweeps]
    figures: dict[str, float] = {}
    for name, method in methods.items():
        pooled: list[tuple[Points, ObjectScores]] = []
        for start in fitting if name != "plain_hdbscan" else [s for s in fitting if s in plain_starts]:
            window = points.window(start, min(start + length, sweeps))
            scores, values = _score_window(window, method)
            figures |= {f"{name}.w{start}.{key}": value for key, value in values.items()}
            pooled.append((window, scores))
            progress.update()
        figures |= {f"{name}.{key}": value for key, value in _by_class(pooled, dataset.class_names).items()}
    for name in ("ours", "components_0.45"):
        figures |= {
            f"{name}.sequence.{key}": value for key, value in _score_sequence(points, sweeps, methods[name]).items()
        }
    figures |= _score_motion(points, fitting, length, read_motion(dataset.input_files(sequence, 0)[0].parents[1]))
    progress.close()
    return figures, _table(figures)


def segment(window: Points) -> NDArray[np.int32]:
    """Label the points of a window as preprocessing does: int32 [N]."""
    return segment_stack(window.xyz, window.sweep, window.range_m, GroundConfig(), ClusteringConfig())


def above_ground(cluster: Callable[[NDArray[np.float64]], NDArray[np.int32]]) -> Method:
    """Let a method cluster the points above the ground; the ground is not its own work, and costs it no time."""

    def label(window: Points) -> NDArray[np.int32]:
        above = heights(window.xyz, GroundConfig()) > GroundConfig().distance_m
        groups = np.full(len(window.xyz), NOISE, dtype=np.int32)
        groups[above] = cluster(window.xyz[above])
        return groups

    return label


def read_points(dataset: Dataset, sequence: str) -> Points:
    """Read the points in range of a sequence."""
    parts = []
    for index in range(len(dataset.sweep_names(sequence))):
        sweep = dataset.read(sequence, index)
        seen = considered_mask(sweep, RangeConfig())
        nothing = np.zeros(len(sweep), np.int32)
        truth, semantic = (nothing if values is None else values for values in (sweep.instance, sweep.semantic))
        parts.append(
            (
                transform(sweep.world_SE3_sensor, sweep.xyz[seen]),
                np.linalg.norm((sweep.xyz - sweep.origin)[seen], axis=1).astype(np.float64),
                np.full(int(seen.sum()), index),
                truth[seen].astype(np.int32),
                semantic[seen].astype(np.uint8),
                sweep.world_SE3_sensor[None],
            )
        )
    return Points(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def _score_window(window: Points, method: Method) -> tuple[ObjectScores, dict[str, float]]:
    begin = time.process_time()
    group = np.maximum(method(window), NOISE)
    spent = time.process_time() - begin
    scores = _objects(window, group)
    wide, narrow = width_shares(window.xyz, group)
    return scores, {
        "cpu_s": spent,
        "objects": len(scores.points),
        "coverage": mean(scores.best_iou),
        "recall_0.5": mean(scores.best_iou >= 0.5),
        "link": mean(scores.link),
        "share_wide": wide,
        "share_object_size": narrow,
        "groups": float(group.max(initial=-1) + 1),
    }


def _objects(points: Points, group: NDArray[np.int32], min_sweep_points: int = 1) -> ObjectScores:
    known = points.semantic > 0
    return object_scores(group[known], points.truth[known], points.sweep[known], 50, min_sweep_points)


def _by_class(pooled: list[tuple[Points, ObjectScores]], class_names: Sequence[str]) -> dict[str, float]:
    """Average coverage by semantic class over all windows; an object's class is its most common one."""
    found: dict[str, list[float]] = {}
    for window, scores in pooled:
        for object_id, iou in zip(scores.object_id, scores.best_iou, strict=True):
            most_common = int(np.bincount(window.semantic[window.truth == object_id]).argmax())
            found.setdefault(class_names[most_common], []).append(float(iou))
    return {
        f"class.{name}.{key}": value
        for name, ious in sorted(found.items())
        for key, value in (("coverage", float(np.mean(ious))), ("objects", float(len(ious))))
    }


def label_sequence(points: Points, sweeps: int, method: Method) -> NDArray[np.int32]:
    """Label a sequence as preprocessing does: windows, links, each sweep from the window that owns it."""
    windows = plan_windows(sweeps, WindowConfig())
    found = [_label_window(points, window, method) for window in windows]
    links = [link_shared_sweeps(before, after, LinkingConfig()) for before, after in itertools.pairwise(found)]
    counts = [1 + max(int(label.max(initial=NOISE)) for label in labels.values()) for labels in found]
    linked: SweepLabels = {}
    for window, labels, ids in zip(windows, found, assign_sequence_ids(counts, links), strict=True):
        own = range(window.own_start, window.own_stop)
        linked |= sequence_labels({i: labels[i] for i in own}, dict.fromkeys(own, ids))
    return np.concatenate([linked[i] for i in range(sweeps)])


def _label_window(points: Points, window: Window, method: Method) -> SweepLabels:
    part = points.window(window.start, window.stop)
    ends = np.searchsorted(part.sweep, np.arange(1, window.stop - window.start))
    return dict(enumerate(np.split(method(part), ends), window.start))


def _score_sequence(points: Points, sweeps: int, method: Method) -> dict[str, float]:
    begin = time.process_time()
    labels = label_sequence(points, sweeps, method)
    spent = time.process_time() - begin
    scores = _objects(points, np.maximum(labels, NOISE), min_sweep_points=10)
    return {
        "cpu_s_per_sweep": spent / sweeps,
        "objects": float(len(scores.points)),
        "coverage": mean(scores.best_iou),
        "recall_0.5": mean(scores.best_iou >= 0.5),
        "link": mean(scores.link),
        "id_switches": float(scores.switches.sum()),
        "objects_with_a_switch": float((scores.switches > 0).sum()),
    }


def _score_motion(
    points: Points,
    starts: Sequence[int],
    length: int,
    moved_m: dict[int, float] | None,
) -> dict[str, float]:
    """Score the motion test on objects found at IoU 0.5; an object that moved over 1 m in the sequence is moving."""
    if moved_m is None:
        return {}
    hits = called = real = others = 0
    for start in starts:
        window = points.window(start, start + length)
        group = np.maximum(segment(window), NOISE)
        moving = moving_groups(window.xyz, window.sweep, group, MotionConfig())
        scores = _objects(window, group)
        found = scores.best_iou >= 0.5
        truth = np.array([moved_m.get(int(i), 0.0) > MOVED_M for i in scores.object_id[found]], dtype=np.bool_)
        called_moving = moving[scores.main_group[found]]
        hits, called = hits + int((truth & called_moving).sum()), called + int(called_moving.sum())
        real += int(truth.sum())
        others += int(moving.sum()) - len(set(scores.main_group[found][called_moving].tolist()))
    return {
        "motion.precision": hits / max(called, 1),
        "motion.recall": hits / max(real, 1),
        "motion.objects_moving": float(real),
        "motion.other_groups_called_moving_per_window": others / max(len(starts), 1),
    }


def _table(figures: dict[str, float]) -> str:
    """Format three tables, of windows, classes and the sequence, and a list of the other figures."""
    methods = [name for name in _METHODS if any(key.startswith(f"{name}.") for key in figures)]
    windows = _rows(
        figures,
        ("cpu_s", "objects", "coverage", "recall_0.5", "link", "share_wide", "share_object_size", "groups"),
        [f"{m}.w" for m in methods],
    )
    sequence = _rows(
        figures,
        ("cpu_s_per_sweep", "objects", "coverage", "recall_0.5", "link", "id_switches", "objects_with_a_switch"),
        [f"{m}.sequence" for m in methods],
    )
    names = dict.fromkeys(k.split(".class.")[1].split(".")[0] for k in figures if ".class." in k)
    classes = [f"{'coverage by class (objects)':28}" + "".join(f"{m:>18}" for m in methods)]
    for name in names:
        cells = [_class_cell(figures, f"{m}.class.{name}") for m in methods]
        classes.append(f"{name:28}" + "".join(f"{cell:>18}" for cell in cells))
    rest = [f"{k:44}{v:10.3f}" for k, v in figures.items() if k.startswith("motion.")]
    return "\n".join([*windows, "", *classes, "", *sequence, "", *rest])


def _class_cell(figures: dict[str, float], key: str) -> str:
    return (
        f"{figures[f'{key}.coverage']:.3f} ({figures[f'{key}.objects']:.0f})" if f"{key}.coverage" in figures else "-"
    )


def _rows(figures: dict[str, float], columns: tuple[str, ...], prefixes: list[str]) -> list[str]:
    keys = (key.removesuffix(f".{columns[0]}") for key in figures if key.endswith(f".{columns[0]}"))
    rows = [key for key in keys if key.startswith(tuple(prefixes))]
    lines = [" " * 28 + "".join(f"{c:>22}" for c in columns)]
    return lines + [f"{row:28}" + "".join(f"{figures[f'{row}.{c}']:22.3f}" for c in columns) for row in rows]
