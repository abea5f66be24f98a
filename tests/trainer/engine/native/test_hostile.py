"""cpu_kernels.c on whatever it is given: compiled with sanitizers that stop it at an access outside its arrays."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from iscc_lidar.trainer.engine.coordinates import Coordinates
from iscc_lidar.trainer.engine.native import cpu_library
from iscc_lidar.trainer.engine.native.cpu_library import Blocks

from sanitizers import run_driver, run_tests

SOURCE = Path(cpu_library.__file__).with_name("cpu_kernels.c")
TESTS = tuple(
    f"tests/trainer/engine/native/test_{name}.py" for name in ("fused_cpu", "kernel_map", "layers", "cpu_library")
)

# Every array has exactly the stated length, so that one element too far is seen. What is refused must be wrong, and
# what is accepted must be sound: the plain sum of all products is compared.
DRIVER = r"""
#include "cpu_kernels.c"
#include <math.h>
#include <stdio.h>

#define CHECK(holds, ...) do { if (!(holds)) { printf(__VA_ARGS__); puts(""); } } while (0)
static uint64_t state = 1;
static double uniform(void)
{
    state = state * 6364136223846793005ULL + 1442695040888963407ULL;
    return (state >> 11) * 0x1p-53;
}
static int64_t below(int64_t n) { return (int64_t)(uniform() * n); }
static int64_t odd(int64_t n)
{
    const int64_t values[] = {-1, n, n + 1, 2 * n, INT32_MIN, INT32_MAX, -n};
    return values[below(7)];
}
static int64_t huge(void)
{
    const int64_t values[] = {-1, INT64_MIN, INT64_MAX, INT64_C(1) << 40, INT64_MAX / 2, INT32_MIN};
    return values[below(6)];
}
static float feature(int damaged)
{
    const float values[] = {NAN, INFINITY, -INFINITY, 3e38f, 1e-45f, 0};
    return damaged && uniform() < 0.1 ? values[below(6)] : (float)uniform();
}
static float *features(int64_t n, int damaged)
{
    float *x = malloc(n * sizeof *x);
    for (int64_t i = 0; i < n; i++) x[i] = feature(damaged);
    return x;
}

