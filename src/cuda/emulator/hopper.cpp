/* hopper.cpp: what goes on while the thread that asked for it does: copies of boxes into shared memory, and products of a warpgroup; and the barriers
 * that tell when it is over. Names and meanings are those of the PTX ISA, as in src/cuda/hopper.h.
 *
 *   enters   an instruction of hopper.h, from the thread that is running
 *   leaves   shared memory, barriers and sums, at the worst moment that the hardware may choose:
 *     a copy      destroys its destination when it is asked for, and comes when nobody can go on without it. Who reads too early reads NaN, and who
 *                 lets go of a stage too early loses it. Several come in the order in which they were asked for, or the other way round
 *     a product   takes its sums away when it is issued, and gives them back at the wait that ends it: NaN in between. What it reads must be the same
 *                 then as it was when it was issued
 *   not      two things that the hardware leaves open and this does not: how a product's 16 terms are added (here one after the other), and whether the
 *            four warps of a warpgroup issue it at one time (here they do)
 */
#include "cudaTypedefs.h"
#include "fibers.h"

#include <deque>
#include <vector>

namespace {

enum { WINDOW = 1024, ROW = 128, PATTERN = 1024, PIECE = 16 };

/* ---- addresses: shared memory begins with 1024 bytes that are the system's ---- */
uint32_t window_start() { return WINDOW + static_cast<uint32_t>(reinterpret_cast<uintptr_t>(emulator_shared()) % PATTERN); }

unsigned char *at_address(uint32_t address, size_t bytes) {
    if (address < window_start() || address + bytes > window_start() + emulator_shared_bytes()) emulator_fail("an address outside dynamic shared memory");
    return emulator_shared() + (address - window_start());
}

uint32_t swizzled(uint32_t address) { return address ^ (address >> 7 & 7) << 4; }

/* ---- barriers: 64 bits in shared memory; their topmost is 0, where nobody made one it is not ---- */
struct Barrier {
    unsigned pending, arrivals; /* in this phase; in each */
    int bytes;                  /* that are announced and have not come: below 0 where they come first */
    bool odd;
};
const int64_t BYTES_MOST = (1 << 20) - 1;

Barrier read_barrier(const uint64_t *at) {
    if (emulator_shared_address(at) % 8 != 0) emulator_fail("a barrier that does not begin at a multiple of 8");
    if (*at >> 63) emulator_fail("a barrier that nobody made, or that was written over");
    return {static_cast<unsigned>(*at & 0xfffff), static_cast<unsigned>(*at >> 20 & 0xfffff), static_cast<int>(*at >> 40 & 0x3fffff) - (1 << 21),
            (*at >> 62 & 1) != 0};
}
void write_barrier(uint64_t *at, Barrier b) {
    if (b.bytes > BYTES_MOST || b.bytes < -BYTES_MOST) emulator_fail("a barrier counts 2^20 - 1 bytes at most");
    if (b.pending == 0 && b.bytes == 0) b.odd = !b.odd, b.pending = b.arrivals;
    *at = b.pending | static_cast<uint64_t>(b.arrivals) << 20 | static_cast<uint64_t>(b.bytes + (1 << 21)) << 40 | static_cast<uint64_t>(b.odd) << 62;
}

struct Wait {
    const uint64_t *barrier;
    bool odd;
};
bool phase_is_over(const void *waited) {
    const Wait *w = static_cast<const Wait *>(waited);
    return read_barrier(w->barrier).odd != w->odd;
}

/* ---- tensor maps, and copies that were asked for ---- */
struct Map { /* what stands in a CUtensorMap */
    uint32_t magic, rank;
    uint64_t at, dims[5], strides[4];
    uint16_t box[5];
    bool swizzle;
};
static_assert(sizeof(Map) <= sizeof(CUtensorMap), "it fits");
const uint32_t MAGIC = 0x7e7504a9;

struct Copy {
    Map map;
    int64_t x, y, z;
    unsigned char *to;
    uint64_t *barrier;
};
std::deque<Copy> copies;

unsigned box_bytes(const Map &m) { return 2u * m.box[0] * m.box[1]; }

/* One row of a box, zeros where it is outside. */
void copy_row(unsigned char *row, const Copy &c, int64_t y) {
    const Map &m = c.map;
    const bool inside = y >= 0 && y < static_cast<int64_t>(m.dims[1]) && (m.rank < 3 || (c.z >= 0 && c.z < static_cast<int64_t>(m.dims[2])));
    const unsigned char *from = reinterpret_cast<const unsigned char *>(m.at) + y * static_cast<int64_t>(m.strides[0]) +
                                (m.rank < 3 ? 0 : c.z * static_cast<int64_t>(m.strides[1]));
    for (int64_t i = 0; i < m.box[0]; i++) {
        if (inside && c.x + i >= 0 && c.x + i < static_cast<int64_t>(m.dims[0])) memcpy(row + 2 * i, from + 2 * (c.x + i), 2);
        else memset(row + 2 * i, 0, 2);
    }
}

void deliver(const Copy &c) {
    unsigned char row[256 * 2];
    const unsigned width = 2u * c.map.box[0];
    for (unsigned r = 0; r < c.map.box[1]; r++) {
        copy_row(row, c, c.y + r);
        const uint32_t start = emulator_shared_address(c.to) + r * width;
        for (unsigned piece = 0; piece < width; piece += PIECE)
            memcpy(at_address(c.map.swizzle ? swizzled(start + piece) : start + piece, PIECE), row + piece, PIECE);
    }
    Barrier b = read_barrier(c.barrier);
    b.bytes -= static_cast<int>(box_bytes(c.map));
    write_barrier(c.barrier, b);
}

CUresult write_map(CUtensorMap *map, CUtensorMapDataType type, cuuint32_t rank, void *at, const cuuint64_t *dims, const cuuint64_t *strides,
                   const cuuint32_t *box, const cuuint32_t *each, CUtensorMapInterleave, CUtensorMapSwizzle swizzle, CUtensorMapL2promotion,
                   CUtensorMapFloatOOBfill) {
    Map m = {MAGIC, rank, reinterpret_cast<uint64_t>(at), {}, {}, {}, swizzle == CU_TENSOR_MAP_SWIZZLE_128B};
    bool right = reinterpret_cast<uintptr_t>(map) % 64 == 0 && type == CU_TENSOR_MAP_DATA_TYPE_BFLOAT16 && at != nullptr && m.at % 16 == 0;
    right = right && (rank == 2 || rank == 3); /* the driver takes 1 to 5 */
    for (unsigned d = 0; right && d < rank; d++) {
        right = dims[d] > 0 && dims[d] <= uint64_t{1} << 32 && box[d] > 0 && box[d] <= 256 && each[d] == 1;
        if (d + 1 < rank) right = right && strides[d] % 16 == 0 && strides[d] < uint64_t{1} << 40 && strides[d] >= dims[d] * (d == 0 ? 2 : 1);
        m.dims[d] = dims[d], m.box[d] = static_cast<uint16_t>(box[d]);
        if (d + 1 < rank) m.strides[d] = strides[d];
    }
    right = right && box[0] * 2 % 16 == 0 && (!m.swizzle || box[0] * 2 <= ROW) && (rank < 3 || box[2] == 1);
    if (!right) return CUDA_ERROR_INVALID_VALUE;
    memcpy(map, &m, sizeof m);
    return CUDA_SUCCESS;
}

/* ---- products of a warpgroup ---- */
enum { THREADS = 128, ROWS = 64, COLUMNS = 256, DEPTH = 16, SUMS = 128 };

struct Operands { /* as they lie in rows of 16 bf16, a's and then b's */
    uint16_t row[ROWS + COLUMNS][DEPTH];
};
struct Product { /* one that was issued: which of its warpgroup, what it reads, and what that was */
    unsigned number;
    uint64_t a, b;
    Operands read;
};
struct Thread {
    float *sum; /* its registers, while they are the products' */
    bool away, fenced;
    unsigned issued, over;        /* products */
    std::vector<unsigned> groups; /* issued when each was committed, of those that are not over */
};
struct Warpgroup {
    float sum[ROWS][COLUMNS];
    uint64_t a, b;
    unsigned here, issued; /* threads that have come to the next product */
    std::deque<Product> products;
};
bool used; /* by this block */
Thread thread_of[EMULATOR_MAX_THREADS];
Warpgroup warpgroup_of[EMULATOR_MAX_THREADS / THREADS];

/* Where a thread's sum i belongs: PTX ISA, "Register Fragments for wgmma.mma_async.m64nNk16", matrix D. */
float *place_of(Warpgroup *g, unsigned thread, unsigned i) {
    const unsigned lane = thread % 32;
    return &g->sum[thread % THREADS / 32 * 16 + lane / 4 + i / 2 % 2 * 8][i / 4 * 8 + lane % 4 * 2 + i % 2];
}

/* `rows` rows of an operand, by its descriptor: PTX ISA, "Matrix Descriptor Format" and "Strides". Eight rows are 1024 bytes, and then a stride. */
void read_operand(uint16_t (*to)[DEPTH], unsigned rows, uint64_t descriptor) {
    const uint32_t start = static_cast<uint32_t>(descriptor & 0x3fff) << 4, stride = static_cast<uint32_t>(descriptor >> 32 & 0x3fff) << 4;
    if (descriptor >> 62 != 1) emulator_fail("an operand whose descriptor tells of another swizzle than 128 bytes");
    if ((descriptor >> 49 & 7) != 0 || start % PATTERN >= ROW) emulator_fail("an operand that does not begin with the swizzle's pattern");
    for (unsigned r = 0; r < rows; r++)
        for (unsigned piece = 0; piece < DEPTH * 2; piece += PIECE)
            memcpy(&to[r][piece / 2], at_address(swizzled(start + r / 8 * stride + r % 8 * ROW + piece), PIECE), PIECE);
}
void read_operands(Operands *to, uint64_t a, uint64_t b) {
    read_operand(to->row, ROWS, a);
    read_operand(to->row + ROWS, COLUMNS, b);
}

float from_bf16(uint16_t half) { return __uint_as_float(static_cast<unsigned>(half) << 16); }

void multiply(Warpgroup *g, const Operands &read) {
    static float b[DEPTH][COLUMNS];
    for (unsigned j = 0; j < COLUMNS; j++)
        for (unsigned k = 0; k < DEPTH; k++) b[k][j] = from_bf16(read.row[ROWS + j][k]);
    for (unsigned r = 0; r < ROWS; r++)
        for (unsigned k = 0; k < DEPTH; k++) {
            const float a = from_bf16(read.row[r][k]);
            for (unsigned j = 0; j < COLUMNS; j++) g->sum[r][j] += a * b[k][j];
        }
}

struct Turn {
    const Warpgroup *group;
    unsigned number;
};
bool product_was_issued(const void *waited) {
    const Turn *t = static_cast<const Turn *>(waited);
    return t->group->issued >= t->number;
}

/* What this warp's products up to number `over` read must still be there. Forgets those that all four warps have looked at. */
void check_operands(Warpgroup *g, unsigned first_thread, unsigned from, unsigned over) {
    static Operands now;
    unsigned all = over;
    for (const Product &p : g->products) {
        if (p.number <= from || p.number > over) continue;
        read_operands(&now, p.a, p.b);
        if (memcmp(&now, &p.read, sizeof now) != 0) emulator_fail("what a product reads was overwritten before its end was waited for");
    }
    for (unsigned warp = 0; warp < THREADS / 32; warp++)
        if (thread_of[first_thread + 32 * warp].over < all) all = thread_of[first_thread + 32 * warp].over;
    while (!g->products.empty() && g->products.front().number <= all) g->products.pop_front();
}

} // namespace

