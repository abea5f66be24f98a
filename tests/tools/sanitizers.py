"""Our C under the address and undefined-behaviour sanitizers: drivers in C, and the tests of our functions of it.

Also a plugin of pytest (``-p sanitizers``): the functions are then those of the libraries in ISCC_SANITIZED.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Final

import pytest

_FLAGS: Final = ("-g", "-O1", "-ffp-contract=off", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
_OPTIONS: Final = "detect_leaks=0:allocator_may_return_null=1:quarantine_size_mb=64"
_ROOT: Final = Path(__file__).resolve().parents[2]
_FOLDER: Final = "ISCC_SANITIZED"


def run_driver(source: Path, driver: str, folder: Path, *options: str) -> str:
    """Compile a C program that includes ``source`` by its name, run it, and return what it prints."""
    (folder / "driver.c").write_text(driver)
    _compile(folder / "driver", folder / "driver.c", f"-I{source.parent}", *options)
    environment = {**os.environ, "ASAN_OPTIONS": "allocator_may_return_null=1"}
    done = subprocess.run(
        [str(folder / "driver")], capture_output=True, text=True, timeout=300, check=False, env=environment
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return done.stdout


def run_tests(source: Path, library: str, tests: tuple[str, ...], folder: Path, *options: str) -> str:
    """Run tests with a library, by the name of its module, compiled with sanitizers; return pytest's last line."""
    _compile(folder / f"{library}.so", source, "-shared", "-fPIC")
    preload = subprocess.run([_compiler(), "-print-file-name=libasan.so"], capture_output=True, text=True, check=True)
    environment = {
        **os.environ,
        "LD_PRELOAD": preload.stdout.strip(),
        "ASAN_OPTIONS": _OPTIONS,
        _FOLDER: str(folder),
        "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), str(_ROOT / "src")]),
    }
    call = [sys.executable, "-m", "pytest", "-q", "-p", "sanitizers", "-p", "no:cacheprovider", *options, *tests]
    done = subprocess.run(call, cwd=_ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return done.stdout.splitlines()[-1]


def pytest_configure() -> None:
    """Let the package find the libraries of ISCC_SANITIZED in place of its own."""
    folder, find = Path(os.environ[_FOLDER]), importlib.util.find_spec

    def find_spec(name: str, package: str | None = None) -> ModuleSpec | None:
        library = folder / f"{name.rpartition('.')[2]}.so"
        return ModuleSpec(name, None, origin=str(library)) if library.exists() else find(name, package)

    importlib.util.find_spec = find_spec


def _compiler() -> str:
    found = shutil.which("gcc") or shutil.which("clang")
    if found is None:
        pytest.skip("no C compiler")
    return found


def _compile(target: Path, source: Path, *options: str) -> None:
    call = [_compiler(), *_FLAGS, *options, "-o", str(target), str(source), "-lm", "-pthread"]
    built = subprocess.run(call, capture_output=True, text=True, check=False)
    if "cannot find" in built.stderr:
        pytest.skip("the compiler has no sanitizers")
    assert built.returncode == 0, built.stderr
