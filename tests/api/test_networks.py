"""Features, classes and boxes from Python are those of the programs; arrays and tensors come back as they went in."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import iscc_lidar
from iscc_lidar.api import weights
from iscc_lidar.data_schemas.boxes import no_boxes
from iscc_lidar.preprocess.datasets import registry
from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.base.files import sha256
from iscc_lidar.shared.cache.reader import Cache
from iscc_lidar.trainer.data.voxelize import join_voxels, voxelize
from iscc_lidar.trainer.finetune.detection.detect import detect
from iscc_lidar.trainer.finetune.detection.samples import scene_of
from iscc_lidar.trainer.finetune.semseg.averaging import predict_averaged
from iscc_lidar.trainer.finetune.semseg.segment import predict

Points = NDArray[np.float32]


@pytest.fixture(scope="module")
def encoder(user_folder: Path) -> iscc_lidar.Encoder:
    return iscc_lidar.load_encoder(user_folder / "runs/iscc")


def test_features_are_those_of_each_points_voxel(encoder: iscc_lidar.Encoder, points: Points) -> None:
    voxels = voxelize(points[:, :3], points[:, 3], encoder.voxel_size_m)
    with torch.no_grad():
        expected = encoder.network(*join_voxels([voxels]))[torch.from_numpy(voxels.of_point)]
    features = encoder(points)
    assert features.dtype == np.float32
    assert features.shape == (len(points), encoder.channels) == (len(points), 8)
    np.testing.assert_array_equal(features, expected.numpy())
    assert encoder.intensity == "0..1"
    assert not encoder.training
    assert "voxel_size_m=0.5, channels=8" in repr(encoder)


def test_a_list_is_a_batch(encoder: iscc_lidar.Encoder, points: Points) -> None:
    several = encoder([points, points[:100], np.zeros((0, 4), np.float32)])
    assert [found.shape for found in several] == [(len(points), 8), (100, 8), (0, 8)]
    np.testing.assert_allclose(several[0], encoder(points), atol=1e-5)
    np.testing.assert_allclose(several[1], encoder(points[:100]), atol=1e-5)


def test_invalid_points_have_features_of_zero_and_no_effect(encoder: iscc_lidar.Encoder, points: Points) -> None:
    with_invalid = np.insert(points, [0, 50], np.zeros(4, np.float32), axis=0)
    features = encoder(with_invalid)
    assert not features[[0, 51]].any()
    np.testing.assert_array_equal(np.delete(features, [0, 51], axis=0), encoder(points))
    assert not encoder(np.zeros((5, 4), np.float32)).any()


def test_a_tensor_comes_back_as_a_tensor_and_the_encoder_can_be_trained(user_folder: Path, points: Points) -> None:
    encoder = iscc_lidar.load_encoder(user_folder / "runs/iscc").train()
    features = encoder(torch.from_numpy(points))
    assert isinstance(features, torch.Tensor)
    assert features.device == torch.device("cpu")
    features.square().sum().backward()
    assert all(parameter.grad is not None for parameter in encoder.parameters())
    mixed = encoder([torch.from_numpy(points), points])
    assert [type(found) for found in mixed] == [torch.Tensor, np.ndarray]
    with torch.no_grad():
        assert not encoder(torch.from_numpy(points)).requires_grad


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_a_tensor_stays_on_its_device(user_folder: Path, points: Points) -> None:
    encoder = iscc_lidar.load_encoder(user_folder / "runs/iscc")
    expected, there = encoder(points), torch.from_numpy(points).cuda()
    assert encoder(there).device == there.device  # computed on the CPU, where the weights are
    np.testing.assert_allclose(encoder.cuda()(points), expected, atol=1e-3)
    assert encoder(there).device == there.device
    assert encoder(torch.from_numpy(points)).device == torch.device("cpu")
    model = iscc_lidar.load_model(user_folder / "runs/tuned").cuda()
    assert model(there).device == there.device
    boxes = iscc_lidar.load_model(user_folder / "runs/boxes").cuda()(there)
    assert boxes.score.device == there.device


def test_an_encoder_loads_from_run_file_export_and_fine_tuned_run(
    encoder: iscc_lidar.Encoder, user_folder: Path, points: Points
) -> None:
    for source in ("runs/iscc", "runs/iscc/encoder.safetensors", "weights/native"):
        np.testing.assert_array_equal(iscc_lidar.load_encoder(user_folder / source)(points), encoder(points))
    for source in ("runs/tuned", "runs/boxes"):
        found = iscc_lidar.load_encoder(str(user_folder / source))
        assert found(points).shape == (len(points), 8)


def test_a_shipped_encoder_needs_its_file_and_digest(
    user_folder: Path, points: Points, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weights, "__file__", str(tmp_path / "__init__.py"))
    with pytest.raises(UserError, match="'small' does not come with this version"):
        iscc_lidar.load_encoder("small")
    content = (user_folder / "runs/iscc/encoder.safetensors").read_bytes()
    (tmp_path / "small.safetensors").write_bytes(content)
    monkeypatch.setitem(weights.SHA256, "small", sha256(tmp_path / "small.safetensors"))
    assert iscc_lidar.load_encoder("small")(points).shape == (len(points), 8)
    (tmp_path / "small.safetensors").write_bytes(content[:-1] + b"x")
    with pytest.raises(UserError, match="its SHA-256 is not the expected"):
        iscc_lidar.load_encoder("small")


def test_the_encoder_that_comes_with_the_package_knows_more_than_a_new_one(tiny_streets: Path) -> None:
    encoder = iscc_lidar.load_encoder("small")
    assert (encoder.channels, encoder.voxel_size_m) == (64, 0.2)
    assert (Path(str(weights.__file__)).parent / "small.safetensors").stat().st_size < 4_000_000
    street = registry.open_dataset("synthetic", tiny_streets)
    features, classes = [], []
    for index in (0, 5):
        sweep = street.read("00", index)
        assert sweep.semantic is not None
        rows = encoder(np.column_stack([sweep.xyz, sweep.intensity])[::4])
        features.append(rows / np.linalg.norm(rows, axis=1, keepdims=True).clip(1e-9))
        classes.append(np.asarray(sweep.semantic)[::4])
    thing = np.isin(classes[1], [1, 13])  # cars and buildings
    centres = [features[0][classes[0] == kind].mean(0) for kind in (1, 13)]
    found = np.array([1, 13])[(features[1][thing] @ np.array(centres).T).argmax(1)]
    assert (found == classes[1][thing]).mean() > 0.9


def test_classes_are_those_of_the_program(user_folder: Path, points: Points) -> None:
    model = iscc_lidar.load_model(user_folder / "runs/tuned")
    assert isinstance(model, iscc_lidar.Segmenter)
    sweep = Cache(user_folder / "cache/kitti").sweep("00", 2)
    expected = predict(model.network, sweep, model.voxel_size_m, torch.device("cpu"))
    classes, probabilities = model(points), model.probabilities(points)
    np.testing.assert_array_equal(classes, expected)
    assert classes.dtype == np.uint8
    assert probabilities.shape == (len(points), len(model.class_names))
    valid = points[:, :3].any(axis=1)
    np.testing.assert_allclose(probabilities.sum(axis=1), valid, atol=1e-5)
    np.testing.assert_array_equal(probabilities.argmax(axis=1), classes)
    assert model([torch.from_numpy(points)])[0].dtype == torch.uint8
    assert not model(np.zeros((3, 4), np.float32)).any()


def test_classes_averaged_over_groups_are_those_of_the_program(user_folder: Path) -> None:
    model = iscc_lidar.load_model(user_folder / "runs/tuned")
    assert isinstance(model, iscc_lidar.Segmenter)
    cache = Cache(user_folder / "cache/kitti")
    places = [("00", index) for index in range(3)]
    with torch.no_grad():
        found = predict_averaged(
            model.network, lambda place: cache.sweep(*place), places, model.voxel_size_m, torch.device("cpu")
        )
        expected = list(found)
    sweeps = list(iscc_lidar.open_cache(user_folder / "cache/kitti")["00"])[:3]
    points, labels = [sweep.points for sweep in sweeps], [sweep.label for sweep in sweeps]
    averaged = model.average_groups(points, labels)
    for own, program in zip(averaged, expected, strict=True):
        assert own.dtype == np.uint8
        # The program keeps its probabilities in half precision.
        assert (own == program.averaged).mean() > 0.999
    assert any((program.averaged != program.alone).any() for program in expected)
    tensors = model.average_groups([torch.from_numpy(points[0]), points[1]], labels[:2])
    assert torch.is_tensor(tensors[0])
    for wrong, fault in (
        (labels[:1], "labels: has 1 arrays for 2 sweeps"),
        ([labels[0], labels[1][1:]], r"labels\[1\]: is int32 .* expected an array int32 "),
        ([labels[0], labels[1].astype(np.int64)], r"labels\[1\]: is int64"),
        ([labels[0], None], r"labels\[1\]: is a NoneType"),
    ):
        with pytest.raises(UserError, match=fault):
            model.average_groups(points[:2], wrong)


def test_boxes_are_those_of_the_program(user_folder: Path, points: Points) -> None:
    model = iscc_lidar.load_model(user_folder / "runs/boxes")
    assert isinstance(model, iscc_lidar.Detector)
    sweep = Cache(user_folder / "cache/kitti").sweep("00", 2)
    config = model._config
    with torch.no_grad():
        expected, score = detect(model.network, scene_of(sweep, no_boxes(), None, config), config, torch.device("cpu"))
    boxes = model(points)
    assert len(boxes) == len(expected) > 0
    np.testing.assert_array_equal(boxes.centre, expected.centre)
    np.testing.assert_array_equal(boxes.score, score)
    assert [model.class_names[k] for k in boxes.class_index] == list(boxes.class_name)
    limit = float(np.median(score))
    assert len(model(points, min_score=limit)) < len(boxes)
    several = model([torch.from_numpy(points), np.zeros((2, 4), np.float32)])
    assert torch.is_tensor(several[0].size)
    assert len(several[1]) == 0
    with pytest.raises(UserError, match=r"min_score: is 2, expected 0\.\.1"):
        model(points, min_score=2)


def test_what_is_no_network_is_one_line(user_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "x.safetensors").write_bytes(b"no weights")
    for source, words in (
        (tmp_path / "missing", "no such file or folder, and no encoder of this name comes with the package"),
        (tmp_path / "empty", "neither a run nor a native export"),
        (tmp_path / "x.safetensors", "no weights written by this program"),
        (user_folder / "weights/pointcept", "an export to pointcept; pass the run, or export it with --to native"),
    ):
        with pytest.raises(UserError, match=words) as raised:
            iscc_lidar.load_encoder(source)
        assert "\n" not in str(raised.value)
    with pytest.raises(UserError, match="source: is a NoneType, expected a path or a name"):
        iscc_lidar.load_encoder(None)  # type: ignore[arg-type]
    with pytest.raises(UserError, match="a run of pretrain, which predicts nothing; fine-tune it first"):
        iscc_lidar.load_model(user_folder / "runs/iscc")
    with pytest.raises(UserError, match="no run here"):
        iscc_lidar.load_model(tmp_path / "empty")
