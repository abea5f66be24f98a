"""ROS bags (1 and 2) and MCAP files: sweeps are PointCloud2 messages; poses come from tf or odometry messages."""

from __future__ import annotations

import functools
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from iscc_lidar.preprocess.datasets._folder.options import AUTO, FolderOptions
from iscc_lidar.preprocess.datasets._folder.tf import Transforms, read_transforms
from iscc_lidar.preprocess.datasets._folder.times import Times
from iscc_lidar.preprocess.datasets._folder.tracks import Track
from iscc_lidar.preprocess.datasets._points.columns import (
    Columns,
    check_points,
    damaged,
    from_records,
)
from iscc_lidar.shared.base import files
from iscc_lidar.shared.base.errors import UserError, missing_package
from iscc_lidar.shared.base.text import one_line

SUFFIXES: Final = (".mcap", ".db3", ".bag")
_METADATA: Final = "metadata.yaml"
_CLOUD: Final = "sensor_msgs/msg/PointCloud2"
_TYPES: Final = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 8: "f8"}  # of sensor_msgs/PointField
_MAX_STEP: Final = 4096


@dataclass(frozen=True)
class BagSource:
    """The point clouds of one topic of a bag; ``logged_ns`` is when each was recorded, by which it is found."""

    name: str
    path: Path
    topic: str
    names: tuple[str, ...]
    logged_ns: tuple[int, ...]
    frame: str

    @property
    def watched(self) -> tuple[Path, ...]:
        """The files of the bag."""
        return bag_files(self.path)

    def describe(self, index: int) -> str:
        """Return the bag, the topic, and the time of a message."""
        return f"{self.path}: {self.topic} at {self.names[index]}"

    def files(self, index: int) -> tuple[Path, ...]:
        """Return no files: the bag is too large to digest."""
        return ()

    def label_file(self, index: int) -> Path | None:
        """Return no file: labels are a field."""
        return None

    def times(self, options: FolderOptions) -> Times:
        """Return the times of the messages' headers, which are their names."""
        return Times(tuple(map(int, self.names)), nominal=False)

    def count(self, index: int, options: FolderOptions) -> int:
        """Count nothing: the size of a message is checked when it is read."""
        return 0

    def read(self, index: int, options: FolderOptions) -> Columns:
        """Read a message. Raises UserError where the bag or the message is damaged."""
        where, at = self.describe(index), self.logged_ns[index]
        with open_bag(self.path) as bag:
            wanted = [connection for connection in bag.connections if connection.topic == self.topic]
            for connection, _, raw in bag.messages(wanted, start=at, stop=at + 1):
                return _points(where, bag.deserialize(raw, connection.msgtype))
        raise UserError(f"{where}: the message is not there any more; the bag was changed, run again")

    def find_track(self, options: FolderOptions) -> Track | None:
        """Return the poses of the LiDAR's frame by tf, or by odometry of a frame that it is fixed to."""
        return transforms_of(self.path).track(self.frame.lstrip("/"))


def is_bag(path: Path) -> bool:
    """Return whether a path is a bag: a file, or a folder of ROS 2 with metadata.yaml."""
    return (path.suffix in SUFFIXES and path.is_file()) or (path / _METADATA).is_file()


def bag_files(path: Path) -> tuple[Path, ...]:
    """List the files of a bag. Raises UserError for a pipe or device in its folder: opening one could hang."""
    if not path.is_dir():
        return (files.regular(path),)
    return tuple(files.regular(file) for file in sorted(path.iterdir()) if not file.is_dir())


def _version(path: Path) -> tuple[int, ...]:
    """Return what differs after a bag was changed. Raises UserError for a file that is a link to nothing."""
    found: list[int] = []
    for file in bag_files(path):
        try:
            found += files.version(file)
        except OSError as error:
            raise UserError(f"{file}: {error.strerror}; fetch it again, or remove the link") from None
    return tuple(found)


@contextmanager
def open_bag(path: Path) -> Iterator[Any]:
    """Open a bag by rosbags. Raises UserError where it is damaged, also within, or rosbags is missing."""
    try:
        from rosbags.highlevel import AnyReader
        from rosbags.typesys import Stores, get_typestore
    except ModuleNotFoundError:
        raise missing_package(f"{path}: a bag", "rosbags", "formats") from None
    bag_files(path)
    try:
        with AnyReader([path], default_typestore=get_typestore(Stores.LATEST)) as bag:
            yield bag
    except (UserError, GeneratorExit):
        raise
    except Exception as error:  # of damaged bags, which have many
        raise damaged(path, f"{type(error).__name__}: {error}") from None


