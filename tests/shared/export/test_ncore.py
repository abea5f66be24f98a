"""NCore's stores are read by readers of their formats: tar, index, CBOR and Zarr, each on its own."""

from __future__ import annotations

import io
import json
import lzma
import struct
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from zarr.storage import MemoryStore

from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.cache.reader import Cache
from iscc_lidar.shared.export.ncore import TARGET
from iscc_lidar.shared.export.target import ExportOptions
from iscc_lidar.shared.export.write import export_cache
from iscc_lidar.shared.layouts.formats.ncore_store import EncodedList, StoreWriter


def decode(data: io.BytesIO) -> Any:
    """Decode one CBOR value."""
    first = data.read(1)[0]
    major, short = first >> 5, first & 31
    if major == 7:
        return {20: False, 21: True, 22: None}[short] if short < 24 else struct.unpack(">d", data.read(8))[0]
    count = short if short < 24 else int.from_bytes(data.read(1 << (short - 24)), "big")
    if major in (0, 1):
        return count if major == 0 else -1 - count
    if major == 3:
        return data.read(count).decode()
    if major == 4:
        return [decode(data) for _ in range(count)]
    assert major == 5, major
    return {decode(data): decode(data) for _ in range(count)}


def decode_all(content: bytes) -> Any:
    data = io.BytesIO(content)
    found = decode(data)
    assert not data.read()
    return found


def read_files(content: bytes) -> dict[str, bytes]:
    """Read the files of a store by its index, and check them against the tar file and the repeated metadata."""
    magic, kind, offset, size = struct.unpack("<4sIQI", content[-512:][:20])
    assert (magic, kind, len(content) % 512, offset % 512) == (b"itar", 1, 0, 0)
    index = decode_all(lzma.decompress(content[offset : offset + size]))
    columns = zip(index["items"], index["offset_datas"], index["sizes"], strict=True)
    found = {name: content[start : start + length] for name, start, length in columns}
    with tarfile.open(fileobj=io.BytesIO(content)) as tar:
        members = {member.name: tar.extractfile(member).read() for member in tar}  # type: ignore[union-attr]
    assert members == found
    repeated = decode_all(lzma.decompress(found.pop(".zmetadata.cbor.xz")))
    assert repeated["zarr_consolidated_format"] == 1
    metadata = {name: json.loads(text) for name, text in found.items() if name.rpartition("/")[2].startswith(".z")}
    assert repeated["metadata"] == metadata
    return found


def open_files(files: dict[str, bytes]) -> zarr.Group:
    buffers = {name: zarr.core.buffer.cpu.Buffer.from_bytes(content) for name, content in files.items()}
    return zarr.open_group(MemoryStore(buffers), mode="r", zarr_format=2)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**64), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=30) | st.dictionaries(st.text("abcé", max_size=30), inner, max_size=30),
    max_leaves=40,
)  # fmt: skip


@settings(max_examples=40)
@given(st.dictionaries(st.text("abcé"), json_values, max_size=4), st.lists(json_values, max_size=4))
def test_any_attributes_are_read_back_twice(attributes: dict[str, Any], many: list[Any]) -> None:
    encoded = EncodedList()
    encoded.extend(many[:1])
    encoded.extend(many[1:])
    file = io.BytesIO()
    store = StoreWriter(file)
    store.group("", {**attributes, "many": encoded})
    store.finish()
    assert json.loads(read_files(file.getvalue())[".zattrs"]) == {**attributes, "many": many}


