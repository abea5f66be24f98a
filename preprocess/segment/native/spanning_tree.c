/* The exact minimum spanning tree of points by mutual reachability distance (Campello et al. 2013), and the union-find
 * of HDBSCAN, which cannot be vectorised.
 *
 * The length of an edge is the greatest of its Euclidean length and the core distances of its two ends; a point's core
 * distance is the distance to its k-th nearest other point. Boruvka's algorithm: in each round every component takes its
 * shortest edge to another (March, Ram and Gray 2010 is the variant with two trees; here each point searches one).
 *
 * Built as a plain shared library that library.py calls through ctypes. Lengths are squared until they are returned.
 * The same points in the same order give the same tree on any machine: no sum depends on the order of its terms. */

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define LEAF 16         /* points of a leaf */
#define CELLS 2097151.0 /* cells of the curve along an axis: 21 bits */
#define FARTHEST 1e100  /* largest coordinate: squared lengths stay finite */
#define MOST (1LL << 40) /* largest number of points, and of points times k: sizes in bytes stay below 2^63 */

enum { DONE, NO_MEMORY, REFUSED };  /* what the functions return */

static inline double larger(double a, double b) { return a > b ? a : b; }
static inline double smaller(double a, double b) { return a < b ? a : b; }

int iscc_interface(void) { return 2; }

/* ---- a hierarchy of boxes over the points, in the order of a space-filling curve ---- */

typedef struct {
    int64_t n, leaves;  /* points; leaves, a power of two. Node 1 is the root, 2i and 2i + 1 lie below i */
    double *x, *y, *z;  /* [leaves * LEAF], in the curve's order; infinity where there is no point */
    int64_t *order;     /* index of that point */
    double *box;        /* [2 * leaves][6]: lower corner, upper corner */
} tree;

typedef struct {
    uint64_t key;
    int64_t point;
} keyed;

static uint64_t spread(uint64_t v)  /* two zero bits before each of 21 bits */
{
    v = (v | v << 32) & 0x1f00000000ffffULL;
    v = (v | v << 16) & 0x1f0000ff0000ffULL;
    v = (v | v << 8) & 0x100f00f00f00f00fULL;
    v = (v | v << 4) & 0x10c30c30c30c30c3ULL;
    return (v | v << 2) & 0x1249249249249249ULL;
}

static uint64_t cell_of(double distance, double scale)  /* no cast of what is out of range, which is undefined */
{
    double cell = distance * scale;
    return cell >= CELLS ? (uint64_t)CELLS : cell > 0 ? (uint64_t)cell : 0;
}

static int by_key(const void *a, const void *b)
{
    const keyed *left = a, *right = b;
    if (left->key != right->key) return left->key < right->key ? -1 : 1;
    return left->point < right->point ? -1 : left->point > right->point;
}

static void free_tree(tree *t)
{
    free(t->x);
    free(t->order);
    free(t->box);
}

static int make_tree(tree *t, const double *xyz, int64_t n)
{
    t->n = n;
    t->leaves = 1;
    while (t->leaves * LEAF < n) t->leaves *= 2;
    int64_t room = t->leaves * LEAF;
    keyed *keys = malloc(n * sizeof *keys);
    t->x = malloc(3 * room * sizeof(double));
    t->order = malloc(room * sizeof(int64_t));
    t->box = malloc(2 * t->leaves * 6 * sizeof(double));
    if (!keys || !t->x || !t->order || !t->box) {
        free(keys);
        free_tree(t);
        return NO_MEMORY;
    }
    t->y = t->x + room;
    t->z = t->y + room;
    double low[3], width = 0;
    for (int a = 0; a < 3; a++) {
        double high = low[a] = xyz[a];
        for (int64_t i = 1; i < n; i++) {
            double v = xyz[3 * i + a];
            if (v < low[a]) low[a] = v;
            if (v > high) high = v;
        }
        if (high - low[a] > width) width = high - low[a];
    }
    double scale = width > 0 ? CELLS / width : 0;
    for (int64_t i = 0; i < n; i++) {
        uint64_t key = 0;
        for (int a = 0; a < 3; a++) key |= spread(cell_of(xyz[3 * i + a] - low[a], scale)) << (2 - a);
        keys[i] = (keyed){key, i};
    }
    qsort(keys, n, sizeof *keys, by_key);
    for (int64_t i = 0; i < room; i++) {
        int64_t p = t->order[i] = i < n ? keys[i].point : -1;
        t->x[i] = p < 0 ? INFINITY : xyz[3 * p];
        t->y[i] = p < 0 ? INFINITY : xyz[3 * p + 1];
        t->z[i] = p < 0 ? INFINITY : xyz[3 * p + 2];
    }
    free(keys);
    for (int64_t node = 2 * t->leaves - 1; node >= 1; node--) {
        double *box = t->box + 6 * node;
        for (int a = 0; a < 3; a++) box[a] = INFINITY, box[3 + a] = -INFINITY;
        if (node >= t->leaves) {
            int64_t first = (node - t->leaves) * LEAF;
            for (int64_t i = first; i < first + LEAF && i < n; i++) {
                double at[3] = {t->x[i], t->y[i], t->z[i]};
                for (int a = 0; a < 3; a++) {
                    if (at[a] < box[a]) box[a] = at[a];
                    if (at[a] > box[3 + a]) box[3 + a] = at[a];
                }
            }
            continue;
        }
        const double *left = box + 6 * node, *right = left + 6;  /* nodes 2 * node and the next */
        for (int a = 0; a < 3; a++) {
            box[a] = left[a] < right[a] ? left[a] : right[a];
            box[3 + a] = left[3 + a] > right[3 + a] ? left[3 + a] : right[3 + a];
        }
    }
    return DONE;
}

