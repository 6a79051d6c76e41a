/* device.cu: the GPU, its queue, its memory, and what went wrong.
 *
 *   enters   the first CUDA device; requests for memory, copies, captures
 *   leaves   a Cuda that every stage puts its work into
 *   next     1_router.cu to 5_combine.cu
 *   not      mathematics
 *
 * CUDA reports a kernel's fault at some later call. Here the first report is kept, with what was being done, everything after it does nothing, and
 * cuda_sync tells. No function of the driver library is linked, so that the program starts on machines without a GPU.
 */
#include "cuda/kernel.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char *advice(cudaError_t error) {
    switch ((int)error) {
    case 2: return "; close what else uses the GPU, or run with --device cpu"; /* cudaErrorMemoryAllocation */
    case 35: return "; install a newer NVIDIA driver, or run with --device cpu"; /* cudaErrorInsufficientDriver */
    case 209: return "; this build has no kernels for this GPU: compute capability 7.5 or newer is needed"; /* cudaErrorNoKernelImageForDevice */
    case 46: case 214: case 719: case 700: case 999: return "; the device was lost to this program: run it again, or with --device cpu";
    default: return "; run with --device cpu";
    }
}

bool cuda_check(Cuda *cuda, cudaError_t error, const char *doing) {
    if (error == cudaSuccess) return !cuda->failed;
    cudaGetLastError(); /* it would be reported again by the next call */
    if (!cuda->failed) fault(&cuda->fault, STATUS_FAIL, "GPU: %s: %s%s", doing, cudaGetErrorString(error), advice(error));
    cuda->failed = true;
    return false;
}

/* One line for each way in which there can be no GPU. */
static Status find_device(Fault *f) {
    int count = 0;
    const cudaError_t error = cudaGetDeviceCount(&count);
    if (error == cudaErrorInsufficientDriver) {
        int driver = 0, toolkit = 0;
        cudaDriverGetVersion(&driver), cudaRuntimeGetVersion(&toolkit);
        if (driver == 0) return fault(f, STATUS_FAIL, "no NVIDIA driver on this machine; run with --device cpu");
        return fault(f, STATUS_FAIL, "the NVIDIA driver is for CUDA %d.%d, this program needs %d.%d: install a newer one, or run with --device cpu",
                     driver / 1000, driver % 1000 / 10, toolkit / 1000, toolkit % 1000 / 10);
    }
    if (error == cudaErrorNoDevice || (error == cudaSuccess && count == 0))
        return fault(f, STATUS_FAIL, "no NVIDIA GPU on this machine (or CUDA_VISIBLE_DEVICES hides it); run with --device cpu");
    if (error != cudaSuccess) return fault(f, STATUS_FAIL, "asking for a GPU: %s%s", cudaGetErrorString(error), advice(error));
    return STATUS_OK;
}

static void describe(Cuda *cuda) {
    cudaDeviceProp p;
    int driver = 0, toolkit = 0;
    if (!cuda_check(cuda, cudaGetDeviceProperties(&p, 0), "asking what the GPU is")) return;
    cuda_check(cuda, cudaDriverGetVersion(&driver), "asking for the driver's version");
    cuda_check(cuda, cudaRuntimeGetVersion(&toolkit), "asking for the toolkit's version");
    cuda->capability = 10 * p.major + p.minor;
    cuda->processors = p.multiProcessorCount;
    cuda->shared_bytes = p.sharedMemPerBlockOptin;
    cuda->cache_bytes = p.l2CacheSize > 0 ? (size_t)p.l2CacheSize : 0;
    snprintf(cuda->name, sizeof cuda->name, "%s (%d.%d), driver %d.%d, toolkit %d.%d", p.name, p.major, p.minor, driver / 1000, driver % 1000 / 10,
             toolkit / 1000, toolkit % 1000 / 10);
}

/* A rung's number is two digits. 0: it is too large for any. */
static uint32_t rung_bit(const char *id) {
    const unsigned number = 10 * (unsigned)(id[0] - '0') + (unsigned)(id[1] - '0');
    return number < 32 ? 1u << number : 0;
}
static uint32_t rungs_left_out(const char *list) {
    const uint32_t last_resorts = rung_bit("04") | rung_bit("06");
    uint32_t bits = 0;
    for (size_t length; list != NULL && *list != '\0'; list += length + (list[length] == ',')) {
        length = strcspn(list, ",");
        if (length == 2 && strspn(list, "0123456789") == 2) bits |= rung_bit(list);
    }
    return bits & ~last_resorts;
}
bool cuda_left_out(const Cuda *cuda, const char *id) { return (cuda->left_out & rung_bit(id)) != 0; }

