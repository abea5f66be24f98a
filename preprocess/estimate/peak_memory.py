"""Peak memory of this process."""

from __future__ import annotations

from pathlib import Path


def peak_bytes() -> int:
    """Return the peak memory of this process; getrusage would include that of the parent process on Linux."""
    status = Path("/proc/self/status")
    if status.exists():
        return int(status.read_text().split("VmHWM:")[1].split()[0]) * 1024
    import resource  # missing on Windows, where everything but this works

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # macOS counts bytes
