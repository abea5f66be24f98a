/* The two innermost products and the check of indices for one instruction set. cpu_kernels.c includes this file once for each.
 *
 * Requires: LANES, floats in a register; TARGET, the attribute that enables the instructions; NAME(x), x with the
 * suffix of the instruction set; TILES(CASE), CASE(R, V) for every tile of R rows by V registers.
 *
 * A tile's sums stay in registers during the inner loop, which multiplies one row of V registers by R single floats.
 * Loops over R and V are unrolled: both are constants in every case. */

typedef float NAME(floats) __attribute__((vector_size(4 * LANES), aligned(4), may_alias));

#define TILE TARGET static inline __attribute__((always_inline)) void
#define EACH_ROW _Pragma("GCC unroll 16") for (int r = 0; r < R; r++)
#define EACH_VECTOR _Pragma("GCC unroll 4") for (int v = 0; v < V; v++)
#define AT(pointer) (*(NAME(floats) *)(pointer))
#define CONST_AT(pointer) (*(const NAME(floats) *)(pointer))

/* out[r][0 .. V) += sum over k < depth of x[r][k] * weights[k][0 .. V) */
TILE NAME(add_rows)(const int R, const int V, const float *const *x, const float *weights, int64_t depth,
                    float *const *out)
{
    NAME(floats) sums[R_MAX][V_MAX], row[V_MAX];
    EACH_ROW EACH_VECTOR sums[r][v] = (NAME(floats)){0};
    for (int64_t k = 0; k < depth; k++, weights += V * LANES) {
        EACH_VECTOR row[v] = CONST_AT(weights + v * LANES);
        EACH_ROW EACH_VECTOR sums[r][v] += x[r][k] * row[v];
    }
    EACH_ROW EACH_VECTOR AT(out[r] + v * LANES) += sums[r][v];
}

/* sum[r][0 .. V) += sum over pairs p < n of x[p][i + r] * g[p][j + (0 .. V)]; stride is between rows of sum */
TILE NAME(add_outer)(const int R, const int V, const float *const *x, int64_t i, const float *const *g, int64_t j,
                     int64_t n, float *sum, int64_t stride)
{
    NAME(floats) sums[R_MAX][V_MAX], row[V_MAX];
    EACH_ROW EACH_VECTOR sums[r][v] = (NAME(floats)){0};
    for (int64_t p = 0; p < n; p++) {
        const float *x_p = x[p] + i, *g_p = g[p] + j;
        EACH_VECTOR row[v] = CONST_AT(g_p + v * LANES);
        EACH_ROW EACH_VECTOR sums[r][v] += x_p[r] * row[v];
    }
    EACH_ROW EACH_VECTOR AT(sum + r * stride + v * LANES) += sums[r][v];
}

#define CASE(R, V) case (R) * 8 + (V): NAME(add_rows)(R, V, x, weights, depth, out); return;
TARGET static void NAME(rows)(int R, int V, const float *const *x, const float *weights, int64_t depth,
                              float *const *out)
{
    switch (R * 8 + V) { TILES(CASE) }
}
#undef CASE

#define CASE(R, V) case (R) * 8 + (V): NAME(add_outer)(R, V, x, i, g, j, n, sum, stride); return;
TARGET static void NAME(outer)(int R, int V, const float *const *x, int64_t i, const float *const *g, int64_t j,
                               int64_t n, float *sum, int64_t stride)
{
    switch (R * 8 + V) { TILES(CASE) }
}
#undef CASE

/* Whether all n indices are first or above and below stop; both are at most 2^31 - 1. */
TARGET static int NAME(all_within)(const int32_t *indices, int64_t n, int64_t first, int64_t stop)
{
    uint32_t least = (uint32_t)first, farthest = 0;
    for (int64_t i = 0; i < n; i++) {
        uint32_t from_first = (uint32_t)indices[i] - least;  /* a large number for an index below */
        farthest = from_first > farthest ? from_first : farthest;
    }
    return !n || farthest < stop - first;
}

#undef TILE
#undef EACH_ROW
#undef EACH_VECTOR
#undef AT
#undef CONST_AT
#undef LANES
#undef TARGET
#undef NAME
#undef TILES