uint32_t emulator_shared_address(const void *at) {
    const unsigned char *p = static_cast<const unsigned char *>(at), *start = emulator_shared();
    if (p < start || p >= start + emulator_shared_bytes()) emulator_fail("an address outside dynamic shared memory");
    return window_start() + static_cast<uint32_t>(p - start);
}

void emulator_barrier_init(uint64_t *barrier, unsigned arrivals) {
    (void)emulator_shared_address(barrier);
    if (arrivals == 0 || arrivals > 0xfffff) emulator_fail("a barrier is for 1 to 2^20 - 1 arrivals");
    *barrier = 0;
    write_barrier(barrier, {arrivals, arrivals, 0, false});
}
void emulator_barrier_arrive(uint64_t *barrier, unsigned bytes) {
    Barrier b = read_barrier(barrier);
    if (b.pending == 0) emulator_fail("more arrive at a barrier than it was made for");
    b.pending--, b.bytes += static_cast<int>(bytes);
    write_barrier(barrier, b);
}
void emulator_barrier_wait(uint64_t *barrier, unsigned parity) {
    const Wait wait = {barrier, (parity & 1) != 0};
    emulator_give_way(phase_is_over, &wait);
}

void emulator_fetch_box(unsigned rank, void *to, const CUtensorMap *map, unsigned x, unsigned y, unsigned z, uint64_t *barrier) {
    Copy c = {{}, static_cast<int32_t>(x), static_cast<int32_t>(y), static_cast<int32_t>(z), static_cast<unsigned char *>(to), barrier};
    memcpy(&c.map, map, sizeof c.map);
    if (c.map.magic != MAGIC || c.map.rank != rank) emulator_fail("a copy by what is no map of a tensor of so many dimensions");
    if (emulator_shared_address(to) % (c.map.swizzle ? PATTERN : ROW) != 0) emulator_fail("a box that does not begin with the swizzle's pattern");
    (void)read_barrier(barrier);
    memset(at_address(emulator_shared_address(to), box_bytes(c.map)), 0xff, box_bytes(c.map)); /* NaN */
    copies.push_back(c);
}

