from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from iscc_lidar.data_schemas.labels import GROUND, NOISE, NOT_CONSIDERED
from iscc_lidar.preprocess.datasets.registry import open_dataset
from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.cache.reader import Cache

from benchmarks.cli import app
from benchmarks.preprocess.label_scores import LabelledPoints, read_labelled, score_labels, score_table

NAMES = ("unlabelled", "car", "road")


def points(*rows: tuple[int, int, int, int, int]) -> LabelledPoints:
    """Rows of: number of points, label, object, class, sweep."""
    table = np.repeat(np.array([row[1:] for row in rows]), [row[0] for row in rows], axis=0)
    label, truth, semantic, sweep = table.T
    return LabelledPoints(
        label.astype(np.int32), truth.astype(np.int32), semantic.astype(np.uint8), sweep.astype(np.int64)
    )


def test_points_called_ground_count_and_unlabelled_ones_do_not() -> None:
    found = score_labels(
        points((60, 3, 1, 1, 0), (40, GROUND, 1, 1, 0), (500, 3, 0, 0, 0), (20, 3, 0, 2, 0)), NAMES, {1: 5.0}
    )
    assert found.figures["coverage"] == 60 / 120  # of 100 points 60, and 20 of the road
    assert found.figures["most_road_points_in_a_group"] == 20
    assert found.figures["moving.objects"] == 1
    assert found.by_class == {"car": (1, 0.5, 1.0)}
    assert found.figures["S_temp"] == 60 / 100 * 60 / 120


def test_ground_is_compared_with_the_ground_classes() -> None:
    rows = ((60, GROUND, 0, 2, 0), (20, 3, 0, 2, 0), (20, GROUND, 1, 1, 0), (60, 3, 1, 1, 0), (9, GROUND, 0, 0, 0))
    found = score_labels(points(*rows), NAMES, None, frozenset({"road"})).figures
    assert found["ground.iou"] == 0.6
    assert found["ground.called_otherwise"] == 0.25
    assert found["ground.others_called_ground"] == 0.25


def test_points_out_of_range_count_only_as_unit_counts_them() -> None:
    found = score_labels(points((60, 3, 1, 1, 0), (40, NOT_CONSIDERED, 1, 1, 0)), NAMES, None)
    assert found.figures["coverage"] == 1
    assert found.figures["IoU_star"] == 0.6
    assert "moving.objects" not in found.figures


def test_missed_objects_have_reasons_and_nothing_prints_nan() -> None:
    found = score_labels(points((60, NOISE, 1, 1, 0), (60, 4, 2, 1, 0), (60, 5, 2, 1, 1)), NAMES, {})
    assert dict(found.missed) == {"noise": 1}  # the other has half of its points in one group
    empty = score_labels(points((9, 1, 0, 2, 0)), NAMES, None)
    text = score_table({"a": found, "b": empty})
    assert "nan" not in text
    assert "missed: noise 1" in text
    assert "missed: none" in text


def test_a_cache_is_scored_alone(tiny_cache: Path, tiny_streets: Path, tmp_path: Path) -> None:
    cache, dataset = Cache(tiny_cache), open_dataset("semantickitti", tiny_streets)
    found = score_labels(read_labelled(cache, dataset, "00", range(6)), dataset.class_names, None)
    assert found.figures["objects"] > 2
    assert found.figures["coverage"] > 0.5
    words = ["groups", str(tiny_cache), str(tiny_streets), "--out", str(tmp_path), "--sequences", "00"]
    done = CliRunner().invoke(app, [*words, "--sweeps", "0:6"])
    assert done.exit_code == 0, done.output
    assert f"{found.figures['coverage']:.3f}" in done.output
    assert CliRunner().invoke(app, [*words, "--sweeps", "a:b"]).exit_code == 1
    with pytest.raises(UserError, match="no sweep of sequence 00 has labels to score with"):
        read_labelled(cache, dataset, "00", [])
