/* cuda_runtime.h, emulated: enough of CUDA that a C++ compiler builds src/cuda without the toolkit, and its kernels run on a CPU.
 *
 *   what for   whoever has no GPU can run, step through and break the kernels; tests can hold them against the reference anywhere
 *   what not   speed, and whatever is true of the hardware alone: coalescing, bank conflicts, occupancy, timing, memory ordering between blocks
 *
 * A block's threads are fibers on one processor thread. One runs until it meets a barrier or a warp operation, then the next. The order in which they
 * are resumed is one of several (emulator_order): a kernel that lacks a barrier gives other results under another order. Blocks run one after the
 * other. Memory of the device starts as NaN, is out of the host's reach between kernels (reading it there is a fault, as it would be), and every
 * allocation stands between guard bytes that are looked at when it is freed and at every synchronisation. Names and meanings are those of NVIDIA's
 * CUDA C++ Programming Guide; what is missing here does not compile.
 */
#ifndef EMULATED_CUDA_RUNTIME_H
#define EMULATED_CUDA_RUNTIME_H

#include <functional>
#include <stddef.h>
#include <stdint.h>
#include <math.h>
#include <string.h>

#define MOE_CUDA_EMULATED 1
#define __global__
#define __device__
#define __host__
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)
#define __align__(n) __attribute__((aligned(n)))
#define __shared__ static /* one block at a time */
#define __grid_constant__

struct uint3 { unsigned x, y, z; };
struct dim3 {
    unsigned x, y, z;
    constexpr dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
};
struct alignas(16) float4 { float x, y, z, w; };
struct alignas(8) float2 { float x, y; };
struct alignas(16) uint4 { unsigned x, y, z, w; };
struct alignas(8) uint2 { unsigned x, y; };
static inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }
static inline float2 make_float2(float x, float y) { return {x, y}; }
static inline uint2 make_uint2(unsigned x, unsigned y) { return {x, y}; }
static inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) { return {x, y, z, w}; }

/* ---- inside a kernel ---- */
extern uint3 threadIdx, blockIdx;
extern dim3 blockDim, gridDim;
enum { warpSize = 32 };
unsigned char *emulator_shared(void); /* the launch's dynamic shared memory */
void emulator_block_barrier(void);
/* All lanes of `mask` meet; each leaves `value` and takes that of lane `from` (its own where that one is not there). */
uint64_t emulator_exchange(unsigned mask, uint64_t value, unsigned from);
unsigned emulator_vote(unsigned mask, bool yes); /* the lanes that said yes */
unsigned emulator_match(unsigned mask, uint64_t value); /* the lanes that came with the same value */
uint64_t emulator_largest(unsigned mask, uint64_t value);
/* mma.sync.m16n8k16 on bf16: all 32 lanes meet; each leaves its registers of a (4) and of b (2), and takes its four of the new sum (tensor.h). */
void emulator_mma_bf16(float *sum, const uint32_t *a, const uint32_t *b);
/* What hopper.h has from compute capability 9.0 on (hopper.cpp). */
struct CUtensorMap_st;
uint32_t emulator_shared_address(const void *at);
void emulator_barrier_init(uint64_t *barrier, unsigned arrivals);
void emulator_barrier_arrive(uint64_t *barrier, unsigned bytes); /* and announces bytes */
void emulator_barrier_wait(uint64_t *barrier, unsigned parity);
void emulator_fetch_box(unsigned rank, void *to, const CUtensorMap_st *map, unsigned x, unsigned y, unsigned z, uint64_t *barrier);
void emulator_multiply_begins(void);
void emulator_multiply_async(float *sum, uint64_t a, uint64_t b);
void emulator_multiply_group(void);
void emulator_multiply_wait(unsigned groups);

/* cp.async: the current thread asks for a copy to shared memory (zeros where `from` is NULL), ends a group of them, waits until at most `groups` are left. */
void emulator_copy_async(void *shared, const void *from, unsigned bytes);
void emulator_copies_end(void);
void emulator_copies_wait(unsigned groups);

static inline void __syncthreads(void) { emulator_block_barrier(); }
static inline void __syncwarp(unsigned mask = 0xffffffffu) { (void)emulator_vote(mask, false); }
static inline unsigned emulator_lane(void) { return (threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z)) % 32; }

