from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from iscc_lidar.shared.cache.reader import Cache
from iscc_lidar.trainer.data.voxelize import join_voxels
from iscc_lidar.trainer.evaluation.frozen import voxelize_sweep
from iscc_lidar.trainer.pretrain.methods.iscc import IsccConfig
from iscc_lidar.trainer.pretrain.trained import load_prototypes, load_student
from iscc_lidar.trainer.report.inspect_sweeps import InspectedSweep, inspect_sweeps
from iscc_lidar.trainer.report.usage import group_classes, usage
from iscc_lidar.trainer.run.run import open_run

NAMES = ("unlabelled", "car", "wall", "pole", "ground")


@pytest.fixture(scope="module")
def sweeps(run: Path, cache: Cache, tiny: IsccConfig) -> list[InspectedSweep]:
    centres = load_prototypes(open_run(run), tiny).centres
    return inspect_sweeps(load_student(open_run(run), tiny), centres, tiny, cache, sweeps=5, seed=0)


def test_nearest_prototype_of_a_group_is_that_of_its_mean_feature(
    run: Path, cache: Cache, tiny: IsccConfig, sweeps: list[InspectedSweep]
):
    student, centres = load_student(open_run(run), tiny).eval(), load_prototypes(open_run(run), tiny).centres
    sweep = sweeps[2]
    voxels = voxelize_sweep(cache.sweep(sweep.sequence, int(sweep.name)), tiny)
    with torch.no_grad():
        h = student.encoder(*join_voxels([voxels]))
        for group, prototype, similarity in zip(sweep.group, sweep.prototype, sweep.similarity, strict=True):
            mean = h[voxels.of_point[sweep.label == group]].mean(dim=0, keepdim=True)
            cosine = (student.head(mean) @ centres.T)[0]
            assert cosine.max() == pytest.approx(similarity, abs=1e-5)
            assert cosine[prototype] == pytest.approx(similarity, abs=1e-5)


def test_occupancy_is_predicted_where_points_were_masked(tiny: IsccConfig, sweeps: list[InspectedSweep]):
    queries = 0
    for sweep in sweeps:
        assert sweep.answers is not None
        crops = sweep.answers.balls
        assert not crops.visible.all()
        hidden = sweep.xyz[~crops.visible]
        nearest = np.linalg.norm(hidden[:, None] - crops.centre[None], axis=2).argmin(axis=1)
        distance = np.linalg.norm(hidden - crops.centre[nearest], axis=1)
        assert (distance <= crops.radius.max() + 1e-4).all()
        of = sweep.answers.ball
        assert len(sweep.answers.predicted) == len(sweep.answers.xyz) == len(sweep.answers.occupied) == len(of)
        assert (np.linalg.norm(sweep.answers.xyz - crops.centre[of], axis=1) <= crops.radius[of] + 1e-4).all()
        queries += len(of)
    assert queries > 50


def test_points_are_masked_also_for_a_network_trained_without_masking(run: Path, cache: Cache, tiny: IsccConfig):
    bare = dataclasses.replace(tiny, masking=dataclasses.replace(tiny.masking, per_sweep=0))
    (sweep,) = inspect_sweeps(
        load_student(open_run(run), bare), load_prototypes(open_run(run), bare).centres, bare, cache, sweeps=1, seed=0
    )
    assert sweep.answers is not None
    assert not sweep.answers.balls.visible.all()
    assert len(sweep.answers.balls.centre) <= 16
    assert len(sweep.answers.predicted) > 0


def test_inspecting_changes_nothing_and_repeats(
    run: Path, cache: Cache, tiny: IsccConfig, sweeps: list[InspectedSweep]
):
    student = load_student(open_run(run), tiny)
    before = {k: v.clone() for k, v in student.state_dict().items()}
    again = inspect_sweeps(student, load_prototypes(open_run(run), tiny).centres, tiny, cache, sweeps=5, seed=0)
    assert all(torch.equal(before[k], v) for k, v in student.state_dict().items())
    for a, b in zip(sweeps, again, strict=True):
        assert np.array_equal(a.point_prototype, b.point_prototype)
        assert a.answers is not None
        assert b.answers is not None
        assert np.array_equal(a.answers.predicted, b.answers.predicted)


def test_usage_counts_every_group_once(tiny: IsccConfig, sweeps: list[InspectedSweep]):
    found = usage(sweeps, tiny.prototypes.count, NAMES, 2)
    assert found.groups == sum(len(sweep.group) for sweep in sweeps) == sum(row.groups for row in found.rows)
    assert [row.groups for row in found.rows] == sorted((row.groups for row in found.rows), reverse=True)
    assert sorted(row.prototype for row in found.rows) == list(range(tiny.prototypes.count))
    for row in found.rows:
        assert all(sweeps[i].prototype[k] == row.prototype for i, k in row.examples)
        things = {(sweeps[i].sequence, int(sweeps[i].group[k])) for i, k in row.examples}
        assert len(things) == len(row.examples) <= 2


def sweep_of(groups: list[tuple[int, int]]) -> InspectedSweep:
    """A sweep of groups given by (prototype, class), three points of each, the third of another class."""
    xyz = np.zeros((3 * len(groups), 3), np.float32)
    semantic = [c for _, kind in groups for c in (kind, kind, 0)]
    return InspectedSweep(
        sequence="00",
        name="0",
        xyz=xyz,
        label=np.repeat(np.arange(len(groups), dtype=np.int32), 3),
        semantic=np.array(semantic, np.uint8),
        group=np.arange(len(groups), dtype=np.int32),
        prototype=np.array([p for p, _ in groups], np.int64),
        similarity=np.ones(len(groups), np.float32),
        point_prototype=np.zeros(len(xyz), np.int64),
        answers=None,
    )


def test_majority_and_purity_and_what_chance_would_give():
    sweep = sweep_of([(0, 1), (0, 1), (0, 2), (0, 0), (3, 3), (3, 3)])
    assert group_classes(sweep, 5).tolist() == [1, 1, 2, 0, 3, 3]
    found = usage([sweep], 5, NAMES, 1)
    first, second, *rest = found.rows
    assert (first.prototype, first.groups, first.labelled, first.majority) == (0, 4, 3, "car")
    assert first.purity == pytest.approx(2 / 3)
    assert (second.prototype, second.majority, second.purity) == (3, "pole", 1.0)
    assert all((row.groups, row.majority, row.examples) == (0, "", ()) for row in rest)
    assert found.used == 2
    assert found.effective == pytest.approx(np.exp(-(2 / 3) * np.log(2 / 3) - (1 / 3) * np.log(1 / 3)))
    assert found.purity == pytest.approx(4 / 5)
    assert found.chance is not None
    assert 0.4 < found.chance < 0.8


def test_chance_is_what_meaningless_prototypes_reach():
    rng = np.random.default_rng(0)
    sweep = sweep_of(list(zip(rng.integers(0, 8, 300).tolist(), rng.integers(1, 4, 300).tolist(), strict=True)))
    found = usage([sweep], 8, NAMES, 1)
    assert found.purity == pytest.approx(found.chance, abs=0.05)


def test_without_labels_there_is_no_purity():
    sweep = sweep_of([(0, 1), (1, 1)])
    found = usage([InspectedSweep(**(vars(sweep) | {"semantic": None}))], 2, (), 1)
    assert (found.purity, found.chance) == (None, None)
    assert {row.majority for row in found.rows} == {""}


def test_no_group_at_all():
    found = usage([sweep_of([])], 4, NAMES, 1)
    assert (found.groups, found.used, found.purity) == (0, 0, None)
