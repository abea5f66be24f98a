"""The tables of nuScenes, ``ROOT/v1.0-{trainval,test,mini}/*.json``, and their rows of LIDAR_TOP.

sample_data and ego_pose of v1.0-trainval have 2.6 million rows in about 2 GB of text, one in eight of LIDAR_TOP. They
are read in pieces and only the wanted rows are decoded: about 20 seconds and a third of a gigabyte in each process,
compared with 6 GB for complete tables. This relies on rows without nested objects and without braces in strings, which
the schema guarantees (docs/schema_nuscenes.md of the nuScenes development kit).
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Container, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any, Final, TypeVar

from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.base.files import open_regular
from iscc_lidar.shared.base.names import name_fault

VERSIONS: Final = ("v1.0-trainval", "v1.0-test", "v1.0-mini")  # the scenes of mini are also in trainval
CHANNEL: Final = "LIDAR_TOP"

_CHUNK_BYTES: Final = 1 << 20

Row = dict[str, Any]
T = TypeVar("T", str, bool, int, float)


def versions(root: Path) -> tuple[str, ...]:
    """List the versions with a folder below ``root``."""
    return tuple(version for version in VERSIONS if (root / version).is_dir())


def calibrations(folder: Path) -> list[Row]:
    """Read the rows of calibrated_sensor that are of LIDAR_TOP."""
    sensors = {value(folder, row, "token", str) for row in table(folder, "sensor") if row["channel"] == CHANNEL}
    return [row for row in table(folder, "calibrated_sensor") if value(folder, row, "sensor_token", str) in sensors]


def lidar_rows(folder: Path, calibration_tokens: Container[str]) -> Iterator[tuple[str, Row]]:
    """Yield the rows of sample_data with these calibrations, each with the name of its scene, in the table's order."""
    scene_of = _scene_of_sample(folder)
    for row in rows(folder / "sample_data.json", "calibrated_sensor_token", calibration_tokens):
        yield _lookup(scene_of, value(folder, row, "sample_token", str), folder), row


def table(folder: Path, name: str, optional: bool = False) -> list[Row]:
    """Read all rows of a small table. Raises UserError if it is missing (unless optional) or damaged."""
    path = folder / f"{name}.json"
    if optional and not path.exists():
        return []
    try:
        with open_regular(path) as file:
            found: list[Row] = json.loads(file.read())
    except OSError as error:
        raise _unreadable(path, error) from None
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: is no JSON table ({error}); unpack the version's metadata archive again") from None
    if not isinstance(found, list) or not all(isinstance(row, dict) for row in found):
        raise UserError(f"{path}: expected a list of rows; unpack the version's metadata archive again")
    return found


def rows(path: Path, key: str, wanted: Container[str]) -> Iterator[Row]:
    """Yield the rows of a table of flat rows whose value of ``key`` is wanted, without loading all of it."""
    pattern = re.compile(rf'"{key}"\s*:\s*"([^"]*)"'.encode())
    for text in _row_texts(path):
        found = pattern.search(text)
        if found and found[1].decode(errors="replace") in wanted:
            try:
                yield json.loads(text[text.index(b"{") :] + b"}")
            except (ValueError, RecursionError) as error:
                raise UserError(f"{path}: expected a table of flat rows ({error}); unpack the archive again") from None


def value(folder: Path, row: Row, key: str, expected: type[T]) -> T:
    """Return a row's value of the expected type. Raises UserError for another type, and KeyError without the key."""
    found = row[key]
    if isinstance(found, expected) and isinstance(found, bool) == (expected is bool):
        return found
    raise _wrong(folder, key, found, {str: "text", bool: "true or false", int: "a whole number"}[expected])


def numbers(folder: Path, row: Row, key: str, count: int) -> tuple[float, ...]:
    """Return a row's list of ``count`` finite numbers. Raises UserError for anything else, KeyError without the key."""
    found = row[key]
    try:
        given = tuple(float(number) for number in found if isinstance(number, int | float))
    except (TypeError, OverflowError):
        given = ()
    if isinstance(found, list) and len(given) == len(found) == count and all(map(math.isfinite, given)):
        return given
    raise _wrong(folder, key, found, f"a list of {count} finite numbers")


def file_below_root(folder: Path, row: Row) -> str:
    """Return a row's ``filename``. Raises UserError unless it is a path below the dataset's folder."""
    name = value(folder, row, "filename", str)
    path = PurePosixPath(name)
    if path.is_absolute() or not path.parts or any(name_fault(part) for part in path.parts):
        raise _wrong(folder, "filename", name, "a path below the dataset's folder, as samples/LIDAR_TOP/NAME.pcd.bin")
    return name


def _unreadable(path: Path, error: OSError) -> UserError:
    why = "missing" if isinstance(error, FileNotFoundError) else f"cannot be read ({error.strerror})"
    return UserError(f"{path}: {why}; it is in the version's metadata archive")


def _wrong(folder: Path, key: str, found: object, expected: str) -> UserError:
    return UserError(
        f"{folder}: {key!r} of a row is {str(found)[:80]!r}, expected {expected}; unpack the version's "
        "metadata archive again"
    )


def damaged(folder: Path, missing: KeyError) -> UserError:
    """Return the error for rows that lack a key."""
    return UserError(f"{folder}: rows of a table lack {missing}; unpack the version's metadata archive again")


def _scene_of_sample(folder: Path) -> dict[str, str]:
    names = {value(folder, row, "token", str): value(folder, row, "name", str) for row in table(folder, "scene")}
    return {
        value(folder, row, "token", str): _lookup(names, value(folder, row, "scene_token", str), folder)
        for row in table(folder, "sample")
    }


def _lookup(found: Mapping[str, str], token: str, folder: Path) -> str:
    try:
        return found[token]
    except KeyError:
        raise UserError(
            f"{folder}: the tables refer to a missing row {token!r}; they are of different releases or "
            "cut short, unpack the version's metadata archive again"
        ) from None


def _row_texts(path: Path) -> Iterator[bytes]:
    """Yield the text of each row of a table, up to its closing brace."""
    rest = b""
    try:
        with open_regular(path) as file:
            while chunk := file.read(_CHUNK_BYTES):
                *texts, rest = (rest + chunk).split(b"}")
                yield from texts
    except OSError as error:
        raise _unreadable(path, error) from None
    if rest.strip() not in (b"]", b"[]"):
        raise UserError(f"{path}: does not end as a table; it is cut short, unpack the version's archive again")
