from pathlib import Path

import pytest

from iscc_lidar.preprocess.cli import _note_splits
from iscc_lidar.preprocess.config import PreprocessConfig
from iscc_lidar.preprocess.datasets import registry
from iscc_lidar.preprocess.plan.select import find_dataset, find_problems, select_sequences, splits_of
from iscc_lidar.preprocess.run.pipeline import preprocess
from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.cache.reader import Cache
from iscc_lidar.shared.layouts.layout import find_layout
from iscc_lidar.shared.store.local import LocalStore


@pytest.fixture
def streets(tiny_streets: Path, tmp_path: Path) -> Path:
    """One tiny street by links, as sequences 00, 01 and 08."""
    folder = tmp_path / "streets"
    (folder / "sequences").mkdir(parents=True)
    first = sorted((tiny_streets / "sequences").iterdir())[0]
    for name in ("00", "01", "08"):
        (folder / "sequences" / name).symlink_to(first)
    return folder


def test_root_is_the_option_then_the_environment_then_the_data_folder(
    streets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert find_dataset("semantickitti", streets).sequences() == ("00", "01", "08")
    monkeypatch.setenv("ISCC_SEMANTICKITTI_ROOT", str(streets))
    assert find_dataset("semantickitti").sequences() == ("00", "01", "08")
    monkeypatch.delenv("ISCC_SEMANTICKITTI_ROOT")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "semantickitti").symlink_to(streets)
    assert find_dataset("semantickitti").sequences() == ("00", "01", "08")


@pytest.mark.parametrize("name", registry.names())
def test_where_nothing_is_there_the_message_says_where_to_get_it(name: str, tmp_path: Path) -> None:
    with pytest.raises(UserError) as raised:
        find_dataset(name, tmp_path)
    message = str(raised.value)
    assert str(tmp_path) in message
    assert f"ISCC_{name.upper()}_ROOT" in message
    assert find_layout(name).how_to_get in message


def test_sequences_by_name_and_by_split(streets: Path) -> None:
    dataset = find_dataset("semantickitti", streets)
    assert select_sequences(dataset) == ("00", "01", "08")
    assert select_sequences(dataset, ["08", "00", "08"]) == ("00", "08")
    assert select_sequences(dataset, split="train") == ("00", "01")
    assert select_sequences(dataset, split="val") == ("08",)


def test_a_cache_of_all_splits_is_noted_unless_sequences_are_named(
    streets: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dataset = find_dataset("semantickitti", streets)
    assert splits_of(dataset, ["00", "01"]) == ["train"]
    _note_splits(dataset, dataset.sequences(), None)
    assert (
        "all official splits, train, val; to pre-train without those that score: --split train"
        in capsys.readouterr().err
    )
    _note_splits(dataset, dataset.sequences(), "train")
    _note_splits(dataset, ["00", "01"], None)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("named", "split", "says"),
    [
        (["1"], None, "no sequence '1' here; the nearest is 0"),
        (None, "trian", "no such split here .it has: train, val, test."),
        (None, "test", "none of its sequences are here; found 00, 01, 08"),
        (["00"], "val", "pass only one of them"),
        ([], None, "names no sequence"),
    ],
)
def test_what_is_not_there_is_named(streets: Path, named: list[str] | None, split: str | None, says: str) -> None:
    with pytest.raises(UserError, match=says):
        select_sequences(find_dataset("semantickitti", streets), named, split)


def broken(tmp_path: Path) -> Path:
    folder = tmp_path / "broken" / "sequences" / "00"
    (folder / "velodyne").mkdir(parents=True)
    (folder / "labels").mkdir()
    (folder / "velodyne" / "000000.bin").write_bytes(bytes(33))
    (folder / "velodyne" / "000001.bin").write_bytes(bytes(32))
    (folder / "labels" / "000001.label").write_bytes(bytes(4))
    (folder / "poses.txt").write_text("1 0 0 0 0 1 0 0 0 0 1 0\n" * 2)
    (folder / "calib.txt").write_text("Tr: 1 0 0 0 0 1 0 0 0 0 1 0\n")
    return tmp_path / "broken"


def test_all_problems_are_found_in_one_pass_and_nothing_is_done(tmp_path: Path) -> None:
    dataset = find_dataset("semantickitti", broken(tmp_path))
    problems = find_problems(dataset, ["00"])["00"]
    assert len(problems) == 2
    assert "000000.bin: 33 bytes is not a whole number of points" in problems[0].message
    assert "000001.label: 4 bytes, expected 4 for each of the sweep's 2 points" in problems[1].message
    with pytest.raises(UserError, match=r"2 problem\(s\) in the data, nothing was done"):
        preprocess(dataset, LocalStore(tmp_path / "cache"), PreprocessConfig())
    assert [path.name for path in (tmp_path / "cache").iterdir()] == [".owner"]


def test_broken_sequences_are_left_out_only_if_asked_for(
    streets: Path, tmp_path: Path, tiny_config: PreprocessConfig
) -> None:
    (broken(tmp_path) / "sequences" / "00").rename(streets / "sequences" / "05")
    dataset, store = find_dataset("semantickitti", streets), LocalStore(tmp_path / "cache")
    with pytest.raises(UserError, match="leave those sweeps or sequences out with --on-error skip"):
        preprocess(dataset, store, tiny_config, sequences=("00", "05"))
    manifest = preprocess(dataset, store, tiny_config, sequences=("00", "05"), on_error="skip")
    assert [entry.name for entry in manifest.sequences] == ["00"]
    assert [skipped.name for skipped in manifest.skipped] == ["05"]
    assert "000000.bin: 33 bytes is not a whole number of points" in manifest.skipped[0].reason
    with pytest.raises(UserError, match="nothing was done"):
        preprocess(dataset, LocalStore(tmp_path / "other"), tiny_config, sequences=("05",), on_error="skip")


def test_a_second_selection_adds_to_a_cache(streets: Path, tmp_path: Path, tiny_config: PreprocessConfig) -> None:
    dataset, cache = find_dataset("semantickitti", streets), tmp_path / "cache"
    preprocess(dataset, LocalStore(cache), tiny_config, sequences=("01",))
    assert Cache(cache).sequence_names == ("01",)
    block = cache / Cache(cache).sequence("01").blocks[0].path / "block.json"
    before = block.stat().st_mtime_ns
    preprocess(dataset, LocalStore(cache), tiny_config, sequences=("08",))
    assert Cache(cache).sequence_names == ("01", "08")
    assert block.stat().st_mtime_ns == before
