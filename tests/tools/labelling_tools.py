"""What a person does in point_labeler and in CVAT, done to the files that they are given; by the tools' documentation.

point_labeler's numbers: a class below, an instance above bit 16. Painting sets the class and drops the instance; the
tools for instances change the instance of points of one class alone. CVAT gives back every box of every track.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray


class PointLabeler:
    """A sequence in point_labeler: all its sweeps are loaded."""

    def __init__(self, folder: Path, sequence: str) -> None:
        self.folder = folder / sequence
        names = sorted(path.stem for path in (self.folder / "velodyne").iterdir())
        self.files = [self.folder / "labels" / f"{name}.label" for name in names]
        self.labels = [np.fromfile(file, "<u4") for file in self.files]
        sizes = [(self.folder / "velodyne" / f"{name}.bin").stat().st_size for name in names]
        assert sizes == [16 * len(label) for label in self.labels], "the tool refuses other numbers of labels"
        self.classes = {
            str(label.findtext("name")): int(str(label.findtext("id")))
            for label in ElementTree.parse(folder / "labels.xml").getroot()
        }

    def paint(self, sweep: int, points: NDArray[np.integer], name: str) -> None:
        """Overwrite the class of points."""
        self.labels[sweep][points] = self.classes[name]

    def join(self, into: int, other: int) -> None:
        """Give the points of an instance the number of another of the same class."""
        assert into & 0xFFFF == other & 0xFFFF, "the tool joins instances of one class"
        for label in self.labels:
            label[label == other] = into

    def split(self, instance: int, points: dict[int, NDArray[np.integer]]) -> int:
        """Give points of an instance the next number of its class."""
        of_class = instance & 0xFFFF
        highest = max(int((label[label & 0xFFFF == of_class] >> 16).max(initial=0)) for label in self.labels)
        new = (highest + 1) << 16 | of_class
        for sweep, chosen in points.items():
            inside = np.isin(np.arange(len(self.labels[sweep])), chosen) & (self.labels[sweep] & 0xFFFF == of_class)
            self.labels[sweep][inside] = new
        return new

    def save(self) -> None:
        """Write the labels."""
        for file, label in zip(self.files, self.labels, strict=True):
            label.astype("<u4").tofile(file)


class Cvat:
    """A task in CVAT: tracks and shapes, read from an annotation folder, and written as CVAT does."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        numbers = json.loads((folder / "key_id_map.json").read_text())
        self.boxes: list[dict[str, Any]] = []
        for file in sorted((folder / "ds0/ann").glob("*.json")):
            content = json.loads(file.read_text())
            objects = {item["key"]: item for item in content["objects"]}
            for figure in content["figures"]:
                of = objects[figure["objectKey"]]
                tags = {tag["name"]: tag["value"] for tag in of["tags"]}
                assert tags.pop("keyframe") == "true"
                box = {"frame": numbers["videos"][content["key"]], "track": numbers["objects"][of["key"]]}
                self.boxes.append({**box, "label": of["classTitle"], "group": tags["iscc_group"], **figure["geometry"]})

    def tracks(self) -> dict[int, list[dict[str, Any]]]:
        """Return the boxes of each track."""
        found: dict[int, list[dict[str, Any]]] = {}
        for box in self.boxes:
            found.setdefault(box["track"], []).append(box)
        return found

    def of_group(self, group: int) -> int:
        """Return the track of a group."""
        (found,) = {box["track"] for box in self.boxes if box["group"].startswith(f"{group} of ")}
        return int(found)

    def name(self, track: int, label: str) -> None:
        """Change the label of a track: one click for all its frames."""
        for box in self.tracks()[track]:
            box["label"] = label

    def split(self, track: int, frame: int) -> int:
        """Cut a track: what is from a frame on is a new one, with the same label and attributes."""
        new = max(self.tracks()) + 1
        for box in self.tracks()[track]:
            box["track"] = new if box["frame"] >= frame else track
        return new

    def merge(self, into: int, other: int) -> None:
        """Make two tracks one, of the label and attributes of the first."""
        first = self.tracks()[into][0]
        for box in self.tracks()[other]:
            box |= {"track": into, "label": first["label"], "group": first["group"]}

    def draw(self, frame: int, label: str, centre: list[float], size: list[float], track: int | None = None) -> int:
        """Draw a new box, which has no group."""
        new = track if track is not None else max(self.tracks(), default=0) + 1
        vectors = (("position", centre), ("rotation", [0.0, 0.0, 0.0]), ("dimensions", size))
        of = {name: dict(zip("xyz", values, strict=True)) for name, values in vectors}
        self.boxes.append({"frame": frame, "track": new, "label": label, "group": "", **of})
        return new

    def save(self, out: Path, frames: int) -> None:
        """Write as CVAT exports: keys of its own, numbers of objects anew, no point clouds."""
        known: dict[str, Any] = {"tags": {}, "objects": {}, "figures": {}, "videos": {}}
        numbered = {track: number for number, track in enumerate(self.tracks())}
        (out / "ds0/ann").mkdir(parents=True)
        for frame in range(frames):
            key = f"frame-{frame}"
            known["videos"][key] = frame
            content: dict[str, Any] = {"description": "", "key": key, "tags": [], "objects": [], "figures": []}
            for box in (box for box in self.boxes if box["frame"] == frame):
                of, figure = f"object-{numbered[box['track']]}", f"figure-{len(known['figures'])}"
                known["objects"][of], known["figures"][figure] = numbered[box["track"]], len(known["figures"])
                values = {"keyframe": "true", "iscc_group": box["group"], "occluded": "false"}
                tags = [{"name": name, "value": value, "key": f"{figure} {name}"} for name, value in values.items()]
                content["objects"].append({"key": of, "classTitle": box["label"], "tags": tags})
                geometry = {name: box[name] for name in ("position", "rotation", "dimensions")}
                content["figures"].append({"key": figure, "objectKey": of, "geometry": geometry})
            (out / "ds0/ann" / f"{frame:06d}.pcd.json").write_text(json.dumps(content))
        (out / "key_id_map.json").write_text(json.dumps(known))
        (out / "meta.json").write_text(json.dumps({"classes": [], "tags": [], "projectType": "point_clouds"}))
