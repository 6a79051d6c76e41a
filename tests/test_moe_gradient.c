/* test_moe_gradient.c: the finite differences of double_moe.c in float, with float's step and bound. */
#include "double_moe.c"
