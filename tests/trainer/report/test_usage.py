from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from iscc_lidar.shared.cache.reader import Cache
from iscc_lidar.trainer.data.voxelize import join_voxels
from iscc_lidar.trainer.evaluation.frozen import see
from iscc_lidar.trainer.pretrain.methods.iscc import IsccConfig
from iscc_lidar.trainer.pretrain.trained import load_prototypes, load_student
from iscc_lidar.trainer.report.look import Look, look_around
from iscc_lidar.trainer.report.usage import group_classes, usage
from iscc_lidar.trainer.run.run import open_run

NAMES = ("unlabelled", "car", "wall", "pole", "ground")


@pytest.fixture(scope="module")
def looks(run: Path, cache: Cache, tiny: IsccConfig) -> list[Look]:
    centres = load_prototypes(open_run(run), tiny).centres
    return look_around(load_student(open_run(run), tiny), centres, tiny, cache, sweeps=5, seed=0)


def test_nearest_prototype_of_a_group_is_that_of_its_mean_feature(
    run: Path, cache: Cache, tiny: IsccConfig, looks: list[Look]
):
    student, centres = load_student(open_run(run), tiny).eval(), load_prototypes(open_run(run), tiny).centres
    look = looks[2]
    sweep = cache.sweep(look.sequence, int(look.name))
    voxels = see(sweep, tiny)
    with torch.no_grad():
        h = student.encoder(*join_voxels([voxels]))
        for group, prototype, similarity in zip(look.group, look.prototype, look.similarity, strict=True):
            mean = h[voxels.of_point[look.label == group]].mean(dim=0, keepdim=True)
            cosine = (student.head(mean) @ centres.T)[0]
            assert cosine.max() == pytest.approx(similarity, abs=1e-5)
            assert cosine[prototype] == pytest.approx(similarity, abs=1e-5)


def test_the_answers_are_about_what_was_hidden(tiny: IsccConfig, looks: list[Look]):
    asked = 0
    for look in looks:
        assert look.answers is not None
        crops = look.answers.crops
        assert not crops.visible.all()
        hidden = look.xyz[~crops.visible]
        nearest = np.linalg.norm(hidden[:, None] - crops.centre[None], axis=2).argmin(axis=1)
        distance = np.linalg.norm(hidden - crops.centre[nearest], axis=1)
        assert (distance <= crops.radius.max() + 1e-4).all()
        of = look.answers.crop
        assert len(look.answers.answer) == len(look.answers.xyz) == len(look.answers.occupied) == len(of)
        assert (np.linalg.norm(look.answers.xyz - crops.centre[of], axis=1) <= crops.radius[of] + 1e-4).all()
        asked += len(of)
    assert asked > 50


def test_a_network_from_which_nothing_was_hidden_is_asked_about_hidden_places_too(
    run: Path, cache: Cache, tiny: IsccConfig
):
    bare = dataclasses.replace(tiny, masking=dataclasses.replace(tiny.masking, per_sweep=0))
    (look,) = look_around(
        load_student(open_run(run), bare), load_prototypes(open_run(run), bare).centres, bare, cache, sweeps=1, seed=0
    )
    assert look.answers is not None
    assert not look.answers.crops.visible.all()
    assert len(look.answers.crops.centre) <= 16
    assert len(look.answers.answer) > 0


def test_a_look_changes_nothing_and_repeats(run: Path, cache: Cache, tiny: IsccConfig, looks: list[Look]):
    student = load_student(open_run(run), tiny)
    before = {k: v.clone() for k, v in student.state_dict().items()}
    again = look_around(student, load_prototypes(open_run(run), tiny).centres, tiny, cache, sweeps=5, seed=0)
    assert all(torch.equal(before[k], v) for k, v in student.state_dict().items())
    for a, b in zip(looks, again, strict=True):
        assert np.array_equal(a.point_prototype, b.point_prototype)
        assert a.answers is not None
        assert b.answers is not None
        assert np.array_equal(a.answers.answer, b.answers.answer)


def test_usage_counts_every_group_once(tiny: IsccConfig, looks: list[Look]):
    found = usage(looks, tiny.prototypes.count, NAMES, 2)
    assert found.groups == sum(len(look.group) for look in looks) == sum(row.groups for row in found.rows)
    assert [row.groups for row in found.rows] == sorted((row.groups for row in found.rows), reverse=True)
    assert sorted(row.prototype for row in found.rows) == list(range(tiny.prototypes.count))
    for row in found.rows:
        assert all(looks[i].prototype[k] == row.prototype for i, k in row.examples)
        things = {(looks[i].sequence, int(looks[i].group[k])) for i, k in row.examples}
        assert len(things) == len(row.examples) <= 2


def look_of(groups: list[tuple[int, int]]) -> Look:
    """A look at groups given by (prototype, class), three points of each, the third of another class."""
    xyz = np.zeros((3 * len(groups), 3), np.float32)
    semantic = [c for _, kind in groups for c in (kind, kind, 0)]
    return Look(
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
    look = look_of([(0, 1), (0, 1), (0, 2), (0, 0), (3, 3), (3, 3)])
    assert group_classes(look, 5).tolist() == [1, 1, 2, 0, 3, 3]
    found = usage([look], 5, NAMES, 1)
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
    look = look_of(list(zip(rng.integers(0, 8, 300).tolist(), rng.integers(1, 4, 300).tolist(), strict=True)))
    found = usage([look], 8, NAMES, 1)
    assert found.purity == pytest.approx(found.chance, abs=0.05)


def test_without_labels_nothing_is_said_about_classes():
    look = look_of([(0, 1), (1, 1)])
    found = usage([Look(**(vars(look) | {"semantic": None}))], 2, (), 1)
    assert (found.purity, found.chance) == (None, None)
    assert {row.majority for row in found.rows} == {""}


def test_no_group_at_all():
    found = usage([look_of([])], 4, NAMES, 1)
    assert (found.groups, found.used, found.purity) == (0, 0, None)
