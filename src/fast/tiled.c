/* tiled.c: the product that a cache likes. Enters: two operands in memory in either order. Leaves: c. Next: a kernel's tile function.
 *
 * A naive product reads each operand again for every output; a core can multiply some 30 times faster than it can read from memory. So:
 *
 *   block of b   BLOCK_DEPTH × BLOCK_COLUMNS, packed once, shared by all threads, stays in the second-level cache
 *   panel of a   BLOCK_DEPTH × R, packed by the thread that uses it, stays in the first-level cache
 *   tile of c    R × C, in registers for the whole depth of the block
 *
 * (Goto & van de Geijn 2008, "Anatomy of High-Performance Matrix Multiplication"; Van Zee & van de Geijn 2015, "BLIS".)
 *
 * Packing makes the three products one: a panel stands (depth, width) in memory however its operand was stored. Panels at an edge are filled
 * with zeros and computed in full; a tile that sticks out over c goes through a buffer, of which the part inside is copied.
 *
 * The same bits for any number of threads: each output element is one sum over p in order within a block of depth, and blocks are added to c in
 * order. Where the blocks of depth are cut depends on k alone. Which thread makes a tile, and whether it lies at an edge, changes nothing.
 *
 * Buffers: the block of b is one static array per calling thread (no allocation that could fail, nothing to free; the system gives it memory
 * when it is first touched); the panel of a and an edge's tile lie on the stack of the thread that works.
 */
#include "fast/tiled.h"

#include <string.h>

enum { COPY = 8 };
enum { TASKS_WANTED = 16 };

static _Thread_local _Alignas(64) real block_of_b[(size_t)BLOCK_DEPTH * (BLOCK_COLUMNS + TILE_MAX_COLUMNS)];

static size_t least(size_t a, size_t b) { return a < b ? a : b; }
static size_t groups_of(size_t count, size_t size) { return (count + size - 1) / size; }
static size_t round_up(size_t count, size_t to) { return groups_of(count, to) * to; }

/* panel (depth, width): columns first..first+count-1 of the operand, p from p0, zeros behind. */
static void pack_panel(const TiledKernel *kernel, real *panel, size_t width, Operand x, size_t first, size_t count, size_t p0, size_t depth) {
    const real *from = x.at + first * x.width_step + p0 * x.depth_step;
    if (x.width_step != 1) {
        kernel->transpose(panel, width, from, x.width_step, count, depth);
        return;
    }
    for (size_t p = 0; p < depth; p++) {
        real *row = panel + p * width;
        const real *from_p = from + p * x.depth_step;
        size_t i = 0;
        for (; i + COPY <= count; i += COPY) memcpy(row + i, from_p + i, COPY * sizeof(real)); /* of a fixed size it is two moves and no call */
        for (; i < count; i++) row[i] = from_p[i];
        for (; i < width; i++) row[i] = 0;
    }
}

/* One tile, whole or sticking out: c has room for rows × columns of it. */
static void make_tile(const TiledKernel *kernel, real *c, size_t c_step, const real *a_panel, const real *b_panel, size_t rows, size_t columns,
                      size_t width, size_t depth, bool add) {
    TileFn *tile = kernel->tile[width / kernel->lanes - 1];
    if (rows == kernel->rows && columns == width) {
        tile(c, c_step, a_panel, b_panel, depth, add);
        return;
    }
    _Alignas(64) real edge[TILE_MAX_ROWS * TILE_MAX_COLUMNS];
    tile(edge, width, a_panel, b_panel, depth, false);
    for (size_t r = 0; r < rows; r++) {
        real *c_r = c + r * c_step;
        const real *edge_r = edge + r * width;
        if (add)
            for (size_t j = 0; j < columns; j++) c_r[j] += edge_r[j];
        else
            memcpy(c_r, edge_r, columns * sizeof(real));
    }
}

typedef struct {
    const TiledKernel *kernel;
    real *c;
    Operand a, b;
    size_t m, n;
    size_t j0, columns, p0, depth; /* the block: columns j0.., k from p0 */
    bool add;
    real *b_block; /* panels of C columns one behind the other, the last one narrower */
} Block;

