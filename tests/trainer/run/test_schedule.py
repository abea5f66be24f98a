import pytest

from iscc_lidar.trainer.run.schedule import learning_rate


def test_learning_rate_rises_then_falls_to_nothing():
    rates = [learning_rate(step, 200, 1e-3) for step in range(200)]
    assert rates[0] == pytest.approx(1e-4)
    assert max(rates) == rates[9] == pytest.approx(1e-3)
    assert rates[:10] == sorted(rates[:10])
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert 0 < rates[-1] < 1e-6