static inline double to_box(const double *box, double x, double y, double z)
{
    double dx = larger(larger(box[0] - x, x - box[3]), 0);
    double dy = larger(larger(box[1] - y, y - box[4]), 0);
    double dz = larger(larger(box[2] - z, z - box[5]), 0);
    return dx * dx + dy * dy + dz * dz;
}

/* ---- core distances ---- */

typedef struct {
    double length;
    int64_t point;
} near_one;

typedef struct {
    double x, y, z;
    int64_t self, k;
    near_one *best;  /* the k nearest so far, nearest first */
} nearest;

static void look_in_leaf(const tree *t, int64_t node, nearest *q)
{
    int64_t first = (node - t->leaves) * LEAF;
    double length[LEAF];
    for (int j = 0; j < LEAF; j++) {
        double dx = t->x[first + j] - q->x, dy = t->y[first + j] - q->y, dz = t->z[first + j] - q->z;
        length[j] = dx * dx + dy * dy + dz * dz;
    }
    for (int j = 0; j < LEAF; j++) {
        if (!(length[j] < q->best[q->k - 1].length) || first + j == q->self) continue;
        int64_t at = q->k - 1;
        for (; at > 0 && q->best[at - 1].length > length[j]; at--) q->best[at] = q->best[at - 1];
        q->best[at] = (near_one){length[j], first + j};
    }
}

static void look_below(const tree *t, int64_t node, nearest *q)
{
    if (node >= t->leaves) {
        look_in_leaf(t, node, q);
        return;
    }
    double left = to_box(t->box + 12 * node, q->x, q->y, q->z);
    double right = to_box(t->box + 12 * node + 6, q->x, q->y, q->z);
    int64_t nearer = right < left;
    if ((nearer ? right : left) < q->best[q->k - 1].length) look_below(t, 2 * node + nearer, q);
    if ((nearer ? left : right) < q->best[q->k - 1].length) look_below(t, 2 * node + 1 - nearer, q);
}

/* The k nearest other points of every point, nearest first: [n][k]. From its own leaf upwards, as most are close. */
static void find_nearest(const tree *t, int64_t k, near_one *found)
{
    for (int64_t i = 0; i < t->n; i++) {
        nearest q = {t->x[i], t->y[i], t->z[i], i, k, found + i * k};
        for (int64_t j = 0; j < k; j++) q.best[j] = (near_one){INFINITY, -1};
        int64_t node = t->leaves + i / LEAF;
        look_in_leaf(t, node, &q);
        for (; node > 1; node /= 2)
            if (to_box(t->box + 6 * (node ^ 1), q.x, q.y, q.z) < q.best[k - 1].length) look_below(t, node ^ 1, &q);
    }
}

/* ---- the spanning tree ---- */

typedef struct {
    double length;
    int64_t from, to;
} edge;

typedef struct {
    const tree *t;
    const double *core;      /* [n] */
    const double *least;     /* [2 * leaves]: smallest core distance of a node's points */
    const int64_t *part;     /* [n]: component of each point */
    const int64_t *of_node;  /* [2 * leaves]: the component that all of a node's points are in, or -1 */
    int64_t self;
    edge best;               /* the shortest so far */
} search;

