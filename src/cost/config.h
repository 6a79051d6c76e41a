/* config.h: between the reading of a config.json (config.c) and what each family makes of its fields (families.c). */
#ifndef MOE_COST_CONFIG_H
#define MOE_COST_CONFIG_H

#include "cost/cost.h"
#include "cost/json.h"

/* Every field that a family may read; their names over time stand in config.c. */
/* clang-format off */
typedef enum {
    VOCAB, WIDTH, LAYERS, HEADS, KV_HEADS, HEAD_DIM, HIDDEN, EXPERT_HIDDEN, SHARED_HIDDEN, DENSE_HIDDEN, EXPERTS, TOP_K, SHARED, FIRST_DENSE, SPARSE_STEP,
    MLP_ONLY, MOE_STEP, MOE_LAYERS, DECODER_LAYERS, ENCODER_SPARSE, DECODER_SPARSE, ENCODER_STEP, DECODER_STEP, QUERY_RANK, KV_RANK, NOPE_DIM, ROPE_DIM,
    VALUE_DIM, USE_WINDOW, WINDOW, WINDOW_FROM, CHUNK, NO_ROPE, NO_ROPE_STEP, LAYER_TYPES, BUCKETS, ACTIVATION, GATED, TIED, ATTENTION_BIAS, QKV_BIAS,
    FFN_BIAS, HEAD_BIAS, ROUTER_BIAS, FIELDS
} FieldId;
/* clang-format on */

#define NONE SIZE_MAX /* absent, or null where that says something */
#define NEEDED (SIZE_MAX - 1) /* as "what an absent field means": a Fault */
enum { NO = 0, YES = 1, FAMILY_FIELDS = 26 };

typedef struct Config Config;
typedef struct {
    const char *model_types; /* the first is the usual one */
    const char *spellings; /* its own names of fields, where they are not the usual ones */
    Status (*build)(const Config *c, CostShape *s);
    struct {
        FieldId id;
        size_t absent; /* what an absent field means */
    } reads[FAMILY_FIELDS]; /* VOCAB, the first of the enumeration, stands first; a row of zeros ends the list */
} Family;
extern const Family cost_families[];
extern const size_t cost_family_count;

/* One configuration, its fields read and checked. */
struct Config {
    const Family *family;
    const JsonValue *object;
    const char *label;
    Fault *f;
    size_t value[FIELDS]; /* numbers and flags; NONE where the family does not read it */
    const JsonValue *item[FIELDS]; /* lists and texts; NULL when absent or null */
};

#endif
