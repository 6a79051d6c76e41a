/* hopper.h: what a Hopper GPU (compute capability 9.0) does in one instruction and older ones cannot, as functions: barriers that also count bytes, a
 * copy engine that fetches boxes of a tensor into shared memory, and products of matrices that read them there by themselves.
 *
 *   enters   arrays in shared memory; a CUtensorMap that hopper.cu made on the host
 *   leaves   what the instruction of the PTX ISA that is named beside each function does
 *   next     experts/hopper_tile.h makes tiles of outputs with them
 *   not      choices: which box, which stage, who waits for whom
 *
 * For sm_90a they are the instructions; under the emulator, functions of emulator/hopper.cpp, which are stricter than the hardware; for older targets
 * nothing, as their kernels are compiled too but never launched.
 *
 * A box of 64 bf16 by some rows lies in shared memory as rows of 128 bytes, "swizzled" (PTX ISA, "Swizzling Modes", 128B): bits 4 to 6 of an address ^=
 * its bits 7 to 9, so that the eight pieces of 16 bytes in a row change places by the row's number. Eight rows of one piece, which the multiplication
 * reads at once, are then in eight different groups of banks:
 *
 *   row 0   piece  0 1 2 3 4 5 6 7        row r has piece p at place p ^ r % 8. It goes by the address, in patterns of 8 rows or 1024 bytes:
 *   row 1   piece  1 0 3 2 5 4 7 6        a box begins at a multiple of 1024, or what is written and what is read have different patterns.
 *   row 2   piece  2 3 0 1 6 7 4 5
 */
#ifndef MOE_CUDA_HOPPER_H
#define MOE_CUDA_HOPPER_H

#include "cuda/kernel.h"

#include <cudaTypedefs.h> /* CUtensorMap, and the type of the driver's function; no function of the driver is linked */

#ifdef __CUDA_ARCH_FEAT_SM90_ALL /* sm_90a */
#define ON_HOPPER(instruction, emulated) instruction
#elif defined(MOE_CUDA_EMULATED)
#define ON_HOPPER(instruction, emulated) emulated
#else
#define ON_HOPPER(instruction, emulated) ((void)0)
#endif

constexpr unsigned WARPGROUP = 128; /* threads that multiply together: four warps, the first of which has a number that 4 divides */
constexpr unsigned BOX_DEPTH = 64, BOX_PATTERN = 1024; /* bf16 in a row of 128 bytes; bytes after which the swizzle repeats */

/* A row-major tensor of bf16 as the copy engine sees it; dims from the dimension whose neighbours stand side by side. Boxes are 64 × box_rows × 1.
 * A map is a value: kernels take it as `const __grid_constant__`, so that a captured graph keeps its own. false: it is noted in the Cuda. */
bool hopper_map(Cuda *cuda, CUtensorMap *map, const void *at, const size_t *dims, unsigned rank, unsigned box_rows, const char *doing);

/* Where something stands in shared memory: 32 bits, of which 18 can be set. */
static __device__ __forceinline__ uint32_t shared_address(const void *at) {
#ifdef MOE_CUDA_EMULATED
    return emulator_shared_address(at);
#else
    return (uint32_t)__cvta_generic_to_shared(at);
#endif
}

/* ======== barriers in shared memory (PTX ISA, "mbarrier") ========
 * A barrier goes from phase to phase, 0, 1, 2, ... One ends when as many have arrived as the barrier was made for, and all bytes have come that were
 * announced in it. Waiting is for the end of a phase, named by its parity: it is over as soon as the current phase has the other parity. Whoever waits
 * may therefore never be two phases behind. A wait for parity 1 on a new barrier is over at once, as if a phase had ended before the first. */
static __device__ __forceinline__ void barrier_init(uint64_t *barrier, unsigned arrivals) {
    ON_HOPPER(asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(shared_address(barrier)), "r"(arrivals) : "memory"),
              emulator_barrier_init(barrier, arrivals));
}
/* After barrier_init by the thread that called it: the copy engine, which writes to barriers from outside ("the async proxy"), sees them made. That the
 * block's other threads do is for a __syncthreads after it. */
static __device__ __forceinline__ void barriers_are_made(void) {
    ON_HOPPER(asm volatile("fence.mbarrier_init.release.cluster;\n\tfence.proxy.async.shared::cta;" ::: "memory"), (void)0);
}
static __device__ __forceinline__ void barrier_arrive(uint64_t *barrier) {
    ON_HOPPER(asm volatile("{\n\t.reg .b64 state;\n\tmbarrier.arrive.release.cta.shared::cta.b64 state, [%0];\n\t}" ::"r"(
                               shared_address(barrier))
                           : "memory"),
              emulator_barrier_arrive(barrier, 0));
}
/* Arrives, and announces bytes. */
static __device__ __forceinline__ void barrier_arrive_expecting(uint64_t *barrier, unsigned bytes) {
    ON_HOPPER(asm volatile("{\n\t.reg .b64 state;\n\tmbarrier.arrive.expect_tx.release.cta.shared::cta.b64 state, [%0], %1;\n\t}" ::"r"(
                               shared_address(barrier)),
                           "r"(bytes)
                           : "memory"),
              emulator_barrier_arrive(barrier, bytes));
}
/* Until the phase of this parity has ended; what was done before the arrivals, and the bytes, are then seen. A try sleeps for a while by itself. A wait
 * that nobody can end would hold the GPU for good: after 2^36 cycles, more than half a minute, it is a fault that the host is told. */
