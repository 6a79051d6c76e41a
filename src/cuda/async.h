/* async.h: copies from the device's memory to shared memory that a thread asks for and does not wait for.
 *
 *   copy_async     16 bytes, or 16 zeros where there is nothing to fetch (the address is then not read)
 *   copies_end     what was asked for since the last copies_end is one group, empty or not
 *   copies_wait<N> until at most N of this thread's latest groups are still on their way. Other threads' copies are there only after a barrier behind it
 *
 * PTX ISA, "cp.async". From compute capability 8.0 on. On the emulator a copy happens when its thread waits for it, not before. */
#ifndef MOE_CUDA_ASYNC_H
#define MOE_CUDA_ASYNC_H

#include "cuda/kernel.h"

#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
static __device__ __forceinline__ void copy_async(void *shared, const void *from, bool there) {
    const uint32_t to = (uint32_t)__cvta_generic_to_shared(shared);
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(from), "r"(there ? 16 : 0) : "memory");
}
static __device__ __forceinline__ void copies_end(void) { asm volatile("cp.async.commit_group;" ::: "memory"); }
template <unsigned N> static __device__ __forceinline__ void copies_wait(void) { asm volatile("cp.async.wait_group %0;" ::"n"(N) : "memory"); }
#elif defined(MOE_CUDA_EMULATED)
static inline void copy_async(void *shared, const void *from, bool there) { emulator_copy_async(shared, there ? from : NULL, 16); }
static inline void copies_end(void) { emulator_copies_end(); }
template <unsigned N> static inline void copies_wait(void) { emulator_copies_wait(N); }
#else
static __device__ __forceinline__ void copy_async(void *, const void *, bool) {} /* older targets are compiled too; nothing there comes here */
static __device__ __forceinline__ void copies_end(void) {}
template <unsigned N> static __device__ __forceinline__ void copies_wait(void) {}
#endif

#endif
