"""Fine-tuning runs: from scratch and from an encoder, interrupted, refused, learning."""

import dataclasses
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.cache.reader import Cache
from iscc_lidar.trainer.data.pairs import Share
from iscc_lidar.trainer.data.places import all_labelled
from iscc_lidar.trainer.finetune.config import Transfer
from iscc_lidar.trainer.finetune.encoder import find_encoder
from iscc_lidar.trainer.finetune.labels import LabelConfig, choose_labelled
from iscc_lidar.trainer.finetune.score import score_run
from iscc_lidar.trainer.finetune.semseg.config import SemsegConfig
from iscc_lidar.trainer.finetune.semseg.learner import SemsegLearner
from iscc_lidar.trainer.finetune.tasks import TASKS
from iscc_lidar.trainer.hardware.device import ON_CPU
from iscc_lidar.trainer.pretrain.methods.iscc import IsccConfig
from iscc_lidar.trainer.run.checkpoint import checkpoint_step
from iscc_lidar.trainer.run.loop import step_batches
from iscc_lidar.trainer.run.state import new_state

from steps import KilledError, die_in_step, finetune, one_step


def with_train(config: SemsegConfig, **changes: object) -> SemsegConfig:
    return dataclasses.replace(config, train=dataclasses.replace(config.train, **changes))


