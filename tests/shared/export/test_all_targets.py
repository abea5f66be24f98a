"""Every target writes every kind of cache, or refuses it in one line before it writes anything; import and join too."""

from __future__ import annotations

import json
import os
import shutil
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from iscc_lidar.preprocess.config import PreprocessConfig
from iscc_lidar.preprocess.datasets.registry import open_dataset
from iscc_lidar.preprocess.run.join import join_labels
from iscc_lidar.preprocess.run.pipeline import preprocess
from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.base.own import MARK_FILE
from iscc_lidar.shared.cache.label_fractions import read_list
from iscc_lidar.shared.cache.labels_only import LabelsOnly
from iscc_lidar.shared.cache.reader import Cache
from iscc_lidar.shared.corrections.table import Correction, write_corrections
from iscc_lidar.shared.corrections.write import import_corrections
from iscc_lidar.shared.export.target import ExportOptions, Target, all_targets, find_target
from iscc_lidar.shared.export.write import RECORD_FILE, export_cache
from iscc_lidar.shared.layouts.formats.label_files import open_label_files
from iscc_lidar.shared.store.local import LocalStore

import folder_writer as writer
from caches import files_below, finished, with_column, with_manifest

RUSSIAN, JAPANESE, ONE = "улица 1", "東京-②", "🚗"
SEQUENCES = {RUSSIAN: (4, 1), JAPANESE: (4, 3), ONE: (1, 1)}
"""Of each own recording the number of sweeps, and which part of the sensor's rays it has."""
CLASSES = ("unlabelled", "автомобиль", "человек")
PACKAGES = {"opensceneflow": "h5py", "rerun": "rerun"}


@pytest.fixture(params=all_targets(), ids=lambda target: target.name)
def target(request: pytest.FixtureRequest) -> Target:
    """Each of the targets, those that lie in the folder of targets tomorrow too."""
    found: Target = request.param
    package = PACKAGES.get(found.name, "numpy")
    if find_spec(package) is None:
        pytest.skip(f"the package {package} is not installed")
    return found


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Own recordings of two sensors, one of a single sweep, one with a sweep that is empty. Read only."""
    root = tmp_path_factory.mktemp("recordings")
    for name, (sweeps, part) in SEQUENCES.items():
        (root / name).mkdir()
        for index in range(sweeps):
            writer.write_bin(root / name / f"кадр {index:03d}.bin", writer.sweep(index)[::part])
        (root / name / "poses.txt").write_text(writer.kitti_rows([writer.pose(index) for index in range(sweeps)]))
    (root / RUSSIAN / "кадр 002.bin").write_bytes(b"")
    return root


@pytest.fixture(scope="module")
def own_cache(recordings: Path, tiny_config: PreprocessConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The cache of the recordings, which have no labels. Read only."""
    path = tmp_path_factory.mktemp("caches") / "own"
    preprocess(open_dataset("folder", recordings), LocalStore(path), tiny_config, on_error="skip")
    cache = Cache(path)
    assert set(cache.sequence_names) == set(SEQUENCES)
    assert cache.points(RUSSIAN, 2) == 0
    assert cache.points(RUSSIAN, 0) == 3 * cache.points(JAPANESE, 0) > 0
    return path


@pytest.fixture(scope="module")
def classes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("classes") / "classes.txt"
    file.write_text("".join(f"{name}\n" for name in CLASSES))
    return file


def refusal(cache: Cache, out: Path, target: Target, options: ExportOptions) -> str | None:
    """Export; return why a target refuses a cache, which it does before anything is written, or None if it does not."""
    said, files = None, 0
    try:
        files = export_cache(cache, out, target, options)
    except UserError as error:
        said = str(error)
    if said is not None:
        assert "\n" not in said
        assert not out.exists()
        return said
    assert files > 0
    assert json.loads((out / RECORD_FILE).read_text()).keys() == set(cache.sequence_names)
    assert not [name for name in files_below(out) if name.endswith(".tmp")]
    return None


