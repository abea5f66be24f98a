"""Bags with point clouds, tf and odometry, written by rosbags."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from folder_writer import Records

START_NS: Final = 1_700_000_000_000_000_000
_TYPES: Final = {"f4": 7, "u2": 4, "u1": 2, "f8": 8, "u4": 6}


class BagWriter:
    """Writes messages into a new bag of ROS 2, .db3 or .mcap."""

    def __init__(self, path: Path, storage: str = "mcap") -> None:
        from rosbags.rosbag2 import StoragePlugin, Writer
        from rosbags.typesys import Stores, get_typestore

        plugin = StoragePlugin.MCAP if storage == "mcap" else StoragePlugin.SQLITE3
        self.store = get_typestore(Stores.LATEST)
        self.types = self.store.types
        self.writer = Writer(path, version=9, storage_plugin=plugin)
        self.topics: dict[str, Any] = {}

    def __enter__(self) -> BagWriter:
        self.writer.open()
        return self

    def __exit__(self, *_: object) -> None:
        self.writer.close()

    def add(self, topic: str, name: str, message: Any, ns: int) -> None:
        if topic not in self.topics:
            self.topics[topic] = self.writer.add_connection(topic, name, typestore=self.store)
        self.writer.write(self.topics[topic], ns + 5_000_000, self.store.serialize_cdr(message, name))

    def header(self, ns: int, frame: str) -> Any:
        stamp = self.types["builtin_interfaces/msg/Time"](sec=ns // 10**9, nanosec=ns % 10**9)
        return self.types["std_msgs/msg/Header"](stamp=stamp, frame_id=frame)

    def cloud(self, topic: str, ns: int, frame: str, points: Records) -> None:
        kinds = [(name, points.dtype.fields[name]) for name in points.dtype.names or ()] if points.dtype.fields else []
        fields = [
            self.types["sensor_msgs/msg/PointField"](
                name=name, offset=field[1], datatype=_TYPES[field[0].str[1:]], count=1
            )
            for name, field in kinds
        ]
        step = points.dtype.itemsize
        message = self.types["sensor_msgs/msg/PointCloud2"](
            header=self.header(ns, frame),
            height=1,
            width=len(points),
            fields=fields,
            is_bigendian=False,
            point_step=step,
            row_step=step * len(points),
            data=np.frombuffer(points.tobytes(), np.uint8),
            is_dense=True,
        )
        self.add(topic, "sensor_msgs/msg/PointCloud2", message, ns)

    def transform(self, topic: str, ns: int, parent: str, child: str, matrix: NDArray[np.float64]) -> None:
        x, y, z, turn = self._parts(matrix)
        translation = self.types["geometry_msgs/msg/Vector3"](x=x, y=y, z=z)
        transform = self.types["geometry_msgs/msg/Transform"](translation=translation, rotation=turn)
        stamped = self.types["geometry_msgs/msg/TransformStamped"](
            header=self.header(ns, parent), child_frame_id=child, transform=transform
        )
        self.add(topic, "tf2_msgs/msg/TFMessage", self.types["tf2_msgs/msg/TFMessage"](transforms=[stamped]), ns)

    def odometry(self, topic: str, ns: int, parent: str, child: str, matrix: NDArray[np.float64]) -> None:
        x, y, z, turn = self._parts(matrix)
        zero = self.types["geometry_msgs/msg/Vector3"](x=0.0, y=0.0, z=0.0)
        pose = self.types["geometry_msgs/msg/Pose"](
            position=self.types["geometry_msgs/msg/Point"](x=x, y=y, z=z), orientation=turn
        )
        twist = self.types["geometry_msgs/msg/Twist"](linear=zero, angular=zero)
        covariance = np.zeros(36)
        message = self.types["nav_msgs/msg/Odometry"](
            header=self.header(ns, parent),
            child_frame_id=child,
            pose=self.types["geometry_msgs/msg/PoseWithCovariance"](pose=pose, covariance=covariance),
            twist=self.types["geometry_msgs/msg/TwistWithCovariance"](twist=twist, covariance=covariance),
        )
        self.add(topic, "nav_msgs/msg/Odometry", message, ns)

    def _parts(self, matrix: NDArray[np.float64]) -> tuple[float, float, float, Any]:
        from scipy.spatial.transform import Rotation

        x, y, z = matrix[:3, 3].tolist()
        turn = Rotation.from_matrix(matrix[:3, :3]).as_quat().tolist()
        names = ("x", "y", "z", "w")
        return x, y, z, self.types["geometry_msgs/msg/Quaternion"](**dict(zip(names, turn, strict=True)))
