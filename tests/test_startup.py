"""Commands that only print something start at once: they import no heavy package."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = (
    *(
        "bokeh",
        "tqdm",
        "dask",
        "distributed",
        "hdbscan",
        "matplotlib",
        "numba",
        "sklearn",
        "threadpoolctl",
    ),
    *("scipy", "torch", "zarr", "fsspec"),
)
WITHOUT_NUMPY = (*HEAVY, "numpy", "pyarrow")
SCRIPT = """
import importlib, sys
app, *arguments = sys.argv[1:]
try:
    importlib.import_module(app).app(arguments)
except SystemExit as ended:
    assert not ended.code, ended.code
print("imported:", *sorted({name.split(".")[0] for name in sys.modules}))
"""


def imported(app: str, *arguments: str) -> set[str]:
    done = subprocess.run([sys.executable, "-c", SCRIPT, app, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.rpartition("imported:")[2].split())


@pytest.mark.parametrize(
    ("app", "arguments", "absent"),
    [
        ("iscc_lidar.preprocess.cli", ["--help"], WITHOUT_NUMPY),
        ("iscc_lidar.preprocess.cli", ["run", "--help"], WITHOUT_NUMPY),
        ("iscc_lidar.preprocess.cli", ["datasets"], (*HEAVY, "pyarrow")),
        ("iscc_lidar.shared.cache_cli", ["--help"], WITHOUT_NUMPY),
    ],
)
def test_help_and_lists_import_nothing_heavy(app: str, arguments: list[str], absent: tuple[str, ...]) -> None:
    assert imported(app, *arguments).isdisjoint(absent)


def test_importing_the_package_imports_nothing_heavy() -> None:
    code = (
        "import sys, iscc_lidar; iscc_lidar.load_encoder, iscc_lidar.group, iscc_lidar.preprocess; print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert {name.split(".")[0] for name in done.stdout.split()}.isdisjoint(WITHOUT_NUMPY)


def test_info_reads_tables_alone(tiny_cache: Path) -> None:
    assert imported("iscc_lidar.shared.cache_cli", "info", str(tiny_cache)).isdisjoint(HEAVY)
