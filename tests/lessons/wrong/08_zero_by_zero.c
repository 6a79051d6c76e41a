// says: K / E is 0 / 0
#include "cost/cost.h"

#include <math.h>

double cost_expected_experts(size_t experts, size_t top_k, size_t tokens) {
    return (double)experts * (1 - pow(1 - (double)top_k / (double)experts, (double)tokens));
}
