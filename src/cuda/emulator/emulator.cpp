/* emulator.cpp: a GPU's blocks and threads on one processor thread; what it is for, and what it cannot show, is told in cuda_runtime.h beside it.
 *
 *   enters   launches, copies, captures
 *   leaves   device memory as the kernels left it
 *
 * A fiber is a stack and a place to go on from. run_block resumes each fiber that can run, in the chosen order, until all are done; a fiber gives
 * control back at a barrier or when its kernel returns. A barrier opens when all of a block's threads that still run stand before it; a warp
 * operation, when all lanes of its mask do. Where nobody can go on, copies that were asked for come (hopper.cpp); where there are none, two threads
 * wait for different things: that is reported, and is the end.
 */
#include "fibers.h"

#include <map>
#include <memory>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>
#include <vector>

uint3 threadIdx, blockIdx;
dim3 blockDim, gridDim;

[[noreturn]] void emulator_fail(const char *what) {
    fprintf(stderr, "emulated GPU: %s (block %u,%u,%u thread %u,%u,%u)\n", what, blockIdx.x, blockIdx.y, blockIdx.z, threadIdx.x, threadIdx.y,
            threadIdx.z);
    abort();
}

namespace {

enum { MAX_THREADS = EMULATOR_MAX_THREADS, STACK_BYTES = 128 * 1024, GUARD_BYTES = 256, GUARD_VALUE = 0x5a, SHARED_MAX = 227 * 1024 };

[[noreturn]] void fail(const char *what) { emulator_fail(what); }

/* ---- threads ---- */
enum State { READY, AT_BLOCK_BARRIER, AT_WARP, WAITING, DONE };
typedef void *Place[5]; /* where to go on: the compiler's own setjmp, which asks the system nothing, where swapcontext asks twice at every turn */
struct Fragments { /* one lane's registers of a product of small matrices */
    float *sum;
    const uint32_t *a, *b;
};
struct Copy { /* to shared memory; from is null: zeros */
    void *to;
    const void *from;
    unsigned bytes;
};
struct Fiber {
    ucontext_t context; /* how it is entered for the first time */
    Place place;
    bool entered;
    unsigned char *stack;
    State state;
    uint3 index;
    /* The warp operation that it stands in: who takes part, what it leaves, from whom it takes; what it took, who left something but 0, who left the
     * same as it, and the largest that anybody left. */
    unsigned mask, from, votes, equals;
    uint64_t left, took, largest;
    const Fragments *fragments; /* where the operation is a product of matrices; otherwise null */
    std::vector<std::vector<Copy>> copies; /* asked for and not there: groups, the oldest first; the last one is still open */
    bool (*over)(const void *); /* what it is WAITING for */
    const void *waited;
};
Fiber fibers[MAX_THREADS];
Place scheduler;
unsigned threads, current;
const std::function<void()> *kernel;
unsigned char *shared;
size_t shared_bytes;
unsigned order_kind;
uint64_t order_state;

/* A jump must not be in the function that marked the place. */
[[noreturn]] __attribute__((noinline)) void go_to(Place place) { __builtin_longjmp(place, 1); }

__attribute__((noinline)) void give_back() {
    if (__builtin_setjmp(fibers[current].place) == 0) go_to(scheduler);
}

__attribute__((noinline)) void resume(Fiber *f) {
    if (__builtin_setjmp(scheduler) != 0) return;
    if (f->entered) go_to(f->place);
    f->entered = true;
    setcontext(&f->context);
}

void fiber_main() {
    for (;;) {
        (*kernel)();
        fibers[current].state = DONE;
        give_back();
    }
}

void fiber_prepare(unsigned i) {
    Fiber *f = &fibers[i];
    if (f->stack == nullptr) {
        f->stack = static_cast<unsigned char *>(malloc(STACK_BYTES));
        if (f->stack == nullptr) fail("out of memory for a thread's stack");
        getcontext(&f->context);
        f->context.uc_stack.ss_sp = f->stack;
        f->context.uc_stack.ss_size = STACK_BYTES;
        f->context.uc_link = nullptr;
        makecontext(&f->context, fiber_main, 0);
    }
    f->state = READY;
    f->copies.clear();
    f->index = {i % blockDim.x, i / blockDim.x % blockDim.y, i / blockDim.x / blockDim.y};
}

/* The lanes of thread `me`'s warp that its mask names, that exist and still run, all stand in a warp operation with this mask. */
bool warp_complete(unsigned me) {
    const unsigned first = me / 32 * 32, mask = fibers[me].mask;
    for (unsigned lane = 0; lane < 32; lane++) {
        if (!(mask >> lane & 1) || first + lane >= threads) continue;
        const Fiber *f = &fibers[first + lane];
        if (f->state == DONE) continue;
        if (f->state != AT_WARP) return false;
        if (f->mask != mask) fail("lanes of one warp meet in an operation with different masks");
        if ((f->fragments == nullptr) != (fibers[me].fragments == nullptr)) fail("lanes of one warp meet in different operations");
    }
    return true;
}

float from_bf16(uint32_t half) {
    const uint32_t bits = half << 16;
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* mma.sync.m16n8k16 on bf16, once all lanes have come. Where a lane's registers belong: PTX ISA, "Matrix Fragments for mma.m16n8k16 with floating point
 * type". a: row g, or g + 8 for elements 2, 3, 6, 7; column 2t + (i & 1), and 8 more from element 4 on. b: row 2t + (i & 1), and 8 more from element 2
 * on; column g. Sums: row g, or g + 8 from element 2 on; column 2t + (i & 1). g = lane / 4, t = lane % 4. Added here in the order of k. */
void multiply_fragments(Fiber *warp) {
    float a[16][16], b[16][8];
    for (unsigned lane = 0; lane < 32; lane++) {
        const Fragments *f = warp[lane].fragments;
        if (warp[lane].state != AT_WARP || f == nullptr) fail("a product of a warp's matrices needs all its lanes");
        const unsigned g = lane / 4, t = lane % 4;
        for (unsigned i = 0; i < 8; i++) a[g + i / 2 % 2 * 8][2 * t + i % 2 + i / 4 * 8] = from_bf16(f->a[i / 2] >> i % 2 * 16 & 0xffff);
        for (unsigned i = 0; i < 4; i++) b[2 * t + i % 2 + i / 2 * 8][g] = from_bf16(f->b[i / 2] >> i % 2 * 16 & 0xffff);
    }
    for (unsigned lane = 0; lane < 32; lane++)
        for (unsigned i = 0; i < 4; i++) {
            const unsigned row = lane / 4 + i / 2 * 8, column = lane % 4 * 2 + i % 2;
            float sum = warp[lane].fragments->sum[i];
            for (unsigned k = 0; k < 16; k++) sum += a[row][k] * b[k][column];
            warp[lane].fragments->sum[i] = sum;
            warp[lane].state = READY;
        }
}

/* Everybody takes what was left for him, before anybody goes on. */
void warp_release(unsigned me) {
    Fiber *warp = &fibers[me / 32 * 32];
    const unsigned mask = fibers[me].mask;
    unsigned votes = 0, there = 0;
    uint64_t largest = 0;
    if (fibers[me].fragments != nullptr) return multiply_fragments(warp);
    for (unsigned lane = 0; lane < 32; lane++) {
        if (!(mask >> lane & 1) || me / 32 * 32 + lane >= threads || warp[lane].state != AT_WARP) continue;
        there |= 1u << lane;
        if (warp[lane].left != 0) votes |= 1u << lane;
        if (warp[lane].left > largest) largest = warp[lane].left;
    }
    for (unsigned lane = 0; lane < 32; lane++) {
        if (!(there >> lane & 1)) continue;
        const unsigned from = warp[lane].from % 32;
        warp[lane].took = there >> from & 1 ? warp[from].left : warp[lane].left;
        warp[lane].votes = votes, warp[lane].largest = largest, warp[lane].equals = 0;
        for (unsigned other = 0; other < 32; other++)
            if (there >> other & 1 && warp[other].left == warp[lane].left) warp[lane].equals |= 1u << other;
        warp[lane].state = READY;
    }
}

bool block_barrier_opens() {
    bool somebody = false;
    for (unsigned i = 0; i < threads; i++) {
        if (fibers[i].state == DONE) continue;
        if (fibers[i].state != AT_BLOCK_BARRIER) return false;
        somebody = true;
    }
    for (unsigned i = 0; somebody && i < threads; i++)
        if (fibers[i].state == AT_BLOCK_BARRIER) fibers[i].state = READY;
    return somebody;
}

void shuffle_turns(unsigned *turns) {
    for (unsigned i = 0; i < threads; i++) turns[i] = order_kind == 1 ? threads - 1 - i : i;
    if (order_kind < 2) return;
    for (unsigned i = threads; i > 1; i--) {
        order_state = order_state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        const unsigned j = static_cast<unsigned>((order_state >> 33) % i), kept = turns[i - 1];
        turns[i - 1] = turns[j];
        turns[j] = kept;
    }
}

bool take_turn(unsigned i) {
    if (fibers[i].state == WAITING && fibers[i].over(fibers[i].waited)) fibers[i].state = READY;
    if (fibers[i].state != READY) return false;
    current = i;
    threadIdx = fibers[i].index;
    resume(&fibers[i]);
    return true;
}

/* One warp as long as any of its lanes can go on: ahead of the others by all that stands between two barriers, as a warp may be. */
void run_ahead(const unsigned *turns, unsigned warp) {
    for (bool again = true; again;) {
        again = false;
        for (unsigned i = 0; i < threads; i++)
            if (turns[i] / 32 == warp && take_turn(turns[i])) again = true;
    }
}

void run_block() {
    static unsigned turns[MAX_THREADS];
    for (unsigned i = 0; i < threads; i++) fiber_prepare(i);
    for (;;) {
        bool ran = false, all_done = true;
        shuffle_turns(turns);
        for (unsigned i = 0; i < threads; i++) {
            if (take_turn(turns[i])) {
                if (order_kind >= 2) run_ahead(turns, turns[i] / 32);
                ran = true;
            }
            all_done = all_done && fibers[turns[i]].state == DONE;
        }
        if (all_done) return emulator_block_ends();
        if (block_barrier_opens()) continue;
        for (unsigned i = 0; i < threads; i++) /* lanes that have ended may be all that others waited for */
            if (fibers[i].state == AT_WARP && warp_complete(i)) warp_release(i), ran = true;
        if (!ran && !emulator_deliver(order_kind >= 2)) fail("threads wait for different barriers: none of them can go on");
    }
}

/* ---- memory: one reservation, out of the host's reach between launches ---- */
unsigned char *heap;
size_t heap_bytes;
unsigned unlocked;
std::map<size_t, size_t> taken; /* offset of an allocation's guard → bytes asked for */

size_t granted(size_t bytes) { return (bytes + 2 * GUARD_BYTES + 255) / 256 * 256; }

void heap_open() {
    if (heap != nullptr) return;
    const char *wanted = getenv("MOE_EMULATED_BYTES");
    heap_bytes = wanted != nullptr ? strtoull(wanted, nullptr, 10) / 4096 * 4096 : size_t{4} << 30;
    void *at = mmap(nullptr, heap_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (at == MAP_FAILED) fail("no address space for the device's memory");
    heap = static_cast<unsigned char *>(at);
}
struct Unlock { /* device memory can be touched while one of these lives */
    Unlock() {
        heap_open();
        if (unlocked++ == 0) mprotect(heap, heap_bytes, PROT_READ | PROT_WRITE);
    }
    ~Unlock() {
        if (--unlocked == 0) mprotect(heap, heap_bytes, PROT_NONE);
    }
};

void check_guards(size_t at, size_t bytes) {
    const unsigned char *before = heap + at, *behind = heap + at + GUARD_BYTES + bytes;
    for (size_t i = 0; i < GUARD_BYTES; i++)
        if (before[i] != GUARD_VALUE || behind[i] != GUARD_VALUE) fail("a kernel wrote outside an allocation");
}
void check_all_guards() {
    Unlock open;
    for (const auto &one : taken) check_guards(one.first, one.second);
}

cudaError_t last_error = cudaSuccess;
cudaError_t note(cudaError_t error) {
    if (error != cudaSuccess) last_error = error;
    return error;
}

void run_grid(const cudaLaunchConfig_t &config, const std::function<void()> &thread) {
    Unlock open;
    /* It begins at a multiple of 128, as kernel.h asks, and at none of 1024: who wants that sees to it himself. */
    if (shared == nullptr) shared = static_cast<unsigned char *>(aligned_alloc(1024, SHARED_MAX / 1024 * 1024 + 2048)) + 128;
    gridDim = config.gridDim, blockDim = config.blockDim, kernel = &thread;
    threads = blockDim.x * blockDim.y * blockDim.z;
    for (blockIdx.z = 0; blockIdx.z < gridDim.z; blockIdx.z++)
        for (blockIdx.y = 0; blockIdx.y < gridDim.y; blockIdx.y++)
            for (blockIdx.x = 0; blockIdx.x < gridDim.x; blockIdx.x++) {
                memset(shared, 0xff, shared_bytes = config.dynamicSmemBytes); /* NaN: what nobody wrote shows */
                run_block();
            }
}

} // namespace

struct EmulatedStream { std::unique_ptr<struct EmulatedGraph> capturing; };
struct EmulatedGraph { std::vector<std::function<void()>> steps; };
struct EmulatedEvent { timespec at; };

extern "C" void emulator_order(unsigned order) { order_kind = order, order_state = order; }

unsigned char *emulator_shared(void) { return shared; }
size_t emulator_shared_bytes(void) { return shared_bytes; }
unsigned emulator_thread(void) { return current; }

void emulator_give_way(bool (*over)(const void *), const void *waited) {
    Fiber *f = &fibers[current];
    if (over(waited)) return;
    f->over = over, f->waited = waited, f->state = WAITING;
    give_back();
}

void emulator_block_barrier(void) {
    fibers[current].state = AT_BLOCK_BARRIER;
    give_back();
}

void emulator_copy_async(void *to, const void *from, unsigned bytes) {
    Fiber *f = &fibers[current];
    const unsigned char *at = static_cast<const unsigned char *>(to);
    if (at < shared || at + bytes > shared + SHARED_MAX) fail("an asynchronous copy leads somewhere else than to the launch's shared memory");
    if (reinterpret_cast<uintptr_t>(to) % bytes != 0 || reinterpret_cast<uintptr_t>(from) % bytes != 0) fail("an asynchronous copy is not aligned");
    if (f->copies.empty()) f->copies.emplace_back();
    f->copies.back().push_back({to, from, bytes});
}
void emulator_copies_end(void) {
    Fiber *f = &fibers[current];
    if (f->copies.empty()) f->copies.emplace_back();
    f->copies.emplace_back();
}
void emulator_copies_wait(unsigned groups) {
    std::vector<std::vector<Copy>> &copies = fibers[current].copies;
    while (copies.size() > groups + 1) { /* the open one does not count */
        for (const Copy &c : copies.front()) {
            if (c.from != nullptr) memcpy(c.to, c.from, c.bytes);
            else memset(c.to, 0, c.bytes);
        }
        copies.erase(copies.begin());
    }
}

static const Fiber *meet(unsigned mask, uint64_t value, unsigned from, const Fragments *fragments = nullptr) {
    Fiber *f = &fibers[current];
    if (!(mask >> current % 32 & 1)) fail("a lane takes part in a warp operation whose mask leaves it out");
    f->left = value, f->mask = mask, f->from = from, f->fragments = fragments;
    f->state = AT_WARP;
    if (warp_complete(current)) warp_release(current);
    else give_back();
    return f;
}
uint64_t emulator_exchange(unsigned mask, uint64_t value, unsigned from) { return meet(mask, value, from)->took; }
unsigned emulator_vote(unsigned mask, bool yes) { return meet(mask, yes, 0)->votes; }
unsigned emulator_match(unsigned mask, uint64_t value) { return meet(mask, value, 0)->equals; }
uint64_t emulator_largest(unsigned mask, uint64_t value) { return meet(mask, value, 0)->largest; }
void emulator_mma_bf16(float *sum, const uint32_t *a, const uint32_t *b) {
    const Fragments mine = {sum, a, b};
    meet(0xffffffffu, 0, 0, &mine);
}

/* Runs now, or when the graph that is being captured does. */
static cudaError_t enqueue(cudaStream_t stream, std::function<void()> step) {
    if (stream != nullptr && stream->capturing) stream->capturing->steps.push_back(std::move(step));
    else step();
    return cudaSuccess;
}

cudaError_t emulator_launch(const cudaLaunchConfig_t *config, std::function<void()> thread) {
    const dim3 g = config->gridDim, b = config->blockDim;
    const uint64_t in_block = uint64_t{b.x} * b.y * b.z;
    if (in_block == 0 || in_block > MAX_THREADS || g.x == 0 || g.y == 0 || g.z == 0 || g.x > 0x7fffffffu || g.y > 65535 || g.z > 65535 || b.z > 64)
        return note(cudaErrorInvalidConfiguration);
    if (config->dynamicSmemBytes > SHARED_MAX) return note(cudaErrorInvalidValue);
    const cudaLaunchConfig_t kept = *config;
    return enqueue(config->stream, [kept, thread]() { run_grid(kept, thread); });
}

cudaError_t cudaGetDeviceCount(int *count) { return *count = 1, cudaSuccess; }
cudaError_t cudaSetDevice(int device) { return device == 0 ? cudaSuccess : note(cudaErrorInvalidDevice); }
cudaError_t cudaGetDeviceProperties(cudaDeviceProp *p, int) {
    *p = {};
    heap_open();
    snprintf(p->name, sizeof p->name, "%s", "emulated on the processor");
    p->totalGlobalMem = heap_bytes, p->sharedMemPerBlockOptin = SHARED_MAX;
    const char *wanted = getenv("MOE_EMULATED_CAPABILITY"); /* an older GPU takes other ways: 75, 80 */
    const int capability = wanted != nullptr ? atoi(wanted) : 90;
    p->major = capability / 10, p->minor = capability % 10, p->multiProcessorCount = 2, p->l2CacheSize = 1 << 20;
    return cudaSuccess;
}
cudaError_t cudaRuntimeGetVersion(int *version) { return *version = 13000, cudaSuccess; }
cudaError_t cudaDriverGetVersion(int *version) { return *version = 13000, cudaSuccess; }

cudaError_t cudaMemGetInfo(size_t *free_bytes, size_t *total_bytes) {
    heap_open();
    size_t used = 0;
    for (const auto &one : taken) used += granted(one.second);
    *total_bytes = heap_bytes, *free_bytes = heap_bytes - used;
    return cudaSuccess;
}

cudaError_t cudaMalloc(void **at, size_t bytes) {
    Unlock open;
    if (bytes > heap_bytes) return note(cudaErrorMemoryAllocation);
    size_t place = 0; /* the first gap that is wide enough */
    for (const auto &one : taken) {
        if (one.first - place >= granted(bytes)) break;
        place = one.first + granted(one.second);
    }
    if (heap_bytes - place < granted(bytes)) return note(cudaErrorMemoryAllocation);
    taken[place] = bytes;
    memset(heap + place, GUARD_VALUE, GUARD_BYTES);
    memset(heap + place + GUARD_BYTES, 0xff, bytes);
    memset(heap + place + GUARD_BYTES + bytes, GUARD_VALUE, GUARD_BYTES);
    *at = heap + place + GUARD_BYTES;
    return cudaSuccess;
}
cudaError_t cudaFree(void *at) {
    if (at == nullptr) return cudaSuccess;
    const auto found = taken.find(static_cast<size_t>(static_cast<unsigned char *>(at) - heap) - GUARD_BYTES);
    if (found == taken.end()) return note(cudaErrorInvalidValue);
    Unlock open;
    check_guards(found->first, found->second);
    memset(heap + found->first, 0xff, granted(found->second)); /* who still reads it reads NaN */
    taken.erase(found);
    return cudaSuccess;
}
cudaError_t cudaMallocHost(void **at, size_t bytes) { return (*at = malloc(bytes + 1)) != nullptr ? cudaSuccess : note(cudaErrorMemoryAllocation); }
cudaError_t cudaFreeHost(void *at) { return free(at), cudaSuccess; }

static bool on_device(const void *at, size_t bytes) {
    const unsigned char *p = static_cast<const unsigned char *>(at);
    return p >= heap && p + bytes <= heap + heap_bytes;
}
cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, cudaMemcpyKind kind, cudaStream_t stream) {
    const bool to_device = kind != cudaMemcpyDeviceToHost, from_device = kind != cudaMemcpyHostToDevice;
    if (bytes == 0) return cudaSuccess;
    if (kind != cudaMemcpyDefault && (on_device(to, bytes) != to_device || on_device(from, bytes) != from_device)) return note(cudaErrorInvalidValue);
    return enqueue(stream, [=]() {
        Unlock open;
        memmove(to, from, bytes);
    });
}
cudaError_t cudaMemsetAsync(void *to, int value, size_t bytes, cudaStream_t stream) {
    if (bytes == 0) return cudaSuccess;
    if (!on_device(to, bytes)) return note(cudaErrorInvalidValue);
    return enqueue(stream, [=]() {
        Unlock open;
        memset(to, value, bytes);
    });
}
cudaError_t cudaStreamCreateWithFlags(cudaStream_t *stream, unsigned) { return *stream = new EmulatedStream, cudaSuccess; }
cudaError_t cudaStreamDestroy(cudaStream_t stream) { return delete stream, cudaSuccess; }
cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
    if (stream != nullptr && stream->capturing) return note(cudaErrorInvalidValue); /* nothing has run yet */
    check_all_guards();
    return cudaSuccess;
}
cudaError_t cudaGetLastError(void) {
    const cudaError_t error = last_error;
    last_error = cudaSuccess;
    return error;
}
cudaError_t cudaPeekAtLastError(void) { return last_error; }
const char *cudaGetErrorName(cudaError_t error) { return error == cudaSuccess ? "cudaSuccess" : "cudaError"; }
const char *cudaGetErrorString(cudaError_t error) {
    switch (error) {
    case cudaSuccess: return "no error";
    case cudaErrorMemoryAllocation: return "out of memory";
    case cudaErrorInvalidConfiguration: return "invalid configuration argument";
    case cudaErrorInvalidDevice: return "invalid device ordinal";
    case cudaErrorNoDevice: return "no CUDA-capable device is detected";
    default: return "invalid argument";
    }
}
cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode) {
    return stream->capturing = std::make_unique<EmulatedGraph>(), cudaSuccess;
}
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t *graph) { return *graph = stream->capturing.release(), cudaSuccess; }
cudaError_t cudaGraphInstantiate(cudaGraphExec_t *exec, cudaGraph_t graph, unsigned long long) {
    return *exec = new EmulatedGraph(*graph), cudaSuccess;
}
cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t) {
    for (const auto &step : exec->steps) step();
    return cudaSuccess;
}
cudaError_t cudaGraphDestroy(cudaGraph_t graph) { return delete graph, cudaSuccess; }
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec) { return delete exec, cudaSuccess; }
cudaError_t cudaEventCreate(cudaEvent_t *event) { return *event = new EmulatedEvent{}, cudaSuccess; }
cudaError_t cudaEventDestroy(cudaEvent_t event) { return delete event, cudaSuccess; }
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t) { return clock_gettime(CLOCK_MONOTONIC, &event->at), cudaSuccess; }
cudaError_t cudaEventSynchronize(cudaEvent_t) { return cudaSuccess; }
cudaError_t cudaEventElapsedTime(float *milliseconds, cudaEvent_t from, cudaEvent_t to) {
    *milliseconds = static_cast<float>(to->at.tv_sec - from->at.tv_sec) * 1e3f + static_cast<float>(to->at.tv_nsec - from->at.tv_nsec) * 1e-6f;
    return cudaSuccess;
}
