/* kernel.h: what every kernel file of src/cuda includes: launching with a check, and sums over a warp or a block in a fixed order.
 * C++ that nvcc compiles for a GPU, and any C++17 compiler for the emulator beside it (emulator/cuda_runtime.h). */
#ifndef MOE_CUDA_KERNEL_H
#define MOE_CUDA_KERNEL_H

#include <cuda_runtime.h>
#include <stdio.h>
#include <string.h>

extern "C" { /* moe.h and base.h are C's */
#include "cuda/cuda.h"
}

/* The launch's dynamic shared memory, as an array of T. */
#ifdef MOE_CUDA_EMULATED
#define SHARED_MEMORY(T, name) T *name = reinterpret_cast<T *>(emulator_shared())
#else
#define SHARED_MEMORY(T, name)                                                                                                                            \
    extern __shared__ __align__(128) unsigned char shared_memory_bytes[];                                                                                 \
    T *name = reinterpret_cast<T *>(shared_memory_bytes)
#endif

/* Before a loop whose count the compiler knows. UNROLLED: it is written out, so that an array indexed by it lies in registers. ROLLED: it is not, so that
 * the next round's reads are not taken forward into registers that there are not. */
#ifdef MOE_CUDA_EMULATED
#define UNROLLED
#define ROLLED
#else
#define UNROLLED _Pragma("unroll")
#define ROLLED _Pragma("unroll 1")
#endif

struct Cuda {
    cudaStream_t stream;
    int capability; /* 10·major + minor */
    int processors;
    size_t shared_bytes; /* a block's most */
    size_t cache_bytes;
    uint32_t left_out; /* bit n: rung n (cuda_left_out) */
    bool failed, capturing;
    Fault fault;         /* the first thing that went wrong */
    char name[320];
};

/* Notes an error once, with what was being done; false from then on. */
bool cuda_check(Cuda *cuda, cudaError_t error, const char *doing);

constexpr unsigned WARP = 32, ALL_LANES = 0xffffffffu;

static inline size_t ceil_div(size_t a, size_t b) { return (a + b - 1) / b; }

/* Can 16 bytes be read from here at once? */
static __device__ __host__ __forceinline__ bool at_sixteen(const void *at) { return reinterpret_cast<uintptr_t>(at) % 16 == 0; }

/* Grid sizes are 31 bits along x alone; a kernel whose grid could be larger strides by gridDim.x. */
static inline dim3 grid_along_x(size_t blocks) { return dim3((unsigned)(blocks < 0x7fffffff ? blocks : 0x7fffffff)); }

/* kernel<<<grid, block, shared_bytes, the queue>>>(args...), with every error noted; nothing once something has failed, or with an empty grid. */
template <typename... Expected, typename... Given>
static void launch(Cuda *cuda, const char *doing, void (*kernel)(Expected...), dim3 grid, dim3 block, size_t shared_bytes, Given... args) {
    if (cuda->failed || grid.x == 0 || grid.y == 0 || grid.z == 0) return;
    if (shared_bytes > 48 * 1024 && !cuda_check(cuda, cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, (int)shared_bytes), doing))
        return;
    cudaLaunchConfig_t config = {};
    config.gridDim = grid, config.blockDim = block, config.dynamicSmemBytes = shared_bytes, config.stream = cuda->stream;
    cuda_check(cuda, cudaLaunchKernelEx(&config, kernel, static_cast<Expected>(args)...), doing);
}

/* ---- on the device ---- */

/* Sum over a warp's lanes, in the same order in every lane. All 32 lanes call it. */
static __device__ __forceinline__ float warp_sum(float x) {
    for (int step = (int)WARP / 2; step > 0; step /= 2) x += __shfl_xor_sync(ALL_LANES, x, step);
    return x;
}

/* bfloat16 is the upper half of a float. To nearest, ties to even; NaN stays NaN. */
static __device__ __host__ __forceinline__ uint16_t bf16_from_float(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    if ((bits & 0x7fffffffu) > 0x7f800000u) return (uint16_t)(bits >> 16 | 0x40);
    return (uint16_t)((bits + 0x7fffu + (bits >> 16 & 1)) >> 16);
}
static __device__ __host__ __forceinline__ float bf16_to_float(uint16_t half) {
    const uint32_t bits = (uint32_t)half << 16;
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* e^x with the bits of the CPU's vector rows (src/fast/rows_body.h, where the method is told); files of src/cuda are compiled without contraction. */
static __device__ __forceinline__ float exp_as_cpu(float x) {
    const float ROUND = 12582912.0f, LN2_HIGH = 0.693359375f, LN2_LOW = -2.12194440e-4f;
    x = x > 89.0f ? 89.0f : x < -105.0f ? -105.0f : x;
    const float shifted = x * 1.44269504f + ROUND, n = shifted - ROUND, r = (x - n * LN2_HIGH) - n * LN2_LOW;
    float tail = r * (1 / 5040.0f) + 1 / 720.0f;
    tail = tail * r + 1 / 120.0f;
    tail = tail * r + 1 / 24.0f;
    tail = tail * r + 1 / 6.0f;
    tail = tail * r + 0.5f;
    const float e_r = tail * (r * r) + r + 1.0f;
    const int exponent = ((int)((unsigned)__float_as_int(shifted) << 8) >> 8) - 0x400000, half = exponent >> 1;
    return e_r * __int_as_float((int)((unsigned)(half + 127) << 23)) * __int_as_float((int)((unsigned)(exponent - half + 127) << 23));
}
static __device__ __forceinline__ float sigmoid_as_cpu(float x) { return 1.0f / (1.0f + exp_as_cpu(-x)); }

#endif