static __device__ __forceinline__ void barrier_wait(uint64_t *barrier, unsigned parity) {
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
    for (long long since = 0;;) {
        uint32_t over;
        asm volatile("{\n\t.reg .pred over;\n\tmbarrier.try_wait.parity.acquire.cta.shared::cta.b64 over, [%1], %2;\n\tselp.b32 %0, 1, 0, over;\n\t}"
                     : "=r"(over)
                     : "r"(shared_address(barrier)), "r"(parity)
                     : "memory");
        if (over) return;
        if (since == 0) since = clock64();
        if (clock64() - since > 1ll << 36) __trap();
    }
#else
    ON_HOPPER(, emulator_barrier_wait(barrier, parity));
#endif
}

/* ======== the copy engine (PTX ISA, "cp.async.bulk.tensor") ========
 * One thread asks for a box; its bytes count at the barrier once they are there, all of the box's, also those that were filled with zeros because they
 * are outside the tensor. `to` is a multiple of 1024. The destination is written as .shared::cluster: a block is a cluster of one, and an address of
 * its own shared memory is an address of the cluster's (the form for a block alone is newer than toolkit 12.0). */
static __device__ __forceinline__ void fetch_box(void *to, const CUtensorMap *map, unsigned x, unsigned y, uint64_t *barrier) {
    ON_HOPPER(asm volatile("cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%0], [%1, {%2, %3}], [%4];" ::"r"(
                               shared_address(to)),
                           "l"(map), "r"(x), "r"(y), "r"(shared_address(barrier))
                           : "memory"),
              emulator_fetch_box(2, to, map, x, y, 0, barrier));
}
static __device__ __forceinline__ void fetch_box(void *to, const CUtensorMap *map, unsigned x, unsigned y, unsigned z, uint64_t *barrier) {
    ON_HOPPER(asm volatile("cp.async.bulk.tensor.3d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%0], [%1, {%2, %3, %4}], [%5];" ::"r"(
                               shared_address(to)),
                           "l"(map), "r"(x), "r"(y), "r"(z), "r"(shared_address(barrier))
                           : "memory"),
              emulator_fetch_box(3, to, map, x, y, z, barrier));
}
/* The map itself is read through a cache: so the first box need not wait for it. */
static __device__ __forceinline__ void prefetch_map(const CUtensorMap *map) {
    ON_HOPPER(asm volatile("prefetch.tensormap [%0];" ::"l"(map) : "memory"), (void)map);
}

/* ======== products of a warpgroup (PTX ISA, "Asynchronous Warpgroup Level Matrix Multiply-Accumulate Instructions") ========
 *   multiply_async   sum (64,256) += a (64,16) · b (256,16)ᵀ, a and b bf16 in shared memory, sums in float, held by the four warps together: with
 *                    w the warp in the warpgroup, g = lane / 4, t = lane % 4 ("Register Fragments for wgmma.mma_async.m64nNk16", matrix D)
 *
 *                      sum[4j], sum[4j+1]      row 16w + g        columns 8j + 2t, 8j + 2t + 1         j = 0 .. 31
 *                      sum[4j+2], sum[4j+3]    row 16w + g + 8    columns 8j + 2t, 8j + 2t + 1
 *
 * An operand is told by a descriptor ("Matrix Descriptor Format"), 64 bits:
 *
 *   0..13   its address / 16, of 18 bits                  32..45   bytes from eight rows to the next eight, / 16: here 1024 / 16
 *   16..29  another stride / 16, without meaning here     49..51   where in the pattern it begins: 0, as boxes begin with it
 *                                                         62..63   swizzle: 1 is that of 128 bytes
 *
 * 16 columns are 32 bytes: those of the next product begin 32 bytes further in the same rows, so 2 is added to the descriptor. That is no multiple of
 * 1024, but the swizzle goes by the address, which is built from all of it first.
 *
 * It is asynchronous in both directions: what is read, and the sums, belong to the instruction from its issue until a wait says that it is over.
 *   multiply_begins   before a group of them: registers that were written by ordinary instructions are the sums' from here on (wgmma.fence)
 *   multiply_group    those issued since the last belong together (wgmma.commit_group)
 *   multiply_wait<N>  until at most N groups are not over (wgmma.wait_group)
 *   settle            before the first group and after the last wait. The compiler takes the products for functions of registers that are over at once,
 *                     and could set sums to zero behind multiply_begins, or use them before a wait. This is no instruction, but all sums go through it,
 *                     and it keeps its place among the others
 * All 128 threads of the warpgroup call each. What is read was written by the copy engine: both are of the async proxy, no fence is needed between. */
