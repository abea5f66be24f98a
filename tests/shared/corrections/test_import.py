"""Corrections become labels of whole sequences: from a table, and from the folders of labelling tools."""

from __future__ import annotations

import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from typer.testing import CliRunner

from iscc_lidar.api.cache_cli import app
from iscc_lidar.data_schemas.boxes import points_in_box
from iscc_lidar.data_schemas.labels import GROUND, NOISE
from iscc_lidar.preprocess.spread.rule import SpreadConfig
from iscc_lidar.preprocess.spread.run import spread
from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.cache.label_fractions import read_list
from iscc_lidar.shared.cache.reader import Cache
from iscc_lidar.shared.corrections.write import import_corrections
from iscc_lidar.shared.export.target import ExportOptions, find_target
from iscc_lidar.shared.export.write import export_cache
from iscc_lidar.shared.layouts.formats.label_files import open_label_files
from iscc_lidar.shared.store.local import LocalStore

from labelling_tools import Cvat, PointLabeler

SEQUENCE = "00"


@pytest.fixture(scope="module")
def cache(tiny_cache: Path) -> Cache:
    return Cache(tiny_cache)


@pytest.fixture(scope="module")
def labels(cache: Cache) -> list[NDArray[np.int32]]:
    return [cache.label(SEQUENCE, index) for index in range(cache.sequence(SEQUENCE).sweeps)]


