"""Put boxes around the groups of a sequence whose blocks are written: read them twice, write one folder for each."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import numpy as np

from iscc_lidar.data_schemas.manifest import FORMAT_MAJOR, FORMAT_MINOR, BlockEntry, SequenceEntry
from iscc_lidar.preprocess.plan.sequence_job import SHORT_KEY, digest_of
from iscc_lidar.preprocess.track.confidence import confidences
from iscc_lidar.preprocess.track.fit import Tracks, fit_tracks, in_sensor_frame, place_boxes
from iscc_lidar.preprocess.track.measure import GroupRows, Measured, OnTheWay, SweepPoints, measure_block
from iscc_lidar.preprocess.track.write import write_tracks
from iscc_lidar.preprocess.write.block import find_block
from iscc_lidar.shared.base.geometry import transform
from iscc_lidar.shared.cache.block import Block
from iscc_lidar.shared.cache.table_checks import list_column
from iscc_lidar.shared.store.store import Store

TRACKING: Final = 2
"""Raise this whenever the same cache gives other boxes than before."""


def track_sequence(
    store: Store, entry: SequenceEntry, report: Callable[[float], None] = lambda sweeps: None
) -> tuple[BlockEntry, ...]:
    """Write the boxes of a sequence's groups; returns their entries in the manifest.

    Folders that are there already, made of the same blocks, are kept. ``report`` is told of sweeps as they are done.
    """
    key = digest_of([TRACKING, FORMAT_MAJOR, FORMAT_MINOR, [block.digest for block in entry.blocks]])
    folders = [f"sequences/{entry.name}/tracks_{number:04d}-{key[:SHORT_KEY]}" for number in range(len(entry.blocks))]
    digests = [find_block(store, folder, key) for folder in folders]
    if None not in digests:
        report(entry.sweeps)
    else:
        with tempfile.TemporaryDirectory() as spilled:
            tracks = fit_tracks(_measured(store, entry, Path(spilled), report))
            sure = confidences(tracks)
            for number, folder in enumerate(folders):
                if digests[number] is None:
                    block = Block(store, entry.name, entry.blocks[number])
                    rows = _group_rows(block)
                    sweep, poses = rows.sweep - block.entry.start, block.poses
                    placed = place_boxes(rows, _read(Path(spilled), number), tracks, poses[sweep, :3, 3])
                    boxes = in_sensor_frame(placed, sweep, poses)
                    confidence = sure[np.searchsorted(tracks.group, rows.group)]
                    digests[number] = write_tracks(store, folder, rows, boxes, confidence, key)
    return tuple(
        BlockEntry(folder, block.start, block.stop, str(digest))
        for block, folder, digest in zip(entry.blocks, folders, digests, strict=True)
    )


def read_tracks(store: Store, entry: SequenceEntry) -> Tracks:
    """Fit the boxes of a sequence's groups without writing them."""
    with tempfile.TemporaryDirectory() as spilled:
        return fit_tracks(_measured(store, entry, Path(spilled), lambda sweeps: None))


def _measured(
    store: Store, entry: SequenceEntry, spilled: Path, report: Callable[[float], None]
) -> Iterator[tuple[GroupRows, Measured]]:
    """Measure block after block; what moves is kept in files until all sizes are known.

    Blocks are opened anew each time: what they have read would add up to the tables of the whole sequence.
    """

    def rows_of(number: int) -> GroupRows:
        return _group_rows(Block(store, entry.name, entry.blocks[number]))

    movers = np.zeros(0, np.int64)
    for number in range(len(entry.blocks)):
        rows = rows_of(number)
        movers = np.union1d(movers, rows.group[rows.moving])
    near: dict[int, GroupRows] = {}
    for number, block in enumerate(entry.blocks):
        around = range(max(0, number - 1), min(number + 2, len(entry.blocks)))
        near = {k: near[k] if k in near else rows_of(k) for k in around}
        sweeps = _sweeps(Block(store, entry.name, block), report)
        measured = measure_block(sweeps, near[number], _joined(list(near.values())), movers)
        np.savez(spilled / f"{number}.npz", **vars(measured.moving))
        yield near[number], measured


def _read(spilled: Path, number: int) -> OnTheWay:
    with np.load(spilled / f"{number}.npz") as arrays:
        return OnTheWay(arrays["row"], arrays["heading"], arrays["reach"])


def _group_rows(block: Block) -> GroupRows:
    """Read the table of groups of a block."""
    table = block.group_rows
    sweep, group, points = (table[name].to_numpy().astype(np.int64) for name in ("sweep", "group", "points"))
    moving = table["moving"].to_numpy(zero_copy_only=False).astype(np.bool_)
    return GroupRows(sweep, group, points, moving, list_column(table["centroid"], 3))


def _joined(parts: list[GroupRows]) -> GroupRows:
    return GroupRows(*(np.concatenate([vars(part)[name] for part in parts]) for name in vars(parts[0])))


def _sweeps(block: Block, report: Callable[[float], None]) -> Iterator[SweepPoints]:
    for index in range(block.entry.start, block.entry.stop):
        sweep = block.sweep(index, without=("semantic", "queries", "pixel"))
        grouped = sweep.label >= 0
        xyz = transform(sweep.world_SE3_sensor, sweep.xyz[grouped].astype(np.float64))
        yield SweepPoints(index, xyz, sweep.label[grouped].astype(np.int64), sweep.world_SE3_sensor[:3, 3])
        report(1)
