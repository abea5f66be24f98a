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

#define LEAF 16          /* points of a leaf */
#define DIGIT 11         /* bits that a pass of sorting looks at */
#define FARTHEST 1e100   /* largest coordinate: squared lengths stay finite */
#define MOST (1LL << 40) /* largest number of points, and of points times k: sizes in bytes stay below 2^63 */

enum { DONE, NO_MEMORY, REFUSED };  /* what the functions return */
enum { MIXED = -1, EMPTY = -2 };    /* a node's component */

static inline double larger(double a, double b) { return a > b ? a : b; }
static inline double smaller(double a, double b) { return a < b ? a : b; }
static inline int64_t smaller_of(int64_t a, int64_t b) { return a < b ? a : b; }

int iscc_interface(void) { return 2; }

/* ---- a k-d tree over the points: halves along the longest side of a node's box ---- */

typedef struct {
    double low[3], high[3];
    double least;  /* smallest core distance of the points in it */
    int64_t part;  /* the component that all of them are in, MIXED or EMPTY */
} node;            /* one line of the cache */

typedef struct {
    double x[LEAF], y[LEAF], z[LEAF];  /* infinity where there is no point */
} leaf;

typedef struct {
    int64_t n, leaves;  /* points; leaves, a power of two. Node 1 is the root, 2i and 2i + 1 lie below i */
    node *nodes;        /* [2 * leaves] */
    leaf *points;       /* [leaves] */
    int64_t *order;     /* [n]: the index of each point of the leaves, in their order */
} tree;

typedef struct {
    double at[3];
    int64_t point;
} placed;

static inline int before(const placed *a, const placed *b, int axis)
{
    return a->at[axis] != b->at[axis] ? a->at[axis] < b->at[axis] : a->point < b->point;
}

/* Put the half that comes first along an axis before the others (Hoare's selection). */
static void halve(placed *all, int64_t n, int64_t half, int axis)
{
    uint64_t random = 1;
    for (int64_t low = 0, high = n - 1; low < high;) {
        random = random * 6364136223846793005ULL + 1442695040888963407ULL;
        placed middle = all[low + (int64_t)((random >> 33) % (uint64_t)(high - low + 1))];
        int64_t i = low, j = high;
        while (i <= j) {
            while (before(all + i, &middle, axis)) i++;
            while (before(&middle, all + j, axis)) j--;
            if (i > j) break;
            placed swapped = all[i];
            all[i++] = all[j];
            all[j--] = swapped;
        }
        if (half <= j) high = j;
        else if (half >= i) low = i;
        else break;
    }
}

/* Sort points into the leaves below a node, room for so many, and set the boxes of the node and of all below it. */
static void divide(tree *t, int64_t at, placed *all, int64_t n, int64_t room)
{
    node *own = t->nodes + at;
    for (int a = 0; a < 3; a++) own->low[a] = INFINITY, own->high[a] = -INFINITY;
    for (int64_t i = 0; i < n; i++)
        for (int a = 0; a < 3; a++) {
            own->low[a] = smaller(own->low[a], all[i].at[a]);
            own->high[a] = larger(own->high[a], all[i].at[a]);
        }
    if (room == LEAF) {
        leaf *points = t->points + (at - t->leaves);
        for (int64_t i = 0; i < LEAF; i++) {
            points->x[i] = i < n ? all[i].at[0] : INFINITY;
            points->y[i] = i < n ? all[i].at[1] : INFINITY;
            points->z[i] = i < n ? all[i].at[2] : INFINITY;
            if (i < n) t->order[(at - t->leaves) * LEAF + i] = all[i].point;
        }
        return;
    }
    int axis = 0;
    for (int a = 1; a < 3; a++)
        if (own->high[a] - own->low[a] > own->high[axis] - own->low[axis]) axis = a;
    int64_t half = smaller_of(room / 2, n);
    if (half < n) halve(all, n, half, axis);
    divide(t, 2 * at, all, half, room / 2);
    divide(t, 2 * at + 1, all + half, n - half, room / 2);
}

static void free_tree(tree *t)
{
    free(t->nodes);
    free(t->points);
    free(t->order);
}

static int make_tree(tree *t, const double *xyz, int64_t n)
{
    t->n = n;
    t->leaves = 1;
    while (t->leaves * LEAF < n) t->leaves *= 2;
    placed *all = malloc(n * sizeof *all);
    t->nodes = aligned_alloc(sizeof(node), 2 * t->leaves * sizeof(node));
    t->points = malloc(t->leaves * sizeof(leaf));
    t->order = malloc(n * sizeof(int64_t));
    if (!all || !t->nodes || !t->points || !t->order) {
        free(all);
        free_tree(t);
        return NO_MEMORY;
    }
    for (int64_t i = 0; i < n; i++) all[i] = (placed){{xyz[3 * i], xyz[3 * i + 1], xyz[3 * i + 2]}, i};
    divide(t, 1, all, n, t->leaves * LEAF);
    free(all);
    return DONE;
}

