"""``iscc-train export``: write the folder of an export atomically."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.base.files import is_torn, new_folder, read_json, write_bytes
from iscc_lidar.shared.base.text import one_line
from iscc_lidar.trainer.export import mmdetection3d, native, openpcdet, pointcept
from iscc_lidar.trainer.export.description import DESCRIPTION_FILE, Export, describe, is_export
from iscc_lidar.trainer.export.model_card import CARD_FILE, model_card
from iscc_lidar.trainer.export.source import TrainedRun, read_run

TARGETS: Final[dict[str, Callable[[TrainedRun], Export]]] = {
    "native": native.export,
    "pointcept": pointcept.export,
    "mmdetection3d": mmdetection3d.export,
    "openpcdet": openpcdet.export,
}


def export(
    path: Path, to: str, out: Path | None = None, cache: Path | str | None = None, overwrite: bool = False
) -> Path:
    """Write a run's encoder for a target, with config.json and MODEL_CARD.md. Returns the folder written.

    Args:
        path: folder of the run.
        to: one of TARGETS.
        out: folder of the export; None takes RUN/export/TARGET.
        cache: where the run's cache is now, for the model card.
        overwrite: replace an export in ``out``. Anything else there is never replaced.

    Raises:
        UserError: an unknown target, a run that cannot be exported, or an ``out`` that must not be replaced.
    """
    if to not in TARGETS:
        raise UserError(f"--to {to}: choose one of {', '.join(TARGETS)}")
    run = read_run(path, cache)
    if out is None and (path / "export").is_symlink():
        raise UserError(f"{path / 'export'}: a link, through which nothing is written; give --out")
    out = out or path / "export" / to
    _refuse_to_replace(out, overwrite)
    content = TARGETS[to](run)
    card, description = model_card(run, to, content), describe(run, to, content)
    files = content.files | {DESCRIPTION_FILE: description.encode(), CARD_FILE: card.encode()}
    with new_folder(out) as folder:
        for name, data in files.items():
            write_bytes(folder / name, data)
    return out


def _refuse_to_replace(out: Path, overwrite: bool) -> None:
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    if not out.is_dir() or not is_export(out):
        raise UserError(f"{out}: exists, but is not an export of this program; choose another --out")
    if not overwrite:
        raise UserError(f"{out}: contains an export already; add --overwrite to replace it, or choose another --out")
    own = {DESCRIPTION_FILE, CARD_FILE, *read_json(out / DESCRIPTION_FILE).get("files", ())}
    for path in sorted(out.iterdir()):
        if path.name not in own and not is_torn(path):
            raise UserError(
                f"{out}: contains {one_line(path.name)}, which is not of the export and would be removed; choose "
                "another --out, or move it away"
            )