bool emulator_deliver(bool last) {
    if (copies.empty()) return false;
    deliver(last ? copies.back() : copies.front());
    if (last) copies.pop_back();
    else copies.pop_front();
    return true;
}

void emulator_multiply_begins(void) { thread_of[emulator_thread()].fenced = used = true; }

void emulator_multiply_async(float *sum, uint64_t a, uint64_t b) {
    const unsigned me = emulator_thread();
    Thread *t = &thread_of[me];
    Warpgroup *g = &warpgroup_of[me / THREADS];
    if (!t->away && !t->fenced) emulator_fail("a product into registers that were not fenced since they were the thread's");
    if (t->away && t->sum != sum) emulator_fail("products into two sets of registers at one time");
    for (unsigned i = 0; i < SUMS; i++) {
        if (!t->away) *place_of(g, me, i) = sum[i];
        sum[i] = NAN;
    }
    t->sum = sum, t->away = true, t->issued++, used = true;
    if (g->here++ == 0) g->a = a, g->b = b;
    if (g->a != a || g->b != b) emulator_fail("threads of a warpgroup multiply different operands");
    const Turn turn = {g, t->issued};
    if (g->here == THREADS) {
        g->products.push_back({++g->issued, a, b, {}});
        read_operands(&g->products.back().read, a, b);
        multiply(g, g->products.back().read);
        g->here = 0;
    } else
        emulator_give_way(product_was_issued, &turn);
}

