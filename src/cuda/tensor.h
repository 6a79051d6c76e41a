/* tensor.h: what the tensor cores do in one instruction, as functions: a warp multiplies two small bf16 matrices, and rounds pairs of floats to bf16.
 *
 *   mma_bf16   sum (16,8) += a (16,16) · b (16,8), sums in float. The warp's lanes hold the three matrices together ("fragments"); with
 *              g = lane / 4, t = lane % 4, a register of two bf16 having the one with the lower index in its lower half (PTX ISA, "Matrix Fragments for
 *              mma.m16n8k16 with floating point type"):
 *
 *                a[0]  row g      columns 2t, 2t+1          b[0]  rows 2t, 2t+1       column g
 *                a[1]  row g + 8  columns 2t, 2t+1          b[1]  rows 2t+8, 2t+9     column g
 *                a[2]  row g      columns 2t+8, 2t+9        sum[0], sum[1]  row g      columns 2t, 2t+1
 *                a[3]  row g + 8  columns 2t+8, 2t+9        sum[2], sum[3]  row g + 8  columns 2t, 2t+1
 *
 * Products are exact; in which order the 16 of them and the old sum are added, and that bits are cut off on the way, is the hardware's.
 * All 32 lanes call it. From compute capability 8.0 on; the emulator has the same instruction with the same fragments. */
#ifndef MOE_CUDA_TENSOR_H
#define MOE_CUDA_TENSOR_H

#include "cuda/kernel.h"

/* Both of a pair; the one with the lower index first. */
static __device__ __forceinline__ void unpack_bf16_pair(float *two, uint32_t pair) {
    two[0] = __uint_as_float(pair << 16), two[1] = __uint_as_float(pair & 0xffff0000u);
}

#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
static __device__ __forceinline__ void mma_bf16(float *sum, const uint32_t *a, const uint32_t *b) {
    asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}
/* Two floats, each to the nearest bf16. */
static __device__ __forceinline__ uint32_t bf16_pair(float lower, float upper) {
    uint32_t pair;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(upper), "f"(lower));
    return pair;
}
#else
static __device__ __forceinline__ void mma_bf16(float *sum, const uint32_t *a, const uint32_t *b) {
#ifdef MOE_CUDA_EMULATED
    emulator_mma_bf16(sum, a, b);
#else
    (void)sum, (void)a, (void)b; /* older targets are compiled too, but nothing that needs 8.0 is launched on them */
#endif
}
static __device__ __forceinline__ uint32_t bf16_pair(float lower, float upper) {
    return (uint32_t)bf16_from_float(lower) | (uint32_t)bf16_from_float(upper) << 16;
}
#endif

#endif
