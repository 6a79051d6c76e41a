// says: Where the capacity factor is 0, return 0
#include "moe/moe.h"

#include <math.h>

size_t capacity_slots(double capacity_factor, size_t tokens, size_t experts, size_t top_k) {
    if (capacity_factor <= 0) return top_k * tokens;
    return (size_t)ceil(capacity_factor * (double)(top_k * tokens) / (double)experts);
}