def test_sequences_of_several_sensors_without_labels_and_with_names_of_other_alphabets(
    own_cache: Path, classes: Path, target: Target, tmp_path: Path
) -> None:
    said = refusal(Cache(own_cache), tmp_path / "out", target, ExportOptions(classes=classes, min_confidence=0))
    if target.name == "waymo":
        assert said is not None
        assert said.startswith("--to waymo needs --root")
        return
    assert said is None
    written = files_below(tmp_path / "out")
    for name in SEQUENCES:
        places = [path for path in written if name in path]
        assert places or (target.name, name) == ("opensceneflow", ONE), "which has no pair of one sweep"
    assert refusal(Cache(own_cache), tmp_path / "again", target, ExportOptions(None, classes, 0)) is None
    again = files_below(tmp_path / "again")
    assert again.keys() == written.keys()
    assert target.name == "rerun" or again == written


def test_without_names_of_classes_only_labelling_tools_refuse(own_cache: Path, target: Target, tmp_path: Path) -> None:
    said = refusal(Cache(own_cache), tmp_path / "out", target, ExportOptions())
    assert (said is not None) == (target.name in ("cvat", "point-labeler", "waymo"))
    assert said is None or "--classes FILE" in said or target.name == "waymo"


def test_sequences_without_boxes_are_written_or_the_command_that_adds_them_is_named(
    own_cache: Path, classes: Path, target: Target, tmp_path: Path
) -> None:
    def edit(manifest: Any) -> None:
        manifest["sequences"][-1]["tracks"] = []  # as of a cache of 2.0 to which sequences were added

    cache = Cache(with_manifest(own_cache, tmp_path / "cache", edit))
    said = refusal(cache, tmp_path / "out", target, ExportOptions(classes=classes))
    assert (said is not None) == (target.name in ("boxes", "cvat", "labels-only", "waymo"))
    assert said is None or f"iscc-cache upgrade {cache.path}" in said or target.name == "waymo"


def test_a_cache_without_sequences_is_an_empty_export(own_cache: Path, classes: Path, target: Target, tmp_path: Path):
    cache = Cache(with_manifest(own_cache, tmp_path / "cache", lambda manifest: manifest.update(sequences=[])))
    options = ExportOptions(tmp_path, classes)
    files = export_cache(cache, tmp_path / "out", target, options)
    assert files == len([name for name in files_below(tmp_path / "out") if name not in (MARK_FILE, RECORD_FILE)])


def test_a_sequence_without_sweeps_is_an_empty_one(
    own_cache: Path, classes: Path, target: Target, tmp_path: Path
) -> None:
    def empty(manifest: Any) -> None:
        manifest["sequences"][0] |= {"sweeps": 0, "windows": [], "blocks": [], "tracks": []}

    cache = Cache(with_manifest(own_cache, tmp_path / "cache", empty))
    assert (refusal(cache, tmp_path / "out", target, ExportOptions(classes=classes)) is None) == (
        target.name != "waymo"
    )


def test_points_of_groups_that_the_tables_lack_are_named(
    own_cache: Path, classes: Path, target: Target, tmp_path: Path
) -> None:
    first = Cache(own_cache).block(JAPANESE, 0)
    others = [group + 100_000 for group in first.group_rows["group"].to_pylist()]
    cache = Cache(with_column(own_cache, tmp_path / "cache", JAPANESE, "group", others, "groups.parquet"))
    options = ExportOptions(classes=classes)
    if target.name in ("ncore", "rerun"):  # which use no table of groups without boxes
        options = ExportOptions(min_confidence=1)
    with pytest.raises(UserError, match=r"which its tables lack|are not those of|--root"):
        export_cache(cache, tmp_path / "out", target, options)


