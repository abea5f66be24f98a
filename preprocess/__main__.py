"""``python -m iscc_lidar.preprocess``: the same as ``iscc-preprocess``."""

from iscc_lidar.preprocess.cli import app

if __name__ == "__main__":
    app()
