"""Arrays' metadata, checked before memory is taken: forged ones are in ``test_forged``."""

import subprocess
import sys

SLOW_THREAD = """
import time, threading
from iscc_lidar.shared.cache import array_files
from zarr.core import sync
sync._get_loop().call_soon_threadsafe(time.sleep, 1.0)
print("done")
"""


def test_a_process_ends_without_a_trace_though_zarrs_thread_is_slow_to_stop() -> None:
    done = subprocess.run([sys.executable, "-c", SLOW_THREAD], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("done\n", "")
