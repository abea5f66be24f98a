"""Provenance of an output: versions of the software that made it."""

from __future__ import annotations

import platform
from importlib import metadata

import iscc_lidar

_PACKAGES = ("numpy", "pyarrow", "zarr", "dask", "hdbscan", "pypatchworkpp", "scipy", "torch")


def versions() -> dict[str, str]:
    """Return the versions of this program, Python and the installed packages that results depend on."""
    found = {"iscc-lidar": iscc_lidar.__version__, "python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found
