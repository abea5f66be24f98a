/* Sparse convolution in float32 on a CPU: gather, multiply and sum without writing gathered rows or products.
 *
 * A plain shared library that cpu_library.py calls through ctypes: no headers of Python or PyTorch, no OpenMP
 * (PyTorch has its own). Needs GCC or Clang and POSIX threads.
 *
 * Pairs are grouped by block of output rows and by offset: pairs starts[b * K + o] to starts[b * K + o + 1] - 1 are
 * those of block b under offset o. No two of these have the same target. The identity's pairs (row with itself) are
 * not listed.
 *
 * Every element of a result is summed in a fixed order, independent of the number of threads.
 *
 * Whatever numbers a caller passes, no function leaves arrays of the stated lengths: it returns BAD_ARGUMENT instead.
 * Rows of a block's pairs are compared with their bounds just before they are used, when they are in cache anyway. */

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define R_MAX 12        /* maximum rows of a tile */
#define V_MAX 4         /* maximum registers per row of a tile */
#define DEPTH 128       /* input channels at a time: a 32 KB panel of weights stays in cache */
#define PAIRS 64        /* pairs at a time in the kernel's gradient */
#define CHANNELS 64     /* input channels at a time there */
#define SEGMENT 262144  /* floats of x and g that the kernel's gradient reads for all offsets before going on */
#define THREADS_MAX 256
#define GRAIN 1000000   /* minimum multiply-adds per thread */
#define DIMENSION_MAX 16777216  /* maximum channels, offsets and rows of a block */
#define MEMORY_MAX 0x1p60       /* floats: more are never there */

enum { NO_MEMORY = 1, BAD_ARGUMENT = 2 };  /* what functions return instead of 0 */

typedef void (*rows_fn)(int, int, const float *const *, const float *, int64_t, float *const *);
typedef void (*outer_fn)(int, int, const float *const *, int64_t, const float *const *, int64_t, int64_t, float *,
                         int64_t);

typedef int (*within_fn)(const int32_t *, int64_t, int64_t, int64_t);

typedef struct {
    int lanes, vectors;       /* floats in a register, registers of the widest tile */
    int rows[V_MAX + 1];      /* maximum rows of a tile, by its registers per row */
    rows_fn add_rows;
    outer_fn add_outer;
    within_fn all_within;
} isa;

#define UP_TO_4(CASE, V) CASE(1, V) CASE(2, V) CASE(3, V) CASE(4, V)
#define UP_TO_6(CASE, V) UP_TO_4(CASE, V) CASE(5, V) CASE(6, V)
#define UP_TO_8(CASE, V) UP_TO_6(CASE, V) CASE(7, V) CASE(8, V)
#define UP_TO_12(CASE, V) UP_TO_8(CASE, V) CASE(9, V) CASE(10, V) CASE(11, V) CASE(12, V)
/* Tiles whose sums, one row and one float fit in 32 registers, and in 16. */
#define TILES_32(CASE) UP_TO_12(CASE, 1) UP_TO_12(CASE, 2) UP_TO_8(CASE, 3) UP_TO_6(CASE, 4)
#define TILES_16(CASE) UP_TO_12(CASE, 1) UP_TO_6(CASE, 2) UP_TO_4(CASE, 3)
#define SHAPE_32 4, {0, 12, 12, 8, 6}
#define SHAPE_16 3, {0, 12, 6, 4, 0}

#if defined(__x86_64__)
#define LANES 16
#ifdef __clang__  /* which may otherwise use half registers */
#define TARGET __attribute__((target("avx512f,fma"), min_vector_width(512)))
#else
#define TARGET __attribute__((target("avx512f,fma")))
#endif
#define NAME(x) x##_avx512
#define TILES TILES_32
#include "cpu_tiles.h"
#define LANES 8
#define TARGET __attribute__((target("avx2,fma")))
#define NAME(x) x##_avx2
#define TILES TILES_16
#include "cpu_tiles.h"
#define TILES TILES_16
#define PLAIN_SHAPE SHAPE_16
#else
#define TILES TILES_32
#define PLAIN_SHAPE SHAPE_32
#endif
#define LANES 4
#define TARGET
#define NAME(x) x##_plain
#include "cpu_tiles.h"

