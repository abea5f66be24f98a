"""Write the boxes of a block's groups: one table, and the block file with its checksum."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from iscc_lidar.data_schemas import tables
from iscc_lidar.data_schemas.manifest import TRACKS_FILE
from iscc_lidar.preprocess.track.fit import PlacedBoxes
from iscc_lidar.preprocess.track.measure import GroupRows
from iscc_lidar.preprocess.write.block import write_folder, write_table
from iscc_lidar.shared.store.store import Store


def write_tracks(
    store: Store, folder: str, rows: GroupRows, boxes: PlacedBoxes, confidence: NDArray[np.float32], key: str
) -> str:
    """Write boxes, in the sensor's frame, with the key of what they were made from.

    Returns the SHA-256 of the folder's block file.
    """
    quantum = tables.BOX_QUANTUM_M
    columns = {
        "sweep": rows.sweep.astype(np.int32),
        "group": rows.group.astype(np.int32),
        "centre": _lists(np.rint(boxes.centre / quantum) * quantum),
        "size": _lists(np.maximum(np.rint(boxes.size / quantum), 1) * quantum),
        "heading": boxes.heading,
        "confidence": confidence,
    }
    table = pa.table(columns, tables.TRACKS)
    return write_folder(store, folder, key, lambda staging: write_table(staging / TRACKS_FILE, table))


def _lists(values: NDArray[np.float64]) -> pa.Array:
    return pa.FixedSizeListArray.from_arrays(values.ravel(), 3)
