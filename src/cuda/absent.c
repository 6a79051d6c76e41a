/* absent.c: what a program built without GPU kernels says when it is asked for a GPU. Stands in for model.c. */
#include "cuda/model.h"

Status cuda_runner_open_f32(Runner **runner, const Model *m, size_t context, size_t positions, Fault *f) {
    (void)m, (void)context, (void)positions;
    *runner = NULL;
    return fault(f, STATUS_FAIL,
                 "this program was built without GPU kernels (nvcc was not found, or switched off by NO_CUDA); run with --device cpu");
}

Status cuda_runner_open_bf16(Runner **runner, const Model *m, size_t context, size_t positions, Fault *f) {
    return cuda_runner_open_f32(runner, m, context, positions, f);
}