void emulator_multiply_group(void) {
    Thread *t = &thread_of[emulator_thread()];
    t->groups.push_back(t->issued);
}

void emulator_multiply_wait(unsigned groups) {
    const unsigned me = emulator_thread(), from = thread_of[me].over;
    Thread *t = &thread_of[me];
    Warpgroup *g = &warpgroup_of[me / THREADS];
    while (t->groups.size() > groups) t->over = t->groups.front(), t->groups.erase(t->groups.begin());
    if (me % 32 == 0) check_operands(g, me / THREADS * THREADS, from, t->over);
    if (t->over < t->issued || !t->away) return;
    for (unsigned i = 0; i < SUMS; i++) t->sum[i] = *place_of(g, me, i);
    t->away = t->fenced = false;
}

void emulator_block_ends(void) {
    if (!copies.empty()) emulator_fail("a block ended before what it had asked for came into its shared memory");
    if (!used) return;
    used = false;
    for (Thread &t : thread_of) t.away = t.fenced = false, t.issued = t.over = 0, t.groups.clear();
    for (Warpgroup &g : warpgroup_of) g.issued = g.here = 0, g.products.clear();
}

cudaError_t cudaGetDriverEntryPointByVersion(const char *name, void **function, unsigned, unsigned long long, cudaDriverEntryPointQueryResult *found) {
    const bool known = strcmp(name, "cuTensorMapEncodeTiled") == 0;
    *function = known ? reinterpret_cast<void *>(write_map) : nullptr;
    *found = known ? cudaDriverEntryPointSuccess : cudaDriverEntryPointSymbolNotFound;
    return cudaSuccess;
}
