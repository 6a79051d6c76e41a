/* experts.h: the functions behind the rows of cuda_experts_variants (4_experts.cu), in the order of the ladder, and what their kernels share: which rows of
 * which expert a block works on.
 *
 *   enters   the plan's offsets (E+1), on the device
 *   leaves   a Share: an expert, and one tile of its rows
 *   next     each rung of this folder
 *   not      an answer for the host: grids are sized by what could be asked for, so that a pass can be captured as a graph
 */
#ifndef MOE_CUDA_EXPERTS_H
#define MOE_CUDA_EXPERTS_H

#include "cuda/kernel.h"

CudaExpertsFn grouped_experts;         /* 06 */
CudaExpertsFn gather_fused_experts;    /* 07 */
CudaExpertsFn swiglu_epilogue_experts; /* 08 */
CudaExpertsFn async_pipeline_experts;  /* 09 */
CudaExpertsFn tma_wgmma_experts;       /* 10 */
CudaExpertsFn persistent_experts;      /* 11 */
CudaExpertsFn decode_experts;          /* 12 */

/* 06's product, which later rungs use where they change nothing: c (S,n) = a (S,k) · w (E,n,k)ᵀ */
void grouped_product(Cuda *cuda, float *c, const float *a, CudaMatrix w, size_t n, size_t k, size_t experts, const CudaPlan *plan);

/* The most slots that this plan can have served. */
static inline size_t slots_at_most(const CudaPlan *plan) { return plan->tokens * plan->top_k; }

/* Some rows of one expert: those of its tile number `tile`. */
struct Share {
    size_t expert, first, rows, tile; /* its first slot, its rows */
};

/* The number of an expert's first row tile. Numbers rise with e, and leave each expert at least the ceil(rows / size) that it needs: the difference of
 * two neighbours is floor(end / size) − floor(first / size) + 1. What is left over, at most one tile each, has no rows. */
static __device__ __forceinline__ size_t first_tile(const int32_t *offsets, size_t e, unsigned size) { return (size_t)offsets[e] / size + e; }
/* As many as any division of `slots` rows among the experts can need. */
static inline size_t tiles_at_most(size_t slots, size_t experts, unsigned size) { return ceil_div(slots, size) + experts; }

/* The last expert whose first(e), which rises with e from 0 on, is not behind `number`. All 32 lanes call it: each looks at every 32nd expert, so that
 * nobody waits for one look before the next, as in a search by halves; a block begins with this. */
template <typename First> static __device__ __forceinline__ size_t last_expert(size_t experts, size_t number, First first) {
    constexpr unsigned LOOKS = 4; /* of a lane, at once */
    const unsigned lane = threadIdx.x % WARP;
    unsigned begun = 0;
    for (size_t e = lane; e - lane < experts; e += LOOKS * WARP) {
        bool own[LOOKS];
        UNROLLED
        for (unsigned i = 0; i < LOOKS; i++) own[i] = e + i * WARP < experts && first(e + i * WARP) <= number;
        UNROLLED
        for (unsigned i = 0; i < LOOKS; i++) begun += (unsigned)__popc(__ballot_sync(ALL_LANES, own[i]));
    }
    return begun - 1;
}

/* Tile `number` of those of `size` rows. All 32 lanes call it. */
static __device__ __forceinline__ Share find_share(const int32_t *offsets, size_t experts, unsigned size, size_t number) {
    const size_t low = last_expert(experts, number, [=](size_t e) { return first_tile(offsets, e, size); });
    const size_t first = (size_t)offsets[low];
    return {low, first, (size_t)offsets[low + 1] - first, number - first_tile(offsets, low, size)};
}

#endif
