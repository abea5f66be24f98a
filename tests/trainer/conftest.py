"""A small cache whose truth is known: boxes (cars, walls, poles) on flat ground, seen from a moving sensor."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zarr
from numpy.typing import NDArray

from iscc_lidar.data_schemas import manifest as manifests
from iscc_lidar.data_schemas import tables
from iscc_lidar.data_schemas.arrays import BLOCK_ARRAYS, FREE_FAR, FREE_NEAR, OCCUPIED, POSITION_QUANTUM_M
from iscc_lidar.data_schemas.labels import GROUND
from iscc_lidar.data_schemas.manifest import Window
from iscc_lidar.shared.base.files import sha256
from iscc_lidar.shared.base.geometry import inverse, transform
from iscc_lidar.shared.cache.block import row_checksum
from iscc_lidar.shared.cache.reader import Cache
from iscc_lidar.trainer.data.pairs import SampleKey
from iscc_lidar.trainer.pretrain.dataset import PairDataset
from iscc_lidar.trainer.pretrain.methods.iscc import IsccConfig
from iscc_lidar.trainer.pretrain.recipe import resolve_pretrain
from iscc_lidar.trainer.pretrain.samples.batch import Batch, collate

from browser import Browser, find_browser

CLASSES = ("unlabelled", "car", "wall", "pole", "ground")
SENSOR_HEIGHT_M = 1.7
TINY_MODEL = """
[model]
voxel_size = 0.5
stem_width = 8
encoder_widths = [8, 8]
decoder_widths = [8, 8]
"""
TINY = """
[heads]
project_hidden = 8
project_channels = 8

[iscc.occupancy]
decoder_hidden = 8

[iscc.prototypes]
count = 10
buffer_size = 128
reseed_after = 2

[iscc.ground_patches]
count = 4
edge_m = 6.0  # the ground of the tiny cache is sparse
max_range_m = 80.0  # all of it: with few patches left, rounding grows too fast to compare runs of one and two processes

[train]
steps = 6
log_every = 1
checkpoint_every = 3
loader_workers = 0
device = "cpu"
"""
NO_SWEEPS: Mapping[int, int] = {}
_SIZES = {1: (4.0, 1.8, 1.5), 2: (10.0, 0.6, 3.5), 3: (0.4, 0.4, 4.0)}


@dataclass(frozen=True)
class Box:
    """An upright, axis-aligned solid standing on the ground, world frame."""

    kind: int
    low: NDArray[np.float64]
    high: NDArray[np.float64]


def street(rng: np.random.Generator) -> list[Box]:
    boxes = []
    for place in range(14):
        kind = 1 + place % 3
        size = np.array(_SIZES[kind]) * rng.uniform(0.8, 1.2, 3)
        side = 1 if place % 2 else -1
        middle = np.array([place * 3.0 - 18 + rng.uniform(-0.5, 0.5), side * {1: 4.0, 2: 9.0, 3: 6.0}[kind], 0.0])
        boxes.append(Box(kind, middle - size * [0.5, 0.5, 0], middle + size * [0.5, 0.5, 1]))
    return boxes


def hits(box: Box, sensor: NDArray[np.float64], count: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Random points on those sides of a box that face the sensor."""
    sides = [
        (axis, end)
        for axis in range(3)
        for end in (0, 1)
        if (sensor[axis] > box.high[axis] if end else sensor[axis] < box.low[axis])
    ]
    size = box.high - box.low
    areas = np.array([size.prod() / size[axis] for axis, _ in sides])
    pick = rng.choice(len(sides), count, p=areas / areas.sum())
    points = rng.uniform(box.low, box.high, (count, 3))
    for index, (axis, end) in enumerate(sides):
        points[pick == index, axis] = (box.high if end else box.low)[axis]
    return points


def probe_queries(
    xyz: NDArray[np.float64], count: int, rng: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.uint8]]:
    """Occupied, free near and free far in turn, along rays from the sensor at the origin of ``xyz``."""
    hit = xyz[rng.integers(len(xyz), size=count)]
    ray = hit / np.linalg.norm(hit, axis=1, keepdims=True)
    kind = (np.arange(count) % 3).astype(np.uint8)
    depth = rng.uniform(0, 0.3, count)
    step = np.select(
        [kind == OCCUPIED, kind == FREE_NEAR, kind == FREE_FAR], [depth, -depth, -rng.uniform(0.3, 1.5, count)]
    )
    return hit + ray * step[:, None], kind