def log(out: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("workers", [0, 1])
def test_an_interrupted_and_resumed_run_ends_bit_for_bit_the_same(
    cache_path: Path, tuning: SemsegConfig, pretrained: Path, tmp_path: Path, monkeypatch, workers: int
):
    encoder = find_encoder(pretrained)
    assert finetune(SemsegLearner, cache_path, tmp_path / "whole", tuning, encoder)
    with monkeypatch.context() as patch:
        die_in_step(patch, 5)
        with pytest.raises(KilledError):
            finetune(SemsegLearner, cache_path, tmp_path / "run", tuning, encoder)
    assert checkpoint_step(tmp_path / "run") == 3
    assert finetune(
        SemsegLearner, cache_path, tmp_path / "run", with_train(tuning, loader_workers=workers), encoder, resume=True
    )
    for name in ("segmentation.safetensors", "metrics.jsonl", "labelled.txt"):
        assert (tmp_path / "run" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert not finetune(SemsegLearner, cache_path, tmp_path / "run", tuning, encoder)


@pytest.mark.parametrize("transfer", ["all", "down"])
def test_what_was_pretrained_is_loaded_and_held_while_the_rest_is_trained_alone(
    cache: Cache, tuning: SemsegConfig, pretrained: Path, transfer: Transfer
):
    config = with_train(tuning, freeze_fraction=0.5, transfer=transfer)
    learner = SemsegLearner(cache, [("00", 0), ("01", 0)], config, find_encoder(pretrained))
    state = new_state(learner, ON_CPU)
    before = {name: value.clone() for name, value in state.network.named_parameters()}
    given = {f"encoder.{name}": value for name, value in load_file(pretrained / "encoder.safetensors").items()}
    loaded = {name for name, value in before.items() if name in given and torch.equal(value, given[name])}
    changed = []
    for batches in step_batches(learner, 0, Share(), torch.device("cpu")):
        one_step(learner, state, batches)
        changed.append(
            {name for name, value in state.network.named_parameters() if not torch.equal(value, before[name])}
        )
    way_up = {name for name in before if name.startswith("encoder.decoder.")}
    new = {"head.weight", "head.bias"} | (way_up if transfer == "down" else set())
    assert loaded >= set(before) - new
    assert not {name for name in loaded & new if name.endswith("kernel")}
    assert changed[3] == new
    assert len(changed[4]) == len(before)


def test_a_probe_trains_what_is_new_alone(cache: Cache, tuning: SemsegConfig, pretrained: Path):
    config = with_train(tuning, freeze_fraction=1.0, transfer="all")
    learner = SemsegLearner(cache, [("00", 0)], config, find_encoder(pretrained))
    state = new_state(learner, ON_CPU)
    before = {name: value.clone() for name, value in state.network.named_parameters()}
    for batches in step_batches(learner, 0, Share(), torch.device("cpu")):
        one_step(learner, state, batches)
    assert {n for n, v in state.network.named_parameters() if not torch.equal(v, before[n])} == {
        "head.weight",
        "head.bias",
    }


def test_from_scratch_nothing_is_held(cache: Cache, tuning: SemsegConfig):
    learner = SemsegLearner(cache, [("00", 0)], with_train(tuning, freeze_fraction=0.5))
    state = new_state(learner, ON_CPU)
    before = {name: value.clone() for name, value in state.network.named_parameters()}
    _, batches, *_ = step_batches(learner, 0, Share(), torch.device("cpu"))
    state.step = 1
    one_step(learner, state, batches)
    assert not [name for name, value in state.network.named_parameters() if torch.equal(value, before[name])]


def test_it_learns_what_the_small_world_holds(
    cache_path: Path, other_cache_path: Path, tuning: SemsegConfig, tmp_path: Path
):
    config = with_train(tuning, steps=60, batch_size=2)
    finetune(SemsegLearner, cache_path, tmp_path / "run", config)
    content = score_run(TASKS["semseg"], tmp_path / "run", other_cache_path)
    assert content["iou"]["ground"] > 0.8
    assert content["miou"] > 0.6
    assert log(tmp_path / "run")[-1]["loss"] < 0.5 * log(tmp_path / "run")[0]["loss"]


def test_nested_fractions_and_lists_say_which_sweeps_are_labelled(cache: Cache, tuning: SemsegConfig, tmp_path: Path):
    def drawn(percent: float, seed: int = 0) -> set[tuple[str, int]]:
        labels = dataclasses.replace(tuning.labels, percent=percent, seed=seed)
        return set(choose_labelled(cache, labels, all_labelled)[0])

    assert len(drawn(1)) == 1
    assert drawn(10) <= drawn(25) <= drawn(50) <= drawn(100)
    assert len(drawn(100)) == 12
    assert len({frozenset(drawn(25, seed)) for seed in range(8)}) > 1
    (tmp_path / "list.txt").write_text("01/000003\n00/000001\n")
    assert choose_labelled(cache, tuning.labels, all_labelled, tmp_path / "list.txt")[0] == [("01", 3), ("00", 1)]


def test_a_fraction_is_of_the_sweeps_that_have_labels(cache: Cache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(Cache, "labelled_sweeps", lambda _, name: [0, 2, 5] if name == "01" else [])
    places, count = choose_labelled(cache, LabelConfig(percent=100.0), all_labelled)
    assert count == 3
    assert set(places) == {("01", 0), ("01", 2), ("01", 5)}
    (tmp_path / "list.txt").write_text("01/000001\n01/000002\n01/000005\n")
    assert choose_labelled(cache, LabelConfig(), all_labelled, among=tmp_path / "list.txt")[1] == 2


@pytest.mark.parametrize("sweeps", range(1, 13))
def test_a_number_of_sweeps_is_drawn(cache: Cache, sweeps: int):
    found = [choose_labelled(cache, LabelConfig(sweeps=n, seed=3), all_labelled)[0] for n in (sweeps, 12)]
    assert len(found[0]) == sweeps
    assert set(found[0]) <= set(found[1])


def test_more_sweeps_than_there_are_cannot_be_drawn(cache: Cache):
    with pytest.raises(UserError, match=r"labels\.sweeps=13: only 12 sweeps of .* can be drawn"):
        choose_labelled(cache, LabelConfig(sweeps=13), all_labelled)


def test_a_list_of_labelled_sweeps_says_it_all_whatever_they_were_to_be_drawn_among(
    cache_path: Path, tuning: SemsegConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(Cache, "labelled_sweeps", lambda _, name: [3] if name == "01" else [])
    (tmp_path / "labelled.txt").write_text("01/000003\n")
    (tmp_path / "among.txt").write_text("00/000001\n")
    by_epochs = with_train(tuning, steps=0, epochs=(2,))
    assert finetune(
        SemsegLearner,
        cache_path,
        tmp_path / "run",
        by_epochs,
        listed=tmp_path / "labelled.txt",
        among=tmp_path / "among.txt",
    )


def test_length_goes_by_epochs_unless_steps_are_given(tuning: SemsegConfig):
    assert tuning.train.steps_for(100, 100) == 8
    by_epochs = with_train(tuning, steps=0, epochs=(3,), batch_size=2)
    assert by_epochs.train.steps_for(5, 5) == 8
    assert by_epochs.train.steps_for(1, 100) == 2
    peers = with_train(tuning, steps=0, epochs=(500, 100, 50, 30), epochs_at=(1.0, 10.0, 50.0, 100.0), batch_size=1)
    epochs = [peers.train.steps_for(percent, 100) / percent for percent in (1, 10, 50, 100)]
    assert epochs == [500, 100, 50, 30]
    assert peers.train.steps_for(1, 1000) == 500
    assert 100 < peers.train.steps_for(5, 100) / 5 < 500
    with pytest.raises(ValueError, match="equally long"):
        with_train(tuning, epochs=(1, 2))
    with pytest.raises(ValueError, match="must rise"):
        with_train(tuning, epochs=(1, 2), epochs_at=(10.0, 1.0))


def test_another_encoder_other_labels_and_a_foreign_folder_are_refused(
    cache_path: Path, tuning: SemsegConfig, pretrained: Path, tmp_path: Path
):
    out = tmp_path / "run"
    finetune(SemsegLearner, cache_path, out, tuning)
    with pytest.raises(UserError, match="another encoder"):
        finetune(SemsegLearner, cache_path, out, tuning, find_encoder(pretrained), resume=True)
    (tmp_path / "list.txt").write_text("01/000003\n")
    with pytest.raises(UserError, match="another list of labelled sweeps"):
        finetune(SemsegLearner, cache_path, out, tuning, listed=tmp_path / "list.txt", resume=True)
    with pytest.raises(UserError, match=r"no encoder there.*encoder\.safetensors"):
        find_encoder(tmp_path / "nowhere")
    (tmp_path / "bad.safetensors").write_bytes(b"nonsense")
    with pytest.raises(UserError, match=r"bad\.safetensors: no weights written by this program"):
        find_encoder(tmp_path / "bad.safetensors")


def test_an_encoder_brings_its_own_network(
    cache_path: Path, tuning: SemsegConfig, tiny: IsccConfig, pretrained: Path, tmp_path: Path
):
    other = dataclasses.replace(tuning, model=dataclasses.replace(tuning.model, voxel_size=0.3, stem_width=4))
    finetune(
        SemsegLearner,
        cache_path,
        tmp_path / "run",
        with_train(other, steps=1),
        find_encoder(pretrained / "encoder.safetensors"),
    )
    assert json.loads((tmp_path / "run/config.json").read_text())["model"]["voxel_size"] == tiny.model.voxel_size


def test_a_loss_that_is_not_finite_ends_the_run_by_name(cache_path: Path, tuning: SemsegConfig, tmp_path: Path):
    wild = with_train(tuning, encoder_learning_rate=1e30, head_learning_rate=1e30, freeze_fraction=0.0)
    with pytest.raises(
        UserError, match=r"step \d+: loss .*: not finite\. Sweeps of this step: 0[01]/00000\d"
    ) as caught:
        finetune(SemsegLearner, cache_path, tmp_path / "run", wild)
    assert "lower train.head_learning_rate or train.encoder_learning_rate" in str(caught.value)
