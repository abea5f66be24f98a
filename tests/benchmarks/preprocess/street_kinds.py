"""Groups on simulated streets that are hard: which kinds of objects are found with which sensor, and why not."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np

from iscc_lidar.data_schemas.labels import NOT_CONSIDERED
from iscc_lidar.preprocess.config import PreprocessConfig
from iscc_lidar.preprocess.datasets.registry import open_dataset
from iscc_lidar.preprocess.run.executor import Executor
from iscc_lidar.preprocess.run.pipeline import preprocess
from iscc_lidar.preprocess.synthetic.config import SynthConfig
from iscc_lidar.preprocess.synthetic.generate import generate
from iscc_lidar.shared.cache.reader import Cache
from iscc_lidar.shared.layouts.semantickitti import LAYOUT
from iscc_lidar.shared.store.open import open_store

from benchmarks.preprocess.label_scores import LEAST_POINTS, LabelledPoints, LabelScores, read_labelled, score_labels
from benchmarks.preprocess.missed import Reason

_SENSORS: Final = {
    "hdl64": SynthConfig(),
    "pandar64": SynthConfig(sensor="pandar64"),
    "os128": SynthConfig(sensor="os128", sensor_height_m=2.2),
    "hdl32": SynthConfig(sensor="hdl32", sensor_height_m=1.84, columns=1090),
    "vlp16": SynthConfig(sensor="vlp16", sensor_height_m=1.0),
    "solid_state": SynthConfig(sensor="solid_state", sensor_height_m=0.6),
}
STREETS: Final = {f"crowd {name}": replace(sensor, district="crowd") for name, sensor in _SENSORS.items()} | {
    "centre hdl64": SynthConfig(district="centre"),
    "suburb hdl64": SynthConfig(district="suburb"),
    "field hdl64": SynthConfig(district="field"),
    "field vlp16": SynthConfig(district="field", sensor="vlp16"),
    "walled hdl64": SynthConfig(district="walled"),
    "walled vlp16": SynthConfig(district="walled", sensor="vlp16", sensor_height_m=0.6),
}
"""Two sequences of 16 sweeps of each; from dense to empty."""


def bench_street_kinds(work: Path, workers: int) -> tuple[dict[str, float], str]:
    """Simulate, preprocess and score; what is in ``work`` already is kept.

    Returns:
        figures by name (``crowd hdl64.car.found``), and the same as a table to print.
    """
    found: dict[str, LabelScores] = {}
    whole: dict[str, float] = {}
    for name, street in STREETS.items():
        root, cache = work / name.replace(" ", "_"), work / f"{name.replace(' ', '_')}_cache"
        columns = street.columns if street.columns != SynthConfig().columns else 2048
        generate(root, replace(street, seed=5, sequences=2, sweeps=16, columns=columns), workers)
        dataset = open_dataset("synthetic", root)
        preprocess(dataset, open_store(cache), PreprocessConfig(), Executor(workers=workers))
        points = [read_labelled(Cache(cache), dataset, sequence, range(16)) for sequence in dataset.sequences()]
        found[name] = score_labels(_together(points), dataset.class_names, None, LAYOUT.ground_classes)
        if name.startswith("field"):
            whole[name] = _in_one_group(_together(points))
    figures = {f"{name}.{key}": value for name, scores in found.items() for key, value in scores.figures.items()}
    for name, scores in found.items():
        figures |= {f"{name}.{kind}.found": share for kind, (_, _, share) in scores.by_class.items()}
    figures |= {f"{name}.in_one_group": share for name, share in whole.items()}
    return figures, _table(found, whole)


def _together(parts: list[LabelledPoints]) -> LabelledPoints:
    """Put sequences together: groups, objects and sweeps of the second count on from those of the first."""
    label, truth, sweep, offset = [], [], [], np.zeros(3, np.int64)
    for part in parts:
        label.append(np.where(part.label >= 0, part.label + offset[0], part.label))
        truth.append(np.where(part.truth > 0, part.truth + offset[1], 0))
        sweep.append(part.sweep + offset[2])
        offset += [part.label.max() + 1, part.truth.max(), part.sweep.max() + 1]
    return LabelledPoints(
        np.concatenate(label).astype(np.int32),
        np.concatenate(truth).astype(np.int32),
        np.concatenate([part.semantic for part in parts]),
        np.concatenate(sweep),
    )


def _in_one_group(points: LabelledPoints) -> float:
    """Return the smallest share of an object's points in its main group, over objects that stand alone."""
    shares = []
    for one in np.unique(points.truth[points.truth > 0]).tolist():
        own = points.label[(points.truth == one) & (points.label != NOT_CONSIDERED)]
        if len(own) >= LEAST_POINTS:
            shares.append(np.bincount(own[own >= 0], minlength=1).max() / len(own))
    return min(shares, default=float("nan"))


def _table(found: dict[str, LabelScores], whole: dict[str, float]) -> str:
    kinds = sorted({kind for scores in found.values() for kind in scores.by_class})
    lines = [f"{'found (objects)':22}" + "".join(f"{name:>16}" for name in found)]
    for kind in kinds:
        cells = (scores.by_class.get(kind) for scores in found.values())
        lines.append(f"{kind:22}" + "".join(f"{f'{cell[2]:.2f} ({cell[0]})' if cell else '-':>16}" for cell in cells))
    rows = {key: [scores.figures[key] for scores in found.values()] for key in ("coverage", "found", "ground.iou")}
    for key, values in rows.items():
        lines.append(f"{key:22}" + "".join(f"{value:>16.3f}" for value in values))
    missed: Counter[Reason] = sum((scores.missed for scores in found.values()), Counter())
    for reason in missed:
        lines.append(f"missed: {reason:14}" + "".join(f"{scores.missed[reason]:>16}" for scores in found.values()))
    text = "every object has at least {share:.3f} of its points in one group"
    lines += [f"{name}: {text.format(share=share)}" for name, share in whole.items()]
    return "\n".join(lines)