static inline double to_box(const node *box, double x, double y, double z)
{
    double dx = larger(larger(box->low[0] - x, x - box->high[0]), 0);
    double dy = larger(larger(box->low[1] - y, y - box->high[1]), 0);
    double dz = larger(larger(box->low[2] - z, z - box->high[2]), 0);
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

static void look_in_leaf(const tree *t, int64_t at, nearest *q)
{
    const leaf *points = t->points + (at - t->leaves);
    int64_t first = (at - t->leaves) * LEAF;
    double length[LEAF];
    for (int j = 0; j < LEAF; j++) {
        double dx = points->x[j] - q->x, dy = points->y[j] - q->y, dz = points->z[j] - q->z;
        length[j] = dx * dx + dy * dy + dz * dz;
    }
    for (int j = 0; j < LEAF; j++) {
        if (!(length[j] < q->best[q->k - 1].length) || first + j == q->self) continue;
        int64_t rank = q->k - 1;
        for (; rank > 0 && q->best[rank - 1].length > length[j]; rank--) q->best[rank] = q->best[rank - 1];
        q->best[rank] = (near_one){length[j], first + j};
    }
}

static void look_below(const tree *t, int64_t at, nearest *q)
{
    if (at >= t->leaves) {
        look_in_leaf(t, at, q);
        return;
    }
    double left = to_box(t->nodes + 2 * at, q->x, q->y, q->z);
    double right = to_box(t->nodes + 2 * at + 1, q->x, q->y, q->z);
    int64_t nearer = right < left;
    if ((nearer ? right : left) < q->best[q->k - 1].length) look_below(t, 2 * at + nearer, q);
    if ((nearer ? left : right) < q->best[q->k - 1].length) look_below(t, 2 * at + 1 - nearer, q);
}

/* The k nearest other points of every point, nearest first: [n][k]. From its own leaf upwards, as most are close. */
static void find_nearest(const tree *t, int64_t k, near_one *found)
{
    for (int64_t i = 0; i < t->n; i++) {
        const leaf *own = t->points + i / LEAF;
        nearest q = {own->x[i % LEAF], own->y[i % LEAF], own->z[i % LEAF], i, k, found + i * k};
        for (int64_t j = 0; j < k; j++) q.best[j] = (near_one){INFINITY, -1};
        int64_t at = t->leaves + i / LEAF;
        look_in_leaf(t, at, &q);
        for (; at > 1; at /= 2)
            if (to_box(t->nodes + (at ^ 1), q.x, q.y, q.z) < q.best[k - 1].length) look_below(t, at ^ 1, &q);
    }
}

/* ---- the spanning tree ---- */

typedef struct {
    double length;
    int64_t from, to;
} edge;

typedef struct {
    const tree *t;
    const double *core;   /* [n] */
    const int64_t *part;  /* [n]: component of each point */
    double x, y, z;
    int64_t self, own;    /* the point, and its component */
    edge best;            /* the shortest so far */
} search;

static void search_below(int64_t at, search *s)
{
    const tree *t = s->t;
    if (at >= t->leaves) {
        const leaf *points = t->points + (at - t->leaves);
        int64_t first = (at - t->leaves) * LEAF;
        for (int64_t i = first; i < first + LEAF && i < t->n; i++) {
            if (s->core[i] >= s->best.length || s->part[i] == s->own) continue;
            double dx = points->x[i - first] - s->x, dy = points->y[i - first] - s->y, dz = points->z[i - first] - s->z;
            double length = larger(larger(dx * dx + dy * dy + dz * dz, s->core[i]), s->core[s->self]);
            if (length < s->best.length) s->best = (edge){length, s->self, i};
        }
        return;
    }
    const node *below = t->nodes + 2 * at;
    double left = below[0].part == s->own ? INFINITY : larger(to_box(below, s->x, s->y, s->z), below[0].least);
    double right = below[1].part == s->own ? INFINITY : larger(to_box(below + 1, s->x, s->y, s->z), below[1].least);
    int64_t nearer = right < left;
    if ((nearer ? right : left) < s->best.length) search_below(2 * at + nearer, s);
    if ((nearer ? left : right) < s->best.length) search_below(2 * at + 1 - nearer, s);
}

static void search_from(int64_t self, search *s)
{
    const tree *t = s->t;
    const leaf *points = t->points + self / LEAF;
    int64_t at = t->leaves + self / LEAF;
    s->x = points->x[self % LEAF], s->y = points->y[self % LEAF], s->z = points->z[self % LEAF];
    s->self = self;
    s->own = s->part[self];
    if (t->nodes[at].part != s->own) search_below(at, s);
    /* No edge is shorter than the core distance. */
    for (; at > 1 && s->best.length > s->core[self]; at /= 2) {
        const node *other = t->nodes + (at ^ 1);
        if (other->part != s->own && larger(to_box(other, s->x, s->y, s->z), other->least) < s->best.length)
            search_below(at ^ 1, s);
    }
}

static int64_t head_of(int64_t *above, int64_t i)
{
    while (above[i] != i) i = above[i] = above[above[i]];
    return i;
}

/* Sort edges by length, then by their ends. */
static int shorter_first(const void *a, const void *b)
{
    const edge *left = a, *right = b;
    if (left->length != right->length) return left->length < right->length ? -1 : 1;
    if (left->from != right->from) return left->from < right->from ? -1 : 1;
    return left->to < right->to ? -1 : left->to > right->to;
}

static void set_least(tree *t, const double *core)
{
    for (int64_t at = 2 * t->leaves - 1; at >= 1; at--) {
        node *own = t->nodes + at;
        int64_t first = (at - t->leaves) * LEAF;
        own->least = INFINITY;
        if (at < t->leaves) own->least = smaller(t->nodes[2 * at].least, t->nodes[2 * at + 1].least);
        else for (int64_t i = first; i < first + LEAF && i < t->n; i++) own->least = smaller(own->least, core[i]);
    }
}

static void set_parts(tree *t, const int64_t *part)
{
    for (int64_t at = 2 * t->leaves - 1; at >= 1; at--) {
        int64_t first = (at - t->leaves) * LEAF, one = EMPTY;
        if (at < t->leaves) {
            int64_t left = t->nodes[2 * at].part, right = t->nodes[2 * at + 1].part;
            one = right == EMPTY || left == right ? left : MIXED;
        } else for (int64_t i = first; i < first + LEAF && i < t->n; i++)
            one = one == EMPTY || one == part[i] ? part[i] : MIXED;
        t->nodes[at].part = one;
    }
}

static inline int64_t digit_of(const edge *one, int shift)
{
    uint64_t bits;  /* those of lengths, which are not negative, are in the order of the lengths */
    memcpy(&bits, &one->length, sizeof bits);
    return bits >> shift & ((1 << DIGIT) - 1);
}

/* Sort edges by length, equal ones as they are. */
static void sort_by_length(edge *edges, int64_t n, edge *room)
{
    for (int shift = 0; shift < 64; shift += DIGIT) {
        int64_t begin[1 << DIGIT] = {0}, before = 0;
        for (int64_t i = 0; i < n; i++) begin[digit_of(edges + i, shift)]++;
        for (int64_t d = 0; d < 1 << DIGIT; d++) {
            int64_t here = begin[d];
            begin[d] = before;
            before += here;
        }
        for (int64_t i = 0; i < n; i++) room[begin[digit_of(edges + i, shift)]++] = edges[i];
        memcpy(edges, room, n * sizeof *edges);
    }
}

/* Returns REFUSED where a component has no edge to another: never for coordinates that were checked. */
static int grow(tree *t, const near_one *near, int64_t k, edge *edges, double *core, double *at_least,
                int64_t *part, int64_t *above, edge *shortest)
{
    int64_t n = t->n, found = 0;
    for (int64_t i = 0; i < n; i++) {
        at_least[i] = core[i] = near[i * k + k - 1].length;
        above[i] = i;
    }
    set_least(t, core);
    search s = {t, core, part, 0, 0, 0, 0, 0, {INFINITY, -1, -1}};
    while (found < n - 1) {
        for (int64_t i = 0; i < n; i++) {
            part[i] = head_of(above, i);
            shortest[i] = (edge){INFINITY, -1, -1};
        }
        set_parts(t, part);
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
        sort_by_length(shortest, parts, edges + found);
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
    near_one *near = malloc(n * k * sizeof *near);
    edge *edges = malloc(2 * n * sizeof *edges);
    double *reals = malloc((2 * n) * sizeof *reals);
    int64_t *whole = malloc((2 * n) * sizeof *whole);
    int failed = !near || !edges || !reals || !whole ? NO_MEMORY : DONE;
    if (!failed) {
        find_nearest(&t, k, near);
        failed = grow(&t, near, k, edges, reals, reals + n, whole, whole + n, edges + n);
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
