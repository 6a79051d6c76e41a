// says: as if no two tokens met at an expert
#include "cost/cost.h"

#include <math.h>

double cost_expected_experts(size_t experts, size_t top_k, size_t tokens) {
    return top_k * tokens < experts ? (double)(top_k * tokens) : (double)experts;
}