def write_block(folder: Path, sweeps: int, seed: int, few: Mapping[int, int] = NO_SWEEPS) -> str:
    """Write a block; returns the SHA-256 of its block file. Sweeps in ``few`` have so many points, and no queries."""
    rng = np.random.default_rng(seed)
    boxes = street(rng)
    columns: dict[str, list[NDArray[np.generic]]] = {spec.name: [] for spec in BLOCK_ARRAYS}
    rows, groups, starts, query_starts = [], [], [0], [0]
    for index in range(sweeps):
        yaw = 0.02 * index
        world_SE3_sensor = np.eye(4)
        world_SE3_sensor[:2, :2] = [[np.cos(yaw), -np.sin(yaw)], [np.sin(yaw), np.cos(yaw)]]
        world_SE3_sensor[:3, 3] = [index, 0.1 * index, SENSOR_HEIGHT_M]
        sensor_SE3_world = inverse(world_SE3_sensor)
        ground = np.stack([rng.uniform(-20, 25, 600), rng.uniform(-12, 12, 600), np.zeros(600)], axis=1)
        xyz, label, semantic = [transform(sensor_SE3_world, ground)], [np.full(600, GROUND)], [np.full(600, 4)]
        queries, kinds, owners = [], [], []
        for group, box in enumerate(boxes):
            count = 40 if box.kind == 3 else 150
            seen = transform(sensor_SE3_world, hits(box, world_SE3_sensor[:3, 3], count, rng))
            xyz.append(seen)
            label.append(np.full(count, group))
            semantic.append(np.full(count, box.kind))
            query, kind = probe_queries(seen, 60, rng)
            queries.append(query)
            kinds.append(kind)
            owners.append(np.full(60, group))
        points = np.concatenate(xyz)
        order = rng.permutation(len(points))[: few.get(index)]
        in_use = np.concatenate(label)[order].astype(np.int32)
        groups += group_rows(index, transform(world_SE3_sensor, points[order]), in_use)
        asked = 0 if index in few else len(boxes) * 60
        columns["xyz"].append(_planes(points[order]))
        columns["intensity"].append(rng.integers(0, 255, len(points)).astype(np.uint8)[: len(order)])
        columns["label"].append(in_use)
        columns["semantic"].append(np.concatenate(semantic)[order].astype(np.uint8))
        columns["query_xyz"].append(_planes(np.concatenate(queries)[:asked]))
        columns["query_kind"].append(np.concatenate(kinds)[:asked])
        columns["query_group"].append(np.concatenate(owners).astype(np.int32)[:asked])
        columns["query_source"].append(np.full(asked, index, np.int32))
        starts.append(starts[-1] + len(order))
        query_starts.append(query_starts[-1] + asked)
        rows.append(
            {
                "sweep": index,
                "name": f"{index:06d}",
                "timestamp_ns": index * 10**8,
                "points": len(order),
                "grouped": int((in_use >= 0).sum()),
                "noise": 0,
                "ground": int((in_use == GROUND).sum()),
                "not_considered": 0,
                "labelled": len(order),
                "queries": asked,
                "world_SE3_sensor": world_SE3_sensor.reshape(-1).tolist(),
            }
        )
    for k, row in enumerate(rows):
        row["crc32"] = {name: row_checksum(parts[k]) for name, parts in columns.items() if parts}
    arrays = {name: np.concatenate(parts, axis=-1) for name, parts in columns.items() if parts}
    arrays |= {"point_start": np.array(starts), "query_start": np.array(query_starts)}
    store = zarr.open_group(folder / manifests.ARRAYS_FOLDER, mode="w")
    for spec in (s for s in BLOCK_ARRAYS if s.name in arrays or not s.optional):
        array = store.create_array(spec.name, shape=arrays[spec.name].shape, dtype=spec.dtype, fill_value=spec.fill)
        array[...] = arrays[spec.name].astype(spec.dtype)
    pq.write_table(pa.Table.from_pylist(rows, tables.SWEEPS), folder / manifests.SWEEPS_FILE)
    pq.write_table(pa.Table.from_pylist(groups, tables.GROUPS), folder / manifests.GROUPS_FILE)
    written = sorted(file for file in folder.rglob("*") if file.is_file())
    content = {"key": "", "files": {file.relative_to(folder).as_posix(): sha256(file) for file in written}}
    (folder / manifests.BLOCK_FILE).write_text(json.dumps(content), encoding="utf-8")
    return sha256(folder / manifests.BLOCK_FILE)