Status cuda_open(Cuda **out, Fault *f) {
    *out = NULL;
    if (find_device(f) != STATUS_OK) return STATUS_FAIL;
    Cuda *cuda = (Cuda *)calloc(1, sizeof *cuda);
    if (cuda == NULL) return fault(f, STATUS_FAIL, "out of memory");
    cuda->left_out = rungs_left_out(getenv("MOE_CUDA_WITHOUT"));
    if (cuda_check(cuda, cudaSetDevice(0), "opening the GPU")) describe(cuda);
    if (!cuda->failed) cuda_check(cuda, cudaStreamCreateWithFlags(&cuda->stream, cudaStreamNonBlocking), "opening a queue");
    if (!cuda->failed && cuda->capability < 75)
        fault(&cuda->fault, STATUS_FAIL, "%s: compute capability 7.5 or newer is needed; run with --device cpu", cuda->name), cuda->failed = true;
    if (cuda->failed) {
        if (f != NULL) *f = cuda->fault;
        cuda_close(cuda);
        return STATUS_FAIL;
    }
    *out = cuda;
    return STATUS_OK;
}

void cuda_close(Cuda *cuda) {
    if (cuda == NULL) return;
    if (cuda->stream != NULL) cudaStreamDestroy(cuda->stream);
    free(cuda);
}

const char *cuda_name(const Cuda *cuda) { return cuda->name; }
size_t cuda_cache_bytes(const Cuda *cuda) { return cuda->cache_bytes; }

bool cuda_is_emulated(const Cuda *) {
#ifdef MOE_CUDA_EMULATED
    return true;
#else
    return false;
#endif
}

Status cuda_sync(Cuda *cuda, Fault *f) {
    if (!cuda->failed) cuda_check(cuda, cudaStreamSynchronize(cuda->stream), "waiting for the GPU");
    if (!cuda->failed) return STATUS_OK;
    if (f != NULL) *f = cuda->fault;
    return STATUS_FAIL;
}

/* ---- memory ---- */

enum { ALIGNMENT = 256 };

Status cuda_arena_init(Cuda *cuda, CudaArena *arena, size_t size_bytes, const char *what, Fault *f) {
    *arena = {};
    size_t free_bytes = 0, total_bytes = 0;
    if (cuda->failed || !cuda_check(cuda, cudaMemGetInfo(&free_bytes, &total_bytes), "asking for free memory")) return cuda_sync(cuda, f);
    void *base = NULL;
    if (size_bytes <= free_bytes && cudaMalloc(&base, size_bytes > 0 ? size_bytes : 1) == cudaSuccess) {
        arena->base = (unsigned char *)base, arena->size_bytes = size_bytes;
        return STATUS_OK;
    }
    cudaGetLastError(); /* nothing was lost: the device goes on */
    char needed[32], left[32], all[32];
    return fault(f, STATUS_FAIL, "GPU memory: %s needs %s bytes, %s of %s are free; a smaller model or context, --precision bf16, or --device cpu", what,
                 size_bytes == SIZE_MAX ? "more than 2^64" : count_grouped(needed, sizeof needed, size_bytes),
                 count_grouped(left, sizeof left, free_bytes), count_grouped(all, sizeof all, total_bytes));
}

void cuda_arena_free(Cuda *cuda, CudaArena *arena) {
    if (arena->base == NULL) return;
    cudaStreamSynchronize(cuda->stream); /* the queue may still use it */
    cuda_check(cuda, cudaFree(arena->base), "giving memory back");
    *arena = {};
}

size_t cuda_free_bytes(Cuda *cuda) {
    size_t free_bytes = 0, total_bytes = 0;
    return !cuda->failed && cuda_check(cuda, cudaMemGetInfo(&free_bytes, &total_bytes), "asking for free memory") ? free_bytes : 0;
}

void *cuda_take(CudaArena *arena, size_t *bytes, size_t count, size_t item_bytes) {
    size_t room = 0;
    if (!size_mul(&room, count, item_bytes) || !size_add(&room, room, ALIGNMENT - 1)) room = SIZE_MAX;
    else room = room / ALIGNMENT * ALIGNMENT;
    if (room == SIZE_MAX || !size_add(bytes, *bytes, room)) *bytes = SIZE_MAX;
    if (arena == NULL) return NULL;
    void *piece = arena->base + arena->used_bytes;
    arena->used_bytes += room;
    return piece;
}

/* ---- copies ---- */

void cuda_upload(Cuda *cuda, void *to, const void *host_from, size_t bytes) {
    if (cuda->failed || bytes == 0) return;
    if (cuda_check(cuda, cudaMemcpyAsync(to, host_from, bytes, cudaMemcpyHostToDevice, cuda->stream), "copying to the GPU"))
        cuda_check(cuda, cudaStreamSynchronize(cuda->stream), "copying to the GPU"); /* the caller may reuse host_from */
}
void cuda_download(Cuda *cuda, void *host_to, const void *from, size_t bytes) {
    if (cuda->failed || bytes == 0) return;
    cuda_check(cuda, cudaMemcpyAsync(host_to, from, bytes, cudaMemcpyDeviceToHost, cuda->stream), "copying from the GPU");
}
void cuda_copy(Cuda *cuda, void *to, const void *from, size_t bytes) {
    if (cuda->failed || bytes == 0) return;
    cuda_check(cuda, cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, cuda->stream), "copying on the GPU");
}
void cuda_clear(Cuda *cuda, void *at, size_t bytes) {
    if (cuda->failed || bytes == 0) return;
    cuda_check(cuda, cudaMemsetAsync(at, 0, bytes, cuda->stream), "clearing memory of the GPU");
}