def open_topic(name: str, path: Path, topic: str) -> BagSource:
    """Open the point clouds of a topic. Raises UserError without one, or where several could be meant."""
    return _open_topic(name, path, topic, _version(path))


@functools.lru_cache(maxsize=16)
def _open_topic(name: str, path: Path, topic: str, _version: tuple[int, ...]) -> BagSource:
    with open_bag(path) as bag:
        clouds = sorted({c.topic for c in bag.connections if c.msgtype == _CLOUD})
        if topic == AUTO and len(clouds) == 1:
            topic = clouds[0]
        if topic not in clouds:
            listed = one_line(", ".join(clouds)) or "none"
            raise UserError(
                f"{path}: topics of PointCloud2: {listed}; pass one as --data topic=NAME, or those of several LiDARs "
                "that tf_static links, separated by commas"
            )
        wanted = [connection for connection in bag.connections if connection.topic == topic]
        ros2 = bag.is2
        found = {logged: _stamp_ns(raw, ros2) for _, logged, raw in bag.messages(wanted)}
        frame = next((str(bag.deserialize(raw, c.msgtype).header.frame_id) for c, _, raw in bag.messages(wanted)), "")
    if not found:
        raise UserError(f"{path}: topic {topic} has no message")
    logged = sorted(found, key=lambda at: (found[at], at))
    if len(set(found.values())) < len(found) or min(found.values()) <= 0:
        logged, found = sorted(found), {at: at for at in found}  # headers without times
    return BagSource(name, path, topic, tuple(str(found[at]) for at in logged), tuple(logged), frame)


@functools.lru_cache(maxsize=4)
def _cached_transforms(path: Path, _version: tuple[int, ...]) -> Transforms:
    with open_bag(path) as bag:
        return read_transforms(str(path), bag)


def transforms_of(path: Path) -> Transforms:
    """Return the transforms in a bag."""
    return _cached_transforms(path, _version(path))


def _stamp_ns(raw: bytes, ros2: bool) -> int:
    """Return the time in a message's header, which comes first, without reading the rest."""
    if ros2:  # four bytes of encoding, of which the second is the byte order
        seconds, nanoseconds = struct.unpack_from("<iI" if raw[1] & 1 else ">iI", raw, 4)
    else:  # after a sequence number
        seconds, nanoseconds = struct.unpack_from("<II", raw, 4)
    return int(seconds) * 10**9 + int(nanoseconds)


def _points(where: str, message: Any) -> Columns:
    """Convert a PointCloud2 message."""
    path, step = Path(where), int(message.point_step)
    points = check_points(path, int(message.width) * int(message.height))
    fields = [field for field in message.fields if int(field.count) == 1 and int(field.datatype) in _TYPES]
    order = ">" if message.is_bigendian else "<"
    formats = [order + _TYPES[int(field.datatype)] for field in fields]
    ends = [int(field.offset) + np.dtype(kind).itemsize for field, kind in zip(fields, formats, strict=True)]
    row = int(message.row_step) or int(message.width) * step
    data = np.asarray(message.data, dtype=np.uint8)
    if not fields or not 0 < step <= _MAX_STEP or max(ends) > step or row < int(message.width) * step:
        raise UserError(f"{where}: its fields do not fit its points of {step} bytes; the bag is damaged")
    if len(data) < row * int(message.height):
        raise UserError(f"{where}: has {len(data)} bytes, expected {points} points of {step}; the bag is damaged")
    rows = data[: row * int(message.height)].reshape(int(message.height), row)[:, : int(message.width) * step]
    names = [str(field.name) for field in fields]
    if len(set(names)) < len(names):
        raise UserError(f"{where}: has two fields of one name; the bag is damaged")
    dtype = np.dtype({"names": names, "formats": formats, "offsets": [int(f.offset) for f in fields], "itemsize": step})
    return from_records(np.ascontiguousarray(rows).reshape(-1).view(dtype))
