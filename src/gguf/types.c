/* types.c: the numbers that GGUF gives to types, their names and sizes. Enters: a number from a file. Leaves: a name, or how many
 * bytes so many values take. Does not read values. Sources: the GGUF specification; block sizes from ggml's type table. */
#include "gguf/parts.h"

#include <stdio.h>
#include <string.h>

const char *gguf_type_name(GgufType type) {
    static const char *const names[GGUF_VALUE_TYPES] = {"u8",   "i8",     "u16",   "i16", "u32", "i32", "f32",
                                                        "bool", "string", "array", "u64", "i64", "f64"};
    return (unsigned)type < GGUF_VALUE_TYPES ? names[type] : "unknown";
}

size_t gguf_type_bytes(GgufType type) {
    static const unsigned char bytes[GGUF_VALUE_TYPES] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
    return (unsigned)type < GGUF_VALUE_TYPES ? bytes[type] : 0;
}

/* A quantised type stores `block` values in `bytes` bytes; a plain one has blocks of one value. */
typedef struct {
    uint32_t type;
    const char *name;
    size_t block, bytes;
} TensorType;
static const TensorType tensor_types[] = {
    {0, "F32", 1, 4},        {1, "F16", 1, 2},         {2, "Q4_0", 32, 18},    {3, "Q4_1", 32, 20},    {6, "Q5_0", 32, 22},
    {7, "Q5_1", 32, 24},     {8, "Q8_0", 32, 34},      {9, "Q8_1", 32, 36},    {10, "Q2_K", 256, 84},  {11, "Q3_K", 256, 110},
    {12, "Q4_K", 256, 144},  {13, "Q5_K", 256, 176},   {14, "Q6_K", 256, 210}, {15, "Q8_K", 256, 292}, {16, "IQ2_XXS", 256, 66},
    {17, "IQ2_XS", 256, 74}, {18, "IQ3_XXS", 256, 98}, {19, "IQ1_S", 256, 50}, {20, "IQ4_NL", 32, 18}, {21, "IQ3_S", 256, 110},
    {22, "IQ2_S", 256, 82},  {23, "IQ4_XS", 256, 136}, {24, "I8", 1, 1},       {25, "I16", 1, 2},      {26, "I32", 1, 4},
    {27, "I64", 1, 8},       {28, "F64", 1, 8},        {29, "IQ1_M", 256, 56}, {30, "BF16", 1, 2},     {34, "TQ1_0", 256, 54},
    {35, "TQ2_0", 256, 66},  {39, "MXFP4", 32, 17},    {40, "NVFP4", 64, 36},  {41, "Q1_0", 128, 18},
};
enum { TENSOR_TYPE_COUNT = sizeof tensor_types / sizeof tensor_types[0] };

static const TensorType *tensor_type_find(uint32_t type) {
    for (size_t i = 0; i < TENSOR_TYPE_COUNT; i++) {
        if (tensor_types[i].type == type) return &tensor_types[i];
    }
    return NULL;
}

const char *gguf_tensor_type_name(uint32_t type) {
    static _Thread_local char unknown[32];
    const TensorType *known = tensor_type_find(type);
    if (known != NULL) return known->name;
    snprintf(unknown, sizeof unknown, "type %lu", (unsigned long)type);
    return unknown;
}

bool gguf_tensor_type_size(uint32_t type, size_t *block, size_t *bytes) {
    const TensorType *known = tensor_type_find(type);
    if (known == NULL) return false;
    *block = known->block;
    *bytes = known->bytes;
    return true;
}

/* ---- half precision (IEEE 754 binary16): 1 sign, 5 exponent, 10 fraction bits ---- */
float f16_to_f32(uint16_t h) {
    const uint32_t exponent = (h >> 10) & 31;
    const uint32_t fraction = h & 1023;
    const uint32_t sign = (uint32_t)(h & 0x8000) << 16;
    if (exponent == 0) { /* subnormal: no implicit one, a multiple of 2^-24 */
        const float magnitude = (float)fraction * 0x1p-24f;
        return sign != 0 ? -magnitude : magnitude;
    }
    const uint32_t bits = sign | (exponent == 31 ? 255u : exponent + 112u) << 23 | fraction << 13; /* biases 15 and 127; 31 is infinity and NaN */
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

uint16_t f16_from_f32(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    const uint16_t sign = (uint16_t)((bits >> 16) & 0x8000);
    const uint32_t magnitude = bits & 0x7fffffff;
    if (magnitude > 0x7f800000) return sign | 0x7e00; /* not a number stays one */
    if (magnitude >= 0x477ff000) return sign | 0x7c00; /* 65520 and more round to infinity */
    if (magnitude < 0x38800000) { /* below 2^-14: subnormal, a multiple of 2^-24; adding 0.5 rounds at that bit */
        float small;
        memcpy(&small, &magnitude, sizeof small);
        const float shifted = small + 0.5f; /* the last fraction bit of a float in [0.5,1) is 2^-24 */
        uint32_t shifted_bits;
        memcpy(&shifted_bits, &shifted, sizeof shifted_bits);
        return (uint16_t)(sign | (shifted_bits - 0x3f000000));
    }
    const uint32_t odd = (magnitude >> 13) & 1; /* a tie goes to the even neighbour */
    const uint32_t rounded = magnitude + 0xfff + odd;
    return (uint16_t)(sign | ((rounded - 0x38000000) >> 13));
}