size_t cuda_type_bytes(CudaType type) { return type == CUDA_BF16 ? 2 : 4; }
const char *cuda_type_name(CudaType type) { return type == CUDA_BF16 ? "bf16" : "f32"; }

void cuda_upload_matrix(Cuda *cuda, void *to, CudaType type, const float *host_from, size_t count) {
    if (type == CUDA_F32) {
        cuda_upload(cuda, to, host_from, count * sizeof *host_from);
        return;
    }
    enum { PIECE = 1 << 16 };
    static const size_t piece = PIECE;
    uint16_t *rounded = (uint16_t *)malloc(piece * sizeof *rounded);
    if (rounded == NULL) {
        cuda_check(cuda, cudaErrorMemoryAllocation, "rounding weights to bf16");
        return;
    }
    for (size_t at = 0; at < count; at += piece) {
        const size_t there = count - at < piece ? count - at : piece;
        for (size_t i = 0; i < there; i++) rounded[i] = bf16_from_float(host_from[at + i]);
        cuda_upload(cuda, (uint16_t *)to + at, rounded, there * sizeof *rounded);
    }
    free(rounded);
}

/* ---- graphs ---- */

struct CudaGraph { cudaGraphExec_t exec; };

void cuda_capture_begin(Cuda *cuda) {
    if (cuda->failed) return;
    cuda->capturing = cuda_check(cuda, cudaStreamBeginCapture(cuda->stream, cudaStreamCaptureModeThreadLocal), "beginning a graph");
}

CudaGraph *cuda_capture_end(Cuda *cuda) {
    cudaGraph_t recorded = NULL;
    if (!cuda->capturing) return NULL;
    cuda->capturing = false;
    const cudaError_t ended = cudaStreamEndCapture(cuda->stream, &recorded); /* also after a failure: it leaves capture mode */
    CudaGraph *graph = (CudaGraph *)calloc(1, sizeof *graph);
    if (graph == NULL || !cuda_check(cuda, ended, "ending a graph") ||
        !cuda_check(cuda, cudaGraphInstantiate(&graph->exec, recorded, 0), "making a graph ready")) {
        free(graph);
        graph = NULL;
    }
    if (recorded != NULL) cudaGraphDestroy(recorded);
    return graph;
}

void cuda_graph_run(Cuda *cuda, CudaGraph *graph) {
    if (cuda->failed || graph == NULL) return;
    cuda_check(cuda, cudaGraphLaunch(graph->exec, cuda->stream), "running a graph");
}

void cuda_graph_free(CudaGraph *graph) {
    if (graph == NULL) return;
    cudaGraphExecDestroy(graph->exec);
    free(graph);
}

/* ---- time ---- */

struct CudaTimer { cudaEvent_t from, to; };

CudaTimer *cuda_timer_new(Cuda *cuda) {
    CudaTimer *timer = (CudaTimer *)calloc(1, sizeof *timer);
    if (timer != NULL && !cuda->failed && cuda_check(cuda, cudaEventCreate(&timer->from), "making a timer") &&
        cuda_check(cuda, cudaEventCreate(&timer->to), "making a timer"))
        return timer;
    if (timer == NULL) cuda_check(cuda, cudaErrorMemoryAllocation, "making a timer");
    cuda_timer_free(timer);
    return NULL;
}

void cuda_timer_start(Cuda *cuda, CudaTimer *timer) {
    if (cuda->failed || timer == NULL) return;
    cuda_check(cuda, cudaEventRecord(timer->from, cuda->stream), "starting a timer");
}

double cuda_timer_ms(Cuda *cuda, CudaTimer *timer) {
    float milliseconds = 0;
    if (cuda->failed || timer == NULL || !cuda_check(cuda, cudaEventRecord(timer->to, cuda->stream), "stopping a timer") ||
        !cuda_check(cuda, cudaEventSynchronize(timer->to), "waiting for a timer") ||
        !cuda_check(cuda, cudaEventElapsedTime(&milliseconds, timer->from, timer->to), "reading a timer"))
        return NAN;
    return (double)milliseconds;
}

void cuda_timer_free(CudaTimer *timer) {
    if (timer == NULL) return;
    if (timer->from != NULL) cudaEventDestroy(timer->from);
    if (timer->to != NULL) cudaEventDestroy(timer->to);
    free(timer);
}
