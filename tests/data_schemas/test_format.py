"""The specification is that of the program, and whoever has nothing but it reads a cache."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest

from iscc_lidar.data_schemas import __main__ as documents
from iscc_lidar.data_schemas.format_page import format_page
from iscc_lidar.data_schemas.manifest import FORMAT_MAJOR, FORMAT_MINOR
from iscc_lidar.shared.cache.reader import Cache
from iscc_lidar.shared.cache.verify import verify_cache

from make_golden import GOLDEN, read

ALONE = """
import sys
class NotHere:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("iscc_lidar", "torch", "dask", "hdbscan"):
            raise ImportError(f"{name} is not here")
sys.meta_path.insert(0, NotHere())
"""
"""Goes before a script that must work without this package."""
EXAMPLE = format_page().split("```python\n")[1].split("```")[0]
"""The page's script, which reads labels."""


def test_what_is_generated_is_up_to_date() -> None:
    for path, text in documents.documents().items():
        assert path.read_text("utf-8") == text, f"{path.name} is stale; run: python -m iscc_lidar.data_schemas"


def test_check_ends_with_one_where_something_is_stale(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    stale = tmp_path / "FORMAT.md"
    stale.write_text("old")
    monkeypatch.setattr(documents, "documents", lambda: {stale: "new"})
    monkeypatch.setattr(sys, "argv", ["data_schemas", "--check"])
    assert documents.main() == 1
    assert stale.read_text() == "old"
    monkeypatch.setattr(sys, "argv", ["data_schemas"])
    assert documents.main() == 0
    assert stale.read_text() == "new"


def test_there_is_a_golden_cache_of_this_version() -> None:
    assert (GOLDEN / f"{FORMAT_MAJOR}.{FORMAT_MINOR}").is_dir()


@pytest.mark.parametrize("version", sorted(path.name for path in GOLDEN.iterdir() if path.is_dir()))
def test_every_golden_cache_of_this_major_reads_as_it_did(version: str) -> None:
    if int(version.split(".")[0]) != FORMAT_MAJOR:
        pytest.skip(f"version {version} is of another MAJOR")
    expected = json.loads((GOLDEN / f"{version}.json").read_text())
    cache = Cache(GOLDEN / version)
    assert verify_cache(GOLDEN / version) == []
    assert [cache.sequence(name).sweeps for name in cache.sequence_names] == [len(expected)]
    for now, then in zip(read(GOLDEN / version), expected, strict=True):
        assert {name: now.pop(name) for name in then if not name.endswith("_m")} == {
            name: value for name, value in then.items() if not name.endswith("_m")
        }
        for name, value in now.items():
            np.testing.assert_allclose(value, then[name], atol=1e-3)


def test_the_example_of_the_page_reads_labels_without_us(tiny_cache: Path) -> None:
    script = f"{ALONE}{EXAMPLE}print(zlib.crc32(label.tobytes()))".replace('"CACHE"', repr(str(tiny_cache)))
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) == zlib.crc32(Cache(tiny_cache).label("00", 3).tobytes())


def test_the_example_refuses_what_is_damaged(tiny_cache: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_cache, tmp_path / "cache")
    block = tmp_path / "cache" / Cache(tiny_cache).block("00", 3).entry.path
    script = f"{ALONE}{EXAMPLE}".replace('"CACHE"', repr(str(tmp_path / "cache")))
    for name in ("block.json", "sweeps.parquet", "arrays.zarr/label/c/0"):
        whole = (block / name).read_bytes()
        (block / name).write_bytes(whole[:40] + bytes([whole[40] ^ 1]) + whole[41:])
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
        assert done.returncode == 1, name
        (block / name).write_bytes(whole)
