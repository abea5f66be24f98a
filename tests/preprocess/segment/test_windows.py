from hypothesis import given
from hypothesis import strategies as st

from iscc_lidar.data_schemas.manifest import Window
from iscc_lidar.preprocess.segment.windows import WindowConfig, plan_blocks, plan_windows


@st.composite
def configs(draw: st.DrawFn) -> WindowConfig:
    sweeps = draw(st.integers(1, 20))
    return WindowConfig(sweeps, draw(st.integers(1, sweeps)), draw(st.integers(1, 50)))


@given(st.integers(0, 200), configs())
def test_every_sweep_is_owned_by_exactly_one_window_that_holds_it(sweeps: int, config: WindowConfig) -> None:
    windows = plan_windows(sweeps, config)
    owned = [i for w in windows for i in range(w.own_start, w.own_stop)]
    assert owned == list(range(sweeps))
    for w in windows:
        assert 0 <= w.start <= w.own_start < w.own_stop <= w.stop <= sweeps
        assert w.stop - w.start == min(sweeps, config.sweeps)


@given(st.integers(1, 200), configs())
def test_blocks_keep_the_windows_in_order(sweeps: int, config: WindowConfig) -> None:
    windows = plan_windows(sweeps, config)
    blocks = plan_blocks(windows, config)
    assert tuple(w for block in blocks for w in block) == windows
    for block in blocks[:-1]:
        assert block[-1].own_stop - block[0].own_start >= config.block_sweeps


def test_windows_of_the_default_configuration() -> None:
    assert plan_windows(18, WindowConfig()) == (
        Window(0, 12, 0, 8),
        Window(4, 16, 8, 11),
        Window(6, 18, 11, 18),
    )
