"""What several tests ask of caches."""

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from iscc_lidar.shared.cache.reader import Cache
from iscc_lidar.shared.store.open import open_store

TINY = ["--set", "window.sweeps=3", "--set", "window.stride=1", "--set", "window.block_sweeps=2"]
"""The options of ``tiny_config`` on a command line."""


def content(cache: Path | str) -> dict[str, str]:
    """Digest of every file of a cache but for the claims, which tell who worked there last."""
    store = open_store(cache)
    return {name: store.sha256(name) for name in store.files("") if not name.startswith(".owner")}


def finished(cache: Path | str) -> dict[str, str]:
    """The same without what only its making needs, which has names with a dot."""
    return {name: digest for name, digest in content(cache).items() if not name.startswith(".")}


def labels(cache: Cache) -> list[bytes]:
    """Labels of every sweep, in order."""
    return [cache.label(s, k).tobytes() for s in cache.sequence_names for k in range(cache.sequence(s).sweeps)]


def files_below(folder: Path) -> dict[str, bytes]:
    """Content of every file below a folder, by its path there."""
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def with_manifest(source: Path, target: Path, edit: Callable[[Any], None]) -> Path:
    """Copy a cache, its manifest edited in place as JSON."""
    shutil.copytree(source, target)
    content = json.loads((target / "manifest.json").read_text())
    edit(content)
    write_manifest(target, content)
    return target


def with_column(
    source: Path, target: Path, sequence: str, column: str, values: list[Any], file: str = "sweeps.parquet"
) -> Path:
    """Copy a cache with other values in a column of a table, that of the sweeps, of a sequence's first block."""
    shutil.copytree(source, target)
    block = target / Cache(target).sequence(sequence).blocks[0].path
    table = pq.read_table(block / file)
    place = table.column_names.index(column)
    other = pa.array(values, table.schema.field(column).type)
    pq.write_table(table.set_column(place, table.schema.field(column), other), block / file)
    sign(target, block)
    return target


def sign(cache: Path, block: Path) -> None:
    """Make all digests of a block and of the manifest right again."""
    listed = json.loads((block / "block.json").read_text())
    for name in listed["files"]:
        if (block / name).is_file():
            listed["files"][name] = hashlib.sha256((block / name).read_bytes()).hexdigest()
    (block / "block.json").write_text(json.dumps(listed))
    sign_manifest(cache, block, hashlib.sha256((block / "block.json").read_bytes()).hexdigest())


def sign_manifest(cache: Path, block: Path, digest: str) -> None:
    content = json.loads((cache / "manifest.json").read_text())
    for sequence in content["sequences"]:
        for entry in sequence["blocks"] + sequence["tracks"]:
            if cache / entry["path"] == block:
                entry["digest"] = digest
    write_manifest(cache, content)


def write_manifest(cache: Path, content: Any) -> None:
    content.pop("digest", None)
    body = json.dumps(content, indent=1).removesuffix("\n}")
    digest = hashlib.sha256(body.encode("utf-8", "surrogatepass")).hexdigest()
    (cache / "manifest.json").write_bytes(f'{body},\n "digest": "{digest}"\n}}\n'.encode("utf-8", "surrogatepass"))