@pytest.fixture(scope="module")
def exported(cache: Cache, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The tiny cache, exported for both tools. Read only."""
    out = tmp_path_factory.mktemp("exported")
    options = ExportOptions(min_confidence=0.0)  # boxes of the coarse streets are not sure
    for name in ("point-labeler", "cvat"):
        export_cache(cache, out / name, find_target(name), options)
    return {name: out / name for name in ("point-labeler", "cvat")}


@pytest.fixture
def labeler(exported: dict[str, Path], tmp_path: Path) -> PointLabeler:
    shutil.copytree(exported["point-labeler"], tmp_path / "labeler")
    return PointLabeler(tmp_path / "labeler", SEQUENCE)


@pytest.fixture
def cvat(exported: dict[str, Path]) -> Cvat:
    return Cvat(exported["cvat"] / SEQUENCE / "annotations")


class Result:
    """The labels that were made."""

    def __init__(self, cache: Cache, source: Path, out: Path) -> None:
        names = cache.manifest.class_names
        self.made = import_corrections(cache, source, out, names)
        with (out / SEQUENCE / "objects.csv").open(newline="") as file:
            self.objects = {int(row["instance"]): row for row in csv.DictReader(file)}
        raw = [np.fromfile(out / SEQUENCE / f"{n}.label", "<u4") for n in cache.sweep_names(SEQUENCE)]
        self.classes = [np.array(names)[label & 0xFFFF] for label in raw]
        self.instances = [(label >> 16).astype(np.int64) for label in raw]
        with (out / "corrections.csv").open(newline="") as file:
            self.table = list(csv.DictReader(file))

    def object_of(self, sweep: int) -> NDArray[np.str_]:
        """Name of the object of each point, "" for none."""
        names = np.array(["", *(self.objects[k]["object"] for k in sorted(self.objects))])
        found: NDArray[np.str_] = names[self.instances[sweep]]
        return found


def written(tmp_path: Path, *rows: str) -> Path:
    file = tmp_path / "table.csv"
    file.write_text("sequence,group,object,class,sweeps,points\n" + "".join(f"{row}\n" for row in rows))
    return file


def largest(labels: list[NDArray[np.int32]], number: int) -> list[int]:
    """Groups on at least three sweeps, those with most points first."""
    ids, counts = np.unique(np.concatenate([label[label >= 0] for label in labels]), return_counts=True)
    order = [int(found) for found in ids[np.argsort(-counts, kind="stable")]]
    found = [group for group in order if sum((label == group).any() for label in labels) >= 3]
    assert len(found) >= number
    return found[:number]


def test_a_table_labels_whole_sequences(cache: Cache, labels: list[NDArray[np.int32]], tmp_path: Path) -> None:
    a, b, c = largest(labels, 3)
    part = np.flatnonzero(labels[1] == c)[:5]
    points = " ".join(map(str, part.tolist()))
    rows = [f"00,{a},,car,,", f"00,{b},{a},,,", f"00,{c},new,person,2-3,", f"00,{c},,building,1,{points}",
            "00,ground,,road,,"]  # fmt: skip
    result = Result(cache, written(tmp_path, *rows), tmp_path / "out")
    for index, label in enumerate(labels):
        is_car, is_ground = np.isin(label, (a, b)), label == GROUND
        is_new = (label == c) & (index in (2, 3))
        is_part = np.isin(np.arange(len(label)), part) & (index == 1)
        expected = np.select([is_car, is_new, is_part, is_ground], ["car", "person", "building", "road"], "unlabelled")
        assert np.array_equal(result.classes[index], expected)
        objects = np.where(label >= 0, label.astype("U8"), "")
        objects[label == b], objects[is_new], objects[is_part] = str(a), "new", ""
        assert np.array_equal(result.object_of(index), objects)
    assert [row["object"] for row in result.objects.values()][:2] == [str(a), "new"]
    points_of = {row["object"]: int(row["points"]) for row in result.objects.values()}
    assert points_of[str(a)] == sum(np.isin(label, (a, b)).sum() for label in labels)
    assert str(b) not in points_of
    assert result.made.labelled_points == sum((found != "unlabelled").sum() for found in result.classes)


def test_spreading_takes_what_was_made(cache: Cache, labels: list[NDArray[np.int32]], tmp_path: Path) -> None:
    (a,) = largest(labels, 1)
    Result(cache, written(tmp_path, f"00,{a},,car,0,"), tmp_path / "out")
    files = open_label_files(tmp_path / "out", cache.manifest.class_names)
    names = cache.sweep_names(SEQUENCE)
    listed = read_list(tmp_path / "out/labelled.txt", {SEQUENCE: names})
    assert listed == [(SEQUENCE, names[0])] * bool((labels[0] == a).any())
    for index, name in enumerate(names):
        assert len(files.read(SEQUENCE, name, cache.points(SEQUENCE, index))) == len(labels[index])
    made = spread(cache, LocalStore(tmp_path / "spread"), listed, SpreadConfig(), files=files)
    assert made.class_names == cache.manifest.class_names


def test_the_same_folder_may_be_written_again_but_not_with_other_sequences(
    cache: Cache, labels: list[NDArray[np.int32]], tmp_path: Path
) -> None:
    (a,) = largest(labels, 1)
    other = int(cache.group_ids("01")[0])
    Result(cache, written(tmp_path, f"00,{a},,car,,"), tmp_path / "out")
    again = Result(cache, tmp_path / "out/corrections.csv", tmp_path / "out")
    assert [row["class"] for row in again.table] == ["car"]
    with pytest.raises(UserError, match=r"has labels of sequence 00, of which these corrections say nothing; remove"):
        import_corrections(cache, written(tmp_path, f"01,{other},,car,,"), tmp_path / "out", cache.manifest.class_names)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/notes.txt").write_text("mine")
    with pytest.raises(UserError, match="which this program did not write"):
        import_corrections(cache, tmp_path / "out/corrections.csv", tmp_path / "mine", cache.manifest.class_names)


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ("02,1,,car,,", "line 2: .* has no sequence '02'"),
        ("../00,1,,car,,", r"line 2: .* has no sequence '\.\./00'"),
        ("00,999999999,,car,,", "line 2: sequence 00 has no group 999999999"),
        ("00,ground,,lava,,", "line 2: no class 'lava'; the nearest is"),
        ("00,ground,,car,0-999999998,", "line 2: sequence 00 has sweeps 0 to 5, not 999999998"),
        ("00,,a,car,0,0-999999998", "line 2: sweep 0 has points 0 to"),
    ],
)
def test_a_wrong_table_is_named_and_nothing_is_written(cache: Cache, tmp_path: Path, row: str, says: str) -> None:
    with pytest.raises(UserError, match=rf"table.csv, {says}"):
        import_corrections(cache, written(tmp_path, row), tmp_path / "out", cache.manifest.class_names)
    assert not (tmp_path / "out").exists()


def test_the_command_prints_what_it_made(tiny_cache: Path, tmp_path: Path) -> None:
    file = written(tmp_path, "00,ground,,road,,")
    done = CliRunner().invoke(app, ["import", str(tiny_cache), str(tmp_path / "out"), "--from", str(file)])
    assert done.exit_code == 0, done.output
    assert "(1 sequence, 1 correction, " in done.output
    (tmp_path / "classes.txt").write_text("unlabelled\nother\n")
    call = ["import", str(tiny_cache), str(tmp_path / "out"), "--from", str(file), "--classes"]
    done = CliRunner().invoke(app, [*call, str(tmp_path / "classes.txt")])
    assert done.exit_code == 1
    assert "its classes are unlabelled, other; those of" in done.output


def unchanged(cache: Cache, result: Result, labels: list[NDArray[np.int32]]) -> bool:
    """Whether every group is the object of its own id, and nothing has a class."""
    groups = cache.group_ids(SEQUENCE)
    assert [int(row["object"]) for row in result.objects.values()] == groups.tolist()
    assert not any((found != "unlabelled").any() for found in result.classes)
    return all(
        np.array_equal(result.instances[k], np.where(label >= 0, np.searchsorted(groups, label) + 1, 0))
        for k, label in enumerate(labels)
    )


def test_without_a_change_ids_are_the_same(
    cache: Cache, labels: list[NDArray[np.int32]], exported: dict[str, Path], cvat: Cvat, tmp_path: Path
) -> None:
    result = Result(cache, exported["point-labeler"], tmp_path / "a")
    assert unchanged(cache, result, labels)
    assert result.table == []
    assert sorted(path.name for path in (tmp_path / "a").iterdir() if path.is_dir()) == ["00", "01"]
    cvat.save(tmp_path / "from" / SEQUENCE, len(labels))
    result = Result(cache, tmp_path / "from", tmp_path / "b")
    assert unchanged(cache, result, labels)
    assert result.table == []


def test_point_labeler_gets_the_points_of_the_cache(
    cache: Cache, labels: list[NDArray[np.int32]], exported: dict[str, Path]
) -> None:
    folder = exported["point-labeler"] / SEQUENCE
    poses = np.loadtxt(folder / "poses.txt").reshape(-1, 3, 4)
    first = cache.sweep(SEQUENCE, 0)
    for index, label in enumerate(labels):
        sweep = cache.sweep(SEQUENCE, index)
        points = np.fromfile(folder / f"velodyne/{index:06d}.bin", "<f4").reshape(-1, 4)
        np.testing.assert_array_equal(points, np.column_stack([sweep.xyz, sweep.intensity]))
        moved = points[:, :3] @ poses[index, :, :3].T + poses[index, :, 3]
        world = sweep.xyz @ sweep.world_SE3_sensor[:3, :3].T + sweep.world_SE3_sensor[:3, 3]
        own = (world - first.world_SE3_sensor[:3, 3]) @ first.world_SE3_sensor[:3, :3]
        np.testing.assert_allclose(moved, own, atol=1e-4)
        raw = np.fromfile(folder / f"labels/{index:06d}.label", "<u4")
        values, ids = np.unique(raw[label >= 0]), np.unique(label[label >= 0])
        assert len(values) == len(ids)
        assert not (raw[label < 0] >> 16).any()


def test_a_stroke_names_a_group_on_all_sweeps(
    cache: Cache, labels: list[NDArray[np.int32]], labeler: PointLabeler, tmp_path: Path
) -> None:
    a, b = largest(labels, 2)
    labeler.paint(1, np.flatnonzero(labels[1] == a)[:10], "car")
    labeler.paint(1, np.flatnonzero(labels[1] == b)[:8], "person")
    labeler.paint(1, np.flatnonzero(labels[1] == b)[8:10], "building")
    ground = np.flatnonzero(labels[2] == GROUND)[:7]
    labeler.paint(2, ground, "road")
    labeler.save()
    result = Result(cache, labeler.folder.parent, tmp_path / "out")
    for index, label in enumerate(labels):
        expected = np.select([label == a, label == b], ["car", "person"], "unlabelled")
        if index == 1:
            expected[np.flatnonzero(label == b)[8:10]] = "building"
        if index == 2:
            expected[ground] = "road"
        assert np.array_equal(result.classes[index], expected)
    assert {row["class"] for row in result.table if row["group"]} == {"car", "person"}


def test_strokes_that_disagree_are_taken_point_by_point(
    cache: Cache, labels: list[NDArray[np.int32]], labeler: PointLabeler, tmp_path: Path
) -> None:
    (a,) = largest(labels, 1)
    points = np.flatnonzero(labels[1] == a)
    labeler.paint(1, points[:10], "car")
    labeler.paint(1, points[10:20], "building")
    labeler.save()
    result = Result(cache, labeler.folder.parent, tmp_path / "out")
    assert np.array_equal(np.flatnonzero(result.classes[1] == "car"), points[:10])
    assert np.array_equal(np.flatnonzero(result.classes[1] == "building"), points[10:20])
    assert not any((found != "unlabelled").any() for index, found in enumerate(result.classes) if index != 1)
    assert (result.object_of(1)[points[:20]] == "").all(), "of no object, as the group is of two classes"
    assert (result.object_of(1)[points[20:]] == str(a)).all()


def test_a_sweep_that_is_painted_whole_is_one_row(
    cache: Cache, labels: list[NDArray[np.int32]], labeler: PointLabeler, tmp_path: Path
) -> None:
    for index in (0, 2, 3):
        labeler.paint(index, np.flatnonzero(labels[index] == GROUND), "road")
    labeler.save()
    result = Result(cache, labeler.folder.parent, tmp_path / "out")
    (row,) = result.table
    assert (row["group"], row["class"], row["sweeps"], row["points"]) == ("ground", "road", "0 2-3", "")
    for index, label in enumerate(labels):
        assert np.array_equal(result.classes[index] == "road", (label == GROUND) & (index in (0, 2, 3)))


def test_instances_are_joined_and_split(
    cache: Cache, labels: list[NDArray[np.int32]], labeler: PointLabeler, tmp_path: Path
) -> None:
    number_of: dict[int, int] = {}
    for label, raw in zip(labels, labeler.labels, strict=True):
        number_of |= dict(zip(label[label >= 0].tolist(), raw[label >= 0].tolist(), strict=True))
    (c,) = largest(labels, 1)
    pairs = ((a, b) for a in number_of for b in number_of if a < b and c not in (a, b))
    a, b = next(pair for pair in pairs if len({number_of[group] & 0xFFFF for group in pair}) == 1)
    labeler.join(number_of[a], number_of[b])
    half = {index: np.flatnonzero(label == c)[::2] for index, label in enumerate(labels) if (label == c).any()}
    labeler.split(number_of[c], half)
    labeler.save()
    result = Result(cache, labeler.folder.parent, tmp_path / "out")
    (new,) = {row["object"] for row in result.table if row["object"].startswith("o")}
    assert [row["object"] for row in result.table if row["group"] == str(b)] == [str(a)]
    for index, label in enumerate(labels):
        expected = np.where(label >= 0, label.astype("U12"), "")
        expected[label == b] = str(a)
        expected[half.get(index, np.empty(0, np.int64))] = new
        assert np.array_equal(result.object_of(index), expected)


def test_an_export_of_another_cache_or_state_is_refused(cache: Cache, labeler: PointLabeler, tmp_path: Path) -> None:
    mark = labeler.folder / "made_of.json"
    mark.write_text(json.dumps({"labels_sha256": "0" * 64}))
    with pytest.raises(UserError, match=r"was exported of another cache than .*, or of an earlier state of it"):
        import_corrections(cache, labeler.folder.parent, tmp_path / "out", cache.manifest.class_names)
    record = labeler.folder.parent / "exported.json"
    record.write_text("{}")
    with pytest.raises(UserError, match="was exported of another cache"):
        export_cache(cache, labeler.folder.parent, find_target("point-labeler"), ExportOptions())
    mark.unlink()
    with pytest.raises(UserError, match="was not exported completely"):
        import_corrections(cache, labeler.folder.parent, tmp_path / "out", cache.manifest.class_names)


def test_what_a_person_painted_outlives_a_second_export(
    cache: Cache, labels: list[NDArray[np.int32]], labeler: PointLabeler
) -> None:
    labeler.paint(0, np.arange(5), "car")
    labeler.save()
    (labeler.folder.parent / "exported.json").write_text("{}")
    export_cache(cache, labeler.folder.parent, find_target("point-labeler"), ExportOptions())
    again = PointLabeler(labeler.folder.parent, SEQUENCE)
    assert np.array_equal(again.labels[0], labeler.labels[0])


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda file: file.write_bytes(file.read_bytes()[:-1]), "bytes, expected 4 for each of the sweep's"),
        (
            lambda file: file.write_bytes(b"\xff" * file.stat().st_size),
            "has the class 65535, which labels.xml does not",
        ),
        (lambda file: file.unlink(), "no such file; expected the labels that were exported"),
        (lambda file: (file.unlink(), file.mkdir()), "no such file; expected the labels"),
    ],
)
def test_damaged_labels_of_the_tool_are_named(
    cache: Cache, labeler: PointLabeler, tmp_path: Path, damage: Any, says: str
) -> None:
    damage(labeler.files[3])
    with pytest.raises(UserError, match=rf"00/labels/000003.label: .*{says}"):
        import_corrections(cache, labeler.folder.parent, tmp_path / "out", cache.manifest.class_names)
    assert not (tmp_path / "out").exists()


def shown(cache: Cache) -> dict[int, list[int]]:
    """Sweeps of each group that CVAT shows, those on most sweeps first."""
    found: dict[int, list[int]] = {}
    for index in range(cache.sequence(SEQUENCE).sweeps):
        for group in cache.require_group_boxes(SEQUENCE, index).group.tolist():
            found.setdefault(group, []).append(index)
    return dict(sorted(found.items(), key=lambda item: -len(item[1])))


def test_a_track_that_is_named_in_cvat_names_its_group(
    cache: Cache, labels: list[NDArray[np.int32]], cvat: Cvat, tmp_path: Path
) -> None:
    a, b = list(shown(cache))[:2]
    cvat.name(cvat.of_group(a), "car")
    cvat.boxes = [box for box in cvat.boxes if box["track"] != cvat.of_group(b)]  # deleted: not one object
    for box in cvat.tracks()[cvat.of_group(a)]:
        box["dimensions"]["x"] += 0.5  # a better box changes no label
    cvat.save(tmp_path / "from" / SEQUENCE, len(labels))
    result = Result(cache, tmp_path / "from", tmp_path / "out")
    for index, label in enumerate(labels):
        assert np.array_equal(result.classes[index] == "car", label == a)
        assert np.array_equal(result.object_of(index), np.where(label >= 0, label.astype("U8"), ""))
    assert [(row["group"], row["object"], row["class"]) for row in result.table] == [(str(a), "", "car")]


def test_of_boxes_only_sure_ones_are_shown_and_a_box_of_any_is_its_groups(
    cache: Cache, labels: list[NDArray[np.int32]], cvat: Cvat, tmp_path: Path
) -> None:
    sure = [cache.require_group_boxes(SEQUENCE, index).confidence for index in range(len(labels))]
    least = float(np.median(np.concatenate(sure)))
    export_cache(cache, tmp_path / "sure", find_target("cvat"), ExportOptions(min_confidence=least))
    few = Cvat(tmp_path / "sure" / SEQUENCE / "annotations")
    assert 0 < len(few.boxes) == sum(int((found >= least).sum()) for found in sure) < len(cvat.boxes)
    cvat.name(cvat.boxes[0]["track"], "car")
    cvat.save(tmp_path / "from" / SEQUENCE, len(labels))
    named = {row["group"] for row in Result(cache, tmp_path / "from", tmp_path / "out").table}
    assert named == {cvat.boxes[0]["group"].partition(" ")[0]}


def test_tracks_that_are_cut_and_joined_in_cvat_are_objects(
    cache: Cache, labels: list[NDArray[np.int32]], cvat: Cvat, tmp_path: Path
) -> None:
    a, b, c = list(shown(cache))[:3]
    sweeps = shown(cache)[a]
    assert len(sweeps) >= 4
    later = cvat.split(cvat.of_group(a), sweeps[2])
    cvat.name(later, "truck")
    cvat.merge(cvat.of_group(b), cvat.of_group(c))
    cvat.name(next(box["track"] for box in cvat.boxes if box["group"].startswith(f"{b} of ")), "person")
    cvat.save(tmp_path / "from" / SEQUENCE, len(labels))
    result = Result(cache, tmp_path / "from", tmp_path / "out")
    (new,) = {row["object"] for row in result.table if row["object"].startswith("track-")}
    for index, label in enumerate(labels):
        expected = np.where(label >= 0, label.astype("U12"), "")
        expected[label == c] = str(b)
        expected[(label == a) & (index in sweeps[2:])] = new
        assert np.array_equal(result.object_of(index), expected)
        classes = np.select([expected == new, expected == str(b)], ["truck", "person"], "unlabelled")
        assert np.array_equal(result.classes[index], classes)


def test_a_box_that_is_drawn_in_cvat_makes_an_object_of_its_points(
    cache: Cache, labels: list[NDArray[np.int32]], cvat: Cvat, tmp_path: Path
) -> None:
    (a,) = largest(labels, 1)
    index = next(k for k, label in enumerate(labels) if (label == a).sum() >= 20)
    xyz = cache.sweep(SEQUENCE, index).xyz
    centre = xyz[labels[index] == a].mean(axis=0).astype(float).tolist()
    cvat.draw(index, "car", centre, [2.0, 2.0, 1.0])
    cvat.save(tmp_path / "from" / SEQUENCE, len(labels))
    result = Result(cache, tmp_path / "from", tmp_path / "out")
    inside = points_in_box(xyz, np.array(centre), np.array([2.0, 2.0, 1.0]), 0.0) & (labels[index] >= NOISE)
    assert inside.any()
    assert np.array_equal(result.classes[index] == "car", inside)
    assert len({*result.object_of(index)[inside]}) == 1
    assert (result.object_of(index)[inside & (labels[index] == a)] != str(a)).all()
    assert not any((found == "car").any() for k, found in enumerate(result.classes) if k != index)


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("label", "lava", "no class 'lava' is known here"),
        ("group", "999999 of 0123456789ab", "a box is of group '999999 of 0123456789ab', which"),
        ("group", "../1", "a box is of group '../1', which"),
        ("group", "\x1b]0;x", "a box is of group"),
        ("group", None, "not a sweep's boxes"),
    ],
)
def test_boxes_of_another_cache_or_class_are_named(
    cache: Cache, labels: list[NDArray[np.int32]], cvat: Cvat, tmp_path: Path, key: str, value: Any, says: str
) -> None:
    cvat.boxes[0][key] = value
    cvat.save(tmp_path / "from" / SEQUENCE, len(labels))
    with pytest.raises(UserError, match=says) as error:
        import_corrections(cache, tmp_path / "from", tmp_path / "out", cache.manifest.class_names)
    assert str(error.value).isprintable()
    assert not (tmp_path / "out").exists()


def test_folders_of_no_tool_or_sequence_are_named(cache: Cache, exported: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="expected a folder for each sequence, as exported for point-labeler or cvat"):
        import_corrections(cache, tmp_path / "empty", tmp_path / "out", cache.manifest.class_names)
    (tmp_path / "other").mkdir()
    shutil.copytree(exported["point-labeler"] / SEQUENCE, tmp_path / "other/77")
    with pytest.raises(UserError, match="has no sequence '77'"):
        import_corrections(cache, tmp_path / "other", tmp_path / "out", cache.manifest.class_names)
    with pytest.raises(UserError, match="no such file"):
        import_corrections(cache, tmp_path / "none.csv", tmp_path / "out", cache.manifest.class_names)


def test_caches_without_classes_need_their_names(cache: Cache, tmp_path: Path) -> None:
    bare = Cache(cache.path)
    bare.manifest = replace(bare.manifest, class_names=("unlabelled",))
    for name in ("point-labeler", "cvat"):
        with pytest.raises(UserError, match="has no classes; pass --classes FILE"):
            export_cache(bare, tmp_path / name, find_target(name), ExportOptions())
    (tmp_path / "names.txt").write_text("none\ncat\n")
    options = ExportOptions(classes=tmp_path / "names.txt")
    export_cache(bare, tmp_path / "cvat", find_target("cvat"), options)
    found = json.loads((tmp_path / "cvat/labels.json").read_text())
    assert [label["name"] for label in found] == ["group", "cat"]
    assert all(label["attributes"][0]["name"] == "iscc_group" for label in found)
    (tmp_path / "names.txt").write_text("none\ngroup\n")
    with pytest.raises(UserError, match="a class is called group"):
        export_cache(bare, tmp_path / "again", find_target("cvat"), options)
