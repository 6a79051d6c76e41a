/* activate.h: what stands between the two products of an FFN, as a function of one element; and as a launch, which dense.cu defines.
 * SwiGLU has the CPU's bits, given the same projections, unless it is asked to be quick. GELU and SiLU are as near as erff and e^x are. */
#ifndef MOE_CUDA_ACTIVATE_H
#define MOE_CUDA_ACTIVATE_H

#include "cuda/kernel.h"

/* x / (1 + e^-x). QUICK: by the special function units, within 2^-16 of the value, for what is rounded to bf16 next, whose steps are 2^-8. That is five
 * instructions where the CPU's bits take some fifty: a thread ends a tile of rung 11 with 620 instructions instead of some 3800, and meanwhile no tensor
 * core works. From -87 down it is 0, to which the value is as near. */
template <bool QUICK> static __device__ __forceinline__ float silu(float x) {
#if defined(__CUDA_ARCH__)
    if (QUICK) {
        float e, part;
        asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(e) : "f"(x * -1.44269504f));
        asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(part) : "f"(1 + e));
        return x * part;
    }
#endif
    return x * sigmoid_as_cpu(x);
}

template <bool QUICK = false> static __device__ __forceinline__ float activated(Activation act, float up) {
    if (act == ACT_RELU) return up < 0 ? 0 : up; /* this way round NaN stays NaN */
    if (act == ACT_GELU) return up * (0.5f * (1.0f + erff(up * 0.70710678118654752f)));
    return silu<QUICK>(up);
}
template <bool QUICK = false> static __device__ __forceinline__ float swiglu(float gate, float up) { return silu<QUICK>(gate) * up; }

/* hidden (rows,F) = act(up), or silu(gate) ⊙ up under SwiGLU. With rows_there, a number on the device, only so many of the rows are there. */
void cuda_activate(Cuda *cuda, float *hidden, const float *gate, const float *up, Activation act, size_t rows, size_t hidden_dim,
                   const int32_t *rows_there);

#endif
