"""What README and documentation say of reproduction is what the committed results say."""

from pathlib import Path

import pytest

from iscc_lidar.trainer.reproduce.results import BoxResult, Result, by_schedule, read_csv
from iscc_lidar.trainer.reproduce.tables import box_tables, filled, table

ROOT = Path(__file__).parents[3]
RESULTS = ROOT / "docs" / "results.csv"


def test_the_documentation_has_the_table_of_the_committed_results():
    quick = by_schedule(read_csv(RESULTS, Result))["quick"]
    rows = filled(quick)[0][1]
    assert table(quick, rows, quick[0].dataset) in (ROOT / "docs" / "reproducing.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("fraction", [1.0, 10.0])
def test_every_experiment_has_the_same_three_seeds(fraction: float):
    quick = by_schedule(read_csv(RESULTS, Result))["quick"]
    for method in {r.method for r in quick}:
        assert [r.seed for r in quick if (r.method, r.fraction) == (method, fraction)] == [0, 1, 2], method


def test_the_documentation_has_the_detection_tables_of_the_committed_results():
    results = read_csv(ROOT / "docs" / "detection.csv", BoxResult)
    assert {(r.method, r.fraction, r.seed) for r in results} == {
        (method, fraction, seed)
        for method in ("scratch", "segcontrast", "iscc")
        for fraction in (5.0, 10.0, 20.0, 50.0)
        for seed in (0, 1, 2)
    }
    assert box_tables(results).rstrip() in (ROOT / "docs" / "detection.md").read_text(encoding="utf-8")
