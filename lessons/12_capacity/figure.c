/* figure.c of lesson 12: who finds room, and how many do not, from the engine's own plans. */
#include "lessons/common/figure.h"
#include "lessons/common/show.h"

#include "moe/moe.h"

enum { T = 6, E = 3, K = 2, MT = 512, ME = 8, MK = 2, FACTORS = 11 };

/* One expert a column: its slots, and below them who came too late. */
static void draw_service(Figure *f, double left, const char *name, const Plan *plan, const int32_t *ids, const real *weights) {
    const double cell = 24, wide = 96, top = 100;
    figure_text(f, left, 74, FIGURE_NORMAL, FIGURE_LEFT, INK_DARK, "%s", name);
    for (size_t e = 0; e < E; e++) {
        const double x = left + (double)e * (wide + 10);
        figure_text(f, x + wide / 2, top - 6, FIGURE_SMALL, FIGURE_MIDDLE, INK_GREY, "expert %zu, asked %zu", e, plan->load[e]);
        for (size_t c = 0; c < plan->capacity; c++) {
            const size_t s = plan->offsets[e] + c;
            const bool used = s < plan->offsets[e + 1];
            const int token = used ? (int)plan->slot_token[s] : 0, choice = used ? (int)plan->slot_choice[s] : 0;
            figure_box(f, x, top + cell * (double)c, wide, cell - 4, used ? figure_tint(INK_GREEN, choice == 0 ? 0.35 : 0.15) : INK_WHITE,
                       used ? INK_GREEN : INK_PALE, used ? show_text("%d  (%.2f)", token, (double)weights[token * K + choice]) : "left over");
        }
        double y = top + cell * (double)plan->capacity + 8;
        for (size_t n = 0; n < T * K; n++) { /* in the order in which they were asked */
            const size_t i = (size_t)plan->turns[n % T] * K + n / T;
            if (ids[i] != (int32_t)e || plan->token_slot[i] >= 0) continue;
            figure_box(f, x, y, wide, cell - 4, figure_tint(INK_ORANGE, 0.25), INK_ORANGE, show_text("%zu  (%.2f)", i / K, (double)weights[i]));
            y += cell;
        }
    }
}

static void draw_choices(int32_t *choices, double favourite) {
    Rng rng;
    rng_seed(&rng, 1);
    real scores[ME];
    for (size_t t = 0; t < MT; t++) {
        for (size_t e = 0; e < ME; e++) scores[e] = (real)(rng_uniform(&rng) + (e == 0 ? favourite : 0));
        topk_select(choices + t * MK, scores, ME, MK);
    }
}

int main(int argc, char **argv) {
    static const int32_t ids[T * K] = {0, 1, 0, 1, 0, 2, 1, 0, 0, 1, 0, 2};
    static const real weights[T * K] = {0.60f, 0.40f, 0.90f, 0.10f, 0.55f, 0.45f, 0.70f, 0.30f, 0.80f, 0.20f, 0.95f, 0.05f};
    static unsigned char memory[1 << 17] __attribute__((aligned(64)));
    Arena arena = {.base = memory, .size_bytes = sizeof memory};
    Plan plan, many;
    plan_take(&plan, &arena, T, E, K);
    plan_take(&many, &arena, MT, ME, MK);
    plan.capacity = capacity_slots(1, T, E, K);

    Figure *f = figure_open(argc, argv, 760, 560);
    figure_bold(f, true);
    figure_text(f, 28, 38, FIGURE_LARGE, FIGURE_LEFT, INK_DARK, "Six tokens, two choices each, %zu slots an expert: token (weight)", plan.capacity);
    figure_bold(f, false);
    dispatch_plan(&plan, ids, weights, SERVE_CHOICE_ORDER);
    draw_service(f, 40, "Tokens in their order", &plan, ids, weights);
    dispatch_plan(&plan, ids, weights, SERVE_PROBABILITY);
    draw_service(f, 404, "The surest first", &plan, ids, weights);
    figure_text(f, 40, 276, FIGURE_SMALL, FIGURE_LEFT, INK_GREY,
                "In the order of service. Strong green: first choices. Pale green: second ones. Orange: dropped. White: nobody asked.");

    static int32_t choices[MT * MK];
    static real even[MT * MK];
    double factors[FACTORS], shares[FACTORS];
    FigureChart chart = {.x = 80, .y = 330, .width = 420, .height = 170, .x_min = 0, .x_max = 4, .y_min = 0, .y_max = 60};
    figure_bold(f, true);
    figure_text(f, 40, 308, FIGURE_NORMAL, FIGURE_LEFT, INK_DARK, "Dropped choices in percent, %d tokens, %d experts, K = %d", MT, ME, MK);
    figure_bold(f, false);
    figure_chart(f, &chart, "capacity factor", "");
    for (int skewed = 0; skewed < 2; skewed++) {
        draw_choices(choices, skewed ? 0.5 : 0);
        for (size_t i = 0; i < FACTORS; i++) {
            factors[i] = 0.5 + 0.25 * (double)i;
            many.capacity = capacity_slots(factors[i], MT, ME, MK);
            dispatch_plan(&many, choices, even, SERVE_CHOICE_ORDER);
            shares[i] = 100.0 * (double)many.dropped / (MT * MK);
        }
        figure_series(f, &chart, factors, shares, FACTORS, skewed ? INK_ORANGE : INK_GREEN, skewed ? "one favourite expert" : "all equally likely");
    }
    return figure_close(f);
}