@given(st.integers(0, 300), st.sampled_from(["int32", "float32", "uint64", ">f8", "uint8"]), st.integers(0, 2**32 - 1))
def test_any_array_is_read_back(length: int, dtype: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    values = [rng.integers(0, 200, shape).astype(dtype) for shape in ((length,), (length, 3))]
    file = io.BytesIO()
    store = StoreWriter(file)
    store.group("")
    store.array("one", values[0])
    store.array("a name of more than a hundred characters, which a tar file keeps elsewhere" * 3, values[1])
    store.finish()
    root = open_files(read_files(file.getvalue()))
    assert all(any(np.array_equal(array[:], wanted) for wanted in values) for _, array in root.arrays())
    assert len(list(root.arrays())) == 2


@pytest.fixture(scope="module")
def exported(tiny_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("ncore") / "out"
    assert export_cache(Cache(tiny_cache), out, TARGET, ExportOptions(min_confidence=0.02)) == 2
    return out


def test_a_store_has_points_groups_poses_and_cuboids(exported: Path, tiny_cache: Path) -> None:
    cache = Cache(tiny_cache)
    root = open_files(read_files((exported / "01.ncore4.zarr.itar").read_bytes()))
    assert (root.attrs["sequence_id"], root.attrs["version"]) == ("01", "v4")
    for kind, instance in (("point_clouds", "iscc_lidar"), ("poses", "default"), ("cuboids", "default")):
        assert root[f"{kind}/{instance}"].attrs["component_version"] == "v1"
    times = np.asarray(root["point_clouds/iscc_lidar/pc_timestamps_us"][:])
    assert np.array_equal(times, cache.times_ns("01") // 1000)
    assert root.attrs["sequence_timestamp_interval_us"] == {"start": times[0], "stop": times[-1] + 1}
    observations: list[dict[str, Any]] = root["cuboids/default/cuboids"].attrs["cuboid_track_observations"]  # type: ignore[assignment]
    poses: dict[str, Any] = root["poses/default/dynamic_poses"].attrs["('rig', 'world')"]  # type: ignore[assignment]
    confidences: list[float] = []
    for index, name in enumerate(cache.sweep_names("01")):
        sweep, boxes = cache.sweep("01", index), cache.group_boxes("01", index)
        cloud = root[f"point_clouds/iscc_lidar/pcs/{index}"]
        for attribute, wanted in (("xyz", sweep.xyz), ("group_id", sweep.label), ("intensity", sweep.intensity)):
            found: NDArray[Any] = np.asarray(cloud[attribute][:])  # type: ignore[index]
            assert found.dtype == wanted.dtype
            assert np.array_equal(found, wanted)
        assert cloud.attrs["generic_meta_data"] == {"sweep": index, "name": name}
        assert np.array_equal(poses["poses"][index], sweep.world_SE3_sensor)
        assert boxes is not None
        boxes = boxes.sure(0.02)
        here = [each for each in observations if each["timestamp_us"] == times[index]]
        assert [int(each["track_id"]) for each in here] == boxes.group.tolist()
        assert {each["source"] for each in here} == {"AUTOLABEL"}
        for each, centre, size, heading in zip(here, boxes.centre, boxes.size, boxes.heading, strict=True):
            assert each["bbox3"] == {"centroid": [*centre], "dim": [*size], "rot": [0, 0, heading]}
        confidences += boxes.confidence.tolist()
    assert len(observations) == len(confidences) > 20
    assert np.asarray(root["cuboids/default/generic_data/confidence"][:]).tolist() == confidences  # type: ignore[index]


def test_the_same_bytes_come_again(exported: Path, tiny_cache: Path, tmp_path: Path) -> None:
    export_cache(Cache(tiny_cache), tmp_path / "again", TARGET, ExportOptions(min_confidence=0.02))
    for path in exported.glob("*.itar"):
        assert (tmp_path / "again" / path.name).read_bytes() == path.read_bytes()


class Timed(Cache):
    """A cache with other times."""

    times: tuple[int, ...] = ()

    def times_ns(self, sequence: str) -> NDArray[np.int64]:
        return np.array(self.times, np.int64)


def test_times_below_0_begin_at_0_and_equal_ones_are_refused(tiny_cache: Path, tmp_path: Path) -> None:
    cache = Timed(tiny_cache)
    cache.times = (-5_000, -3_000, 0, 2_000, 9_000, 10_000)
    export_cache(cache, tmp_path / "out", TARGET, ExportOptions())
    root = open_files(read_files((tmp_path / "out/00.ncore4.zarr.itar").read_bytes()))
    assert np.asarray(root["point_clouds/iscc_lidar/pc_timestamps_us"][:]).tolist() == [0, 2, 5, 7, 14, 15]  # type: ignore[index]
    cache.times = (0, 1_000, 1_999, 3_000, 4_000, 5_000)
    names = cache.sweep_names("00")
    with pytest.raises(UserError, match=f"sweep {names[2]} is not a microsecond later than sweep {names[1]} before it"):
        export_cache(cache, tmp_path / "refused", TARGET, ExportOptions())
    assert not list((tmp_path / "refused").glob("*.itar"))
