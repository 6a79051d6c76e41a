/* Lesson 09: where do 46.7 billion parameters live, and which 12.9 billion work?
 *
 *   1 a model small enough for paper        the five places, counted matrix by matrix
 *   2 Mixtral-8x7B                          the same six lines with its numbers; why 8x7B is not 56B
 *   3 six published models                  src/cost counts them; the shares differ, the places do not
 *   4 twice as many experts of half width   what changes, and what does not
 *
 * D model width · L layers · V vocabulary · H heads of width h, G of them with their own keys and values · E experts of width F, K a token.
 * Everything here follows from such numbers alone: no weight is in memory.
 */
#include "lessons/09_where_parameters_live/shapes.h"
#include "lessons/common/show.h"

/* ---- counting, as this lesson builds it: one line a place ---- */
typedef struct {
    size_t D, L, V, H, G, h, E, K, F;
} Numbers;
typedef struct {
    uint64_t embedding, attention, router, experts, experts_active, output, norms, total, active;
} Places;

static Places count(const Numbers *n) {
    Places p = {0};
    p.embedding = n->V * n->D; /* a row for each token of the vocabulary */
    p.attention = n->L * (n->H * n->h * n->D + 2 * n->G * n->h * n->D + n->D * n->H * n->h); /* q; k and v; o */
    p.router = n->L * n->E * n->D; /* a row for each expert */
    const uint64_t expert = 3 * n->F * n->D; /* gate, up, down */
    p.experts = n->L * n->E * expert;
    p.experts_active = n->L * n->K * expert;
    p.output = n->V * n->D; /* a row for each token again */
    p.norms = (2 * n->L + 1) * n->D; /* before attention, before the experts; one at the end */
    const uint64_t always = p.embedding + p.attention + p.router + p.output + p.norms;
    p.total = always + p.experts;
    p.active = always + p.experts_active;
    return p;
}

static double share(uint64_t part, uint64_t whole) { return 100.0 * (double)part / (double)whole; }

static void line(const char *place, const char *formula, uint64_t parameters, uint64_t total) {
    printf("  %-16s %-50s %16s  %5.1f%%\n", place, formula, show_count(parameters), share(parameters, total));
}

static Places show_count_of(const Numbers *n) {
    const Places p = count(n);
    line("embedding", show_text("V*D = %zu*%zu", n->V, n->D), p.embedding, p.total);
    line("attention", show_text("L*(2*H*h*D + 2*G*h*D), %zu*(2*%zu*%zu + 2*%zu*%zu)", n->L, n->H * n->h, n->D, n->G * n->h, n->D), p.attention,
         p.total);
    line("router", show_text("L*E*D = %zu*%zu*%zu", n->L, n->E, n->D), p.router, p.total);
    line("experts, all", show_text("L*E*3*F*D = %zu*%zu*3*%zu*%zu", n->L, n->E, n->F, n->D), p.experts, p.total);
    line("output", show_text("V*D = %zu*%zu", n->V, n->D), p.output, p.total);
    line("norms", show_text("(2*L + 1)*D = %zu*%zu", 2 * n->L + 1, n->D), p.norms, p.total);
    line("total", "", p.total, p.total);
    line("experts, active", show_text("L*K*3*F*D = %zu*%zu*3*%zu*%zu", n->L, n->K, n->F, n->D), p.experts_active, p.total);
    line("active", "total - experts, all + experts, active", p.active, p.total);
    return p;
}

/* ---- 2: why the name does not multiply ---- */
static void mixtral(void) {
    const Numbers n = {.D = 4096, .L = 32, .V = 32000, .H = 32, .G = 8, .h = 128, .E = 8, .K = 2, .F = 14336};
    show_step("2. Mixtral-8x7B: D = 4096, 32 layers, 32 heads of 128, 8 with keys and values, V = 32000, 8 experts of 14336, 2 a token");
    const Places p = show_count_of(&n);
    const uint64_t shared = p.total - p.experts, one = shared + p.experts / n.E;
    printf("  outside the experts        %s\n", show_count(shared));
    printf("  one expert, in all layers  %s\n", show_count(p.experts / n.E));
    printf("  a model of one expert      %s: the 7B of the name\n", show_count(one));
    printf("  eight of those             %s, in which what is outside the experts is counted eight times\n", show_count(n.E * one));
    printf("  less seven times outside   %s - %s = %s\n", show_count(n.E * one), show_count((n.E - 1) * shared),
           show_count(n.E * one - (n.E - 1) * shared));
    show_prediction("a guess: total is 8 times 7B (billions)", "56.0", show_text("%.1f", (double)p.total / 1e9));
    show_prediction("a guess: 2/8 of the total is active", show_text("%.1f", (double)p.total * 2 / 8 / 1e9),
                    show_text("%.1f", (double)p.active / 1e9));
    CostShape shape;
    CostParameters engine;
    lesson_shape(&shape, MIXTRAL);
    cost_parameters(&engine, &shape);
    show_prediction("the engine's cost_parameters: total", show_count(p.total), show_count(engine.total));
    show_prediction("the engine's cost_parameters: active", show_count(p.active), show_count(engine.active));
}

