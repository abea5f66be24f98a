"""Check a cache against its checksums: every damaged, missing or foreign file, by path."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from iscc_lidar.data_schemas.manifest import BLOCK_FILE, BlockEntry
from iscc_lidar.shared.cache_reader import read_json, read_manifest
from iscc_lidar.shared.errors import UserError
from iscc_lidar.shared.files import sha256


def verify_cache(cache: Path, threads: int = 4) -> list[str]:
    """Return one line for each problem, in order; none if the cache is whole.

    Raises:
        UserError: there is no readable manifest.
    """
    blocks = [block for sequence in read_manifest(cache).sequences for block in sequence.blocks]
    with ThreadPoolExecutor(threads) as pool:
        found = pool.map(lambda block: _verify_block(cache, block), blocks)
    return [problem for problems in found for problem in problems]


def _verify_block(cache: Path, block: BlockEntry) -> list[str]:
    folder = cache / block.path
    index = folder / BLOCK_FILE
    if not index.is_file():
        return [f"{index}: missing"]
    if sha256(index) != block.digest:
        return [f"{index}: is not the file that the manifest names; damaged, or of another run"]
    try:
        expected: dict[str, str] = read_json(index)["files"]
    except (UserError, KeyError) as error:
        return [f"{index}: {error}"]
    present = {str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file()} - {BLOCK_FILE}
    problems = [f"{folder / name}: missing" for name in sorted(expected.keys() - present)]
    problems += [f"{folder / name}: does not belong here" for name in sorted(present - expected.keys())]
    for name in sorted(expected.keys() & present):
        if sha256(folder / name) != expected[name]:
            problems.append(f"{folder / name}: damaged, its checksum differs")
    return problems