static void search_below(int64_t node, search *s)
{
    const tree *t = s->t;
    if (s->of_node[node] == s->part[s->self]) return;
    double x = t->x[s->self], y = t->y[s->self], z = t->z[s->self];
    if (node >= t->leaves) {
        int64_t first = (node - t->leaves) * LEAF;
        for (int64_t i = first; i < first + LEAF && i < t->n; i++) {
            if (s->core[i] >= s->best.length || s->part[i] == s->part[s->self]) continue;
            double dx = t->x[i] - x, dy = t->y[i] - y, dz = t->z[i] - z;
            double length = larger(larger(dx * dx + dy * dy + dz * dz, s->core[i]), s->core[s->self]);
            if (length < s->best.length) s->best = (edge){length, s->self, i};
        }
        return;
    }
    double left = larger(to_box(t->box + 12 * node, x, y, z), s->least[2 * node]);
    double right = larger(to_box(t->box + 12 * node + 6, x, y, z), s->least[2 * node + 1]);
    int64_t nearer = right < left;
    if ((nearer ? right : left) < s->best.length) search_below(2 * node + nearer, s);
    if ((nearer ? left : right) < s->best.length) search_below(2 * node + 1 - nearer, s);
}

static void search_from(int64_t self, search *s)
{
    const tree *t = s->t;
    double x = t->x[self], y = t->y[self], z = t->z[self];
    int64_t node = t->leaves + self / LEAF;
    s->self = self;
    search_below(node, s);
    /* No edge is shorter than the core distance. */
    for (; node > 1 && s->best.length > s->core[self]; node /= 2)
        if (larger(to_box(t->box + 6 * (node ^ 1), x, y, z), s->least[node ^ 1]) < s->best.length)
            search_below(node ^ 1, s);
}

static int64_t head_of(int64_t *above, int64_t i)
{
    while (above[i] != i) i = above[i] = above[above[i]];
    return i;
}

static int shorter_first(const void *a, const void *b)
{
    const edge *left = a, *right = b;
    if (left->length != right->length) return left->length < right->length ? -1 : 1;
    if (left->from != right->from) return left->from < right->from ? -1 : 1;
    return left->to < right->to ? -1 : left->to > right->to;
}

/* Returns REFUSED where a component has no edge to another: never for coordinates that were checked. */
static int grow(const tree *t, const near_one *near, int64_t k, edge *edges, double *core, double *least,
                double *at_least, int64_t *part, int64_t *of_node, int64_t *above, edge *shortest)
{
    int64_t n = t->n, found = 0;
    for (int64_t i = 0; i < n; i++) {
        at_least[i] = core[i] = near[i * k + k - 1].length;
        above[i] = i;
    }
    for (int64_t node = 2 * t->leaves - 1; node >= 1; node--) {
        least[node] = INFINITY;
        int64_t first = (node - t->leaves) * LEAF;
        if (node < t->leaves) least[node] = smaller(least[2 * node], least[2 * node + 1]);
        else for (int64_t i = first; i < first + LEAF && i < n; i++) least[node] = smaller(least[node], core[i]);
    }
    search s = {t, core, least, part, of_node, 0, {INFINITY, -1, -1}};
    while (found < n - 1) {
        for (int64_t i = 0; i < n; i++) {
            part[i] = head_of(above, i);
            shortest[i] = (edge){INFINITY, -1, -1};
        }
        for (int64_t node = 2 * t->leaves - 1; node >= 1; node--) {
            int64_t first = (node - t->leaves) * LEAF, one = -2;  /* -2: no point at all */
            if (node < t->leaves) {
                int64_t left = of_node[2 * node], right = of_node[2 * node + 1];
                one = right == -2 || left == right ? left : -1;
            } else for (int64_t i = first; i < first + LEAF && i < n; i++)
                one = one == -2 || one == part[i] ? part[i] : -1;
            of_node[node] = one;
        }
        /* Edges found so far bound the searches. */
        for (int64_t i = 0; i < n; i++) {
            edge *best = shortest + part[i];
            for (int64_t j = 0; j < k; j++) {
                const near_one *other = near + i * k + j;
                if (other->point < 0 || part[other->point] == part[i]) continue;
                double length = larger(larger(other->length, core[other->point]), core[i]);
                if (length < best->length) *best = (edge){length, i, other->point};
            }
        }
        for (int64_t i = 0; i < n; i++) {
            edge *best = shortest + part[i];
            if (at_least[i] >= best->length) continue;
            s.best = *best;
            search_from(i, &s);
            at_least[i] = s.best.length;  /* the point's shortest edge, or a lower bound of it */
            *best = s.best;
        }
        /* In order of length: an edge that closes no circle belongs to a minimum tree, also among equal lengths. */
        int64_t parts = 0, before = found;
        for (int64_t i = 0; i < n; i++)
            if (part[i] == i && shortest[i].from >= 0) shortest[parts++] = shortest[i];
        qsort(shortest, parts, sizeof *shortest, shorter_first);
        for (int64_t i = 0; i < parts; i++) {
            int64_t a = head_of(above, shortest[i].from), b = head_of(above, shortest[i].to);
            if (a == b) continue;
            above[a > b ? a : b] = a > b ? b : a;
            edges[found++] = shortest[i];
        }
        if (found == before) return REFUSED;
    }
    return DONE;
}

