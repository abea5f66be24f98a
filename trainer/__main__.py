"""``python -m iscc_lidar.trainer``: the same as ``iscc-train``."""

from iscc_lidar.trainer.cli import app

app()
