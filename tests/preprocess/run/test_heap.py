"""Freed memory is used again, also where the environment asks for it to be returned at once, as Dask's does."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

FAULTS = """
import resource, sys
import numpy as np
from iscc_lidar.preprocess.run.executor import keep_freed_memory
if sys.argv[1] == "keep":
    assert keep_freed_memory()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(50):
    np.ones(2_000_000)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
def test_large_arrays_are_not_new_pages_each_time() -> None:
    environment = os.environ | {"MALLOC_TRIM_THRESHOLD_": "65536"}
    kept, returned = (
        int(
            subprocess.run([sys.executable, "-c", FAULTS, how], env=environment, check=True, capture_output=True).stdout
        )
        for how in ("keep", "return")
    )
    assert kept < returned / 5