/* Random pairs, grouped; damage is 0 for none, otherwise one number of them is wrong. */
static void convolutions(int trial)
{
    int lanes = 4 << below(iscc_lanes() == 16 ? 3 : iscc_lanes() == 8 ? 2 : 1), threads = 1 + (int)below(3);
    int64_t block = 1 + below(9), K = 1 + below(5), c_in = 1 + below(20), c_out = 1 + below(40);
    int identity = below(2) ? (int)below(K) : -1;
    int64_t n_in = below(30), n_out = identity < 0 ? below(30) : n_in, n = n_in && n_out ? below(60) : 0;
    int64_t blocks = (n_out + block - 1) / block;
    int32_t *offsets = malloc(4 * n), *sources = malloc(4 * n), *targets = malloc(4 * n);
    int32_t *s = malloc(4 * n), *t = malloc(4 * n);
    int64_t *starts = malloc(8 * (blocks * K + 1)), *sizes = calloc(K, 8);
    char *taken = calloc(K * n_out + 1, 1);
    int64_t kept = 0;
    for (int64_t p = 0; p < n; p++) {
        int64_t o = below(K), to = below(n_out);
        if (o == identity || taken[o * n_out + to]++) continue;
        offsets[kept] = (int32_t)o, sources[kept] = (int32_t)below(n_in), targets[kept++] = (int32_t)to;
        sizes[o]++;
    }
    n = kept;
    offsets = realloc(offsets, 4 * n + !n), sources = realloc(sources, 4 * n + !n);
    targets = realloc(targets, 4 * n + !n), s = realloc(s, 4 * n + !n), t = realloc(t, 4 * n + !n);
    int bad = iscc_group(offsets, sources, targets, n, n_out, block, K, starts, s, t);
    CHECK(!bad, "trial %d: grouping refuses what is sound", trial);
    if (n) {
        int32_t *at = below(2) ? offsets : targets, *where = at + below(n), was = *where;
        *where = (int32_t)odd(at == offsets ? K : n_out);
        int wrong = *where < 0 || *where >= (at == offsets ? K : n_out);
        bad = iscc_group(offsets, sources, targets, n, n_out, block, K, starts, s, t);
        CHECK(!bad == !wrong, "trial %d: grouping takes %d", trial, *where);
        *where = was;
        iscc_group(offsets, sources, targets, n, n_out, block, K, starts, s, t);
    }
    if (identity >= 0) sizes[identity] = n_out;
    int64_t padded = (c_out + lanes - 1) / lanes * lanes;
    float *x = features(n_in * c_in, trial % 3 == 0), *w = features(K * c_in * c_out, 0);
    float *g = features(n_out * c_out, trial % 3 == 0), *out = malloc(n_out * c_out * sizeof *out);
    float *sum = calloc(K * c_in * padded, sizeof *sum);
    int64_t steps[3] = {c_in * c_out, c_out, 1}, flipped[3] = {c_in * c_out, 1, c_in};
    int64_t *step = below(2) ? steps : flipped;
    int damage = trial % 2 ? 1 + (int)below(13) : 0;
    int64_t in = n_in, rows = n_out, pairs = n, tile = block, offsets_ = K, a = c_in, b = c_out;
    if (damage == 1) in = huge();
    if (damage == 2) rows = huge();
    if (damage == 3) pairs = huge();
    if (damage == 4) tile = below(2) ? 0 : huge();
    if (damage == 5) offsets_ = below(2) ? 0 : huge();
    if (damage == 6) a = below(2) ? 0 : huge();
    if (damage == 7) b = below(2) ? 0 : huge();
    if (damage == 8) lanes = (int[]){0, -4, 3, 32, INT32_MAX}[below(5)];
    if (damage == 9) threads = below(2) ? 0 : -7;
    if (damage == 10) identity = below(2) ? (int)K : -2;
    if (damage > 10 && damage < 13 && !n) damage = 0;
    if (damage == 11) s[below(n)] = (int32_t)(below(2) ? n_in : -1 - below(100));
    if (damage == 12) t[below(n)] = (int32_t)(below(2) ? n_out : -1 - below(100));
    if (damage == 13) starts[below(blocks * K + 1)] = below(2) ? -1 : n + 1;
    int failed = iscc_convolve(lanes, threads, x, w, out, s, t, starts, pairs, in, rows, tile, offsets_, a, b, step[0],
                               step[1], step[2], identity);
    CHECK(failed == (damage ? BAD_ARGUMENT : 0), "trial %d: convolve with damage %d returns %d", trial, damage, failed);
    failed = iscc_outer_products(lanes, threads, x, g, sum, s, t, starts, sizes, pairs, in, rows, tile, offsets_, a, b,
                                 identity);
    CHECK(failed == (damage ? BAD_ARGUMENT : 0), "trial %d: products with damage %d return %d", trial, damage, failed);
    if (!damage && trial % 3) {
        double all = 0, expected = 0, products = 0, exact = 0;
        for (int64_t i = 0; i < n_out * c_out; i++) all += out[i];
        for (int64_t i = 0; i < K * c_in * padded; i++) products += sum[i];
        for (int64_t p = 0; p < n + (identity < 0 ? 0 : n_out); p++)
            for (int64_t i = 0; i < c_in; i++)
                for (int64_t j = 0; j < c_out; j++) {
                    int64_t o = p < n ? offsets[p] : identity, from = p < n ? sources[p] : p - n;
                    int64_t to = p < n ? targets[p] : p - n;
                    expected += x[from * c_in + i] * w[o * step[0] + i * step[1] + j * step[2]];
                    exact += x[from * c_in + i] * g[to * c_out + j];
                }
        CHECK(fabs(all - expected) < 1e-5 * (1 + expected), "trial %d: %g, not %g", trial, all, expected);
        CHECK(fabs(products - exact) < 1e-5 * (1 + exact), "trial %d: %g, not %g", trial, products, exact);
    }
    if (!damage) {
        sizes[below(K)] += (int64_t[]){1, -1, INT64_MAX / 2, INT64_MIN / 2}[below(4)];
        failed = iscc_outer_products(lanes, threads, x, g, sum, s, t, starts, sizes, n, n_in, n_out, block, K, c_in,
                                     c_out, identity);
        CHECK(failed == BAD_ARGUMENT, "trial %d: wrong sizes are accepted", trial);
    }
    free(offsets), free(sources), free(targets), free(s), free(t), free(starts), free(sizes), free(taken);
    free(x), free(w), free(g), free(out), free(sum);
}