static const isa *isa_of(int lanes)
{
    static const isa plain = {4, PLAIN_SHAPE, rows_plain, outer_plain, all_within_plain};
#if defined(__x86_64__)
    static const isa avx2 = {8, SHAPE_16, rows_avx2, outer_avx2, all_within_avx2};
    static const isa avx512 = {16, SHAPE_32, rows_avx512, outer_avx512, all_within_avx512};
    if (lanes >= 16) return &avx512;
    if (lanes >= 8) return &avx2;
#endif
    return lanes ? &plain : NULL;
}

/* Number of floats in the widest supported register of this machine. */
int iscc_lanes(void)
{
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx512f")) return 16;
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return 8;
#endif
    return 4;
}

/* Version of these functions' signatures; cpu_library.py refuses a library with another one. */
int iscc_interface(void) { return 2; }

/* ---- threads ---- */

typedef struct { void (*work)(void *job, int thread, int threads); void *job; int thread, threads; } share;

static void *run_share(void *argument)
{
    share *s = argument;
    s->work(s->job, s->thread, s->threads);
    return NULL;
}

/* Call work(job, t, threads) for every t < threads, in parallel if the system has the threads. */
static void run(void (*work)(void *, int, int), void *job, int threads)
{
    share shares[THREADS_MAX];
    pthread_t ids[THREADS_MAX];
    int started[THREADS_MAX];
    for (int t = 1; t < threads; t++) {
        shares[t] = (share){work, job, t, threads};
        started[t] = pthread_create(&ids[t], NULL, run_share, &shares[t]) == 0;
    }
    work(job, 0, threads);
    for (int t = 1; t < threads; t++)
        if (started[t]) pthread_join(ids[t], NULL);
        else run_share(&shares[t]);
}

static int worth(int threads, double multiply_adds)
{
    double most = multiply_adds / GRAIN + 1;
    if (threads > THREADS_MAX) threads = THREADS_MAX;
    return threads < most ? threads : (int)most;
}

/* ---- columns of tiles, rows of tiles ---- */

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }
static int64_t parts(int64_t length, int64_t most) { return (length + most - 1) / most; }
/* Start of part i of n nearly equal parts. */
static int64_t part(int64_t length, int64_t i, int64_t n) { return length * i / n; }

static void *aligned_floats(double n)
{
    void *memory = NULL;
    return n > MEMORY_MAX || posix_memalign(&memory, 64, (size_t)n * sizeof(float)) ? NULL : memory;
}

/* ---- bounds ---- */

static int in_range(int64_t value, int64_t first, int64_t last) { return first <= value && value <= last; }

/* Whether pairs a to b - 1 are from the rows of the input and to those of a block of the output. */
static int good_pairs(const isa *isa, const int32_t *sources, const int32_t *targets, int64_t a, int64_t b,
                      int64_t n_in, int64_t first_row, int64_t end_row)
{
    return isa->all_within(sources + a, b - a, 0, n_in) && isa->all_within(targets + a, b - a, first_row, end_row);
}

static int good_sizes(int lanes, int threads, int64_t n_in, int64_t n_out, int64_t n_pairs, int64_t block, int64_t K,
                      int64_t c_in, int64_t c_out, int identity)
{
    return (lanes == 4 || lanes == 8 || lanes == 16) && lanes <= iscc_lanes() && threads >= 1
        && in_range(n_in, 0, INT32_MAX) && in_range(n_out, 0, INT32_MAX) && in_range(n_pairs, 0, INT64_MAX / 2)
        && in_range(block, 1, DIMENSION_MAX) && in_range(K, 1, DIMENSION_MAX) && in_range(c_in, 1, DIMENSION_MAX)
        && in_range(c_out, 1, DIMENSION_MAX) && in_range(identity, -1, K - 1) && (identity < 0 || n_in == n_out);
}

/* Whether the starts of all bins, and the end of the last, ascend from 0 to n_pairs. */
static int good_starts(const int64_t *starts, int64_t n_bins, int64_t n_pairs)
{
    int descends = 0;
    for (int64_t bin = 0; bin < n_bins; bin++) descends |= starts[bin] > starts[bin + 1];
    return !descends && starts[0] == 0 && starts[n_bins] == n_pairs;
}

/* ---- forward, and the gradient of x ---- */

