"""``python -m iscc_lidar.trainer``: as ``iscc-train``, without ``predict``."""

from iscc_lidar.trainer.cli import app

app()
