/* activate.h: what stands between the two products of an FFN; dense.cu defines it, 4_experts.cu calls it too. */
#ifndef MOE_CUDA_ACTIVATE_H
#define MOE_CUDA_ACTIVATE_H

#include "cuda/kernel.h"

/* hidden (rows,F) = act(up), or silu(gate) ⊙ up under SwiGLU. With rows_there, a number on the device, only so many of the rows are there. */
void cuda_activate(Cuda *cuda, float *hidden, const float *gate, const float *up, Activation act, size_t rows, size_t hidden_dim,
                   const int32_t *rows_there);

#endif
