"""The table of corrections: what is written is read, and what is no correction is named by its line."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from iscc_lidar.data_schemas.labels import GROUND, NOISE
from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.corrections.table import (
    Correction,
    Runs,
    as_runs,
    in_runs,
    parse_corrections,
    read_corrections,
    write_corrections,
)

HEAD = "sequence,group,object,class,sweeps,points\n"


def runs_of(sizes: list[int]) -> Runs:
    """Runs with gaps: of each pair a gap and a length."""
    found, at = [], 0
    for gap, length in zip(sizes[::2], sizes[1::2], strict=False):
        found.append((at + gap, at + gap + length))
        at += gap + length
    return tuple(found)


RUNS = st.lists(st.integers(1, 50), min_size=2, max_size=8).map(runs_of)
NAMES = st.text("abc ,\"'é;\t#", min_size=1, max_size=8).filter(lambda name: name.strip() == name)
OBJECTS = st.one_of(st.integers(0, 999), st.from_regex(r"[A-Za-z][A-Za-z0-9_.-]{0,5}", fullmatch=True))


@st.composite
def corrections(draw: st.DrawFn) -> Correction:
    kind = draw(st.sampled_from(("whole", "sweeps", "points")))
    group = draw(st.integers(0, 999) if kind != "points" else st.one_of(st.none(), st.integers(0, 9)))
    named, sweeps, points = draw(st.one_of(st.none(), NAMES)), None, None
    stated = draw(OBJECTS if named is None else st.one_of(st.none(), OBJECTS))
    if kind == "sweeps":
        sweeps = draw(RUNS)
    if kind == "points":
        index = draw(st.integers(0, 99))
        sweeps, points = ((index, index + 1),), draw(RUNS)
    return Correction(draw(NAMES), group, stated, named, sweeps, points)


@given(st.lists(corrections(), max_size=5))
def test_what_is_written_is_read(rows: list[Correction]) -> None:
    found = parse_corrections(write_corrections(rows).decode(), "table.csv")
    assert [Correction(**{**vars(row), "line": 0}) for row in found] == rows


def test_very_many_points_are_several_rows_of_the_same() -> None:
    points = np.arange(0, 40_000, 2)
    rows = parse_corrections(
        write_corrections([Correction("a", None, None, "car", ((3, 4),), as_runs(points))]).decode(), "table.csv"
    )
    assert len(rows) == 5
    found = [index for row in rows for start, stop in row.points or () for index in range(start, stop)]
    assert found == points.tolist()


@given(st.lists(st.integers(0, 60), unique=True).map(sorted))
def test_runs_have_the_indices_that_they_are_of(indices: list[int]) -> None:
    runs = as_runs(np.array(indices, np.int64))
    assert [index for index in range(62) if in_runs(runs, index)] == indices
    assert all(a[1] < b[0] for a, b in pairwise(runs))


def test_few_columns_suffice_and_a_spreadsheet_may_have_written_them(tmp_path: Path) -> None:
    file = tmp_path / "table.csv"
    file.write_bytes("\ufeffclass,sequence,group\r\n car ,00, 12\r\n\r\n,,\r\nroad,00,ground\r\n".encode())
    found = read_corrections(file)
    assert found == [Correction("00", 12, None, "car", line=2), Correction("00", GROUND, None, "road", line=5)]


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ("00,12,,,,", "states neither an object nor a class"),
        ("00,,,car,,", "selects nothing"),
        ("00,,,car,0-3,", "selects nothing"),
        ("00,12,,car,,0-3", "points are rows of one sweep"),
        ("00,12,,car,0-1,0-3", "points are rows of one sweep"),
        ("00,ground,a,,,", "all of ground is no object"),
        ("00,noise,3,car,0-4,", "all of noise is no object"),
        ("00,-1,,car,,", "'-1' is no group"),
        ("00,1.5,,car,,", "'1.5' is no group"),
        ("00,١,,car,,", "is no group"),
        ("00,9999999999,,car,,", "'9999999999' is no group"),
        ("00,12,../x,car,,", "'../x' is no object"),
        ("00,12,\x1b[2J,car,,", r"'\\\\x1b\[2J' is no object"),
        (f"00,12,{'a' * 65},car,,", "is no object"),
        ("00,12,,car,3-1,", "'3-1' in sweeps; expected ascending numbers"),
        ("00,12,,car,0-3 2,", "'2' in sweeps"),
        ("00,12,,car,1,0-9999999999", "in points"),
        ("00,12,,car,1,x", "'x' in points"),
        ("00,12,,car", "has 4 cells, expected 6"),
        ('00,12,,"car,,', "not a row of CSV"),
        ('00,12,,"a"b,,', "not a row of CSV"),
        (f"00,12,,{'x' * 200_000},,", "not a row of CSV: field larger"),
    ],
)
def test_what_is_no_correction_is_named_by_its_line(row: str, says: str) -> None:
    with pytest.raises(UserError, match=rf"^table.csv, line \d: .*{says}") as error:
        parse_corrections(f"{HEAD}00,1,,car,,\n{row}\n", "table.csv")
    assert len(str(error.value)) < 500
    assert str(error.value).isprintable()


@pytest.mark.parametrize(
    "head", ["sequence,class", "sequence,group,klass", "sequence,group,group", "00,12,car", "\x1b"]
)
def test_other_columns_are_named(head: str) -> None:
    with pytest.raises(UserError, match=r"^table.csv, line 1: the columns are .*; expected sequence and group"):
        parse_corrections(f"{head}\n", "table.csv")


def test_files_that_are_no_table_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        read_corrections(tmp_path / "none.csv")
    (tmp_path / "empty.csv").write_text(HEAD)
    with pytest.raises(UserError, match="contains no correction"):
        read_corrections(tmp_path / "empty.csv")
    (tmp_path / "image.csv").write_bytes(b"\x89PNG\xff\xfe")
    with pytest.raises(UserError, match="not a table of corrections: byte 0 is not UTF-8"):
        read_corrections(tmp_path / "image.csv")
    assert parse_corrections(f"{HEAD}00,noise,,car,1,", "table.csv")[0].group == NOISE
