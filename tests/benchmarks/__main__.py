"""Run the benchmarks from a clone: python tests/benchmarks --help."""

import sys
from pathlib import Path

_TESTS = Path(__file__).resolve().parent.parent
sys.path[:1] = [str(_TESTS), str(_TESTS / "tools")]  # instead of this folder, which Python puts first

from benchmarks.cli import app  # noqa: E402

app()
