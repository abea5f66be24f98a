"""Check a cache against its checksums: report every damaged, missing or foreign file by path."""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from tqdm import tqdm

from iscc_lidar.data_schemas.manifest import BLOCK_FILE, MANIFEST_FILE, BlockEntry
from iscc_lidar.shared.cache.block import block_files
from iscc_lidar.shared.cache.reader import read_manifest
from iscc_lidar.shared.store.open import open_store
from iscc_lidar.shared.store.store import Store


@dataclass(frozen=True)
class Problem:
    """A problem in a cache: its path, the file, a description, the block to make again if any."""

    cache: str
    name: str
    description: str
    block: str | None

    def __str__(self) -> str:
        return f"{self.cache}/{self.name}: {self.description}"


def verify_cache(cache: Path | str, threads: int = 8, show_progress: bool = False) -> list[Problem]:
    """Return the problems of a cache's files, in order; none if it is OK. Hidden files are not checked.

    Raises UserError if the manifest is missing or unreadable.
    """
    store = open_store(cache)
    blocks = {block.path: block for sequence in read_manifest(store)[0].sequences for block in sequence.blocks}
    present: dict[str, set[str]] = {path: set() for path in blocks}
    foreign: list[Problem] = []
    for name in store.files(""):
        block = next((str(parent) for parent in PurePosixPath(name).parents if str(parent) in present), None)
        if block is not None:
            present[block].add(name.removeprefix(f"{block}/"))
        elif not name.startswith(".") and name != MANIFEST_FILE:
            foreign.append(Problem(store.url, name, "does not belong here", None))
    with ThreadPoolExecutor(threads) as pool:  # computing digests and reading both release the GIL
        found = pool.map(lambda path: _verify_block(store, blocks[path], present[path]), blocks)
        bar = tqdm(found, total=len(blocks), desc="verify", unit="block", leave=False, disable=not show_progress)
        return [problem for several in bar for problem in several] + foreign


def remove_damaged(cache: Path | str, problems: list[Problem]) -> None:
    """Remove blocks with problems and foreign files; preprocessing then makes those blocks again."""
    store = open_store(cache)
    for name in dict.fromkeys(problem.block or problem.name for problem in problems):
        store.remove(name)


def _verify_block(store: Store, block: BlockEntry, present: set[str]) -> list[Problem]:
    def problem(name: str, description: str) -> Problem:
        return Problem(store.url, f"{block.path}/{name}", description, block.path)

    try:
        index = store.read(f"{block.path}/{BLOCK_FILE}")
    except OSError as error:
        return [problem(BLOCK_FILE, _why(error))]
    if hashlib.sha256(index).hexdigest() != block.digest:
        return [problem(BLOCK_FILE, "damaged, its checksum is not the manifest's")]
    expected = block_files(index)
    problems = [problem(name, "does not belong here") for name in sorted(present - expected.keys() - {BLOCK_FILE})]
    for name, digest in sorted(expected.items()):
        try:
            if store.sha256(f"{block.path}/{name}") != digest:
                problems.append(problem(name, "damaged, its checksum differs"))
        except OSError as error:
            problems.append(problem(name, _why(error)))
    return problems


def _why(error: OSError) -> str:
    return "missing" if isinstance(error, FileNotFoundError) else f"cannot be read ({error.strerror})"