template <typename T> static inline T emulator_shuffle(unsigned mask, T value, unsigned from) {
    static_assert(sizeof(T) <= 8, "one register or two");
    uint64_t bits = 0;
    memcpy(&bits, &value, sizeof value);
    bits = emulator_exchange(mask, bits, from);
    memcpy(&value, &bits, sizeof value);
    return value;
}
template <typename T> static inline T __shfl_sync(unsigned mask, T value, int from, int width = 32) {
    const unsigned lane = emulator_lane();
    return emulator_shuffle(mask, value, lane / width * width + (unsigned)from % width);
}
template <typename T> static inline T __shfl_xor_sync(unsigned mask, T value, int bits, int width = 32) {
    const unsigned lane = emulator_lane(), from = lane ^ (unsigned)bits;
    return emulator_shuffle(mask, value, from / width <= lane / width ? from : lane);
}
template <typename T> static inline T __shfl_down_sync(unsigned mask, T value, unsigned by, int width = 32) {
    const unsigned lane = emulator_lane();
    return emulator_shuffle(mask, value, lane % width + by < (unsigned)width ? lane + by : lane);
}
template <typename T> static inline T __shfl_up_sync(unsigned mask, T value, unsigned by, int width = 32) {
    const unsigned lane = emulator_lane();
    return emulator_shuffle(mask, value, lane % width >= by ? lane - by : lane);
}
static inline unsigned __ballot_sync(unsigned mask, int predicate) { return emulator_vote(mask, predicate != 0); }
static inline int __any_sync(unsigned mask, int predicate) { return __ballot_sync(mask, predicate) != 0; }
static inline int __all_sync(unsigned mask, int predicate) { return __ballot_sync(mask, predicate) == mask; }
template <typename T> static inline unsigned __match_any_sync(unsigned mask, T value) {
    static_assert(sizeof(T) <= 8, "one register or two");
    uint64_t bits = 0;
    memcpy(&bits, &value, sizeof value);
    return emulator_match(mask, bits);
}
static inline unsigned __reduce_max_sync(unsigned mask, unsigned value) { return (unsigned)emulator_largest(mask, value); } /* from 8.0 on */
static inline int __popc(unsigned x) { return __builtin_popcount(x); }
static inline int __ffs(int x) { return __builtin_ffs(x); }
static inline int __clz(int x) { return x == 0 ? 32 : __builtin_clz((unsigned)x); }

template <typename T> static inline T atomicAdd(T *at, T value) { const T old = *at; *at = old + value; return old; }
template <typename T> static inline T atomicMax(T *at, T value) { const T old = *at; *at = value > old ? value : old; return old; }
static inline int atomicExch(int *at, int value) { const int old = *at; *at = value; return old; }
static inline void __threadfence(void) {}

static inline float __fadd_rn(float a, float b) { return a + b; }
static inline float __fsub_rn(float a, float b) { return a - b; }
static inline float __fmul_rn(float a, float b) { return a * b; }
static inline float __fdiv_rn(float a, float b) { return a / b; }
static inline float __fmaf_rn(float a, float b, float c) { return fmaf(a, b, c); }
static inline float __frsqrt_rn(float a) { return (float)(1.0 / sqrt((double)a)); }
static inline float __fsqrt_rn(float a) { return sqrtf(a); }
static inline unsigned __float_as_uint(float x) { unsigned bits; memcpy(&bits, &x, sizeof bits); return bits; }
static inline float __uint_as_float(unsigned bits) { float x; memcpy(&x, &bits, sizeof x); return x; }
static inline int __float_as_int(float x) { return (int)__float_as_uint(x); }
static inline float __int_as_float(int bits) { return __uint_as_float((unsigned)bits); }
template <typename T> static inline T __ldg(const T *at) { return *at; }