static void neighbours(int trial)
{
    int64_t n = below(40), step_y = 3 + below(6), step_x = step_y * (3 + below(4)), *keys = malloc(8 * n);
    int32_t *offsets = malloc(4 * 13 * n), *rows = malloc(4 * 13 * n), *others = malloc(4 * 13 * n);
    const int64_t origins[] = {0, INT64_MIN, INT64_MAX - 200, 1000, -100};
    uint64_t key = (uint64_t)origins[below(5)];
    for (int64_t i = 0; i < n; i++) keys[i] = (int64_t)(key += 1 + below(3));
    if (n && trial % 4 == 1) keys[below(n)] = huge();
    if (n && trial % 4 == 2) for (int64_t i = below(n); i < n; i++) keys[i] = keys[0];
    if (trial % 4 == 3) *(below(2) ? &step_x : &step_y) = huge();
    int64_t found = iscc_neighbours(keys, n, step_x, step_y, offsets, rows, others);
    int ascends = 1;
    for (int64_t i = 0; i + 1 < n; i++) ascends &= keys[i] < keys[i + 1];
    CHECK(found <= 13 * n && (found < 0 || ascends), "trial %d: %ld neighbours", trial, (long)found);
    CHECK(found >= 0 || trial % 4 || !n || keys[0] < INT64_MIN + 1000 || keys[n - 1] > INT64_MAX - 1000,
          "trial %d: sound keys are refused", trial);
    for (int64_t k = 0; k < found; k++)
        CHECK(offsets[k] >= 0 && offsets[k] < 27 && rows[k] >= 0 && rows[k] < n && others[k] >= 0 && others[k] < n,
              "trial %d: a neighbour that there is not", trial);
    free(keys), free(offsets), free(rows), free(others);
}

