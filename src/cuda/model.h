/* model.h: the whole transformer on an NVIDIA GPU: what runner_open calls where a command was asked for one. Plain C, float alone.
 *
 *   a Model in the processor's memory → its weights, keys, values and activations on the device → logits, and a trace, in the processor's memory
 *
 * A build without GPU kernels has the same functions (absent.c); they say so.
 */
#ifndef MOE_CUDA_MODEL_H
#define MOE_CUDA_MODEL_H

#include "model/model.h"

/* Matrices in float32, or rounded to bfloat16; norms and the router stay float32 in both, as in files. A Fault where there is no GPU, or not enough
 * memory on it. A piece that is run with ForwardOptions.training is a Fault too: noise is drawn on the processor alone. */
RunnerOpen cuda_runner_open_f32, cuda_runner_open_bf16;

#endif
