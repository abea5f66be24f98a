"""Info files of mmdetection3d 1.x: a pickled dict of ``metainfo`` and ``data_list``, one dict for each sweep.

It is written one sweep after the other, and contains dicts, lists, numbers and texts alone: reading it runs no code.
"""

from __future__ import annotations

import pickle
from typing import Any, Final, TypeAlias

Plain: TypeAlias = dict[str, Any] | list[Any] | str | int | float

END: Final = b"eu."
"""Ends list, dict and file."""
_PROTOCOL: Final = 2


def start(metainfo: dict[str, Plain]) -> bytes:
    """Begin a file: all before the first sweep."""
    begin_dict, begin_list = b"}(", b"]("
    return b"".join(
        [b"\x80\x02", begin_dict, item("metainfo"), item(metainfo), item("data_list"), begin_list]  # 80 02: protocol
    )


def item(value: Plain) -> bytes:
    """Pickle one value within a file, without the opcodes that begin and end a file of its own.

    Values are remembered by numbers that each item assigns anew before it uses them.
    """
    return pickle.dumps(value, protocol=_PROTOCOL)[2:-1]
