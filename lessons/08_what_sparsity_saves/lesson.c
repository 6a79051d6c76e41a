/* Lesson 08: what does sparsity save, and what does it not?
 *
 *   1 which experts does a batch read?       the union over its tokens, counted by hand
 *   2 how large is that union?               E·(1 − (1 − K/E)^T), beside drawn batches
 *   3 Mixtral at its real size               FLOPs a token, bytes touched, bytes resident
 *   4 one layer, measured on this machine    and a case in which the sparse layer is the slower one
 *   5 the shipped model with another K       its loss, computed by the engine
 *
 * T tokens, E experts, K experts a token, D model width, F expert width. Lines with the word "measured" differ from machine to machine.
 */
#include "cost/cost.h"
#include "fast/registry.h"
#include "lessons/common/show.h"
#include "lessons/08_what_sparsity_saves/measure.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- 1: the union. A read expert counts once, however many tokens meet there. ---- */
static size_t count_union(const int32_t *ids /* (T,K) */, size_t tokens, size_t top_k, size_t experts) {
    size_t distinct = 0;
    for (size_t e = 0; e < experts; e++) {
        bool read = false;
        for (size_t i = 0; i < tokens * top_k; i++) read = read || ids[i] == (int32_t)e;
        distinct += read;
    }
    return distinct;
}

/* ---- 2: its expected size. One token misses a given expert with probability 1 − K/E; T tokens all miss it with (1 − K/E)^T. ---- */
static double expected_union(double experts, double top_k, double tokens) { return experts * (1 - pow(1 - top_k / experts, tokens)); }

static void by_hand(void) {
    enum { T = 3, E = 6, K = 2, D = 4, F = 3 };
    static const int32_t ids[T * K] = {4, 1, 1, 3, 4, 3};
    const size_t expert_bytes = 3 * D * F * sizeof(float), distinct = count_union(ids, T, K, E);
    show_step("1. By hand: %d tokens, %d experts, %d each; one expert is 3 matrices of %d x %d in F32 = %zu bytes", T, E, K, D, F, expert_bytes);
    for (size_t t = 0; t < T; t++) printf("   token %zu visits experts %d and %d\n", t, ids[t * K], ids[t * K + 1]);
    printf("   visits     T*K = %d, so %d expert rows are computed\n", T * K, T * K);
    printf("   touched    experts 1, 3 and 4: %zu of them = %zu bytes\n", distinct, distinct * expert_bytes);
    printf("   resident   all %d = %zu bytes\n", E, E * expert_bytes);
    printf("   by chance  one token misses an expert with 1 - %d/%d = %.4f, three miss it with %.4f; so %d*(1 - %.4f) = %.2f are expected\n", K, E,
           1 - (double)K / E, pow(1 - (double)K / E, T), E, pow(1 - (double)K / E, T), expected_union(E, K, T));
}

/* Draws K different experts for every token, all equally likely, many times over; the mean size of the union. */
static double drawn_union(size_t experts, size_t top_k, size_t tokens, size_t trials, Rng *rng) {
    int32_t order[256], ids[512 * 8];
    size_t sum = 0;
    for (size_t e = 0; e < experts; e++) order[e] = (int32_t)e;
    for (size_t trial = 0; trial < trials; trial++) {
        for (size_t t = 0; t < tokens; t++)
            for (size_t k = 0; k < top_k; k++) { /* swap a random one of the rest to the front */
                const size_t from = k + rng_below(rng, experts - k);
                const int32_t taken = order[from];
                order[from] = order[k], order[k] = taken;
                ids[t * top_k + k] = taken;
            }
        sum += count_union(ids, tokens, top_k, experts);
    }
    return (double)sum / (double)trials;
}

