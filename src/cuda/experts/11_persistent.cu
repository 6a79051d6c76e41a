/* 11_persistent.cu: who fetches only fetches, who multiplies only multiplies, and blocks stay (warp-specialised, persistent).
 *
 *   changes  a third warpgroup joins the two, of which one thread has steps fetched, as far ahead as there are stages; it gives its registers to the
 *            others. There are as many blocks as processors, and each goes from tile to tile
 *   why      in 10 the thread that fetches also multiplies: it asks for a step only when its own products are issued and the slower warpgroup has let
 *            go. And at each block's end the copy engine has nothing to do until the next block has found its tile and made its barriers; here the
 *            steps of the next tile come while the sums of this one are activated and written
 *   enters   x (T,D); the plan; weights of all experts in bf16, rows of a multiple of 16 bytes
 *   leaves   ys (S,D) in bf16, to the bit that of 10: the same products in the same order. xs is used as bf16 (S,D) and hidden as bf16 (S,F)
 *   next     12_decode.cu
 *   not      products during the output: both warpgroups are of the same tile and end together. Two tiles, one a warpgroup, would overlap them
 *
 * Tiles are numbered so that those at work at one time share what they read. Eight row tiles are a group; in a group, numbers go down the rows first,
 * then to the next columns. With 3 column tiles, and 10 row tiles:
 *
 *             columns 0   1   2                   a block makes tiles number b, b + blocks, b + 2·blocks, ...
 *   rows 0       0    8  16
 *        1       1    9  17     group 0           eight neighbours read the same weights, where their expert is the same,
 *        ...    ...                               and 3 · 8 the same eight tiles of rows
 *        7       7   15  23
 *   rows 8      24   26  28     group 1: what is left
 *        9      25   27  29
 *
 * Only row tiles with rows are counted, so that the blocks' shares differ by one tile at most. Nobody else knows how many there are: each thread that
 * needs a tile looks it up in the offsets. Who fetches and who multiplies come to the same list by themselves, so that an expert without rows, or a
 * block without tiles, is a loop that is not entered, and no barrier.
 */
#include "cuda/experts/hopper_tile.h"

constexpr unsigned GROUP_ROWS = 8, SPECIALISTS = MULTIPLIERS + WARPGROUP; /* row tiles; threads: those that multiply, and a warpgroup that fetches */
/* Of the 65536 of a processor 384 threads get 168 each. 24 and 240 would be allowed too; 40 leave room for the looking up. */
constexpr unsigned FETCHER_REGISTERS = 40, MULTIPLIER_REGISTERS = 232;
static_assert(WARPGROUP * FETCHER_REGISTERS + MULTIPLIERS * MULTIPLIER_REGISTERS <= SPECIALISTS * 168, "what is taken was given");

/* Where a walk along the numbers is: an expert, and the number of its first row tile among all that have rows. Begins at {0, 0} and only goes on.
 * Numbers of tiles are 32 bits, which divide in a few instructions: a tile is 16384 outputs or more, and all of 2^32 would be 140 TB. */
struct Walk {
    unsigned expert, first;
};

static __device__ __forceinline__ unsigned rows_of(const int32_t *offsets, unsigned e) { return (unsigned)(offsets[e + 1] - offsets[e]); }
static __device__ __forceinline__ unsigned row_tiles_of(const int32_t *offsets, unsigned e) {
    return (rows_of(offsets, e) + HOPPER_ROWS - 1) / HOPPER_ROWS;
}

/* On to the expert that has row tile `number`; to `experts`, and the number of all row tiles, where there is none. */
static __device__ __forceinline__ void walk_to(Walk *walk, const HopperProduct &p, unsigned number) {
    while (walk->expert < p.experts) {
        const unsigned next = walk->first + row_tiles_of(p.offsets, walk->expert);
        if (next > number) return;
        walk->first = next, walk->expert++;
    }
}

/* A tile: which rows of which expert, and its first column. */
struct HopperTile {
    Share share;
    size_t column;
};

/* Tile `number`, where there are that many; `group` has walked to its group. */
static __device__ __forceinline__ bool find_tile(Walk *group, HopperTile *tile, const HopperProduct &p, unsigned width, unsigned number) {
    const unsigned columns = (unsigned)((p.columns + width - 1) / width), first = number / (GROUP_ROWS * columns) * GROUP_ROWS;
    const unsigned within = number - first * columns;
    walk_to(group, p, first);
    Walk walk = *group;
    walk_to(&walk, p, first + GROUP_ROWS - 1);
    const unsigned left = walk.first > first ? walk.first - first : 0; /* row tiles, if the walk came to the end */
    const unsigned rows = walk.expert < p.experts ? GROUP_ROWS : left;
    if (within >= rows * columns) return false;
    const unsigned row_tile = first + within % rows;
    walk = *group;
    walk_to(&walk, p, row_tile);
    *tile = {{walk.expert, (size_t)p.offsets[walk.expert], rows_of(p.offsets, walk.expert), row_tile - walk.first}, (size_t)(within / rows) * width};
    return true;
}