typedef struct {
    const isa *isa;
    const float *x, *kernel;
    float *out, *packed, *buffers;
    const int32_t *sources, *targets;
    const int64_t *starts;
    int64_t n_in, n_out, block, K, c_in, c_out, step_k, step_in, step_out;
    int64_t vectors, columns;
    int identity;
    _Atomic int64_t next;
    _Atomic int bad;
} convolution;

/* Copy W[o] into one panel per column of tiles, [c_in][column's width], zero-padded after the last channel. */
static void pack(void *job, int thread, int threads)
{
    const convolution *c = job;
    int64_t lanes = c->isa->lanes, all = c->K * c->columns;
    for (int64_t u = part(all, thread, threads); u < part(all, thread + 1, threads); u++) {
        int64_t o = u / c->columns, first = part(c->vectors, u % c->columns, c->columns);
        int64_t width = (part(c->vectors, u % c->columns + 1, c->columns) - first) * lanes;
        int64_t used = least(width, c->c_out - first * lanes);
        const float *from = c->kernel + o * c->step_k + first * lanes * c->step_out;
        float *to = c->packed + (o * c->vectors + first) * lanes * c->c_in;
        if (used < width) memset(to, 0, c->c_in * width * sizeof(float));
        if (c->step_out == 1)
            for (int64_t i = 0; i < c->c_in; i++) memcpy(to + i * width, from + i * c->step_in, used * sizeof(float));
        else  /* transposed: 16 inputs at a time, so that both sides stay within a few cache lines */
            for (int64_t i0 = 0; i0 < c->c_in; i0 += 16)
                for (int64_t j = 0; j < used; j++)
                    for (int64_t i = i0; i < least(i0 + 16, c->c_in); i++)
                        to[i * width + j] = from[i * c->step_in + j * c->step_out];
    }
}

/* Add the products of pairs a to b - 1, all of one offset, to rows of stride floats that begin at out. */
static void add_pairs(const convolution *c, const int32_t *sources, const int32_t *targets, int64_t a, int64_t b,
                      const float *panel, int V, float *out, int64_t stride, int64_t first_row)
{
    int64_t tiles = parts(b - a, c->isa->rows[V]);
    for (int64_t k = 0; k < c->c_in; k += DEPTH)
        for (int64_t t = 0; t < tiles; t++) {
            const float *x[R_MAX];
            float *rows[R_MAX];
            int64_t p = a + part(b - a, t, tiles), R = a + part(b - a, t + 1, tiles) - p;
            for (int64_t r = 0; r < R; r++) {
                x[r] = c->x + (sources ? sources[p + r] : p + r) * c->c_in + k;
                rows[r] = out + ((targets ? targets[p + r] : p + r) - first_row) * stride;
            }
            c->isa->add_rows((int)R, V, x, panel + k * V * c->isa->lanes, least(DEPTH, c->c_in - k), rows);
        }
}

static void convolve(void *job, int thread, int threads)
{
    convolution *c = job;
    int64_t lanes = c->isa->lanes, units = parts(c->n_out, c->block) * c->columns;
    float *buffer = c->buffers ? c->buffers + thread * c->block * c->isa->vectors * lanes : NULL;
    (void)threads;
    for (int64_t u; (u = atomic_fetch_add(&c->next, 1)) < units;) {
        int64_t b = u / c->columns, first_row = b * c->block, n = least(c->block, c->n_out - first_row);
        int64_t first = part(c->vectors, u % c->columns, c->columns);
        int V = (int)(part(c->vectors, u % c->columns + 1, c->columns) - first);
        int64_t width = V * lanes, used = least(width, c->c_out - first * lanes);
        float *out = c->out + first_row * c->c_out + first * lanes, *rows = buffer ? buffer : out;
        int64_t stride = buffer ? width : c->c_out;
        if (!good_pairs(c->isa, c->sources, c->targets, c->starts[b * c->K], c->starts[(b + 1) * c->K], c->n_in,
                        first_row, first_row + n)) {
            c->bad = 1;
            return;
        }
        for (int64_t r = 0; r < n; r++) memset(rows + r * stride, 0, width * sizeof(float));
        for (int64_t o = 0; o < c->K; o++) {
            const float *panel = c->packed + (o * c->vectors + first) * lanes * c->c_in;
            if (o == c->identity)
                add_pairs(c, NULL, NULL, first_row, first_row + n, panel, V, rows, stride, first_row);
            else
                add_pairs(c, c->sources, c->targets, c->starts[b * c->K + o], c->starts[b * c->K + o + 1], panel, V,
                          rows, stride, first_row);
        }
        for (int64_t r = 0; buffer && r < n; r++)
            memcpy(out + r * c->c_out, rows + r * stride, used * sizeof(float));
    }
}

