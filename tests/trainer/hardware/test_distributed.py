"""Two real processes on one machine (torchrun, gloo) against one."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from iscc_lidar.shared.cache.reader import Cache

import together

TOGETHER = Path(together.__file__)

TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone"]
TRAIN = [sys.executable.replace("python", "iscc-train")]


@pytest.fixture(scope="module")
def of_two(cache_path: Path, tiny_recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> list[dict]:
    out = tmp_path_factory.mktemp("two") / "results"
    done = subprocess.run(
        [*TORCHRUN, str(TOGETHER), str(cache_path), str(tiny_recipe), str(out)],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return [torch.load(f"{out}.{rank}", weights_only=True) for rank in (0, 1)]


def test_rows_of_all_processes_keep_their_order(of_two: list[dict]):
    for of_one in of_two:
        torch.testing.assert_close(of_one["rows"], torch.ones(2, 3))
        assert of_one["largest"] == 15


def test_batch_norm_over_two_processes_is_that_over_all_rows(of_two: list[dict]):
    alone = together.normalised(together.some_rows())
    for of_one in of_two:
        torch.testing.assert_close(of_one["norm"], alone, rtol=1e-12, atol=1e-12)


@pytest.fixture(scope="module")
def of_one(cache: Cache, tiny_recipe: Path) -> dict[str, dict[str, torch.Tensor]]:
    return together.every_case(cache, tiny_recipe)


def test_rows_that_all_processes_contrast_get_the_gradient_of_all(of_two: list[dict]):
    for of_one in of_two:
        torch.testing.assert_close(of_one["contrasted"], together.contrasted(together.some_rows()))


@pytest.mark.parametrize(
    "case", [*together.LOSSES, "local, negatives of the batch", "two micro-batches", *together.METHODS]
)
def test_two_processes_train_as_one_does_on_the_same_batch(case: str, of_one: dict, of_two: list[dict]):
    """In float64, so that only what is different shows: four steps, losses, weights, memory, statistics."""
    for of_rank in of_two:
        torch.testing.assert_close(of_rank["steps"][case], of_one[case], rtol=1e-7, atol=1e-9, equal_nan=True)


def test_both_processes_hold_the_same_bits(of_two: list[dict]):
    torch.testing.assert_close(of_two[0]["steps"], of_two[1]["steps"], rtol=0, atol=0, equal_nan=True)
