/* hopper_tile.h: a tile of an experts' product by the copy engine and wgmma, as functions of a block: what rungs 10 and 11 share.
 *
 *   enters   a HopperProduct: rows (S,k) in slot order and weights (E,n,k) as tensor maps; a Share, whose tile is to be made
 *   leaves   128 × 256 sums in the registers of two warpgroups; from there hidden rows, or rows of ys, in bf16
 *   next     10_tma_wgmma.cu, 11_persistent.cu
 *   not      who fetches, and when a block goes on to the next tile: that is what the two rungs differ in
 *
 * One step is 64 along k: a box of 128 rows, and two boxes of 128 columns of weights. Under SwiGLU the two are the same columns of gate and of up, so
 * that a thread ends with both of the same element (its sums j and j + 16 of hopper.h); otherwise 256 columns of one matrix. Each warpgroup multiplies
 * its 64 rows by all 256 columns. Weights have a third dimension, the expert: a box past an expert's last column is zeros, not the next expert's first.
 * Rows do not: behind an expert's last row a box holds other experts' rows, or what nobody wrote; sums of these are not stored.
 *
 * A stage of shared memory goes round between the copy engine and the warpgroups:
 *
 *   full    one arrival, who fetches, and the bytes of three boxes:      the stage can be read
 *   empty   one arrival of each warp that multiplies, when it is over:   the stage can be fetched into again
 *
 * A warp arrives by itself, after its own wait: that a wait of one warp speaks for the others of its warpgroup is said nowhere.
 */
#ifndef MOE_CUDA_EXPERTS_HOPPER_TILE_H
#define MOE_CUDA_EXPERTS_HOPPER_TILE_H

#include "cuda/activate.h"
#include "cuda/experts/experts.h"
#include "cuda/hopper.h"
#include "cuda/tensor.h"

constexpr unsigned HOPPER_ROWS = 128, HOPPER_BOX = 128, HOPPER_COLUMNS = 2 * HOPPER_BOX, HOPPER_STAGES = 4;
constexpr unsigned MULTIPLIERS = HOPPER_ROWS / SUM_ROWS * WARPGROUP; /* threads */

enum HopperOutput { HIDDEN_OF_PAIRS, HIDDEN_OF_UP, OUTPUT_ROWS };

/* Goes to kernels by value. */
struct HopperProduct {
    CUtensorMap rows, first, second; /* (S,k); (E,n,k) of a tile's first and last 128 columns */
    uint16_t *out; /* (S,n) in bf16: hidden, or ys */
    const int32_t *offsets; /* (E+1) */
    size_t experts, columns, depth; /* E, n, k */
    Activation act;
};

/* How many columns of the output one tile makes, and where its second box begins. */
template <HopperOutput OUT> constexpr unsigned HOPPER_WIDTH = OUT == HIDDEN_OF_PAIRS ? HOPPER_BOX : HOPPER_COLUMNS;
template <HopperOutput OUT> constexpr unsigned SECOND_BOX = OUT == HIDDEN_OF_PAIRS ? 0 : HOPPER_BOX;

struct HopperStage {
    uint16_t rows[HOPPER_ROWS][BOX_DEPTH], weights[HOPPER_COLUMNS][BOX_DEPTH];
};
struct HopperShared {
    HopperStage stage[HOPPER_STAGES];
    uint4 rows[MULTIPLIERS / WARP][16][HOPPER_BOX / 8]; /* of the output, on their way: each warp's 16 */
    uint64_t full[HOPPER_STAGES], empty[HOPPER_STAGES];
};
static_assert(sizeof(HopperStage) % BOX_PATTERN == 0, "each box begins a pattern of the swizzle");
/* Dynamic shared memory begins where the driver likes, at 16 bytes or more. */
constexpr size_t HOPPER_SHARED_BYTES = sizeof(HopperShared) + BOX_PATTERN - 16;
static_assert(HOPPER_SHARED_BYTES <= 227 * 1024, "what a block of compute capability 9.0 can have");

static __device__ __forceinline__ HopperShared *hopper_shared(void) {
    SHARED_MEMORY(unsigned char, bytes);
    return reinterpret_cast<HopperShared *>(bytes + (BOX_PATTERN - shared_address(bytes) % BOX_PATTERN) % BOX_PATTERN);
}

/* All of a block's threads call it. */
static __device__ __forceinline__ void make_barriers(HopperShared *s, const HopperProduct &p) {
    if (threadIdx.x == 0) {
        prefetch_map(&p.rows), prefetch_map(&p.first), prefetch_map(&p.second);
        for (unsigned i = 0; i < HOPPER_STAGES; i++) barrier_init(&s->full[i], 1), barrier_init(&s->empty[i], MULTIPLIERS / WARP);
        barriers_are_made();
    }
    __syncthreads(); /* nobody waits for a barrier that is not made yet */
}

/* Where somebody stands on the way round: a stage, and the parity of the phase that it is in there. */
struct Turn {
    unsigned stage, parity;
};
static __device__ __forceinline__ void next_turn(Turn *t) {
    if (++t->stage == HOPPER_STAGES) t->stage = 0, t->parity ^= 1;
}

static __device__ __forceinline__ unsigned steps_of(const HopperProduct &p) { return (unsigned)((p.depth + BOX_DEPTH - 1) / BOX_DEPTH); }

/* One thread has a step fetched, once the stage is empty: at first it is, and a wait for the phase before the first is over at once. The bytes are those
 * of whole boxes, also where they reach outside. */
