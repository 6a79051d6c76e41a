// says: You count visits
#include "cost/cost.h"

#include <math.h>

double cost_expected_experts(size_t experts, size_t top_k, size_t tokens) { return experts == 0 ? 0 : (double)(top_k * tokens); }