def test_corrections_of_points_of_groups_that_the_tables_lack_are_named(own_cache: Path, tmp_path: Path) -> None:
    first = Cache(own_cache).block(JAPANESE, 0)
    others = [group + 100_000 for group in first.group_rows["group"].to_pylist()]
    cache = Cache(with_column(own_cache, tmp_path / "cache", JAPANESE, "group", others, "groups.parquet"))
    (tmp_path / "table.csv").write_text(f"sequence,group,class\n{JAPANESE},ground,{CLASSES[1]}\n")
    with pytest.raises(UserError, match="which the tables lack"):
        import_corrections(cache, tmp_path / "table.csv", tmp_path / "out", CLASSES)


HOSTILE = [".a.1.tmp", ".git", " a", "a ", "x" * 201, "я" * 101]
"""Names that a cache may have, and that no file can have, or only a hidden one."""
TAKEN = [MARK_FILE, RECORD_FILE, "labels.json", "labels.xml", "classes.txt"]
"""Names that are those of other files next to a sequence's folder."""


@pytest.mark.parametrize(
    ("of", "name"), [*(("sequence", name) for name in HOSTILE + TAKEN), *(("sweep", name) for name in HOSTILE)]
)
def test_names_that_cannot_be_those_of_files_are_refused(
    own_cache: Path, classes: Path, of: str, name: str, tmp_path: Path
) -> None:
    if of == "sequence":
        cache = Cache(with_manifest(own_cache, tmp_path / "cache", lambda m: m["sequences"][0].update(name=name)))
    else:
        first = Cache(own_cache).sequence(JAPANESE).blocks[0]
        names = [name, *(f"{index}" for index in range(first.start + 1, first.stop))]
        cache = Cache(with_column(own_cache, tmp_path / "cache", JAPANESE, "name", names))
    for target in all_targets():
        said = refusal(cache, tmp_path / "out", target, ExportOptions(tmp_path, classes))
        assert said is not None
        assert f"the name of a {of}" in said
    table = tmp_path / "table.csv"
    table.write_text(f"sequence,group,class\n{JAPANESE},0,{CLASSES[1]}\n")
    with pytest.raises(UserError, match=f"the name of a {of}"):
        import_corrections(cache, table, tmp_path / "out", CLASSES)
    assert not (tmp_path / "out").exists()


ODD = [("-rf --all", "#1", 'a,"b"'), ("$(id)%2e", "NUL", "<b>a\u202eb&amp;")]
"""Names that files can have, and that mean something to shells, lists, tables, XML, terminals and another system."""


@pytest.mark.parametrize("names", ODD)
def test_odd_names_are_names(own_cache: Path, classes: Path, names: tuple[str, ...], tmp_path: Path) -> None:
    def rename(manifest: Any) -> None:
        for entry, name in zip(manifest["sequences"], names, strict=True):
            entry["name"] = name

    odd = names[1]
    forged = with_manifest(own_cache, tmp_path / "forged", rename)
    cache = Cache(with_column(forged, tmp_path / "cache", odd, "name", [odd, f"{odd}~"]))
    for target in all_targets():
        if target.name in ("waymo", "rerun"):
            continue
        assert refusal(cache, tmp_path / target.name, target, ExportOptions(classes=classes)) is None
        assert any(odd in path for path in files_below(tmp_path / target.name))
    assert LabelsOnly(tmp_path / "labels-only").sweep_names(odd)[:2] == [odd, f"{odd}~"]
    table = tmp_path / "table.csv"
    rows = [Correction(name, int(cache.group_ids(name)[0]), class_name=CLASSES[1]) for name in names]
    table.write_bytes(write_corrections(rows))
    found = import_corrections(cache, table, tmp_path / "out", CLASSES)
    assert found.sequences == 3
    listed = read_list(tmp_path / "out/labelled.txt", {name: cache.sweep_names(name) for name in names})
    assert len(listed) == found.labelled_sweeps
    assert (odd, odd) in listed
    tool = import_corrections(cache, tmp_path / "point-labeler", tmp_path / "same", CLASSES)
    assert (tool.sequences, tool.corrections) == (3, 0)


