"""Fixtures over real files: tiny synthetic streets, a cache of them, and the real data where it is present."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import fsspec
import pytest
from hypothesis import settings

from iscc_lidar.preprocess.config import PreprocessConfig
from iscc_lidar.preprocess.datasets import registry
from iscc_lidar.preprocess.run.pipeline import preprocess
from iscc_lidar.preprocess.segment.windows import WindowConfig
from iscc_lidar.preprocess.synthetic.config import SynthConfig
from iscc_lidar.preprocess.synthetic.generate import generate
from iscc_lidar.shared.store.local import LocalStore

# How long an example takes depends on what else the machine does.
settings.register_profile("without deadline", deadline=None)
settings.load_profile("without deadline")

# A shell's background jobs are started deaf to Ctrl-C; what is tested, and its child processes, must not be.
signal.signal(signal.SIGINT, signal.default_int_handler)

REAL_DATA = Path(__file__).resolve().parent.parent.parent / "shared" / "data"


@pytest.fixture(scope="session")
def tiny_config() -> PreprocessConfig:
    """Small windows and blocks, so that six sweeps have two windows in each of two blocks."""
    return PreprocessConfig(window=WindowConfig(sweeps=3, stride=1, block_sweeps=2))


@pytest.fixture(scope="session")
def tiny_streets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two sequences of six coarse sweeps in SemanticKITTI's layout. Read only."""
    root = tmp_path_factory.mktemp("streets")
    generate(root, SynthConfig(sequences=2, sweeps=6, beams=32, columns=256), workers=0)
    return root


@pytest.fixture
def own_streets(tiny_streets: Path, tmp_path: Path) -> Path:
    """A copy of one tiny sequence that a test may damage."""
    shutil.copytree(tiny_streets / "sequences" / "00", tmp_path / "own" / "sequences" / "00")
    return tmp_path / "own"


@pytest.fixture(scope="session")
def tiny_cache(tiny_streets: Path, tiny_config: PreprocessConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The cache of the tiny streets, made in this process. Read only."""
    cache = tmp_path_factory.mktemp("caches") / "tiny"
    preprocess(registry.open_dataset("synthetic", tiny_streets), LocalStore(cache), tiny_config)
    return cache


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of real LiDAR data beside the checkout."""
    if not REAL_DATA.is_dir():
        pytest.skip("no real LiDAR data beside the checkout (shared/data)")
    return REAL_DATA


@pytest.fixture(scope="session")
def real_boxes(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """52 real sweeps with boxes as KITTI object frames, and the link to the sweeps that a copy does not keep."""
    root, source = tmp_path_factory.mktemp("boxes"), real_data / "kitti_detection_from_pandaset"
    (root / "training").mkdir()
    (root / "ImageSets").symlink_to(source / "ImageSets")
    for part in ("label_2", "calib"):
        (root / "training" / part).symlink_to(source / "training" / part)
    (root / "training/velodyne").symlink_to(real_data / "semantickitti_from_pandaset/sequences/40/velodyne")
    return root


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of an empty bucket of an S3 server in a process of its own, which this and all child processes reach."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = tmp_path_factory.mktemp("s3") / "server.log"
    with log.open("wb") as out:
        server = subprocess.Popen([sys.executable, "-m", "moto.server", "-p", str(port)], stdout=out, stderr=out)
    reached = {
        "AWS_ENDPOINT_URL_S3": f"http://127.0.0.1:{port}",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    before = dict(os.environ)
    os.environ |= reached
    try:
        _wait_for(port, server, log)
        fsspec.filesystem("s3").mkdir("bucket")
        yield "s3://bucket"
    finally:
        server.kill()
        server.wait()
        for name in reached:
            os.environ.pop(name) if name not in before else os.environ.update({name: before[name]})


def _wait_for(port: int, server: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(300):
        assert server.poll() is None, log.read_text()
        with suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            return
        time.sleep(0.1)
    raise AssertionError(log.read_text())