static void unions(void) {
    static const size_t batches[] = {1, 2, 4, 8, 16, 32, 64, 512};
    Rng rng;
    rng_seed(&rng, 8);
    show_step("2. Experts touched in one layer by T tokens: E*(1 - (1 - K/E)^T), and the mean of 100 drawn batches");
    printf("          E = 8, K = 2          E = 128, K = 8\n");
    printf("     T    formula    drawn      formula    drawn\n");
    for (size_t i = 0; i < sizeof batches / sizeof *batches; i++) {
        const size_t T = batches[i];
        const double of_128 = drawn_union(128, 8, T, 100, &rng), of_8 = drawn_union(8, 2, T, 100, &rng); /* draws have an order, arguments none */
        printf("   %3zu    %7.2f  %7.2f      %7.2f  %7.2f\n", T, expected_union(8, 2, (double)T), of_8, expected_union(128, 8, (double)T), of_128);
    }
    show_prediction("experts of 8 that 8 tokens touch", "7.20", show_text("%.2f", expected_union(8, 2, 8)));
}

/* ---- 3: Mixtral-8x7B. Lesson 09 counts these; here they are given. ---- */
static void mixtral(void) {
    const double total = 46702792704.0, embedding = 131072000.0, experts = 45097156608.0, D = 4096, norms = 266240;
    const double always = total - experts - embedding; /* attention, router, norms, output head: every batch reads them once */
    const double active = always - norms + experts * 2 / 8, full = always - norms + experts, gib = 1024.0 * 1024 * 1024;
    show_step("3. Mixtral-8x7B (E = 8, K = 2): %s weights, %s of them in experts", show_count((uint64_t)total), show_count((uint64_t)experts));
    printf("   FLOPs a token      2 per weight of a matrix it meets: %.1f GFLOP; with all 8 experts on: %.1f; share %.0f%%\n", 2 * active / 1e9,
           2 * full / 1e9, 100 * active / full);
    printf("   bytes resident     F16: %.1f GiB   Q4_0 (18 bytes for 32 weights): %.1f GiB; K does not occur in it\n", 2 * total / gib,
           total * 18 / 32 / gib);
    printf("     T   experts a layer   touched, F16   of resident   touched per token   FLOPs per byte\n");
    static const double batches[] = {1, 2, 8, 32, 512};
    for (size_t i = 0; i < sizeof batches / sizeof *batches; i++) {
        const double T = batches[i], read = always + T * D + experts * expected_union(8, 2, T) / 8; /* a token reads one row of the embedding */
        printf("   %3.0f   %15.2f   %8.1f GiB   %10.0f%%   %13.2f GiB   %14.1f\n", T, expected_union(8, 2, T), 2 * read / gib, 100 * read / total,
               2 * read / gib / T, 2 * active * T / (2 * read));
    }
    const CostParameters parameters = {.total = (uint64_t)total, .embedding = (uint64_t)embedding, .experts = (uint64_t)experts};
    static const CostShape shape = {.vocab = 32000, .model_dim = 4096, .experts = 8, .top_k = 2};
    const double ours = 2 * (always + 8 * D + experts * expected_union(8, 2, 8) / 8);
    show_prediction("the engine's cost_bytes_touched, T = 8", show_bytes(ours),
                    show_bytes((double)cost_bytes_touched(&parameters, &shape, 8, cost_type_find("f16"))));
}