def test_nothing_is_written_through_a_link_in_a_folder_of_this_program(
    own_cache: Path, classes: Path, target: Target, tmp_path: Path
) -> None:
    out, elsewhere = tmp_path / "out", tmp_path / "elsewhere"
    options = ExportOptions(classes=classes)
    if refusal(Cache(own_cache), out, target, options) is not None:
        return
    (out / RECORD_FILE).unlink()
    folders = [path for path in out.iterdir() if path.is_dir()]
    elsewhere.mkdir()
    for folder in folders:
        shutil.rmtree(folder)
        folder.symlink_to(elsewhere)
    for file in (path for path in out.iterdir() if path.is_file() and path.name != MARK_FILE):
        (tmp_path / file.name).write_bytes(b"mine")
        file.unlink()
        file.symlink_to(tmp_path / file.name)
    if folders:
        with pytest.raises(UserError, match="is a link"):
            export_cache(Cache(own_cache), out, target, options)
    else:
        export_cache(Cache(own_cache), out, target, options)
    assert not list(elsewhere.iterdir())
    assert all(path.read_bytes() == b"mine" for path in tmp_path.iterdir() if path.is_file())


@pytest.mark.parametrize("name", ["notes.txt", MARK_FILE, "sequences/00/labels/000000.label"])
def test_a_folder_of_others_stays_as_it_is(own_cache: Path, classes: Path, name: str, tmp_path: Path) -> None:
    file, cache = tmp_path / "out" / name, Cache(own_cache)
    file.parent.mkdir(parents=True)
    file.write_text('{"program": "another"}')
    for target in all_targets():
        with pytest.raises(UserError, match=r"contains .*(choose|of another program)"):
            export_cache(cache, tmp_path / "out", target, ExportOptions(tmp_path, classes))
    with pytest.raises(UserError, match=r"contains .*(choose|of another program)"):
        import_corrections(cache, classes, tmp_path / "out", CLASSES)
    assert files_below(tmp_path / "out") == {name: b'{"program": "another"}'}


@pytest.mark.parametrize("name", [MARK_FILE, RECORD_FILE])
def test_a_pipe_in_place_of_a_record_is_named(own_cache: Path, classes: Path, name: str, tmp_path: Path) -> None:
    target, options = find_target("unit"), ExportOptions(classes=classes)
    export_cache(Cache(own_cache), tmp_path / "out", target, options)
    (tmp_path / "out" / name).unlink()
    os.mkfifo(tmp_path / "out" / name)
    with pytest.raises(UserError, match=f"{name}: .*FIFO"):
        export_cache(Cache(own_cache), tmp_path / "out", target, options)


def test_corrections_of_sequences_with_names_of_other_alphabets(own_cache: Path, tmp_path: Path) -> None:
    cache = Cache(own_cache)
    table = tmp_path / "table.csv"
    rows = [f"{name},{cache.group_ids(name)[0]},{CLASSES[1]}" for name in SEQUENCES]
    table.write_text("\n".join(["sequence,group,class", *rows, ""]))
    found = import_corrections(cache, table, tmp_path / "out", CLASSES)
    assert (found.sequences, found.corrections) == (3, 3)
    labels = open_label_files(tmp_path / "out", ())
    assert labels.class_names == CLASSES
    for name in SEQUENCES:
        for index, sweep in enumerate(cache.sweep_names(name)):
            label = cache.label(name, index)
            classes = labels.read(name, sweep, len(label))
            np.testing.assert_array_equal(classes == 1, label == cache.group_ids(name)[0])


def test_own_recordings_without_points_are_joined_to_the_byte(
    own_cache: Path, recordings: Path, tmp_path: Path
) -> None:
    export_cache(Cache(own_cache), tmp_path / "labels", find_target("labels-only"), ExportOptions())
    join_labels(LabelsOnly(tmp_path / "labels"), open_dataset("folder", recordings), LocalStore(tmp_path / "joined"))
    assert finished(tmp_path / "joined") == finished(own_cache)