/* ---- 3: six models, by the engine; a row a place ---- */
static void row(const char *place, const CostParameters *models, size_t offset) {
    printf("  %-16s", place);
    for (size_t m = 0; m < LESSON_MODELS; m++) printf(" %16s", show_count(*(const uint64_t *)((const char *)&models[m] + offset)));
    printf("\n");
}

static void six_models(void) {
    CostParameters p[LESSON_MODELS];
    CostShape shape;
    for (size_t m = 0; m < LESSON_MODELS; m++) {
        lesson_shape(&shape, m);
        cost_parameters(&p[m], &shape);
    }
    show_step("3. Six models, by cost_parameters of src/cost (tied: the output head is the embedding, and counts there)");
    printf("  %-16s", "");
    for (size_t m = 0; m < LESSON_MODELS; m++) printf(" %16s", lesson_models[m].name);
    printf("\n");
#define ROW(label, field) row(label, p, offsetof(CostParameters, field))
    ROW("embedding", embedding);
    ROW("attention", attention);
    ROW("router", router);
    ROW("experts, all", experts);
    ROW("output", output);
    ROW("shared experts", shared_experts);
    ROW("dense FFNs", dense_ffn);
    ROW("norms", norms);
    ROW("total", total);
    ROW("experts, active", experts_active);
    ROW("active", active);
    ROW("less embedding", active_without_embedding);
#undef ROW
    printf("  %-16s", "experts of all");
    for (size_t m = 0; m < LESSON_MODELS; m++) printf(" %15.1f%%", share(p[m].experts, p[m].total));
    printf("\n  %-16s", "active of all");
    for (size_t m = 0; m < LESSON_MODELS; m++) printf(" %15.1f%%", share(p[m].active, p[m].total));
    printf("\n  %-16s", "F / D");
    for (size_t m = 0; m < LESSON_MODELS; m++)
        printf(" %16s", show_text("%zu / %zu", lesson_models[m].shape.expert.hidden_dim, lesson_models[m].shape.model_dim));
    printf("\n  %-16s", "K of E");
    for (size_t m = 0; m < LESSON_MODELS; m++) printf(" %16s", show_text("%zu of %zu", lesson_models[m].shape.top_k, lesson_models[m].shape.experts));
    printf("\n");
}

/* ---- 4: finer experts ---- */
static double choices(size_t experts, size_t top_k) { /* how many different sets of K a token can choose */
    double sets = 1;
    for (size_t k = 0; k < top_k; k++) sets = sets * (double)(experts - k) / (double)(k + 1);
    return sets;
}

static void finer_experts(void) {
    show_step("4. Mixtral with its experts cut in pieces: E and K times 2, F halved, again and again");
    printf("     E   K      F      experts, all    experts, active       router            total    sets of K\n");
    for (size_t cut = 1; cut <= 8; cut *= 2) {
        const Numbers n = {.D = 4096, .L = 32, .V = 32000, .H = 32, .G = 8, .h = 128, .E = 8 * cut, .K = 2 * cut, .F = 14336 / cut};
        const Places p = count(&n);
        printf("  %4zu  %2zu  %5zu    %s     %s   %10s   %14s   %s\n", n.E, n.K, n.F, show_count(p.experts), show_count(p.experts_active),
               show_count(p.router), show_count(p.total),
               choices(n.E, n.K) < 1e12 ? show_count((uint64_t)choices(n.E, n.K)) : show_text("%.1e", choices(n.E, n.K)));
    }
}

int main(void) {
    show_step("1. On paper: D = 4, 2 layers, 2 heads of 2, 1 with keys and values, V = 10, 3 experts of 3, 1 a token");
    show_count_of(&(Numbers){.D = 4, .L = 2, .V = 10, .H = 2, .G = 1, .h = 2, .E = 3, .K = 1, .F = 3});
    mixtral();
    six_models();
    finer_experts();
    return 0;
}
