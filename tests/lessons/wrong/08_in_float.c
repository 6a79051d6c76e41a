// says: float rounds it too early
#include "cost/cost.h"

#include <math.h>

double cost_expected_experts(size_t experts, size_t top_k, size_t tokens) {
    if (experts == 0) return 0;
    return (double)((float)experts * (1 - powf(1 - (float)top_k / (float)experts, (float)tokens)));
}
