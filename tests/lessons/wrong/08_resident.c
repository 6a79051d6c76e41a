// says: that is what is resident
#include "cost/cost.h"

#include <math.h>

double cost_expected_experts(size_t experts, size_t top_k, size_t tokens) {
    (void)top_k;
    return tokens == 0 ? 0 : (double)experts;
}