template <HopperOutput OUT>
static __device__ __forceinline__ void fetch_step(HopperShared *s, const HopperProduct &p, const Share &share, size_t column, unsigned step,
                                                  Turn *turn) {
    HopperStage *stage = &s->stage[turn->stage];
    uint64_t *full = &s->full[turn->stage];
    const unsigned k = step * BOX_DEPTH;
    barrier_wait(&s->empty[turn->stage], turn->parity ^ 1);
    barrier_arrive_expecting(full, sizeof *stage);
    fetch_box(stage->rows, &p.rows, k, (unsigned)(share.first + share.tile * HOPPER_ROWS), full);
    fetch_box(stage->weights, &p.first, k, (unsigned)column, (unsigned)share.expert, full);
    fetch_box(stage->weights[HOPPER_BOX], &p.second, k, (unsigned)column + SECOND_BOX<OUT>, (unsigned)share.expert, full);
    next_turn(turn);
}

/* A warpgroup adds a step to its sums, once the stage is full. Its products are not over when this returns. */
static __device__ __forceinline__ void multiply_step(float *sum, HopperShared *s, unsigned warpgroup, Turn turn) {
    const HopperStage *stage = &s->stage[turn.stage];
    const uint64_t rows = operand(stage->rows[warpgroup * SUM_ROWS]), weights = operand(stage->weights);
    barrier_wait(&s->full[turn.stage], turn.parity);
    multiply_begins();
    UNROLLED
    for (unsigned i = 0; i < BOX_DEPTH / SUM_DEPTH; i++) multiply_async(sum, operand_further(rows, i), operand_further(weights, i));
    multiply_group();
}

/* This warp is done with the stage: a wait has told that the products which read it are over, and its lanes have met there. Products read, and copies
 * write, by the async proxy, so this arrival is all that orders them. */
static __device__ __forceinline__ void release_stage(HopperShared *s, unsigned stage) {
    if (threadIdx.x % WARP == 0) barrier_arrive(&s->empty[stage]);
}

/* Has this warpgroup rows of the tile? An expert's last tile may end before the second one's: products of these rows would be thrown away. */
static __device__ __forceinline__ bool has_rows(const Share &share, unsigned warpgroup) {
    return share.tile * HOPPER_ROWS + warpgroup * SUM_ROWS < share.rows;
}
/* A warpgroup without rows lets go of each stage as soon as it is full. Not before: an arrival counts in the phase that is going on. */
static __device__ __forceinline__ void pass_steps(HopperShared *s, unsigned steps, Turn *turn) {
    for (unsigned step = 0; step < steps; step++, next_turn(turn)) {
        barrier_wait(&s->full[turn->stage], turn->parity);
        __syncwarp(); /* all lanes have seen it: the next one may be two phases further */
        release_stage(s, turn->stage);
    }
}

/* ---- from sums to the output; where a thread's sums belong is drawn in hopper.h ---- */

/* Two neighbours of the output, whose sums are the thread's number q (and, of pairs, q + 64) and the one behind. */
template <HopperOutput OUT> static __device__ __forceinline__ uint32_t two_of(const float *sum, unsigned q, Activation act) {
    if (OUT == OUTPUT_ROWS) return bf16_pair(sum[q], sum[q + 1]);
    if (OUT == HIDDEN_OF_UP) return bf16_pair(activated<true>(act, sum[q]), activated<true>(act, sum[q + 1]));
    return bf16_pair(swiglu<true>(sum[q], sum[q + SUMS / 2]), swiglu<true>(sum[q + 1], sum[q + 1 + SUMS / 2]));
}

/* A thread's two neighbours are four bytes, and a warp's, of one q, are 16 in each of eight rows: half of the 32 that memory is written in. So each warp
 * hands its 16 rows through shared memory, 128 columns at a time, and then writes 256 neighbouring bytes of two rows at once. There, too, piece p of row
 * r stands at p ^ r % 8, for the same reason as in a box. n is a multiple of 8: a piece of eight columns is in the matrix or not. */
template <HopperOutput OUT>
static __device__ __forceinline__ void put_sums(HopperShared *s, const HopperProduct &p, const Share &share, size_t column, unsigned warpgroup,
                                                const float *sum) {
    const unsigned lane = threadIdx.x % WARP, g = lane / 4, piece = lane % 16;
    const size_t row = share.tile * HOPPER_ROWS + warpgroup * SUM_ROWS + threadIdx.x % WARPGROUP / WARP * 16 + lane / 16;
    auto *rows = s->rows[threadIdx.x / WARP];
    UNROLLED
    for (unsigned part = 0; part < HOPPER_WIDTH<OUT> / HOPPER_BOX; part++) {
        const size_t c = column + part * HOPPER_BOX + piece * 8;
        uint4 *to = reinterpret_cast<uint4 *>(p.out + (share.first + row) * p.columns + c);
        UNROLLED
        for (unsigned q = 0; q < HOPPER_BOX / 2; q += 2) /* of 8 columns: two in row g, two in row g + 8 */
            reinterpret_cast<uint32_t *>(&rows[g + q % 4 * 4][q / 4 ^ g])[lane % 4] = two_of<OUT>(sum, part * HOPPER_BOX / 2 + q, p.act);
        __syncwarp(); /* the rows are there */
        UNROLLED
        for (unsigned r = 0; r < 16; r += 2, to += p.columns / 4) {
            const unsigned own = r + lane / 16;
            if (row + r < share.rows && c < p.columns) *to = rows[own][piece ^ own % 8];
        }
        __syncwarp(); /* and read, before the next ones come */
    }
}

/* ---- the host's side: both launches of a rung (10_tma_wgmma.cu) ---- */
typedef void HopperLaunch(Cuda *cuda, const char *doing, HopperOutput out, const HopperProduct &p, size_t row_tiles, size_t column_tiles);
void hopper_experts(Cuda *cuda, const CudaExpertsRows *rows, const CudaExperts *w, const CudaPlan *plan, HopperLaunch *start);

#endif
