// says: You rounded K*T/E up before
#include "moe/moe.h"

#include <math.h>

size_t capacity_slots(double capacity_factor, size_t tokens, size_t experts, size_t top_k) {
    if (capacity_factor <= 0) return 0;
    return (size_t)(capacity_factor * ceil((double)top_k * (double)tokens / (double)experts));
}
