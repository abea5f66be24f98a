from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from iscc_lidar.data_schemas.manifest import SequenceEntry, Window
from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.trainer.data.pairs import (
    SampleKey,
    Share,
    StepSampler,
    draw_partner,
    index_sweeps,
    keys_of_step,
    sample_rng,
)


def found(*windows: Window, sweeps: int) -> tuple[list[SequenceEntry], str]:
    return [SequenceEntry("a", sweeps, windows, ())], "fake"


def test_index_holds_sweeps_with_a_partner_and_all_their_windows():
    refs = index_sweeps(*found(Window(0, 3, 0, 2), Window(2, 5, 2, 5), Window(5, 6, 5, 6), sweeps=7))
    assert [r.index for r in refs] == [0, 1, 2, 3, 4]
    assert refs[2].windows == ((0, 3), (2, 5))


def test_nothing_to_pair_is_refused():
    with pytest.raises(UserError, match="nothing to pair"):
        index_sweeps(*found(Window(0, 1, 0, 1), sweeps=1))


def test_a_sweep_that_is_its_own_partner_needs_no_other_in_its_window():
    refs = index_sweeps(*found(Window(0, 1, 0, 1), Window(1, 3, 1, 3), sweeps=4), "same")
    assert [r.index for r in refs] == [0, 1, 2]
    with pytest.raises(UserError, match="no window"):
        index_sweeps(*found(sweeps=1), "same")


def test_partner_is_every_other_sweep_of_a_window_and_never_itself():
    ref = index_sweeps(*found(Window(2, 6, 2, 6), sweeps=6))[1]
    rng = np.random.default_rng(0)
    drawn = Counter(draw_partner(ref, rng) for _ in range(600))
    assert ref.index == 3
    assert set(drawn) == {2, 4, 5}
    assert min(drawn.values()) > 150


@given(count=st.integers(1, 30), batch_size=st.integers(1, 5), seed=st.integers(0, 9))
def test_every_epoch_visits_each_sweep_once(count, batch_size, seed):
    steps = -(-2 * count // batch_size)
    keys = [key for step in range(steps) for key in keys_of_step(step, count, seed, batch_size)]
    for epoch in (0, 1):
        assert sorted(k.place for k in keys if k.epoch == epoch) == list(range(count))


@given(micro=st.integers(1, 3), world=st.integers(1, 4), size=st.integers(1, 3))
def test_processes_and_micro_batches_share_a_step_in_order(micro, world, size):
    keys = [SampleKey(0, place) for place in range(micro * world * size)]
    parts = [Share(micro, rank, world).of(keys) for rank in range(world)]
    assert [key for m in range(micro) for rank in range(world) for key in parts[rank][m]] == keys
    assert {len(part) for of_rank in parts for part in of_rank} == {size}


def test_order_differs_between_epochs_and_seeds():
    def order(epoch: int, seed: int) -> list[int]:
        return [keys_of_step(step, 50, seed, 1)[0].place for step in range(50 * epoch, 50 * epoch + 50)]

    assert order(0, 0) != order(1, 0)
    assert order(0, 0) != order(0, 1)
    assert order(0, 0) == order(0, 0)


def test_a_resumed_sampler_goes_on_in_the_same_order():
    whole = list(StepSampler(11, 5, 3, start=0, stop=10))
    assert list(StepSampler(11, 5, 3, start=4, stop=10)) == whole[4:]
    assert len(StepSampler(11, 5, 3, start=4, stop=10)) == 6
    halves = StepSampler(11, 5, 4, start=4, stop=10, share=Share(micro_batches=2))
    assert len(halves) == len(list(halves)) == 12


def test_samples_have_random_numbers_of_their_own():
    keys = [SampleKey(0, 0), SampleKey(0, 1), SampleKey(1, 0)]
    drawn = [sample_rng(0, key).random() for key in keys] + [sample_rng(1, keys[0]).random()]
    assert len(set(drawn)) == 4
    assert sample_rng(0, keys[0]).random() == drawn[0]
