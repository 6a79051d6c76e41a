/* 4_experts.cu: each expert works on its own rows: which ways there are, and which one is taken.
 *
 *   enters   x (T,D), the plan, weights of all experts on the device
 *   leaves   ys (S,D) of the slots that are served; rows behind them stay as they were
 *   next     5_combine.cu weighs ys and adds them up by token
 *   not      the ways themselves: experts/, a file for each rung of the ladder
 */
#include "cuda/experts/experts.h"

/* In the order of the ladder: the last row that runs is taken. */
/* clang-format off */
const CudaExpertsVariant cuda_experts_variants[] = {
    {"06", "grouped",         CUDA_F32,  75, CUDA_F32,  true,  false, 0, grouped_experts},
    {"06", "grouped",         CUDA_BF16, 75, CUDA_F32,  true,  false, 0, grouped_experts},
    {"07", "gather fused",    CUDA_BF16, 80, CUDA_F32,  false, false, 0, gather_fused_experts},
    {"08", "SwiGLU epilogue", CUDA_BF16, 80, CUDA_F32,  false, false, 0, swiglu_epilogue_experts},
    {"09", "async pipeline",  CUDA_BF16, 80, CUDA_F32,  false, true,  0, async_pipeline_experts},
    {"10", "TMA and wgmma",   CUDA_BF16, 90, CUDA_BF16, false, true,  0, tma_wgmma_experts},
    {"11", "persistent",      CUDA_BF16, 90, CUDA_BF16, false, true,  0, persistent_experts},
    {"12", "decode",          CUDA_BF16, 80, CUDA_F32,  false, true,  8, decode_experts},
};
/* clang-format on */
const size_t cuda_experts_variant_count = sizeof cuda_experts_variants / sizeof cuda_experts_variants[0];

/* Can rows of `width` bf16 be fetched in pieces of 16 bytes? */
static bool by_sixteen(CudaMatrix m, size_t width) { return at_sixteen(m.at) && width % 8 == 0; }

bool cuda_experts_variant_runs(const Cuda *cuda, const CudaExpertsVariant *v, const CudaExperts *w, const CudaPlan *plan, const char **why_not) {
    const char *why = NULL;
    if (v->type != w->up.type)
        why = "is for weights of the other type";
    else if (cuda->capability < v->needs || (v->needs == 90 && cuda->capability != 90)) /* wgmma is for sm_90a: no older GPU has it, no newer one */
        why = v->needs >= 90 ? "needs a GPU of compute capability 9.0" : "needs a GPU of compute capability 8.0 or newer";
    else if (cuda_left_out(cuda, v->id))
        why = "left out by MOE_CUDA_WITHOUT";
    else if (!v->keeps && plan->mix != NULL)
        why = "fetches tokens' rows; under soft routing an expert's row is a mixture of all";
    else if (v->most_tokens > 0 && plan->tokens > v->most_tokens)
        why = "is for few tokens";
    else if (v->by_sixteen_bytes && !(by_sixteen(w->gate, w->model_dim) && by_sixteen(w->up, w->model_dim) && by_sixteen(w->down, w->hidden_dim)))
        why = "wants rows that are multiples of 16 bytes";
    if (why_not != NULL) *why_not = why;
    return why == NULL;
}

const CudaExpertsVariant *cuda_experts_variant_active(const Cuda *cuda, const CudaExperts *w, const CudaPlan *plan, bool keep) {
    const CudaExpertsVariant *active = NULL;
    for (const CudaExpertsVariant *v = cuda_experts_variants; v < cuda_experts_variants + cuda_experts_variant_count; v++)
        if ((v->keeps || !keep) && cuda_experts_variant_runs(cuda, v, w, plan, NULL)) active = v;
    return active;
}

CudaMatrix cuda_experts_forward(Cuda *cuda, const CudaExpertsRows *rows, const CudaExperts *w, const CudaPlan *plan, bool keep) {
    const CudaExpertsVariant *way = cuda_experts_variant_active(cuda, w, plan, keep);
    way->forward(cuda, rows, w, plan);
    return {rows->ys, way->leaves};
}