/* out[t] = sum over pairs (o, s, t) of x[s] W[o]. x is [n_in][c_in], out [n_out][c_out]; sources and targets have
 * length n_pairs, starts one more than there are blocks times K. The steps are the strides of W's three dimensions,
 * within its array; identity is the offset that pairs every row with itself, or -1. */
int iscc_convolve(int lanes, int threads, const float *x, const float *kernel, float *out, const int32_t *sources,
                  const int32_t *targets, const int64_t *starts, int64_t n_pairs, int64_t n_in, int64_t n_out,
                  int64_t block, int64_t K, int64_t c_in, int64_t c_out, int64_t step_k, int64_t step_in,
                  int64_t step_out, int identity)
{
    if (!good_sizes(lanes, threads, n_in, n_out, n_pairs, block, K, c_in, c_out, identity)
        || !good_starts(starts, parts(n_out, block) * K, n_pairs))
        return BAD_ARGUMENT;
    const isa *set = isa_of(lanes);
    int64_t vectors = parts(c_out, set->lanes), all_pairs = n_pairs + (identity < 0 ? 0 : n_out);
    convolution c = {set, x, kernel, out, NULL, NULL, sources, targets, starts, n_in, n_out, block, K, c_in,
                     c_out, step_k, step_in, step_out, vectors, parts(vectors, set->vectors), identity, 0, 0};
    threads = worth(threads, (double)all_pairs * c_in * c_out);
    c.packed = aligned_floats((double)K * c_in * vectors * set->lanes);
    if (c_out % set->lanes) c.buffers = aligned_floats((double)threads * block * set->vectors * set->lanes);
    int failed = !c.packed || (c_out % set->lanes && !c.buffers);
    if (!failed) {
        run(pack, &c, worth(threads, (double)K * c_in * c_out));
        run(convolve, &c, threads);
    }
    free(c.packed);
    free(c.buffers);
    return failed ? NO_MEMORY : c.bad ? BAD_ARGUMENT : 0;
}

/* ---- the gradient of the kernel ---- */

typedef struct {
    const isa *isa;
    const float *x, *g;
    float *sum, *buffers;
    const int32_t *sources, *targets;
    const int64_t *starts, *sizes;
    int64_t n_in, n_out, block, K, c_in, c_out, vectors, columns;
    int identity;
    _Atomic int bad;
} outer_products;

/* sum[i0 .. i1) += x[s][i0 .. i1)^T g[t] over pairs a to b - 1, all of one offset. */
static void add_outer_products(const outer_products *c, const int32_t *sources, const int32_t *targets, int64_t a,
                               int64_t b, int64_t i0, int64_t i1, float *sum, float *buffer)
{
    int64_t lanes = c->isa->lanes, stride = c->vectors * lanes;
    const float *x[PAIRS], *g[PAIRS];
    for (int64_t p = a; p < b; p += PAIRS) {
        int64_t n = least(PAIRS, b - p);
        for (int64_t q = 0; q < n; q++) {
            x[q] = c->x + (sources ? sources[p + q] : p + q) * c->c_in;
            g[q] = c->g + (targets ? targets[p + q] : p + q) * c->c_out;
            if (buffer) g[q] = memcpy(buffer + q * stride, g[q], c->c_out * sizeof(float));
        }
        for (int64_t column = 0; column < c->columns; column++) {
            int64_t first = part(c->vectors, column, c->columns);
            int V = (int)(part(c->vectors, column + 1, c->columns) - first);
            int64_t tiles = parts(i1 - i0, c->isa->rows[V]);
            for (int64_t t = 0; t < tiles; t++) {
                int64_t i = i0 + part(i1 - i0, t, tiles), R = i0 + part(i1 - i0, t + 1, tiles) - i;
                c->isa->add_outer((int)R, V, x, i, g, first * lanes, n, sum + i * stride + first * lanes, stride);
            }
        }
    }
}

