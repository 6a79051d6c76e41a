/* registry.h: every variant of every stage that has more than one, in one table.
 * Tests verify each row against the reference, `moe bench` times each row, `--isa` chooses among them.
 * A row whose hardware is missing is skipped, with the reason, never passed. */
#ifndef MOE_FAST_REGISTRY_H
#define MOE_FAST_REGISTRY_H

#include "moe/moe.h"

typedef enum { ISA_PORTABLE, ISA_AVX2, ISA_AVX512, ISA_COUNT } Isa;
const char *isa_name(Isa isa); /* "portable", "avx2", "avx512" */
bool isa_from_name(Isa *isa, const char *name); /* also "auto": the best this machine has */
bool isa_available(Isa isa, const char **why_not); /* asked of the processor at run time */
Isa isa_best(void);

typedef struct {
    const char *id; /* "00", "01", ... in the order of the ladder */
    const char *name; /* "reference", "tiled portable", "tiled avx2", "tiled avx512" */
    Isa needs;
    MatmulSet matmul;
    const RowSet *rows;
} Variant;
extern const Variant variants[];
extern const size_t variant_count;

/* Makes the best variant for `isa` active for all matmul_* calls and rows. In the double build only the reference and portable rows exist. */
Status fast_use(Isa isa, Fault *f);
const Variant *fast_active(void);

#endif