static int acceptable(const double *xyz, int64_t n, int64_t k)
{
    if (n < 2 || n > MOST || k < 1 || k >= n || k > MOST / n) return 0;
    for (int64_t i = 0; i < 3 * n; i++)
        if (!(xyz[i] >= -FARTHEST && xyz[i] <= FARTHEST)) return 0;  /* NaN too */
    return 1;
}

/* Compute the minimum spanning tree of xyz [n][3]: both ends and the length of n - 1 edges, shortest first.
 * Returns NO_MEMORY, or REFUSED unless 2 <= n, 1 <= k < n and all coordinates lie within FARTHEST. */
int iscc_spanning_tree(const double *xyz, int64_t n, int64_t k, int64_t *first, int64_t *second, double *length)
{
    tree t;
    if (!acceptable(xyz, n, k)) return REFUSED;
    if (make_tree(&t, xyz, n)) return NO_MEMORY;
    int64_t nodes = 2 * t.leaves;
    near_one *near = malloc(n * k * sizeof *near);
    edge *edges = malloc(2 * n * sizeof *edges);
    double *reals = malloc((2 * n + nodes) * sizeof *reals);
    int64_t *whole = malloc((2 * n + nodes) * sizeof *whole);
    int failed = !near || !edges || !reals || !whole ? NO_MEMORY : DONE;
    if (!failed) {
        find_nearest(&t, k, near);
        failed = grow(&t, near, k, edges, reals, reals + 2 * n, reals + n, whole, whole + 2 * n, whole + n, edges + n);
    }
    if (!failed) {
        for (int64_t i = 0; i < n - 1; i++) {
            int64_t a = t.order[edges[i].from], b = t.order[edges[i].to];
            edges[i] = (edge){edges[i].length, a < b ? a : b, a < b ? b : a};
        }
        qsort(edges, n - 1, sizeof *edges, shorter_first);
        for (int64_t i = 0; i < n - 1; i++) {
            first[i] = edges[i].from;
            second[i] = edges[i].to;
            length[i] = sqrt(edges[i].length);
        }
    }
    free(near);
    free(edges);
    free(reals);
    free(whole);
    free_tree(&t);
    return failed;
}

/* Join n points along edges in order. Nodes below n are points, node n + i is the i-th join. Writes the two nodes of each
 * join to children [n - 1][2], and every node's number of points to size [2n - 1]. Returns NO_MEMORY, or REFUSED for n < 1
 * and for edges that are not a tree of the points. */
int iscc_join(const int64_t *first, const int64_t *second, int64_t n, int64_t *children, int64_t *size)
{
    if (n < 1 || n > MOST) return REFUSED;
    int64_t *above = malloc((2 * n - 1) * sizeof *above);
    if (!above) return NO_MEMORY;
    for (int64_t i = 0; i < 2 * n - 1; i++) {
        above[i] = i;
        size[i] = 1;
    }
    for (int64_t i = 0; i < n - 1; i++) {
        int legal = first[i] >= 0 && first[i] < n && second[i] >= 0 && second[i] < n;
        int64_t a = legal ? head_of(above, first[i]) : 0, b = legal ? head_of(above, second[i]) : 0;
        if (a == b) {  /* outside the points, or a circle */
            free(above);
            return REFUSED;
        }
        above[a] = above[b] = n + i;
        children[2 * i] = a;
        children[2 * i + 1] = b;
        size[n + i] = size[a] + size[b];
    }
    free(above);
    return DONE;
}
