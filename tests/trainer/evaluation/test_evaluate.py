"""The whole evaluation, of runs that are trained here in a few steps."""

import dataclasses
import json
from pathlib import Path

import pytest

from iscc_lidar.data_schemas.manifest import to_json
from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.cache.reader import Cache
from iscc_lidar.trainer.evaluation.evaluate import EvaluationConfig, evaluate
from iscc_lidar.trainer.evaluation.results import read_evaluation, report
from iscc_lidar.trainer.pretrain.learner import pretrain
from iscc_lidar.trainer.pretrain.recipe import resolve_pretrain

SMALL = EvaluationConfig(labelled_sweeps=2, val_sweeps=3, occupancy_sweeps=2, grouping_sweeps=4)


def test_a_run_without_prototypes_has_clusters_of_its_features(
    cache_path: Path, other_cache_path: Path, tiny_recipe: Path, tmp_path: Path
):
    config = resolve_pretrain([tiny_recipe], ["method.name=segcontrast"])
    pretrain([cache_path], tmp_path / "run", config)
    found = evaluate(tmp_path / "run", cache_path, other_cache_path, SMALL, tmp_path / "run" / "evaluation.json")
    assert list(found["grouping"]) == ["k-means, pre-trained", "k-means, untrained", "k-means, geometry"]
    assert "occupancy" not in found
    assert "occupancy" not in report(found)
    assert json.loads(json.dumps(found)) == read_evaluation(tmp_path / "run")
    again = evaluate(tmp_path / "run", cache_path, other_cache_path, SMALL, tmp_path / "again.json")
    assert again == found


def test_caches_of_other_classes_and_a_folder_without_a_run_are_refused(
    cache_path: Path, other_cache_path: Path, tmp_path: Path
):
    with pytest.raises(UserError, match="no run here"):
        evaluate(tmp_path, cache_path, other_cache_path, SMALL, tmp_path / "e.json")
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "manifest.json").write_text(
        to_json(dataclasses.replace(Cache(other_cache_path).manifest, class_names=("unlabelled", "tree")))
    )
    with pytest.raises(UserError, match="different semantic classes"):
        evaluate(tmp_path, cache_path, foreign, SMALL, tmp_path / "e.json")
