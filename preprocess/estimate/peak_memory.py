"""The greatest memory of a process so far."""

from __future__ import annotations

from pathlib import Path


def peak_bytes() -> int:
    """Greatest memory of this process so far; what getrusage tells would include the parent's on Linux."""
    status = Path("/proc/self/status")
    if status.exists():
        return int(status.read_text().split("VmHWM:")[1].split()[0]) * 1024
    import resource  # not there on Windows, where all but this runs

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # macOS counts bytes