def group_rows(index: int, world: NDArray[np.float64], label: NDArray[np.int32]) -> list[dict[str, object]]:
    """Rows of the table of groups: none moves."""
    parts = [(int(group), world[label == group]) for group in np.unique(label[label >= 0])]
    return [
        {"sweep": index, "group": group, "points": len(part), "moving": False}
        | {"centroid": part.mean(axis=0).tolist()}
        | {"box_min": part.min(axis=0).tolist(), "box_max": part.max(axis=0).tolist()}
        for group, part in parts
    ]


def write_cache(path: Path, sequences: int, sweeps: int, seed: int, few: Mapping[int, int] = NO_SWEEPS) -> Path:
    entries = []
    for number in range(sequences):
        name = f"{number:02d}"
        folder = path / name
        folder.mkdir(parents=True)
        digest = write_block(folder, sweeps, seed * 1000 + number, few)
        half = sweeps // 2
        windows = (Window(0, half + 1, 0, half), Window(half - 1, sweeps, half, sweeps))
        entries.append(manifests.SequenceEntry(name, sweeps, windows, (manifests.BlockEntry(name, 0, sweeps, digest),)))
    manifest = manifests.Manifest("fake", "0" * 64, CLASSES, tuple(entries), (), {})
    (path / manifests.MANIFEST_FILE).write_text(manifests.to_json(manifest), encoding="utf-8")
    return path


def _planes(xyz: NDArray[np.float64]) -> NDArray[np.int16]:
    return np.rint(xyz.T / POSITION_QUANTUM_M).astype(np.int16)


@pytest.fixture(scope="session")
def cache_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_cache(tmp_path_factory.mktemp("fake") / "cache", sequences=2, sweeps=6, seed=0)


@pytest.fixture(scope="session")
def other_cache_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_cache(tmp_path_factory.mktemp("fake") / "other", sequences=1, sweeps=4, seed=1)


@pytest.fixture(scope="session")
def sparse_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """In each of two sequences of six sweeps one without a point, and one with three."""
    return write_cache(tmp_path_factory.mktemp("fake") / "sparse", sequences=2, sweeps=6, seed=0, few={1: 0, 4: 3})


@pytest.fixture(scope="session")
def empty_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """No sweep has a point."""
    few = dict.fromkeys(range(3), 0)
    return write_cache(tmp_path_factory.mktemp("fake") / "empty", sequences=1, sweeps=3, seed=0, few=few)


@pytest.fixture(scope="session")
def streets_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Many streets, so that scenes differ."""
    return write_cache(tmp_path_factory.mktemp("fake") / "streets", sequences=16, sweeps=2, seed=3)


@pytest.fixture(scope="session")
def cache(cache_path: Path) -> Cache:
    return Cache(cache_path)


@pytest.fixture(scope="session")
def tiny_model() -> str:
    """The section of a recipe that makes a network of steps of milliseconds."""
    return TINY_MODEL


@pytest.fixture(scope="session")
def tiny_recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recipe of a run whose steps take milliseconds, whatever the method."""
    recipe = tmp_path_factory.mktemp("recipe") / "tiny.toml"
    recipe.write_text(TINY_MODEL + TINY, encoding="utf-8")
    return recipe


@pytest.fixture(scope="session")
def tiny(tiny_recipe: Path) -> IsccConfig:
    """Options of ISCC with steps of milliseconds."""
    config = resolve_pretrain([tiny_recipe])
    assert isinstance(config, IsccConfig)
    return config


@pytest.fixture(scope="session")
def batch(cache: Cache, tiny: IsccConfig) -> Batch:
    dataset = PairDataset(cache, tiny)
    return collate([dataset[SampleKey(0, place)] for place in (0, 7)])


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """A browser that opens pages as a reader does."""
    executable = find_browser()
    if executable is None:
        pytest.skip("no Chromium installed: apt-get install chromium")
    with Browser(executable, tmp_path_factory.mktemp("browser")) as opened:
        yield opened
