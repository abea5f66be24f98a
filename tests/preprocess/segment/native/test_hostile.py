"""spanning_tree.c on whatever it is given: compiled with sanitizers that stop it at an access outside its arrays."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from iscc_lidar.preprocess.segment.native import library

from sanitizers import run_driver, run_tests

SOURCE = Path(library.__file__).with_name("spanning_tree.c")

DRIVER = r"""
#include "spanning_tree.c"
#include <float.h>
#include <stdio.h>

#define KINDS 16
static uint64_t state = 1;
static double uniform(void)
{
    state = state * 6364136223846793005ULL + 1442695040888963407ULL;
    return (state >> 11) * 0x1p-53;
}

static double coordinate(int kind, int64_t i)
{
    const double odd[] = {NAN, INFINITY, -INFINITY, 1e160, -1e160, DBL_MAX, -DBL_MAX, DBL_MIN,
                          4.9e-324, 0.0, -0.0, 1e100};
    switch (kind) {
    case 0: return uniform();
    case 1: return 0.0;
    case 2: return 1e100;
    case 3: return i % 2 ? 1e100 : -1e100;
    case 4: return i % 3 ? 4.9e-324 : 0.0;
    case 5: return uniform() * 1e100;
    case 6: return i / 3 % 2 ? 1e160 : uniform();
    case 7: return NAN;
    case 8: return i % 7 ? uniform() : NAN;
    case 9: return INFINITY;
    case 10: return i % 2 ? INFINITY : -INFINITY;
    case 11: return DBL_MAX;
    case 12: return i % 2 ? DBL_MAX : -DBL_MAX;
    case 13: return (double)(i / 3);
    case 14: return uniform() * 1e-160;
    default: return odd[(int)(uniform() * 12)];
    }
}

static void trees(void)
{
    const int64_t sizes[] = {0, 1, 2, 3, 9, 15, 16, 17, 31, 33, 100, 257, 1000};
    for (int s = 0; s < 13; s++)
        for (int kind = 0; kind < KINDS; kind++) {
            int64_t n = sizes[s], ks[] = {INT64_MIN, -1, 0, 1, 2, 9, n - 1, n, n + 1, INT64_MAX};
            double *xyz = malloc(3 * n * sizeof *xyz), *length = malloc((n ? n - 1 : 0) * sizeof *length);
            int64_t *first = malloc((n ? n - 1 : 0) * 8), *second = malloc((n ? n - 1 : 0) * 8);
            for (int64_t i = 0; i < 3 * n; i++) xyz[i] = coordinate(kind, i);
            for (int j = 0; j < 10; j++) {
                int legal = n > 1 && ks[j] > 0 && ks[j] < n;
                int found = iscc_spanning_tree(xyz, n, ks[j], first, second, length);
                int good = kind < 6 || kind == 13 || kind == 14;
                if (found == 0 ? !legal : legal && good)
                    printf("n %ld kind %d k %ld: %d\n", (long)n, kind, (long)ks[j], found);
                if (found == 0) {
                    int64_t *children = malloc((n - 1) * 16), *size = malloc((2 * n - 1) * 8);
                    if (iscc_join(first, second, n, children, size) || size[2 * n - 2] != n) printf("no tree\n");
                    free(children);
                    free(size);
                }
            }
            free(xyz), free(length), free(first), free(second);
        }
    for (int j = 0; j < 3; j++) {
        int64_t n = (int64_t[]){-1, INT64_MIN, INT64_MAX}[j];
        if (iscc_spanning_tree(NULL, n, 1, NULL, NULL, NULL) == 0 || iscc_join(NULL, NULL, n, NULL, NULL) == 0)
            printf("n %ld is accepted\n", (long)n);
    }
}

static void joins(void)
{
    for (int trial = 0; trial < 20000; trial++) {
        int64_t n = 1 + (int64_t)(uniform() * 20);
        int64_t *first = malloc((n - 1) * 8), *second = malloc((n - 1) * 8);
        int64_t *children = malloc((n - 1) * 16), *size = malloc((2 * n - 1) * 8);
        for (int64_t i = 0; i < n - 1; i++) {
            first[i] = (int64_t)(uniform() * n);
            second[i] = (int64_t)(uniform() * n);
            const int64_t odd[] = {-1, n, 2 * n, INT64_MIN, INT64_MAX};
            if (trial % 2 && uniform() < 0.1) first[i] = odd[(int)(uniform() * 5)];
        }
        if (iscc_join(first, second, n, children, size) == 0 && size[2 * n - 2] != n) printf("not joined\n");
        free(first), free(second), free(children), free(size);
    }
}

int main(void)
{
    trees();
    joins();
    puts("done");
    return 0;
}
"""


@pytest.mark.slow
@pytest.mark.sanitizers
def test_it_neither_leaves_its_arrays_nor_loops(tmp_path: Path) -> None:
    assert run_driver(SOURCE, DRIVER, tmp_path) == "done\n"


@pytest.mark.slow
@pytest.mark.sanitizers
def test_the_tests_of_the_library_pass_under_sanitizers(tmp_path: Path) -> None:
    last = run_tests(SOURCE, "_spanning_tree", ("tests/preprocess/segment/native/test_library.py",), tmp_path)
    print(last)
    assert "passed" in last


@pytest.mark.skipif(not library.available(), reason="there was no C compiler")
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e160, 1e101])
def test_what_is_not_finite_or_too_far_is_an_error(value: float) -> None:
    xyz = np.random.default_rng(0).normal(size=(50, 3))
    xyz[7, 1] = value
    with pytest.raises(ValueError, match="not finite"):
        library.spanning_tree(xyz, 9)


@pytest.mark.skipif(not library.available(), reason="there was no C compiler")
def test_arguments_of_other_sizes_and_types_are_errors() -> None:
    xyz = np.random.default_rng(0).normal(size=(50, 3))
    for bad in (xyz[:0], xyz[:1], xyz[:, :2], xyz.astype(np.float32), xyz.ravel()):
        with pytest.raises(ValueError, match=r"points must be float64 \[N, 3\]"):
            library.spanning_tree(bad, 1)
    for neighbours in (-1, 0, 50, 2**62):
        with pytest.raises(ValueError, match="number of neighbours"):
            library.spanning_tree(xyz, neighbours)
    first, second, _ = library.spanning_tree(xyz, 9)
    with pytest.raises(ValueError, match="both ends"):
        library.join(first, second[1:])
    for bad_end in (-1, 50, 2**62, int(first[0])):
        wrong = second.copy()
        wrong[0] = bad_end
        with pytest.raises(ValueError, match="edges of no tree"):
            library.join(first, wrong)
