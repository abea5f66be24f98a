"""Provenance of outputs: versions of the software and name of the processor."""

from __future__ import annotations

import platform
from importlib import metadata
from pathlib import Path

import iscc_lidar

_PACKAGES = ("numpy", "pyarrow", "zarr", "dask", "hdbscan", "scipy", "torch")


def versions() -> dict[str, str]:
    """Return the versions of this program, Python and the installed packages that results depend on."""
    found = {"iscc-lidar": iscc_lidar.__version__, "python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def kernels() -> str:
    """Name the compiled C kernels of this installation, or describe what is slower without them."""
    package = Path(iscc_lidar.__file__).parent
    names = {path.name.partition(".")[0] for end in ("so", "pyd") for path in package.glob(f"*/*/native/_*.{end}")}
    listed = ", ".join(sorted(name.removeprefix("_") for name in names))
    return listed or "not compiled: clustering, and training on a CPU, take longer; install again with a C compiler"


def processor() -> str:
    """Return the processor's name where the system reports it."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text(encoding="utf-8").splitlines() if cpuinfo.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()
