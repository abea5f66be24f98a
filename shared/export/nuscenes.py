"""``--to nuscenes``: one ``.npz`` per sweep and ``panoptic.json``, as the nuScenes development kit reads them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.export.target import ExportOptions, Target
from iscc_lidar.shared.layouts.layout import require_root

if TYPE_CHECKING:
    from pathlib import Path

    from iscc_lidar.shared.base.own import OwnFolder
    from iscc_lidar.shared.cache.reader import Cache

_GROUP: Final = 1
"""Class of all groups. In nuScenes' own table it is `animal`, which no benchmark counts."""
_PER_CLASS: Final = 1000
_MAX_INSTANCE: Final = _PER_CLASS - 1
_VERSION: Final = "v1.0-groups"
"""Folder of tables for caches of other datasets."""
_NEEDS_ROOT: Final = "--to nuscenes for a cache of nuScenes"
_CATEGORIES: Final = (("noise", "noise, ground and ignored points"), ("group", "a group of points, of any class"))


def refuse(cache: Cache, options: ExportOptions) -> None:
    """Raise UserError for a cache of nuScenes without the dataset's folder, or with that of others of its scenes."""
    if cache.manifest.dataset == "nuscenes":
        require_root(options.root, _NEEDS_ROOT)
        for sequence in cache.sequence_names:
            _tokens(cache, sequence, options)


def write_sequence(cache: Cache, sequence: str, folder: OwnFolder, options: ExportOptions) -> int:
    """Write ``panoptic/VERSION/TOKEN_panoptic.npz``: ``data``, uint16, 1000 + instance, 0 in no group.

    Instances are numbered from 1 in each sequence, and stable in it. The format has 999 in a class: of more groups,
    those that move at some time are kept, then those with the most points; points of the others are 0.
    ``groups/SEQUENCE.csv`` lists all groups. A sweep without points has no file, because the reader refuses empty ones;
    of nuScenes, only key frames have one.
    """
    import io

    import numpy as np

    from iscc_lidar.shared.cache.instances import largest_groups, sequence_groups

    instances = largest_groups(cache, sequence, _MAX_INSTANCE)
    version, tokens = _tokens(cache, sequence, options)
    for index, token in tokens.items():
        number = instances.of(cache.label(sequence, index))
        panoptic, content = np.where(number > 0, number + _GROUP * _PER_CLASS, 0), io.BytesIO()
        np.savez_compressed(content, data=panoptic.astype("<u2"))
        folder.write(_file(version, token), content.getvalue())
    groups = sequence_groups(cache, sequence)
    columns = (instances.group.tolist(), instances.number.tolist(), groups.points.tolist(), groups.moving.tolist())
    rows = [f"{group},{number},{points},{int(moving)}" for group, number, points, moving in zip(*columns, strict=True)]
    folder.write(f"groups/{sequence}.csv", "\n".join(["group,instance,points,moving", *rows, ""]).encode())
    return len(tokens) + 1


def finish(cache: Cache, folder: OwnFolder, options: ExportOptions) -> int:
    """Write ``VERSION/panoptic.json``, a row for each file; of other datasets than nuScenes two more tables.

    They are ``category.json``, the classes, and ``tokens.json``, which says what sweep each token is of.
    """
    found = {sequence: _tokens(cache, sequence, options) for sequence in cache.sequence_names}
    versions = sorted({version for version, _ in found.values()})
    for version in versions:
        tokens = [token for of, tokens in found.values() if of == version for token in tokens.values()]
        rows = [{"token": t, "sample_data_token": t, "filename": _file(version, t)} for t in tokens]
        _write_table(folder, version, "panoptic", rows)
        folder.remove_others(f"panoptic/{version}", {f"{token}_panoptic.npz" for token in tokens}, ".npz")
    if cache.manifest.dataset == "nuscenes":
        return len(versions)
    categories = [
        {"token": _hash(name), "name": name, "description": text, "index": index}
        for index, (name, text) in enumerate(_CATEGORIES)
    ]
    _write_table(folder, _VERSION, "category", categories)
    sweeps = [
        {"token": token, "sequence": sequence, "sweep": name}
        for sequence, (_, tokens) in found.items()
        for index, name in enumerate(cache.sweep_names(sequence))
        if (token := tokens.get(index))
    ]
    _write_table(folder, _VERSION, "tokens", sweeps)
    return len(versions) + 2


def _tokens(cache: Cache, sequence: str, options: ExportOptions) -> tuple[str, dict[int, str]]:
    """Return the folder of tables of a sequence, and the token of each sweep that has a file, by its index."""
    names = cache.sweep_names(sequence)
    points = [count for block in cache.blocks(sequence) for count in block.sweeps["points"].to_pylist()]
    version, tokens = (
        _dataset_tokens(sequence, names, require_root(options.root, _NEEDS_ROOT))
        if cache.manifest.dataset == "nuscenes"
        else (_VERSION, [_hash(f"{sequence}/{name}") for name in names])
    )
    return version, {k: token for k, token in enumerate(tokens) if token is not None and points[k] > 0}


def _dataset_tokens(sequence: str, names: list[str], root: Path) -> tuple[str, list[str | None]]:
    """Return the version of a scene of nuScenes, and the token of each sweep; None for one that is no key frame."""
    from iscc_lidar.shared.layouts.nuscenes import sweep_tokens

    found = sweep_tokens(root)
    if unknown := [name for name in names if (sequence, name) not in found]:
        raise UserError(
            f"{root}: no table lists LIDAR_TOP's sweep {unknown[0]} of {sequence}; pass the folder that the cache was "
            "made from"
        )
    return found[sequence, names[0]][0] if names else "", [found[sequence, name][1] for name in names]


def _file(version: str, token: str) -> str:
    return f"panoptic/{version}/{token}_panoptic.npz"


def _write_table(folder: OwnFolder, version: str, name: str, rows: list[dict[str, Any]]) -> None:
    folder.write(f"{version}/{name}.json", (json.dumps(rows, indent=1) + "\n").encode())


def _hash(text: str) -> str:
    """Return a token: the first 32 hexadecimal digits of the SHA-256 of a text in UTF-8."""
    import hashlib

    return hashlib.sha256(text.encode()).hexdigest()[:32]


TARGET: Final = Target(
    "nuscenes",
    "panoptic/VERSION/TOKEN_panoptic.npz: uint16, 1000 + instance; VERSION/panoptic.json",
    write_sequence,
    finish,
    refuse,
)
