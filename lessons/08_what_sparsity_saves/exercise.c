/* Exercise 08: what a batch touches. `make check-08` tries it, `make hint-08` helps.
 *
 * 1. cost_expected_experts: how many different experts of one layer T tokens are expected to hit, when each token chooses K different ones of
 *    the E, all equally likely, and no token looks at another. The result is not a whole number: 7.20 experts is a fine answer.
 *      enters   experts E (0: a dense model, which touches 0 experts) · top_k K, at most E · tokens T, 0 or more
 *      leaves   the expected number, from 0 to E
 *
 * 2. cost_bytes_touched: the bytes of weights that a forward pass over T tokens reads, each weight once, however many tokens share it.
 *      enters   p      the parameters, place by place, over all layers:
 *                        p->total       everything
 *                        p->experts     all E experts of all layers together; they are all of one size
 *                        p->embedding   the table of the input embedding, V rows of D numbers
 *               s      the shape: s->experts E, s->top_k K, s->vocab V, s->model_dim D; s->tied: the output head is the embedding's table
 *               tokens T · type: in which data type the weights lie; cost_bytes(parameters, type) gives bytes and knows about blocks
 *      leaves   bytes, the sum of three parts:
 *                 the experts' part       of p->experts the share that is read: part 1's number of experts, of all E, in every layer; rounded
 *                                         to the nearest whole number of parameters. 0 in a dense model
 *                 the embedding's part    a token reads its own row. Count the T tokens as different from each other, but there are only V rows.
 *                                         A tied table is also the output head, which reads every row
 *                 all the rest            attention, router, norms, output head, ...: read whole by every pass
 *               T = 0 reads nothing: 0
 */
#include "cost/cost.h"

#include <math.h>

double cost_expected_experts(size_t experts, size_t top_k, size_t tokens) {
    (void)experts, (void)top_k, (void)tokens;

    /* your code here */
    return 0;
}

uint64_t cost_bytes_touched(const CostParameters *p, const CostShape *s, size_t tokens, const CostType *type) {
    (void)p, (void)s, (void)tokens, (void)type;

    /* and here */
    return 0;
}
