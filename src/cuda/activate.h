/* activate.h: what stands between the two products of an FFN, as a function of one element; and as a launch, which dense.cu defines.
 * SwiGLU has the CPU's bits, given the same projections. GELU and SiLU are as near as erff and e^x are. */
#ifndef MOE_CUDA_ACTIVATE_H
#define MOE_CUDA_ACTIVATE_H

#include "cuda/kernel.h"

static __device__ __forceinline__ float activated(Activation act, float up) {
    if (act == ACT_RELU) return up < 0 ? 0 : up; /* this way round NaN stays NaN */
    if (act == ACT_GELU) return up * (0.5f * (1.0f + erff(up * 0.70710678118654752f)));
    return up * sigmoid_as_cpu(up);
}
static __device__ __forceinline__ float swiglu(float gate, float up) { return gate * sigmoid_as_cpu(gate) * up; }

/* hidden (rows,F) = act(up), or silu(gate) ⊙ up under SwiGLU. With rows_there, a number on the device, only so many of the rows are there. */
void cuda_activate(Cuda *cuda, float *hidden, const float *gate, const float *up, Activation act, size_t rows, size_t hidden_dim,
                   const int32_t *rows_there);

#endif
