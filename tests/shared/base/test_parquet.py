"""Tables are read completely or by columns, and none of Arrow's threads is left then."""

import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from iscc_lidar.shared.base.parquet import read_table

THREADS_AFTER_READING = """
import sys
from pathlib import Path
from iscc_lidar.shared.cache.reader import Cache
threads = lambda: len(list(Path("/proc/self/task").iterdir()))
cache = Cache(sys.argv[1])
before = threads()
assert cache.sweep_names(cache.sequence_names[0])
print(threads() - before)
"""


def test_columns_come_in_the_order_asked_for(tmp_path: Path) -> None:
    table = pa.table({"a": [1, 2], "b": ["x", "y"], "c": [[1], []]})
    pq.write_table(table, tmp_path / "t.parquet")
    assert read_table(tmp_path / "t.parquet").equals(table)
    assert read_table(pa.BufferReader((tmp_path / "t.parquet").read_bytes()), ["c", "a"]).equals(table.select("ca"))
    with pytest.raises(KeyError):
        read_table(tmp_path / "t.parquet", ["d"])


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="threads are counted in Linux's /proc")
def test_no_thread_is_left_that_could_abort_the_end_of_a_command(tiny_cache: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", THREADS_AFTER_READING, str(tiny_cache)], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "0"
