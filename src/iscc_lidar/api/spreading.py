"""Spread labels from Python, and report how good they are."""

from __future__ import annotations

import json
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path

from iscc_lidar.preprocess.run.executor import Executor, reachable_store
from iscc_lidar.preprocess.spread.rule import SpreadConfig
from iscc_lidar.preprocess.spread.run import spread
from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.base.text import counted
from iscc_lidar.shared.cache.label_fractions import SweepName, read_list
from iscc_lidar.shared.cache.reader import Cache
from iscc_lidar.shared.cache.spread_labels import SpreadLabels
from iscc_lidar.shared.cache.spread_picture import draw_spread
from iscc_lidar.shared.cache.spread_quality import measure_quality, quality_content, quality_table
from iscc_lidar.shared.layouts.formats.label_files import open_label_files
from iscc_lidar.shared.layouts.layout import class_colors
from iscc_lidar.shared.store.local import LocalStore
from iscc_lidar.shared.store.open import open_store


def spread_list(
    cache: str | Path,
    out: str | Path,
    labelled: Path | Iterable[SweepName],
    labels: Path | None,
    config: SpreadConfig,
    workers: int,
    scheduler: str | None,
) -> SpreadLabels:
    """Spread the labels of listed sweeps; see ``functions.spread_labels``."""
    executor = Executor(workers, scheduler)
    opened = Cache(reachable_store(open_store(cache), executor).url)
    if labels is not None and scheduler is not None:
        labels = labels.absolute()  # as the cache: the workers have other working folders
    known = {sequence: opened.sweep_names(sequence) for sequence in opened.sequence_names}
    names = read_list(labelled, known) if isinstance(labelled, Path) else _known(labelled, known)
    files = None if labels is None else open_label_files(labels, opened.manifest.class_names)
    spread(opened, open_store(out), names, config, executor, files)
    return SpreadLabels(out, opened)


def _known(labelled: Iterable[SweepName], known: dict[str, list[str]]) -> list[SweepName]:
    names = [(str(sequence), str(name)) for sequence, name in labelled]
    for sequence, name in names:
        if name not in known.get(sequence, ()):
            raise UserError(f"labelled: the cache has no sweep {name!r} in sequence {sequence!r}")
    if not names:
        raise UserError("labelled: is empty, expected pairs of sequence and name of a sweep")
    return names


def report_quality(labels: SpreadLabels) -> str:
    """Describe spread labels; where the cache has other labels, compare, and write quality.json and quality.png."""
    used = sum(len(entry.labelled) for entry in labels.manifest.sequences)
    sweeps = sum(entry.sweeps for entry in labels.manifest.sequences)
    done = f"spread labels: {labels.path} ({counted(used, 'labelled sweep')} of {sweeps})\n"
    quality = measure_quality(labels.cache, labels)
    if quality is None:
        return done
    content = quality_content(quality, labels.manifest.class_names)
    labels.store.write("quality.json", (json.dumps(content, indent=1) + "\n").encode())
    if isinstance(labels.store, LocalStore):
        _draw(labels, labels.store.root / "quality.png")
    return f"{quality_table(content)}\nagainst the labels of {counted(quality.sweeps, 'other sweep')}\n{done}"


def _draw(labels: SpreadLabels, path: Path) -> None:
    """Draw the sweep with labels that is farthest from labelled ones, where matplotlib is installed."""
    if not find_spec("matplotlib"):
        return
    gap, sequence, index = max(
        (min(abs(index - used) for used in labels.labelled(sequence)), sequence, index)
        for sequence in labels.sequence_names
        for index in labels.cache.labelled_sweeps(sequence)
    )
    if gap:
        sweep = labels.cache.sweep(sequence, index, without=("queries", "pixel"))
        draw_spread(sweep, labels.sweep(sequence, index), class_colors(labels.manifest.class_names), path)
