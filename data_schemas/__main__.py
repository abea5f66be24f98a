"""Write FORMAT.md and the manifest's JSON Schema: ``python -m iscc_lidar.data_schemas``; ``--check`` only compares."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from iscc_lidar.data_schemas.format_page import format_page
from iscc_lidar.data_schemas.manifest_schema import manifest_schema


def documents() -> dict[Path, str]:
    """Generate the documents, by the file that each is committed as."""
    folder = Path(__file__).resolve().parent
    return {
        folder / "FORMAT.md": format_page(),
        folder / "manifest.schema.json": json.dumps(manifest_schema(), indent=1) + "\n",
    }


def main() -> int:
    """Write the documents, or with --check report which are stale; returns the exit status."""
    stale = [path for path, text in documents().items() if not path.exists() or path.read_text("utf-8") != text]
    if "--check" in sys.argv[1:]:
        for path in stale:
            print(f"{path} is stale; run: python -m iscc_lidar.data_schemas")
        return int(bool(stale))
    for path in stale:
        path.write_text(documents()[path], "utf-8")
        print(f"written: {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