static void pack_block_panel(const Block *k, size_t panel) {
    const size_t full = k->kernel->lanes * k->kernel->vectors, at = panel * full;
    const size_t count = least(full, k->columns - at);
    pack_panel(k->kernel, k->b_block + at * k->depth, round_up(count, k->kernel->lanes), k->b, k->j0 + at, count, k->p0, k->depth);
}

/* Rows of panel `row_panel` of c, columns of b's panels first..end-1. */
static void multiply_rows(const Block *k, size_t row_panel, size_t first, size_t end) {
    const size_t tile_rows = k->kernel->rows, full = k->kernel->lanes * k->kernel->vectors;
    const size_t i0 = row_panel * tile_rows, rows = least(tile_rows, k->m - i0);
    _Alignas(64) real a_panel[TILE_MAX_ROWS * BLOCK_DEPTH];
    pack_panel(k->kernel, a_panel, tile_rows, k->a, i0, rows, k->p0, k->depth);
    for (size_t panel = first; panel < end; panel++) {
        const size_t at = panel * full, columns = least(full, k->columns - at);
        make_tile(k->kernel, k->c + i0 * k->n + k->j0 + at, k->n, a_panel, k->b_block + at * k->depth, rows, columns,
                  round_up(columns, k->kernel->lanes), k->depth, k->add);
    }
}

/* Called by every thread of a team: packs its share of the block, waits, then multiplies rows until none is left. */
static void multiply_block(const Block *k) {
    const size_t panels = groups_of(k->columns, k->kernel->lanes * k->kernel->vectors);
    const size_t row_panels = groups_of(k->m, k->kernel->rows);
    /* A product with few rows is cut along its columns too, so that no thread stands idle. */
    const size_t groups = row_panels >= TASKS_WANTED ? 1 : least(panels, groups_of(TASKS_WANTED, row_panels));
    const size_t group_panels = groups_of(panels, groups);
#pragma omp for schedule(static)
    for (size_t panel = 0; panel < panels; panel++) pack_block_panel(k, panel);
#pragma omp for schedule(dynamic)
    for (size_t task = 0; task < row_panels * groups; task++) {
        const size_t first = task % groups * group_panels;
        if (first < panels) multiply_rows(k, task / groups, first, least(first + group_panels, panels));
    }
}

void tiled_product(const TiledKernel *kernel, real *c, Operand a, Operand b, size_t m, size_t n, size_t k, MatmulMode mode) {
    if (m == 0 || n == 0) return;
    if (k == 0) {
        if (mode == MATMUL_SET) memset(c, 0, m * n * sizeof(real));
        return;
    }
    real *b_block = block_of_b; /* the caller's, also inside the team */
    const size_t depth = groups_of(k, groups_of(k, BLOCK_DEPTH)), width = groups_of(n, groups_of(n, BLOCK_COLUMNS));
    const size_t columns = round_up(width, kernel->lanes * kernel->vectors);
    const bool threads = (double)m * (double)n * (double)k >= PARALLEL_MIN_PRODUCTS;
    (void)threads; /* named by the pragma alone */
#pragma omp parallel if (threads)
    for (size_t j0 = 0; j0 < n; j0 += columns)
        for (size_t p0 = 0; p0 < k; p0 += depth) {
            const Block block = {kernel, c, a, b, m, n, j0, least(columns, n - j0), p0, least(depth, k - p0), mode == MATMUL_ADD || p0 > 0, b_block};
            multiply_block(&block);
        }
}

void tiled_nt(const TiledKernel *kernel, real *c, const real *a, const real *b, size_t m, size_t n, size_t k, MatmulMode mode) {
    tiled_product(kernel, c, (Operand){a, k, 1}, (Operand){b, k, 1}, m, n, k, mode);
}

void tiled_nn(const TiledKernel *kernel, real *c, const real *a, const real *b, size_t m, size_t n, size_t k, MatmulMode mode) {
    tiled_product(kernel, c, (Operand){a, k, 1}, (Operand){b, 1, n}, m, n, k, mode);
}

void tiled_tn(const TiledKernel *kernel, real *c, const real *a, const real *b, size_t m, size_t n, size_t k, MatmulMode mode) {
    tiled_product(kernel, c, (Operand){a, 1, m}, (Operand){b, 1, n}, m, n, k, mode);
}
