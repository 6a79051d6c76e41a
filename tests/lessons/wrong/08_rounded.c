// says: need not be whole
#include "cost/cost.h"

#include <math.h>

double cost_expected_experts(size_t experts, size_t top_k, size_t tokens) {
    if (experts == 0) return 0;
    return round((double)experts * (1 - pow(1 - (double)top_k / (double)experts, (double)tokens)));
}
