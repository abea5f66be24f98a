from collections.abc import Iterator
from contextlib import nullcontext

import pytest

from iscc_lidar.trainer.engine.native import cpu_library


@pytest.fixture(params=["C", "PyTorch"], scope="module")
def with_and_without_c_kernels(request: pytest.FixtureRequest) -> Iterator[None]:
    """What uses this holds with the C kernels and without."""
    with nullcontext() if request.param == "C" else cpu_library.switched_off():
        if request.param == "C" and not cpu_library.available():
            pytest.skip(cpu_library.description())
        yield