int main(void)
{
    for (int trial = 0; trial < 6000; trial++) convolutions(trial);
    for (int trial = 0; trial < 20000; trial++) neighbours(trial);
    for (int j = 0; j < 5; j++) {
        int64_t n = (int64_t[]){-1, INT64_MIN, INT64_MAX, INT64_C(1) << 31, -5}[j], starts[2];
        CHECK(iscc_neighbours(NULL, n, 9, 3, NULL, NULL, NULL) == -1, "%ld keys are accepted", (long)n);
        CHECK(n > 0 || iscc_group(NULL, NULL, NULL, n, 1, 1, 1, starts, NULL, NULL), "%ld pairs are accepted", (long)n);
        CHECK(iscc_group(NULL, NULL, NULL, 0, n, 1, 1, starts, NULL, NULL), "%ld rows are accepted", (long)n);
        CHECK(iscc_group(NULL, NULL, NULL, 0, 1, n, 1, starts, NULL, NULL), "a block of %ld is accepted", (long)n);
        CHECK(iscc_group(NULL, NULL, NULL, 0, 1, 1, n, starts, NULL, NULL), "%ld offsets are accepted", (long)n);
    }
    puts("done");
    return 0;
}
"""


@pytest.mark.slow
@pytest.mark.sanitizers
def test_it_neither_leaves_its_arrays_nor_loops(tmp_path: Path) -> None:
    assert run_driver(SOURCE, DRIVER, tmp_path, "-O0") == "done\n"  # its many tiles take twice as long to optimise


@pytest.mark.slow
@pytest.mark.sanitizers
def test_the_tests_of_the_kernels_pass_under_sanitizers(tmp_path: Path) -> None:
    last = run_tests(SOURCE, "_cpu_kernels", TESTS, tmp_path)
    print(last)
    assert "passed" in last


needs_library = pytest.mark.skipif(not cpu_library.available(), reason=cpu_library.description())


def sound() -> tuple[torch.Tensor, torch.Tensor, Blocks]:
    """Rows [40, 6], a kernel [3, 6, 5] and pairs of 40 input and 30 output rows."""
    generator = torch.Generator().manual_seed(0)
    offsets, sources = (torch.randint(high, (60,), generator=generator) for high in (3, 40))
    blocks = cpu_library.group_pairs(offsets, sources, torch.arange(60) % 30, 30, 3)
    return torch.rand(40, 6), torch.rand(3, 6, 5), blocks


def changed(tensor: torch.Tensor, value: int) -> torch.Tensor:
    return torch.cat([tensor[:-1], tensor.new_tensor([value])])


DAMAGE: list[Callable[[Blocks], Blocks]] = [
    *(lambda b, row=row: replace(b, sources=changed(b.sources, row)) for row in (-1, 40, 2**31 - 1, -(2**31))),
    *(lambda b, row=row: replace(b, targets=changed(b.targets, row)) for row in (-1, 30, 2**31 - 1)),
    lambda b: replace(b, targets=b.targets[1:]),
    lambda b: replace(b, sources=b.sources.long()),
    lambda b: replace(b, sources=b.sources.repeat_interleave(2)[::2]),
    lambda b: replace(b, starts=b.starts[1:]),
    lambda b: replace(b, starts=b.starts.flip(0)),
    lambda b: replace(b, starts=changed(b.starts, 61)),
    lambda b: replace(b, starts=b.starts.int()),
    lambda b: replace(b, sizes=b.sizes[:0]),
]


@needs_library
@pytest.mark.parametrize("damage", DAMAGE)
def test_pairs_of_rows_that_there_are_not_are_errors(damage: Callable[[Blocks], Blocks]) -> None:
    x, kernel, blocks = sound()
    cpu_library.convolve(x, kernel, blocks, 30, -1)
    with pytest.raises(ValueError, match=r"cannot be operands|that there are not"):
        cpu_library.convolve(x, kernel, damage(blocks), 30, -1)
    with pytest.raises(ValueError, match=r"cannot be operands|that there are not"):
        cpu_library.outer_products(x, torch.rand(30, 5), damage(blocks), -1)


@needs_library
def test_operands_of_other_shapes_and_types_are_errors() -> None:
    x, kernel, blocks = sound()
    g = torch.rand(30, 5)
    wrong_x = (x[:20], x[:, 1:], x.double(), x.t().contiguous().t(), x[0], x[:0])
    calls: list[Callable[[], Any]] = [
        *(lambda w=w: cpu_library.convolve(w, kernel, blocks, 30, -1) for w in wrong_x),
        *(lambda w=w: cpu_library.convolve(x, w, blocks, 30, -1) for w in (kernel[1:], kernel[0], kernel.double())),
        *(lambda n=n: cpu_library.convolve(x, kernel, blocks, n, -1) for n in (29, 0, 2**40)),
        *(lambda i=i: cpu_library.convolve(x, kernel, blocks, 30, i) for i in (-2, 3, 2)),
        *(lambda w=w: cpu_library.outer_products(x, w, blocks, -1) for w in (g[1:], g[0], g.double(), g.t())),
        *(lambda w=w: cpu_library.outer_products(w, g, blocks, -1) for w in (x[:20], x.double(), x[0])),
        *(lambda i=i: cpu_library.outer_products(x, g, blocks, i) for i in (-2, 3, 2)),
        lambda: cpu_library.outer_products(x, g, replace(blocks, sizes=blocks.sizes + 1), -1),
    ]
    for call in calls:
        with pytest.raises((ValueError, RuntimeError)):
            call()


@needs_library
def test_nan_and_infinity_stay_in_the_rows_that_they_belong_to() -> None:
    x, kernel, blocks = sound()
    x[int(blocks.sources[0])] = torch.nan
    hit = torch.zeros(30, dtype=torch.bool)
    hit[blocks.targets[blocks.sources == blocks.sources[0]].long()] = True
    assert torch.equal(cpu_library.convolve(x, kernel, blocks, 30, -1).isnan().all(1), hit)


@needs_library
@pytest.mark.parametrize(
    ("offsets", "sources", "targets", "rows", "kinds"),
    [
        ([0, 3], [0, 0], [0, 1], 2, 3),
        ([0, -1], [0, 0], [0, 1], 2, 3),
        ([0, 0], [0, 0], [0, 2], 2, 3),
        ([0, 0], [0, 0], [0, -1], 2, 3),
        ([0], [0, 0], [0, 1], 2, 3),
        ([0, 0], [0], [0, 1], 2, 3),
        ([0, 0], [0, 0], [0, 1], -2, 3),
        ([], [], [], 2, 0),
    ],
)
def test_pairs_that_cannot_be_grouped_are_errors(
    offsets: list[int], sources: list[int], targets: list[int], rows: int, kinds: int
) -> None:
    with pytest.raises(ValueError, match=r"cannot be operands|that there are not|there are no"):
        cpu_library.group_pairs(*map(torch.tensor, (offsets, sources, targets)), rows, kinds)


@needs_library
@pytest.mark.parametrize("keys", [[3, 2], [5, 5], [0, 2**63 - 1], [-(2**63), 0], [[1, 2]], [1.0, 2.0]])
def test_keys_that_do_not_ascend_are_errors(keys: list[Any]) -> None:
    with pytest.raises(ValueError, match=r"must ascend|cannot be operands"):
        cpu_library.find_neighbours(Coordinates(torch.zeros(2, 4), torch.tensor(keys), (0, 5, 5, 5)))
