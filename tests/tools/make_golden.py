"""Make the golden cache of the format's present version, and what it reads as: once a version, then it stays.

python tests/tools/make_golden.py
"""

from __future__ import annotations

import json
import shutil
import tempfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from iscc_lidar.data_schemas.labels import GROUND, NOISE, NOT_CONSIDERED
from iscc_lidar.data_schemas.manifest import FORMAT_MAJOR, FORMAT_MINOR
from iscc_lidar.preprocess.config import PreprocessConfig
from iscc_lidar.preprocess.datasets.registry import open_dataset
from iscc_lidar.preprocess.plan.sequence_job import STEPS_FOLDER
from iscc_lidar.preprocess.run.pipeline import preprocess
from iscc_lidar.preprocess.segment.windows import WindowConfig
from iscc_lidar.preprocess.synthetic.config import SynthConfig
from iscc_lidar.preprocess.synthetic.generate import generate
from iscc_lidar.shared.cache.reader import Cache
from iscc_lidar.shared.store.open import open_store
from iscc_lidar.shared.store.owner import CLAIM_FILE

GOLDEN = Path(__file__).resolve().parent.parent / "data_schemas" / "golden"
CODES = {"ground": GROUND, "noise": NOISE, "not_considered": NOT_CONSIDERED}


def main() -> None:
    """Write ``golden/MAJOR.MINOR`` and ``golden/MAJOR.MINOR.json``."""
    cache = GOLDEN / f"{FORMAT_MAJOR}.{FORMAT_MINOR}"
    shutil.rmtree(cache, ignore_errors=True)
    with tempfile.TemporaryDirectory() as streets:
        generate(Path(streets), SynthConfig(sequences=1, sweeps=3, beams=16, columns=128), workers=0)
        config = PreprocessConfig(window=WindowConfig(sweeps=2, stride=1, block_sweeps=1))
        preprocess(open_dataset("synthetic", Path(streets)), open_store(cache), config)
    shutil.rmtree(cache / STEPS_FOLDER)
    (cache / CLAIM_FILE).unlink()
    lines = (json.dumps(sweep) for sweep in read(cache))
    cache.with_name(f"{cache.name}.json").write_text("[\n " + ",\n ".join(lines) + "\n]\n")


def read(cache_path: Path) -> list[dict[str, Any]]:
    """What the sweeps of a golden cache read as."""
    cache, found = Cache(cache_path), []
    for index in range(cache.sequence("00").sweeps):
        sweep, groups = cache.sweep("00", index), cache.groups("00", index)
        assert sweep.semantic is not None
        found.append(
            {
                "name": sweep.name,
                "points": len(sweep.label),
                "label_crc32": zlib.crc32(sweep.label.tobytes()),
                "groups": groups.group.tolist(),
                "moving": groups.moving.tolist(),
                "grouped": int((sweep.label >= 0).sum()),
                **{name: int((sweep.label == code).sum()) for name, code in CODES.items()},
                "queries": len(sweep.queries.kind),
                "query_kinds": np.bincount(sweep.queries.kind, minlength=3).tolist(),
                "mean_xyz_m": sweep.xyz.mean(axis=0, dtype=np.float64).round(4).tolist(),
                "pose_m": sweep.world_SE3_sensor[:3, 3].round(4).tolist(),
                "classes": sorted(set(sweep.semantic.tolist())),
            }
        )
    return found


if __name__ == "__main__":
    main()
