import itertools
import json
import tempfile
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.cache.label_fractions import draw_fractions, read_list, write_list

from pages import blocks

SIZES = {"00": 4541, "01": 1101, "02": 4661, "03": 801, "04": 271, "05": 2761, "06": 1101, "07": 1101}
SIZES |= {"09": 1591, "10": 1201}
KITTI = {sequence: [f"{i:06d}" for i in range(size)] for sequence, size in SIZES.items()}  # SemanticKITTI's train split

sizes = st.dictionaries(st.text("ab01_-/ é", min_size=1, max_size=6), st.integers(0, 60), min_size=1, max_size=8)
percents = st.lists(st.floats(0.01, 100), min_size=1, max_size=5)


def named(sizes_of: dict[str, int]) -> dict[str, list[str]]:
    return {sequence: [f"{i:06d}" for i in range(size)] for sequence, size in sizes_of.items()}


@given(sizes, percents, st.integers(0, 2**40))
def test_fractions_are_nested_exact_and_stratified(sizes_of: dict[str, int], wanted: list[float], seed: int) -> None:
    sweeps = named(sizes_of)
    total = sum(sizes_of.values())
    if total == 0:
        with pytest.raises(UserError, match="no sweep"):
            draw_fractions(sweeps, wanted, seed)
        return
    drawn = draw_fractions(sweeps, wanted, seed)
    assert set(drawn) == set(wanted)
    for percent, chosen in drawn.items():
        assert len(set(chosen)) == len(chosen) == max(1, round(percent * total / 100))
        assert chosen == sorted(chosen)
        per_sequence = Counter(sequence for sequence, _ in chosen)
        for sequence, size in sizes_of.items():
            assert all(name in sweeps[sequence] for s, name in chosen if s == sequence)
            # Each count is its share of a common quota, rounded; the quota's error is at most all roundings' together.
            share = len(chosen) * size / total
            assert abs(per_sequence[sequence] - share) <= 0.5 + 0.5 * len(sizes_of) * size / total + 1e-9
    for small, large in itertools.pairwise(sorted(drawn)):
        assert set(drawn[small]) <= set(drawn[large])


@given(sizes, percents, st.integers(0, 2**40), st.randoms())
def test_the_order_of_sequences_does_not_matter(sizes_of, wanted, seed, random) -> None:  # type: ignore[no-untyped-def]
    sweeps = named(sizes_of | {"z": 3})
    shuffled = list(sweeps.items())
    random.shuffle(shuffled)
    assert draw_fractions(sweeps, wanted, seed) == draw_fractions(dict(shuffled), list(reversed(wanted)), seed)


def test_semantickitti_gets_even_shares_spread_over_every_sequence() -> None:
    drawn = draw_fractions(KITTI, [1, 2, 5, 10], 0)
    assert {percent: len(chosen) for percent, chosen in drawn.items()} == {1: 191, 2: 383, 5: 956, 10: 1913}
    for percent, chosen in drawn.items():
        for sequence, size in SIZES.items():
            picks = [int(name) for s, name in chosen if s == sequence]
            assert abs(len(picks) - percent * size / 100) < 1
            gaps = [b - a for a, b in itertools.pairwise(picks)]
            assert len(set(gaps)) <= 3
            ends = [picks[0], size - 1 - picks[-1]]
            assert max(*gaps, *ends) < 3 * 100 / percent
            assert min(gaps) > 100 / percent / 3


def test_seeds_and_sequences_differ_and_a_new_sequence_leaves_the_others_order() -> None:
    of_seed = [set(draw_fractions(KITTI, [10], seed)[10]) for seed in range(12)]
    shared = [len(a & b) / len(a) for a, b in itertools.combinations(of_seed, 2)]
    assert 0.07 < sum(shared) / len(shared) < 0.13  # as much as of independent draws
    assert max(shared) < 0.5
    first = set(draw_fractions(KITTI, [1], 0)[1])
    assert {n for s, n in first if s == "06"} != {n for s, n in first if s == "07"}  # equally long
    more = set(draw_fractions(KITTI | {"90": KITTI["04"]}, [1], 0)[1])
    assert len(first & more) > len(first) - 3


def test_equal_sequences_take_turns_by_seed_not_by_name() -> None:
    sweeps = named({f"{i:03d}": 10 for i in range(100)})
    chosen = [sequence for sequence, _ in draw_fractions(sweeps, [2], 0)[2]]
    assert len(set(chosen)) == 20
    assert chosen != [f"{i:03d}" for i in range(20)]
    assert chosen != [sequence for sequence, _ in draw_fractions(sweeps, [2], 1)[2]]


