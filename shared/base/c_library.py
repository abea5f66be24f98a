"""Load this package's C kernels, which installation compiles if there is a compiler, through ctypes."""

from __future__ import annotations

import ctypes
import importlib.util


def load_library(module: str, interface: int) -> tuple[ctypes.CDLL | None, str]:
    """Load the shared library of an extension module, given by its full name: the library, or None and the reason.

    ``interface`` is the version that the caller was written for, which its function ``iscc_interface`` must return.
    """
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        return None, "the C kernels were not compiled: install iscc-lidar again where there is a C compiler"
    try:
        found = ctypes.CDLL(spec.origin)
        if found.iscc_interface() != interface:
            return None, "the C kernels are of another version: install iscc-lidar again"
    except (OSError, AttributeError) as error:
        return None, f"the C kernels do not load: {error}"
    return found, ""
