// says: You rounded down
#include "moe/moe.h"

size_t capacity_slots(double capacity_factor, size_t tokens, size_t experts, size_t top_k) {
    return (size_t)(capacity_factor * (double)(top_k * tokens) / (double)experts);
}
