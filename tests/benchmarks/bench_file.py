"""Benchmark figures: printed as tables for people, and flat in ``bench.json`` for scripts."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping
from pathlib import Path

from iscc_lidar.shared.base.files import read_json, write_text
from iscc_lidar.shared.base.provenance import processor, versions

BENCH_FILE = "bench.json"


def add_figures(out: Path, prefix: str, figures: Mapping[str, float]) -> None:
    """Add figures as ``prefix.name`` to ``out/bench.json``, in place of older ones with that prefix.

    The file also names the machine and the versions that the last figures were measured with.
    """
    path = out / BENCH_FILE
    content = read_json(path) if path.exists() else {}
    kept = {key: value for key, value in content.items() if not key.startswith(f"{prefix}.")}
    new = {f"{prefix}.{name}": value for name, value in figures.items()}
    about = {"machine": platform.machine(), "processor": processor(), "versions": versions()}
    write_text(path, json.dumps(kept | new | about, indent=1) + "\n")
