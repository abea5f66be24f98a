"""What is shipped, and what each part can do without the other's packages."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
PARTS = ("preprocess", "trainer", "shared", "data_schemas")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    return built(tmp_path_factory.mktemp("build"), {})


def built(folder: Path, environment: dict[str, str], *, sdist: bool = False) -> zipfile.ZipFile:
    source = folder / "source"
    source.mkdir()
    leave = shutil.ignore_patterns("*.egg-info", "_*.so")
    for name in (*PARTS, "src"):
        shutil.copytree(REPOSITORY / name, source / name, symlinks=True, ignore=leave)
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        shutil.copy(REPOSITORY / name, source)
    formats = [] if sdist else ["--wheel"]  # without: the sdist, and the wheel from it
    call = [sys.executable, "-m", "build", *formats, "--no-isolation", "--outdir", str(folder / "dist"), str(source)]
    subprocess.run(call, check=True, capture_output=True, env={**os.environ, **environment})
    return zipfile.ZipFile(next((folder / "dist").glob("*.whl")))


def compiled(wheel: zipfile.ZipFile) -> list[str]:
    return [name for name in wheel.namelist() if "/native/_" in name and name.endswith((".so", ".pyd"))]


def test_the_wheel_holds_the_package_and_nothing_else(wheel: zipfile.ZipFile) -> None:
    tops = {name.split("/")[0] for name in wheel.namelist()}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"iscc_lidar"}


def test_the_wheel_holds_every_module_and_data_file(wheel: zipfile.ZipFile) -> None:
    shipped = {name.removeprefix("iscc_lidar/") for name in wheel.namelist()}
    for part in PARTS:
        files = [f for f in (REPOSITORY / part).rglob("*") if f.suffix in (".py", ".toml", ".css", ".js")]
        assert files
        assert {str(f.relative_to(REPOSITORY)) for f in files} <= shipped
    assert {"py.typed", "__init__.pyi", "api/functions.py", "api/weights/__init__.py"} <= shipped


def test_the_wheel_holds_no_benchmark_and_nothing_that_patches_the_package(wheel: zipfile.ZipFile) -> None:
    assert [name for name in wheel.namelist() if re.search("bench|opponent|waymo_writer|synthetic_voxels", name)] == []
    modules = [name for name in wheel.namelist() if name.endswith(".py")]
    assert [name for name in modules if b"unittest" in wheel.read(name)] == []


@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")
def test_the_wheel_holds_the_compiled_kernels(wheel: zipfile.ZipFile) -> None:
    assert len(compiled(wheel)) == 2


@pytest.mark.slow
def test_the_sdist_builds_the_same_wheel(tmp_path: Path, wheel: zipfile.ZipFile) -> None:
    through_sdist = built(tmp_path, {}, sdist=True)
    assert {*through_sdist.namelist()} == {*wheel.namelist()}
    assert list((tmp_path / "dist").glob("*.tar.gz"))


@pytest.mark.slow
def test_without_a_compiler_the_wheel_is_built_without_kernels(tmp_path: Path, wheel: zipfile.ZipFile) -> None:
    without = built(tmp_path, {"CC": "false"})
    assert compiled(without) == []
    assert {*wheel.namelist()} - {*without.namelist()} == {*compiled(wheel)}


def test_the_lock_has_the_versions_of_the_constraints_and_hashes_of_all() -> None:
    pinned = dict(re.findall(r"^([\w.-]+)==(\S+)$", (REPOSITORY / "constraints.txt").read_text(), re.MULTILINE))
    entries = re.split(r"\n(?=\w)", re.sub(r"(?m)^#.*\n", "", (REPOSITORY / "requirements.lock").read_text()))
    locked = dict(re.match(r"([\w.-]+)==(\S+)", entry).groups() for entry in entries)  # type: ignore[union-attr]
    del pinned["torch"]  # its wheel differs by machine
    assert {re.sub(r"[-_.]+", "-", name).lower(): version for name, version in pinned.items()} == locked  # PEP 503
    assert all("--hash=sha256:" in entry for entry in entries)


@pytest.mark.parametrize(
    ("module", "blocked"),
    [
        ("iscc_lidar.trainer.cli", ["dask", "distributed", "hdbscan"]),
        ("iscc_lidar.api.train_cli", ["dask", "distributed", "hdbscan"]),
        ("iscc_lidar.preprocess.cli", ["torch", "safetensors"]),
        ("iscc_lidar.shared.cache_cli", ["torch", "dask", "distributed", "hdbscan", "scipy", "matplotlib"]),
    ],
)
def test_each_door_opens_without_the_other_parts_packages(module: str, blocked: list[str]) -> None:
    code = f"import sys; sys.modules.update(dict.fromkeys({blocked!r})); import {module}"
    subprocess.run([sys.executable, "-c", code], check=True)
