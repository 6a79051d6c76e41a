/* Exercise 05: the weighted sum.
 *
 * This function takes the place of the engine's own (src/moe/5_combine.c). `make check-05` tests it, `make hint-05` gives one hint more at each
 * call, `make watch-05` opens the window with your sum in the engine.
 *
 * The experts have done their work. Their results stand in ys, one row for each pair of a token and an expert that it chose, grouped by expert;
 * such a row is called a slot. Bring them home:
 *
 *   in    ys (S,D)            row s is what an expert made of one token; D = model_dim features; row s begins at ys + s * D
 *         weights (T,K)       weights[t * K + k] is how much choice k of token t counts
 *         plan->tokens        T, a size_t
 *         plan->top_k         K, a size_t
 *         plan->token_slot (T,K)   token_slot[t * K + k] is the slot of choice k of token t, an int32_t; -1: the expert was full, the choice is dropped
 *   out   y (T,D)             y_t += sum over k of weights[t * K + k] * row token_slot[t * K + k] of ys
 *   - The sum is added to what stands in y: shared experts, which serve every token, may have written there.
 *   - A dropped choice adds nothing, and the other choices keep their weights.
 *   - T may be 0.
 */
#include "moe/moe.h"

void combine_forward(real *y, const real *ys, const real *weights, const Plan *plan, size_t model_dim) {
    /* your code here */
    (void)y;
    (void)ys;
    (void)weights;
    (void)plan;
    (void)model_dim;
}