/* ---- the host's side ---- */
typedef enum {
    cudaSuccess = 0, cudaErrorInvalidValue = 1, cudaErrorMemoryAllocation = 2, cudaErrorInvalidConfiguration = 9, cudaErrorNoDevice = 100,
    cudaErrorInvalidDevice = 101, cudaErrorInsufficientDriver = 35, cudaErrorLaunchFailure = 719, cudaErrorNotSupported = 801
} cudaError_t;
#define CUDART_VERSION 13000
typedef struct EmulatedStream *cudaStream_t;
typedef struct EmulatedGraph *cudaGraph_t;
typedef struct EmulatedGraph *cudaGraphExec_t;
typedef struct EmulatedEvent *cudaEvent_t;
typedef enum { cudaMemcpyHostToDevice, cudaMemcpyDeviceToHost, cudaMemcpyDeviceToDevice, cudaMemcpyDefault } cudaMemcpyKind;
typedef enum { cudaStreamCaptureModeGlobal, cudaStreamCaptureModeThreadLocal, cudaStreamCaptureModeRelaxed } cudaStreamCaptureMode;
typedef enum { cudaFuncAttributeMaxDynamicSharedMemorySize = 8 } cudaFuncAttribute;
typedef enum { cudaDriverEntryPointSuccess, cudaDriverEntryPointSymbolNotFound, cudaDriverEntryPointVersionNotSufficent } cudaDriverEntryPointQueryResult;
enum { cudaStreamNonBlocking = 1, cudaEnableDefault = 0 };
struct cudaDeviceProp {
    char name[256];
    size_t totalGlobalMem, sharedMemPerBlockOptin;
    int major, minor, multiProcessorCount, l2CacheSize;
};
struct cudaLaunchAttribute { int id; };
struct cudaLaunchConfig_t {
    dim3 gridDim, blockDim;
    size_t dynamicSmemBytes;
    cudaStream_t stream;
    cudaLaunchAttribute *attrs;
    unsigned numAttrs;
};
cudaError_t cudaGetDeviceCount(int *count);
cudaError_t cudaSetDevice(int device);
cudaError_t cudaGetDeviceProperties(cudaDeviceProp *properties, int device);
cudaError_t cudaRuntimeGetVersion(int *version);
cudaError_t cudaDriverGetVersion(int *version);
cudaError_t cudaGetDriverEntryPointByVersion(const char *name, void **function, unsigned version, unsigned long long flags,
                                             cudaDriverEntryPointQueryResult *found);
cudaError_t cudaMemGetInfo(size_t *free_bytes, size_t *total_bytes);
cudaError_t cudaMalloc(void **at, size_t bytes);
cudaError_t cudaFree(void *at);
cudaError_t cudaMallocHost(void **at, size_t bytes);
cudaError_t cudaFreeHost(void *at);
cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, cudaMemcpyKind kind, cudaStream_t stream);
cudaError_t cudaMemsetAsync(void *to, int value, size_t bytes, cudaStream_t stream);
cudaError_t cudaStreamCreateWithFlags(cudaStream_t *stream, unsigned flags);
cudaError_t cudaStreamDestroy(cudaStream_t stream);
cudaError_t cudaStreamSynchronize(cudaStream_t stream);
cudaError_t cudaGetLastError(void);
cudaError_t cudaPeekAtLastError(void);
const char *cudaGetErrorString(cudaError_t error);
const char *cudaGetErrorName(cudaError_t error);
cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode mode);
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t *graph);
cudaError_t cudaGraphInstantiate(cudaGraphExec_t *exec, cudaGraph_t graph, unsigned long long flags);
cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t stream);
cudaError_t cudaGraphDestroy(cudaGraph_t graph);
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec);
cudaError_t cudaEventCreate(cudaEvent_t *event);
cudaError_t cudaEventDestroy(cudaEvent_t event);
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream);
cudaError_t cudaEventSynchronize(cudaEvent_t event);
cudaError_t cudaEventElapsedTime(float *milliseconds, cudaEvent_t from, cudaEvent_t to);

cudaError_t emulator_launch(const cudaLaunchConfig_t *config, std::function<void()> thread);
template <typename... Expected, typename... Given>
static inline cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t *config, void (*kernel)(Expected...), Given &&...given) {
    return emulator_launch(config, [=]() { kernel(static_cast<Expected>(given)...); });
}
template <typename Kernel> static inline cudaError_t cudaFuncSetAttribute(Kernel *, cudaFuncAttribute, int bytes) {
    return bytes <= 227 * 1024 ? cudaSuccess : cudaErrorInvalidValue;
}

/* How the next launches resume a block's threads: 0 rising, 1 falling, any other number: shuffled by it, anew at each barrier,
 * and each warp as far ahead of the others as it can get. */
extern "C" void emulator_order(unsigned order);

#endif
