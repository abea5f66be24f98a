"""Labels by a network: which ones prevail, and training on them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from spread_writer import write_spread
from typer.testing import CliRunner

from iscc_lidar.data_schemas.spread import FROM_LABEL, FROM_NETWORK, FROM_NOTHING, FROM_POSITION
from iscc_lidar.shared.cache.reader import Cache
from iscc_lidar.shared.cache.spread_labels import SpreadLabels
from iscc_lidar.trainer.cli import app
from iscc_lidar.trainer.finetune.predict import open_tuned
from iscc_lidar.trainer.finetune.semseg.averaging import predict_averaged
from iscc_lidar.trainer.finetune.semseg.config import SemsegConfig
from iscc_lidar.trainer.finetune.semseg.learner import SemsegLearner
from iscc_lidar.trainer.finetune.spread import balanced
from iscc_lidar.trainer.run.loop import train


@pytest.fixture(scope="module")
def run(cache_path: Path, tuning: SemsegConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("run") / "run"
    train(SemsegLearner.of(cache_path, tuning), out)
    return out


def call(*words: object) -> str:
    done = CliRunner().invoke(app, [str(word) for word in words])
    assert done.exit_code == 0, done.output
    return done.output


def test_labels_prevail_then_spread_ones_then_predictions(
    run: Path, cache_path: Path, tuning: SemsegConfig, tmp_path: Path
) -> None:
    cache = Cache(cache_path)
    spread = write_spread(tmp_path / "spread", cache, {"00": [2]}, confidence=0.8, hidden=1)
    said = call("pseudo-label", run, cache_path, tmp_path / "labels", "--spread", spread, "--min-confidence", 0.3)
    assert "network" in said
    labels, before = SpreadLabels(tmp_path / "labels", cache), SpreadLabels(spread, cache)
    assert labels.sequence_names == tuple(cache.sequence_names)
    assert labels.labelled("00") == (2,)
    assert labels.labelled("01") == ()
    np.testing.assert_array_equal(labels.sweep("00", 2).classes, cache.classes("00", 2))
    _, tuned = open_tuned(run)
    places = [("00", index) for index in range(6)]
    size, device = tuned.config.model.voxel_size, tuned.device
    with torch.no_grad():
        predicted = list(predict_averaged(tuned.network, lambda place: cache.sweep(*place), places, size, device))
    filled = 0
    for index in (0, 5):
        found, spread_here, guess = labels.sweep("00", index), before.sweep("00", index), predicted[index]
        has = spread_here.classes > 0
        np.testing.assert_array_equal(found.classes[has], spread_here.classes[has])
        assert (found.source[has] == FROM_POSITION).all()
        assert guess.probability is not None
        sure = guess.probability >= 0.3
        np.testing.assert_array_equal(found.classes[~has], np.where(sure, guess.averaged, 0)[~has])
        np.testing.assert_array_equal(
            found.source[~has], np.where(sure & (guess.averaged > 0), FROM_NETWORK, FROM_NOTHING)[~has]
        )
        np.testing.assert_allclose(found.confidence[~has], np.where(sure, guess.probability, 0)[~has], atol=1 / 255)
        filled += int((found.source == FROM_NETWORK).sum())
    assert filled > 0
    learner = SemsegLearner.of_spread(cache_path, tuning, tmp_path / "labels")
    assert len(learner.trained_on) == 12
    assert learner.places == [("00", 2)]


def test_what_people_left_unlabelled_stays_so(run: Path, cache_path: Path, tmp_path: Path) -> None:
    """Class 2 of other sweeps: once nothing is known of it, once people left it unlabelled."""
    cache = Cache(cache_path)
    told = []
    for said in (FROM_NOTHING, FROM_POSITION):
        folder = tmp_path / str(said)
        spread = write_spread(folder / "spread", cache, {"00": [2]}, hidden=2, hidden_source=said)
        call("pseudo-label", run, cache_path, folder / "labels", "--spread", spread, "--min-confidence", 0)
        found = SpreadLabels(folder / "labels", cache).sweep("00", 4)
        hidden = cache.classes("00", 4) == 2
        assert hidden.sum() > 20
        told.append(np.count_nonzero(found.classes[hidden]) / hidden.sum())
    assert told[0] > 0.9
    assert told[1] == 0


def test_without_spread_labels_the_listed_sweeps_keep_their_labels(run: Path, cache_path: Path, tmp_path: Path) -> None:
    cache = Cache(cache_path)
    (tmp_path / "list.txt").write_text(f"01/{cache.sweep_name('01', 3)}\n")
    words = ("pseudo-label", run, cache_path, tmp_path / "labels", "--labelled", tmp_path / "list.txt")
    call(*words, "--min-confidence", 0)
    labels = SpreadLabels(tmp_path / "labels", cache)
    assert set(labels.sweep("01", 3).source.tolist()) <= {FROM_LABEL, FROM_NOTHING}
    assert set(labels.sweep("01", 2).source.tolist()) <= {FROM_NETWORK, FROM_NOTHING}
    counts = labels.points()
    assert counts["network"] > 0
    assert counts["position"] == counts["group"] == 0
    call(*words, "--min-confidence", 1)  # written again
    assert SpreadLabels(tmp_path / "labels", cache).points()["network"] < counts["network"]


def test_what_does_not_fit_is_one_line(run: Path, cache_path: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/mine.txt").write_text("mine")
    (tmp_path / "list.txt").write_text(f"01/{Cache(cache_path).sweep_name('01', 3)}\n")
    for words, fault in (
        ((run, cache_path, tmp_path / "labels"), "--labelled or --spread: which sweeps are labelled?"),
        ((run, cache_path, tmp_path / "labels", "--spread", tmp_path), "no spread labels here"),
        ((run, cache_path, tmp_path / "out", "--labelled", tmp_path / "list.txt"), "contains mine.txt"),
        ((tmp_path, cache_path, tmp_path / "labels", "--labelled", tmp_path / "list.txt"), "error: "),
    ):
        done = CliRunner().invoke(app, ["pseudo-label", *map(str, words)])
        assert done.exit_code == 1
        assert fault in done.output
        assert done.output.count("\n") == 1
    assert not (tmp_path / "labels").exists()


def test_sweeps_that_only_a_network_labelled_are_at_most_about_half() -> None:
    of_people, of_network = [("00", 0), ("00", 1)], [(f"{sequence:02d}", 0) for sequence in range(1, 8)]
    drawn = balanced(of_people + of_network, labelled=[("00", 1)])
    assert sorted(set(drawn)) == sorted(of_people + of_network)
    assert [drawn.count(place) for place in of_people] == [4, 4]
    assert [drawn.count(place) for place in of_network] == [1] * 7
    assert balanced(of_people + of_network[:1], labelled=[("00", 1)]) == of_people + of_network[:1]