/* Compare all rows with their bounds, as convolve does by block. */
static void check_share(void *job, int thread, int threads)
{
    outer_products *c = job;
    int64_t blocks = parts(c->n_out, c->block);
    for (int64_t b = part(blocks, thread, threads); b < part(blocks, thread + 1, threads); b++)
        if (!good_pairs(c->isa, c->sources, c->targets, c->starts[b * c->K], c->starts[(b + 1) * c->K], c->n_in,
                        b * c->block, least((b + 1) * c->block, c->n_out)))
            c->bad = 1;
}

/* The rows of all W[o], in order, are divided among the threads by number of pairs. A segment of output rows is
 * processed for all offsets while its rows are in cache. */
static void outer_share(void *job, int thread, int threads)
{
    const outer_products *c = job;
    int64_t stride = c->vectors * c->isa->lanes, blocks = parts(c->n_out, c->block), total = 0;
    int64_t segment = 1 + SEGMENT / ((c->c_in + c->c_out) * c->block);
    float *buffer = c->buffers ? c->buffers + thread * PAIRS * stride : NULL;
    for (int64_t o = 0; o < c->K; o++) total += c->sizes[o];
    double low = (double)total * thread / threads, high = (double)total * (thread + 1) / threads;
    for (int64_t b0 = 0; b0 < blocks; b0 += segment) {
        double before = 0;
        for (int64_t o = 0; o < c->K; before += c->sizes[o++]) {
            double from = (low - before) / c->sizes[o], to = (high - before) / c->sizes[o];
            if (!c->sizes[o] || from >= 1 || to <= 0) continue;
            int64_t i0 = from <= 0 ? 0 : (int64_t)(from * c->c_in), end = to >= 1 ? c->c_in : (int64_t)(to * c->c_in);
            for (; i0 < end; i0 += CHANNELS)
                for (int64_t b = b0; b < least(b0 + segment, blocks); b++) {
                    float *sum = c->sum + o * c->c_in * stride;
                    int64_t i1 = least(i0 + CHANNELS, end), row = b * c->block, stop = least(row + c->block, c->n_out);
                    int64_t first = c->starts[b * c->K + o], last = c->starts[b * c->K + o + 1];
                    if (o == c->identity)
                        add_outer_products(c, NULL, NULL, row, stop, i0, i1, sum, buffer);
                    else
                        add_outer_products(c, c->sources, c->targets, first, last, i0, i1, sum, buffer);
                }
        }
    }
}

/* sum[o] += sum over pairs (o, s, t) of x[s]^T g[t]. sum is [K][c_in][c_out rounded up to lanes]. sizes are the
 * numbers of pairs of each offset, including the identity's; the rest is as in iscc_convolve. */
int iscc_outer_products(int lanes, int threads, const float *x, const float *g, float *sum, const int32_t *sources,
                        const int32_t *targets, const int64_t *starts, const int64_t *sizes, int64_t n_pairs,
                        int64_t n_in, int64_t n_out, int64_t block, int64_t K, int64_t c_in, int64_t c_out,
                        int identity)
{
    if (!good_sizes(lanes, threads, n_in, n_out, n_pairs, block, K, c_in, c_out, identity)
        || !good_starts(starts, parts(n_out, block) * K, n_pairs))
        return BAD_ARGUMENT;
    const isa *set = isa_of(lanes);
    int64_t vectors = parts(c_out, set->lanes), padded = vectors * set->lanes;
    int64_t left = n_pairs + (identity < 0 ? 0 : n_out);
    for (int64_t o = 0; o < K; left -= sizes[o++])
        if (!in_range(sizes[o], 0, left)) return BAD_ARGUMENT;
    if (left) return BAD_ARGUMENT;
    outer_products c = {set, x, g, sum, NULL, sources, targets, starts, sizes, n_in, n_out, block, K, c_in, c_out,
                        vectors, parts(vectors, set->vectors), identity, 0};
    run(check_share, &c, worth(threads, 10.0 * n_pairs));
    if (c.bad) return BAD_ARGUMENT;
    threads = worth(threads, (double)(n_pairs + (identity < 0 ? 0 : n_out)) * c_in * c_out);
    if (c_out % set->lanes) {
        c.buffers = aligned_floats((double)threads * PAIRS * padded);
        if (!c.buffers) return NO_MEMORY;
        memset(c.buffers, 0, threads * PAIRS * padded * sizeof(float));
    }
    run(outer_share, &c, threads);
    free(c.buffers);
    return 0;
}