#define FOUR_SUMS(i) "+f"(sum[i]), "+f"(sum[i + 1]), "+f"(sum[i + 2]), "+f"(sum[i + 3])
#define SIXTEEN_SUMS(i) FOUR_SUMS(i), FOUR_SUMS(i + 4), FOUR_SUMS(i + 8), FOUR_SUMS(i + 12)
#define ALL_SUMS                                                                                                                                          \
    SIXTEEN_SUMS(0), SIXTEEN_SUMS(16), SIXTEEN_SUMS(32), SIXTEEN_SUMS(48), SIXTEEN_SUMS(64), SIXTEEN_SUMS(80), SIXTEEN_SUMS(96), SIXTEEN_SUMS(112)
constexpr unsigned SUMS = 128, SUM_ROWS = 64, SUM_COLUMNS = 256, SUM_DEPTH = 16;

static __device__ __forceinline__ uint64_t operand(const void *box) {
    return (uint64_t)(shared_address(box) >> 4 & 0x3fff) | (uint64_t)1 << 16 | (uint64_t)(BOX_PATTERN >> 4) << 32 | (uint64_t)1 << 62;
}
/* The same rows, 16 columns further, `times`. */
static __device__ __forceinline__ uint64_t operand_further(uint64_t descriptor, unsigned times) { return descriptor + times * (SUM_DEPTH * 2 >> 4); }

static __device__ __forceinline__ void multiply_async(float *sum, uint64_t a, uint64_t b) {
    ON_HOPPER(asm volatile("{\n\t.reg .pred add;\n\tsetp.ne.b32 add, 1, 0;\n\t"
                           "wgmma.mma_async.sync.aligned.m64n256k16.f32.bf16.bf16 {"
                           "%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15,%16,%17,%18,%19,%20,%21,%22,%23,%24,%25,%26,%27,%28,%29,"
                           "%30,%31,%32,%33,%34,%35,%36,%37,%38,%39,%40,%41,%42,%43,%44,%45,%46,%47,%48,%49,%50,%51,%52,%53,%54,%55,"
                           "%56,%57,%58,%59,%60,%61,%62,%63,%64,%65,%66,%67,%68,%69,%70,%71,%72,%73,%74,%75,%76,%77,%78,%79,%80,%81,"
                           "%82,%83,%84,%85,%86,%87,%88,%89,%90,%91,%92,%93,%94,%95,%96,%97,%98,%99,%100,%101,%102,%103,%104,"
                           "%105,%106,%107,%108,%109,%110,%111,%112,%113,%114,%115,%116,%117,%118,%119,%120,%121,%122,%123,%124,%125,%126,"
                           "%127}, %128, %129, add, 1, 1, 0, 0;\n\t}" /* signs: both as they are; both with k side by side */
                           : ALL_SUMS
                           : "l"(a), "l"(b)),
              emulator_multiply_async(sum, a, b));
}
static __device__ __forceinline__ void multiply_begins(void) {
    ON_HOPPER(asm volatile("wgmma.fence.sync.aligned;" ::: "memory"), emulator_multiply_begins());
}
static __device__ __forceinline__ void multiply_group(void) {
    ON_HOPPER(asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"), emulator_multiply_group());
}
template <unsigned N> static __device__ __forceinline__ void multiply_wait(void) {
    ON_HOPPER(asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(N) : "memory"), emulator_multiply_wait(N));
}
static __device__ __forceinline__ void settle(float *sum) { ON_HOPPER(asm volatile("" : ALL_SUMS::"memory"), (void)sum); }

/* Which warpgroup this thread is of. Through a shuffle, so that the compiler sees that a warp has one answer and keeps what follows from it, addresses
 * and descriptors, in registers of the warp. */
static __device__ __forceinline__ unsigned warpgroup_index(void) { return __shfl_sync(ALL_LANES, threadIdx.x / WARPGROUP, 0); }

/* ======== registers (PTX ISA, "setmaxnreg") ========
 * A warpgroup gives registers back, or takes some that others gave; it waits until they are there. N is a multiple of 8. All its threads call it; the
 * kernel says by __launch_bounds__(threads, 1) how many each begins with. */
template <unsigned N> static __device__ __forceinline__ void give_registers(void) {
    ON_HOPPER(asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(N)), (void)0);
}
template <unsigned N> static __device__ __forceinline__ void take_registers(void) {
    ON_HOPPER(asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(N)), (void)0);
}

#endif
