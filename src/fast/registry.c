/* registry.c: which variants there are, which this machine can run, and which one is in use.
 *
 *   enters   an instruction set, by name or by asking the processor
 *   leaves   matmul_active and rows_active (moe/moe.h) set to the best variant for it
 *   next     every product and row of the layer and the transformer
 *   not      speed or correctness: `moe bench` measures each row, tests/test_fast.c verifies each row
 */
#include "fast/registry.h"
#include "fast/tiled.h"

#include <string.h>

#ifdef MOE_DOUBLE
#define PORTABLE_ROWS &rows_reference /* the fast exp knows floats alone */
#else
#define PORTABLE_ROWS &portable_rows
#endif

const Variant variants[] = {
    {"00", "reference", ISA_PORTABLE, {matmul_nt_reference, matmul_nn_reference, matmul_tn_reference}, &rows_reference},
    {"01", "tiled portable", ISA_PORTABLE, {portable_nt, portable_nn, portable_tn}, PORTABLE_ROWS},
#if FAST_X86
    {"02", "tiled avx2", ISA_AVX2, {avx2_nt, avx2_nn, avx2_tn}, &avx2_rows},
    {"03", "tiled avx512", ISA_AVX512, {avx512_nt, avx512_nn, avx512_tn}, &avx512_rows},
#endif
};
const size_t variant_count = sizeof variants / sizeof variants[0];

static const char *const isa_names[ISA_COUNT] = {"portable", "avx2", "avx512"};
static const Variant *active = &variants[0];

const char *isa_name(Isa isa) { return isa_names[isa]; }

bool isa_from_name(Isa *isa, const char *name) {
    if (strcmp(name, "auto") == 0) {
        *isa = isa_best();
        return true;
    }
    for (int i = 0; i < ISA_COUNT; i++)
        if (strcmp(name, isa_names[i]) == 0) {
            *isa = (Isa)i;
            return true;
        }
    return false;
}

bool isa_available(Isa isa, const char **why_not) {
    const char *reason = NULL;
    if (isa != ISA_PORTABLE) {
#if FAST_X86
        const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
        if (!avx2) reason = "this processor or its operating system does not offer AVX2 with FMA";
        if (isa == ISA_AVX512 && !(avx2 && __builtin_cpu_supports("avx512f")))
            reason = "this processor or its operating system does not offer AVX-512F";
#elif defined(MOE_DOUBLE)
        reason = "vector kernels are for float32; this build computes in double";
#else
        reason = "this build is not for x86-64";
#endif
    }
    if (why_not) *why_not = reason;
    return reason == NULL;
}

Isa isa_best(void) {
    if (isa_available(ISA_AVX512, NULL)) return ISA_AVX512;
    return isa_available(ISA_AVX2, NULL) ? ISA_AVX2 : ISA_PORTABLE;
}

Status fast_use(Isa isa, Fault *f) {
    const char *why_not = NULL;
    if (!isa_available(isa, &why_not)) return fault(f, STATUS_FAIL, "instruction set %s: %s; try --isa auto", isa_name(isa), why_not);
    for (size_t i = 0; i < variant_count; i++) /* a later row for the same set is the better one */
        if (variants[i].needs == isa) active = &variants[i];
    matmul_active = active->matmul;
    rows_active = *active->rows;
    return STATUS_OK;
}

const Variant *fast_active(void) { return active; }