@pytest.mark.parametrize("percent", [0, -1, 100.1, float("nan")])
def test_percentages_out_of_range_are_refused(percent: float) -> None:
    with pytest.raises(UserError, match="percentage above 0 and up to 100"):
        draw_fractions(KITTI, [percent], 0)
    with pytest.raises(UserError, match="seed: expected 0 or more"):
        draw_fractions(KITTI, [1], -1)


@settings(deadline=None)
@given(sizes, st.integers(0, 9), st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=30))
def test_a_list_reads_back(sizes_of: dict[str, int], seed: int, comment: str) -> None:
    sweeps = named({sequence.strip(): size for sequence, size in sizes_of.items() if sequence.strip()} | {"00": 3})
    drawn = draw_fractions(sweeps, [30], seed)[30]
    with tempfile.TemporaryDirectory() as folder:
        write_list(Path(folder) / "new" / "list.txt", drawn, comment)
        assert read_list(Path(folder) / "new" / "list.txt", sweeps) == drawn


def test_paths_bare_names_comments_and_repeats_are_read(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    known = {"00": ["000001", "000002"], "05": ["000002"], "2011/drive": ["a.b", "a"]}
    lines = [
        "# any comment",
        "",
        "00/velodyne/000002.bin",
        "/data/00/sequences/05/velodyne/000002.bin ",
        "  05/000002",
        "C:\\kitti\\sequences\\00\\labels\\000001.label",
        "000001",
        "x/2011/drive/a.b",
        "2011/drive/points/a.pcd.bin",
    ]
    path.write_bytes(b"\xef\xbb\xbf" + "\r\n".join(lines).encode())
    expected = [("00", "000002"), ("05", "000002"), ("00", "000001"), ("2011/drive", "a.b"), ("2011/drive", "a")]
    assert read_list(path, known) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("00/000001\n00/00001", ["line 2", "no sweep '00/00001'", "did you mean 00/000001"]),
        ("# x\n\n08/velodyne/000001.bin", ["line 3", "none of its folders is a sequence", "there are: 00, 05"]),
        ("000002", ["line 1", "000002 is in sequences 00, 05", "write SEQUENCE/000002"]),
        ("99", ["line 1", "no sweep '99'", "2 sweeps are known"]),
        ("00000", ["line 1", "did you mean"]),
        ("velodyne/000001.bin", ["line 1", "none of its folders"]),
        ("# nothing\n\n", ["contains no sweep"]),
    ],
)
def test_mistakes_are_named_by_line(tmp_path: Path, text: str, expected: list[str]) -> None:
    path = tmp_path / "list.txt"
    path.write_text(text)
    with pytest.raises(UserError) as error:
        read_list(path, {"00": ["000001", "000002"], "05": ["000002"]})
    for words in [str(path), *expected]:
        assert words in str(error.value)


def test_files_that_are_no_lists_are_named(tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    for name in ("binary", "absent", "."):
        with pytest.raises(UserError, match="not a readable list"):
            read_list(tmp_path / name, {})


def test_published_kitti_lists_are_read(real_data: Path) -> None:
    folder = real_data / "kitti_label_fractions"
    if not folder.is_dir():
        pytest.skip("no published lists beside the checkout (shared/data/kitti_label_fractions)")
    known = {"training": [f"{i:06d}" for i in range(7481)]}
    for percent, count in ((5, 185), (10, 371), (20, 742)):
        for seed in range(3):
            sweeps = read_list(folder / f"{percent}_{seed}.txt", known)
            assert len(sweeps) == count
            assert {sequence for sequence, _ in sweeps} == {"training"}


def test_published_lists_are_read_after_what_the_page_does_with_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    wanted = draw_fractions(KITTI, [1, 10], 3)
    published = {
        share: {
            sequence: {
                "points": [f"Datasets/SemanticKITTI/dataset/sequences/{s}/velodyne/{n}.bin" for s, n in of_sequence],
                "labels": [f"Datasets/SemanticKITTI/dataset/sequences/{s}/labels/{n}.label" for s, n in of_sequence],
            }
            for sequence, found in itertools.groupby(wanted[percent], key=lambda name: name[0])
            for of_sequence in [list(found)]
        }
        for percent, share in ((1, "0.01"), (10, "0.1"))
    }
    Path("percentiles_split.json").write_text(json.dumps(published))
    (block,) = [block for block in blocks() if "percentiles_split.json" in block.text]
    exec(compile(block.text, block.page, "exec"), {})
    for percent, names in wanted.items():
        assert read_list(Path(f"labelled_{percent:g}.txt"), KITTI) == names
