"""Put an encoder into the package as ``small``, and its digest into the table of encoders; ``make weights`` makes one.

python tests/tools/install_weights.py runs/reproduce-small/pretrain/surroundings/seed0/encoder.safetensors
"""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

from iscc_lidar.shared.base.files import sha256

WEIGHTS = Path(__file__).resolve().parents[2] / "src/iscc_lidar/api/weights"
LARGEST_BYTES = 4_000_000


def install(encoder: Path) -> None:
    """Copy the encoder and rewrite its row of the table."""
    size = encoder.stat().st_size
    if size > LARGEST_BYTES:
        raise SystemExit(f"{encoder}: {size} bytes, at most {LARGEST_BYTES} may come with the package")
    digest, table = sha256(encoder), WEIGHTS / "__init__.py"
    shutil.copyfile(encoder, WEIGHTS / "small.safetensors")
    table.write_text(re.sub(r'"small": "\w*",.*', f'"small": "{digest}",', table.read_text()))
    print(f"small.safetensors: {size:,} bytes, SHA-256 {digest}")


if __name__ == "__main__":
    install(Path(sys.argv[1]))