/* One thread: all steps of all this block's tiles, as fast as stages become empty. */
template <HopperOutput OUT> static __device__ __forceinline__ void fetch_tiles(HopperShared *s, const HopperProduct &p) {
    const unsigned steps = steps_of(p);
    HopperTile tile;
    Walk group = {0, 0};
    Turn turn = {0, 0};
    for (unsigned number = blockIdx.x; find_tile(&group, &tile, p, HOPPER_WIDTH<OUT>, number); number += gridDim.x)
        for (unsigned step = 0; step < steps; step++) fetch_step<OUT>(s, p, tile.share, tile.column, step, &turn);
}

/* A warpgroup's 64 rows of a tile. A stage is let go of a step late, when the products that read it are over; the last one before the sums are put out,
 * so that it is fetched into meanwhile. While the last products go on, the next tile is looked up: `next` (number) says whether there is one. */
template <HopperOutput OUT, typename Next>
static __device__ __forceinline__ bool multiply_one(HopperShared *s, const HopperProduct &p, unsigned warpgroup, const HopperTile &tile, Turn *turn,
                                                    Next next) {
    float sum[SUMS] = {};
    settle(sum);
    unsigned last = turn->stage;
    for (unsigned step = 0; step < steps_of(p); step++) {
        multiply_step(sum, s, warpgroup, *turn);
        multiply_wait<1>(); /* this step's products are under way, the last step's are over */
        if (step > 0) release_stage(s, last);
        last = turn->stage;
        next_turn(turn);
    }
    const bool more = next();
    multiply_wait<0>();
    settle(sum);
    release_stage(s, last);
    put_sums<OUT>(s, p, tile.share, tile.column, warpgroup, sum);
    return more;
}

/* Two warpgroups: each 64 rows of the same tiles, of which the second may have none. */
template <HopperOutput OUT> static __device__ __forceinline__ void multiply_tiles(HopperShared *s, const HopperProduct &p, unsigned warpgroup) {
    unsigned number = blockIdx.x;
    HopperTile tile, ahead;
    Walk group = {0, 0};
    Turn turn = {0, 0};
    const auto next = [&] { return find_tile(&group, &ahead, p, HOPPER_WIDTH<OUT>, number += gridDim.x); };
    for (bool more = find_tile(&group, &ahead, p, HOPPER_WIDTH<OUT>, number); more;) {
        tile = ahead;
        if (has_rows(tile.share, warpgroup)) {
            more = multiply_one<OUT>(s, p, warpgroup, tile, &turn, next);
        } else {
            pass_steps(s, steps_of(p), &turn);
            more = next();
        }
    }
}

/* Nothing is behind the two branches: who has fetched everything leaves. Its stages stay until the last thread of the block has left, and all that it
 * asked for is waited for by those who multiply. */
template <HopperOutput OUT> static __global__ __launch_bounds__(SPECIALISTS, 1) void persistent_kernel(const __grid_constant__ HopperProduct p) {
    HopperShared *s = hopper_shared();
    const unsigned warpgroup = warpgroup_index();
    make_barriers(s, p);
    if (warpgroup == MULTIPLIERS / WARPGROUP) {
        give_registers<FETCHER_REGISTERS>();
        if (threadIdx.x == MULTIPLIERS) fetch_tiles<OUT>(s, p);
    } else {
        take_registers<MULTIPLIER_REGISTERS>();
        multiply_tiles<OUT>(s, p, warpgroup);
    }
}

static void launch_persistent(Cuda *cuda, const char *doing, HopperOutput out, const HopperProduct &p, size_t row_tiles, size_t column_tiles) {
    const auto kernel = out == HIDDEN_OF_PAIRS ? persistent_kernel<HIDDEN_OF_PAIRS>
                        : out == HIDDEN_OF_UP  ? persistent_kernel<HIDDEN_OF_UP>
                                               : persistent_kernel<OUTPUT_ROWS>;
    const size_t tiles = row_tiles * column_tiles, most = (size_t)cuda->processors;
    launch(cuda, doing, kernel, grid_along_x(tiles < most ? tiles : most), dim3(SPECIALISTS), HOPPER_SHARED_BYTES, p);
}

void persistent_experts(Cuda *cuda, const CudaExpertsRows *rows, const CudaExperts *w, const CudaPlan *plan) {
    hopper_experts(cuda, rows, w, plan, launch_persistent);
}