/* ---- maps ---- */

/* Write one of each pair of opposite neighbours, (offset, row, neighbour's row), to the three arrays of length
 * 13 * n, and return their number, or -1 for keys that do not ascend or leave 64 bits within a step. A step along x
 * or y adds step_x or step_y to a key, along z 1. */
int64_t iscc_neighbours(const int64_t *keys, int64_t n, int64_t step_x, int64_t step_y, int32_t *offsets,
                        int32_t *rows, int32_t *neighbours)
{
    static const int dx[4] = {1, 1, 1, 0}, dy[4] = {-1, 0, 1, 1};
    int64_t found = 0, longest = INT64_MAX / 3;
    if (!in_range(n, 0, INT32_MAX) || !in_range(step_x, 0, longest) || !in_range(step_y, 0, longest)) return -1;
    if (n && (keys[0] < INT64_MIN + step_x + step_y + 1 || keys[n - 1] > INT64_MAX - step_x - step_y - 1)) return -1;
    for (int64_t i = 0; i + 1 < n; i++)
        if (keys[i] >= keys[i + 1]) return -1;  /* a cell could have more than 26 neighbours */
    /* The three cells of a column have successive keys, and both sides ascend: one scan is enough. */
    for (int column = 0; column < 4; column++) {
        int64_t step = dx[column] * step_x + dy[column] * step_y - 1;
        int32_t lowest = dx[column] + 3 * dy[column] + 13 - 9;
        for (int64_t i = 0, first = 0; i < n; i++) {
            while (first < n && keys[first] < keys[i] + step) first++;
            for (int64_t j = first; j < n && keys[j] <= keys[i] + step + 2; j++, found++) {
                offsets[found] = lowest + 9 * (int32_t)(keys[j] - keys[i] - step);
                rows[found] = (int32_t)i;
                neighbours[found] = (int32_t)j;
            }
        }
    }
    for (int64_t i = 0; i + 1 < n; i++)
        if (keys[i + 1] == keys[i] + 1) {
            offsets[found] = 22;
            rows[found] = (int32_t)i;
            neighbours[found++] = (int32_t)i + 1;
        }
    return found;
}

/* Sort pairs stably by block of targets, which are below n_out, and offset. starts has length n_blocks * K + 1. */
int iscc_group(const int32_t *offsets, const int32_t *sources, const int32_t *targets, int64_t n_pairs, int64_t n_out,
               int64_t block, int64_t K, int64_t *starts, int32_t *grouped_sources, int32_t *grouped_targets)
{
    if (!in_range(n_out, 0, INT32_MAX) || !in_range(block, 1, DIMENSION_MAX) || !in_range(K, 1, DIMENSION_MAX)
        || !in_range(n_pairs, 0, INT64_MAX / 2))
        return BAD_ARGUMENT;
    int64_t n_blocks = parts(n_out, block);
    int64_t *ends = starts + 1;  /* of each bin; during the second pass, the position of its next pair */
    memset(starts, 0, (n_blocks * K + 1) * sizeof(int64_t));
    for (int64_t p = 0; p < n_pairs; p++) {
        if ((uint32_t)targets[p] >= (uint32_t)n_out || (uint32_t)offsets[p] >= (uint32_t)K) return BAD_ARGUMENT;
        ends[(uint32_t)targets[p] / (uint32_t)block * K + offsets[p]]++;
    }
    int64_t before = 0;
    for (int64_t bin = 0; bin < n_blocks * K; bin++) {
        int64_t count = ends[bin];
        ends[bin] = before;
        before += count;
    }
    for (int64_t p = 0; p < n_pairs; p++) {
        int64_t to = ends[(uint32_t)targets[p] / (uint32_t)block * K + offsets[p]]++;
        grouped_sources[to] = sources[p];
        grouped_targets[to] = targets[p];
    }
    return 0;
}
