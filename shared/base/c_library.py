"""Shared libraries that installing compiled from this package's own C, where there was a compiler; through ctypes."""

from __future__ import annotations

import ctypes
import importlib.util


def load_library(module: str, interface: int) -> tuple[ctypes.CDLL | None, str]:
    """Load a library by the name of the extension module that it was built as.

    Args:
        module: its full name.
        interface: what its function ``iscc_interface`` must return: the version that the caller was written for.

    Returns:
        the library, or None and why there is none.
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
