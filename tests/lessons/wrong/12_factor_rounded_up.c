// says: You rounded the factor up before
#include "moe/moe.h"

#include <math.h>

size_t capacity_slots(double capacity_factor, size_t tokens, size_t experts, size_t top_k) {
    return (size_t)(ceil(capacity_factor) * (double)(top_k * tokens) / (double)experts);
}
