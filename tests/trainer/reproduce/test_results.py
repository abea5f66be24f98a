"""Results: what is written is read back; means and gains are those of the seeds that both rows have."""

import dataclasses
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.trainer.reproduce import authors_slides
from iscc_lidar.trainer.reproduce.results import Result, Spread, gain_of, mean_of, read_csv, spread, write_csv
from iscc_lidar.trainer.reproduce.tables import tables


def result(
    method: str, fraction: float, seed: int, miou: float, dataset: str = "semantickitti", schedule: str = "long"
) -> Result:
    iou = {"car": miou + 1, "road": miou - 1, "truck": None}
    pretraining = None if method == "scratch" else seed % 2
    return Result(
        method, "quick", dataset, schedule, "", "alone", False, fraction, seed, pretraining, miou, miou + 1, 80.0, iou
    )


SEVEN = [
    result("scratch", 1.0, 0, 30.0),
    result("scratch", 1.0, 1, 34.0),
    result("iscc", 1.0, 0, 37.0),
    result("iscc", 1.0, 1, 40.0),
    result("iscc", 1.0, 2, 99.0),
    result("scratch", 10.0, 0, 40.0),
    result("iscc", 10.0, 0, 42.5),
]


def test_a_csv_comes_back_as_it_was_written(tmp_path: Path):
    write_csv(tmp_path / "results.csv", SEVEN)
    assert read_csv(tmp_path / "results.csv", Result) == SEVEN
    head, first = (tmp_path / "results.csv").read_text().splitlines()[:2]
    of_run = "method,recipe,dataset,schedule,street,labels,averaged,fraction,seed,pretraining"
    assert head == f"{of_run},miou,miou_objects,accuracy,car,road,truck"
    assert first == "scratch,quick,semantickitti,long,,alone,False,1,0,,30,31,80,31,29,"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nothing\n1\n",
        "method,recipe,dataset,schedule,fraction,seed,pretraining,miou\na,b,c,d,1,x,,2\n",
    ],
)
def test_another_file_is_refused_by_name(tmp_path: Path, text: str):
    (tmp_path / "other.csv").write_text(text)
    if text:
        with pytest.raises(UserError, match=r"other\.csv: not a results\.csv"):
            read_csv(tmp_path / "other.csv", Result)
    else:
        assert read_csv(tmp_path / "other.csv", Result) == []


def test_gains_pair_runs_of_one_seed_and_leave_out_what_has_no_partner():
    gain = gain_of(SEVEN, "iscc", 1.0)
    assert gain == Spread(6.5, pytest.approx(math.sqrt(0.5)), 2)
    assert mean_of(SEVEN, "iscc", 1.0).mean == pytest.approx((37 + 40 + 99) / 3)
    assert gain_of(SEVEN, "segcontrast", 1.0) is None
    assert str(gain_of(SEVEN, "iscc", 10.0)) == "2.5"


@given(st.lists(st.floats(-100, 100), min_size=2, max_size=6))
def test_the_spread_is_the_sample_deviation(values: list[float]):
    found = spread(values)
    mean = sum(values) / len(values)
    variance = sum((v - mean) ** 2 for v in values) / (len(values) - 1)
    assert found.mean == pytest.approx(mean, abs=1e-9)
    assert found.deviation == pytest.approx(math.sqrt(variance), abs=1e-6)


def test_the_authors_gains_are_those_of_the_slides():
    assert authors_slides.gain("semantickitti", "iscc", 1.0) == 6.2
    assert authors_slides.gain("waymo", "iscc", 10.0) == 1.3
    assert authors_slides.gain("semantickitti", "occ_only_16", 10.0) == 0.6
    assert authors_slides.gain("semantickitti", "local_only", 2.0) == 1.9
    assert authors_slides.gain("waymo", "segcontrast", 1.0) is None
    assert authors_slides.gain("semantickitti", "iscc", 3.0) is None
    assert authors_slides.miou("semantickitti", "iscc", 1.0) == pytest.approx(45.1)


def test_tables_hold_means_paired_gains_and_the_authors_gains():
    text = tables(SEVEN, "semantickitti")
    lines = text.splitlines()
    assert lines[0] == "### Semantic segmentation, mIoU, fine-tuned by long"
    assert lines[2].startswith("|  | 1 % of labels | gain | authors' gain | 10 % of labels | gain |")
    assert lines[4] == "| from scratch: no pre-training | 32.0 ± 2.8 |  |  | 40.0 |  |  |"
    assert "| 58.7 ± 35.0 | +6.5 ± 0.7 | +6.2 | 42.5 | +2.5 | +1.8 |" in lines[5]
    assert "Ablation" not in text
    both = tables([*SEVEN, result("iscc", 1.0, 0, 50.0, schedule="short")], "semantickitti")
    assert both.startswith(text), "schedules are never averaged"
    assert "fine-tuned by short" in both
    assert "50.0 |  |" in both, "no gain without a run from scratch by the same schedule"
    spread = tables([dataclasses.replace(r, labels="both") for r in SEVEN], "semantickitti")
    assert "+6.5 ± 0.7 |  |" in spread, "the authors spread no labels"
    assert "Ablation" in tables([*SEVEN, result("local_only", 1.0, 0, 33.0)], "semantickitti")
