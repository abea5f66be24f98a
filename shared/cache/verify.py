"""Check a cache against its checksums: report every damaged, missing or foreign file by path."""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from tqdm import tqdm

from iscc_lidar.data_schemas.manifest import BLOCK_FILE, MANIFEST_FILE, BlockEntry
from iscc_lidar.data_schemas.names import is_block_file, is_cache_file
from iscc_lidar.shared.base.text import one_line
from iscc_lidar.shared.cache.block import block_files
from iscc_lidar.shared.cache.reader import read_manifest
from iscc_lidar.shared.store.open import open_store
from iscc_lidar.shared.store.store import LinkedError, Store


@dataclass(frozen=True)
class Problem:
    """A problem in a cache: its path, the file, a description, the block to make again if any."""

    cache: str
    name: str
    description: str
    block: str | None

    def __str__(self) -> str:
        return one_line(f"{self.cache}/{self.name}: {self.description}")


def verify_cache(cache: Path | str, threads: int = 8, show_progress: bool = False) -> list[Problem]:
    """Return the problems of a cache's files, in order; none if it is OK. Hidden files are not checked.

    Raises UserError if the manifest is missing or unreadable.
    """
    store = open_store(cache)
    blocks = {
        block.path: block
        for sequence in read_manifest(store)[0].sequences
        for block in sequence.blocks + sequence.tracks
    }
    present: dict[str, set[str]] = {path: set() for path in blocks}
    foreign: list[Problem] = []
    linked = {str(above) for path in blocks for above in (PurePosixPath(path), *PurePosixPath(path).parents)}
    for name in store.files(""):
        block = next((str(parent) for parent in PurePosixPath(name).parents if str(parent) in present), None)
        if block is not None:
            present[block].add(name.removeprefix(f"{block}/"))
        elif not name.startswith(".") and name != MANIFEST_FILE and name not in linked:
            foreign.append(Problem(store.url, name, "does not belong here", None))
    with ThreadPoolExecutor(threads) as pool:  # computing digests and reading both release the GIL
        found = pool.map(lambda path: _verify_block(store, blocks[path], present[path]), blocks)
        bar = tqdm(found, total=len(blocks), desc="verify", unit="block", leave=False, disable=not show_progress)
        return [problem for several in bar for problem in several] + foreign


def remove_damaged(cache: Path | str, problems: list[Problem]) -> list[str]:
    """Remove blocks with problems, and files of blocks that the manifest does not name.

    Preprocessing then makes those blocks again. Returns the names of what is left: files whose names the format does
    not define, and what is reached through a link.
    """
    store, left = open_store(cache), []
    for block in dict.fromkeys(problem.block for problem in problems if problem.block is not None):
        left += remove_block(store, block)
    for problem in problems:
        if problem.block is None:
            left += [] if is_cache_file(problem.name) and _removed(store, problem.name) else [problem.name]
    return left


def remove_block(store: Store, block: str) -> list[str]:
    """Remove the files of a block, its block file first. Returns the names of what is left in its folder."""
    found = store.files(block)
    foreign = [f"{block}/{name}" for name in found if not is_block_file(name)]
    if not foreign:
        return [] if _removed(store, block) else [block]
    own = sorted((name for name in found if is_block_file(name)), key=lambda name: name != BLOCK_FILE)
    return foreign + [name for name in (f"{block}/{name}" for name in own) if not _removed(store, name)]


def _removed(store: Store, name: str) -> bool:
    """Remove a file or folder; return False where it is a link, or reached through one."""
    try:
        store.remove(name)
    except LinkedError:
        return False
    return True


def _verify_block(store: Store, block: BlockEntry, present: set[str]) -> list[Problem]:
    def problem(name: str, description: str, *, is_own: bool = True) -> Problem:
        return Problem(store.url, f"{block.path}/{name}", description, block.path if is_own else None)

    try:
        index = store.read(f"{block.path}/{BLOCK_FILE}")
    except OSError as error:
        return [problem(BLOCK_FILE, _why(error))]
    if hashlib.sha256(index).hexdigest() != block.digest:
        return [problem(BLOCK_FILE, "damaged, its checksum is not the manifest's")]
    try:
        expected = block_files(index)
    except ValueError as error:
        return [problem(BLOCK_FILE, str(error))]
    foreign = sorted(present - expected.keys() - {BLOCK_FILE})
    problems = [problem(name, "does not belong here", is_own=False) for name in foreign]
    for name, digest in sorted(expected.items()):
        try:
            if store.sha256(f"{block.path}/{name}") != digest:
                problems.append(problem(name, "damaged, its checksum differs"))
        except OSError as error:
            problems.append(problem(name, _why(error)))
    return problems


def _why(error: OSError) -> str:
    return "missing" if isinstance(error, FileNotFoundError) else f"cannot be read ({error.strerror})"