/* ---- 4: one layer beside the dense FFN of as many active and of as many resident weights ---- */
static void layer_on_this_machine(Fault *f) {
    static const size_t batches[] = {1, 16, 128};
    Layer l;
    if (layer_init(&l, f) != STATUS_OK) return;
    const double expert = 3.0 * LAYER_DIM * LAYER_EXPERT_DIM * sizeof(real), mib = 1024 * 1024;
    show_step("4. One layer here, on one core: D = %d, F = %d, E = %d, K = %d, F32; an expert is %.2f MiB", LAYER_DIM, LAYER_EXPERT_DIM,
              LAYER_EXPERTS, LAYER_TOP_K, expert / mib);
    printf("   sparse          %d experts of %d, %d a token        resident %.2f MiB\n", LAYER_EXPERTS, LAYER_EXPERT_DIM, LAYER_TOP_K,
           LAYER_EXPERTS * expert / mib);
    printf("   dense, active   one FFN of width %-5d             resident %.2f MiB; the same FLOPs a token but for the router\n",
           LAYER_TOP_K * LAYER_EXPERT_DIM, LAYER_TOP_K * expert / mib);
    printf("   dense, total    one FFN of width %-5d             resident %.2f MiB; %d times the FLOPs\n", LAYER_EXPERTS * LAYER_EXPERT_DIM,
           LAYER_EXPERTS * expert / mib, LAYER_EXPERTS / LAYER_TOP_K);
    for (size_t i = 0; i < sizeof batches / sizeof *batches; i++) {
        const size_t T = batches[i];
        const double sparse = layer_sparse_s(&l, T), active = layer_dense_s(&l, LAYER_TOP_K, T), total = layer_dense_s(&l, LAYER_EXPERTS, T);
        const size_t read = count_union(l.acts->ids, T, LAYER_TOP_K, LAYER_EXPERTS);
        const double uniform = expected_union(LAYER_EXPERTS, LAYER_TOP_K, (double)T);
        printf("   T = %-3zu  sparse touches %2zu experts (formula %.1f) = %5.2f MiB; dense, active %.2f MiB; rows an expert %.1f\n", T, read,
               uniform, (double)read * expert / mib, LAYER_TOP_K * expert / mib, (double)(T * LAYER_TOP_K) / (double)read);
        printf("            measured tokens/s: sparse %.0f, dense active %.0f, dense total %.0f; sparse is %.2f and %.2f times as fast as the two\n",
               (double)T / sparse, (double)T / active, (double)T / total, active / sparse, total / sparse);
        if (T == 16) show_prediction("measured: sparse by dense, if FLOPs were all", "1.00", show_text("%.2f", active / sparse));
    }
    layer_free(&l);
}

/* ---- 5: the shipped model was trained with one K; any other can be asked for ---- */
static void another_k(Fault *f) {
    static const size_t asked[] = {1, 2, 3, 4, 8};
    enum { COUNT = sizeof asked / sizeof *asked };
    ModelRun run[COUNT];
    size_t best = 0, trained = 0;
    for (size_t i = 0; i < COUNT; i++) {
        if (model_run(&run[i], NULL, asked[i], f) != STATUS_OK) return;
        if (run[i].loss < run[best].loss) best = i;
        if (asked[i] == run[i].trained_k) trained = i;
    }
    show_step("5. The shipped model, trained with K = %zu of %zu, on %zu tokens of validation text", run[0].trained_k, run[0].experts, run[0].tokens);
    for (size_t i = 0; i < COUNT; i++)
        printf("   K = %zu  loss measured %.3f nats a token; %.2f MFLOP a token in experts; %.0f tokens/s\n", asked[i], run[i].loss,
               run[i].expert_flops / 1e6, run[i].tokens_per_s);
    printf("   lowest loss measured at K = %zu\n", asked[best]);
    show_prediction("one expert instead of two is worse", "yes", run[0].loss > run[trained].loss ? "yes" : "no");
    show_prediction("all eight are better by a tenth of a nat", "no", run[trained].loss - run[COUNT - 1].loss >= 0.1 ? "yes" : "no");
    static const char *const twins[] = {"dense_active", "dense_total"};
    printf("   The dense twins, data/dense_*.gguf; 0 where one is not here (`make model` trains them):\n");
    for (size_t i = 0; i < 2; i++) {
        Fault none; /* a twin that is not there is no failure */
        ModelRun twin;
        if (model_run(&twin, twins[i], 0, &none) != STATUS_OK) twin = (ModelRun){0};
        printf("   %-12s  loss measured %.3f nats a token; %.2f MFLOP a token in the FFNs; %.0f tokens/s\n", twins[i], twin.loss,
               twin.expert_flops / 1e6, twin.tokens_per_s);
    }
}

int main(void) {
    Fault f = {{0}};
    threads_set(1);
    if (fast_use(isa_best(), &f) == STATUS_OK) {
        by_hand();
        unions();
        mixtral();
        layer_on_this_machine(&f);
        if (f.text[0] == '\0') another_k(&f);
    }
    if (f.text[0] != '\0') fprintf(stderr, "lesson 08: %s\n", f.text);
    return f.text[0] != '\0';
}
