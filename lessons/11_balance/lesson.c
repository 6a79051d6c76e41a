/* Lesson 11: why routers collapse, and what stops it. The auxiliary loss by hand, then a small training (toy.h) without and with each remedy.
 * Enters nothing. Leaves what every run came to; README.md beside this file tells the story. */
#include "lessons/11_balance/toy.h"
#include "lessons/common/show.h"

/* ---- the auxiliary loss with pencil and paper: four tokens, two experts, K = 1 ---- */

/* alpha · E · Σ f_i·P_i, and what it adds to the gradient of each logit. The engine's balance_aux is the same with a scale and empty batches. */
static double plain_aux(double *d_logits, const real *probs, const size_t *load, size_t tokens, size_t experts, double alpha) {
    double asked = 0, sum = 0;
    for (size_t e = 0; e < experts; e++) asked += (double)load[e];
    for (size_t t = 0; t < tokens; t++) {
        const real *p = probs + t * experts;
        double met = 0; /* the f that this token would meet on average */
        for (size_t e = 0; e < experts; e++) met += (double)load[e] / asked * (double)p[e];
        for (size_t e = 0; e < experts; e++)
            d_logits[t * experts + e] = alpha * (double)experts / (double)tokens * (double)p[e] * ((double)load[e] / asked - met);
        sum += met / (double)tokens; /* Σ f_i·P_i is the mean of it over the tokens */
    }
    return alpha * (double)experts * sum;
}

static void by_hand(void) {
    static const real probs[4 * 2] = {(real)0.8, (real)0.2, (real)0.7, (real)0.3, (real)0.6, (real)0.4, (real)0.4, (real)0.6};
    const size_t load[2] = {3, 1};
    double mean[2] = {0, 0};
    double d_logits[4 * 2];
    real engines[4 * 2] = {0};
    show_step("The auxiliary loss by hand: four tokens, two experts, each token takes the better one");
    show_matrix("probs", probs, 4, 2);
    show_sizes("load", load, 1, 2);
    for (size_t t = 0; t < 4; t++)
        for (size_t e = 0; e < 2; e++) mean[e] += (double)probs[t * 2 + e] / 4;
    printf("f, shares of the choices: 3/4 = %.4f, 1/4 = %.4f; P, means of probs: %.4f %.4f\n", 0.75, 0.25, mean[0], mean[1]);
    const double loss = plain_aux(d_logits, probs, load, 4, 2, 1);
    show_prediction("loss = 2 × (0.75 × 0.625 + 0.25 × 0.375)", "1.1250", show_text("%.4f", loss));
    show_prediction("even use would cost 2 × (½·½ + ½·½)", "1.0000",
                    show_text("%.4f", balance_aux(NULL, (real[]){(real)0.5, (real)0.5}, (size_t[]){1, 1}, 1, 2, 1, 1)));
    printf("token 0 would meet an f of 0.75 × 0.8 + 0.25 × 0.2 = %.4f on average\n", 0.75 * 0.8 + 0.25 * 0.2);
    show_prediction("its gradient, logit 0: 2/4 × 0.8 × (0.75 - 0.65)", "0.0400", show_text("%.4f", d_logits[0]));
    show_prediction("its gradient, logit 1: 2/4 × 0.2 × (0.25 - 0.65)", "-0.0400", show_text("%.4f", d_logits[1]));
    bool same = fabs(balance_aux(engines, probs, load, 4, 2, 1, 1) - loss) < 1e-6;
    for (size_t i = 0; i < 4 * 2; i++) same = same && fabs((double)engines[i] - d_logits[i]) < 1e-6;
    printf("token 3 would meet %.4f; its gradient: %.4f %.4f\n", 0.75 * 0.4 + 0.25 * 0.6, d_logits[6], d_logits[7]);
    show_prediction("the engine's balance_aux says the same", "yes", same ? "yes" : "no");
}

/* The same idea as three authors write it, with weight 1. */
static void scalings_on_paper(void) {
    enum { EIGHT = 8, TWO = 2 };
    real even[EIGHT], two[EIGHT] = {(real)0.5, (real)0.5};
    size_t even_load[EIGHT], two_load[EIGHT] = {1, 1};
    for (size_t e = 0; e < EIGHT; e++) even[e] = (real)1 / EIGHT, even_load[e] = 1;
    show_step("Three scalings of it, for 8 experts and K = 2");
    printf("                                          even use    two experts have all\n");
    const struct {
        const char *name;
        double factor;
    } forms[] = {{"Switch: f sums to 1, E times the sum", 1},
                 {"Hugging Face: f sums to K", TWO},
                 {"GShard: mean over experts, not E times", 1.0 / (EIGHT * EIGHT)}};
    for (size_t i = 0; i < 3; i++)
        printf("%-40s  %8.4f    %8.4f\n", forms[i].name, forms[i].factor * balance_aux(NULL, even, even_load, 1, EIGHT, 1, 1),
               forms[i].factor * balance_aux(NULL, two, two_load, 1, EIGHT, 1, 1));
}

/* ---- the toy ---- */

static Outcome outcome; /* of the last run */

static double late_share(size_t layer, size_t expert) {
    double sum = 0;
    for (size_t s = STEPS - LATE; s < STEPS; s++) sum += outcome.share[s][layer][expert] / LATE;
    return sum;
}

static double busiest(size_t layer, size_t experts) {
    double most = 0;
    for (size_t e = 0; e < experts; e++) most = fmax(most, late_share(layer, e));
    return most;
}

/* The fewest and the most experts of a layer that are at work in the end. */
typedef struct {
    size_t fewest, most;
} AtWork;

static AtWork collapse(bool centred) {
    AtWork at_work = {4, 0};
    for (uint64_t seed = 1; seed <= 5; seed++) {
        toy_train(&outcome, &(Setting){SWITCH, .seed = seed, .centred = centred});
        printf("%-26s seed %d   busiest expert %3.0f%% %3.0f%%   CV² %.3f %.3f   experts without work %zu %zu\n",
               centred ? "nothing common" : "a common part", (int)seed, 100 * busiest(0, 4), 100 * busiest(1, 4), outcome.cv2[0], outcome.cv2[1],
               outcome.dead[0], outcome.dead[1]);
        for (size_t l = 0; l < LAYERS; l++) {
            const size_t count = 4 - outcome.dead[l];
            at_work.fewest = count < at_work.fewest ? count : at_work.fewest;
            at_work.most = count > at_work.most ? count : at_work.most;
        }
    }
    return at_work;
}

/* Even a lottery is not quite even: each token draws K different experts of E, so an expert's load has the variance T·K/E·(1 - K/E). */
static void header(double experts, double top_k) {
    printf("(a lottery that hands out each step's tokens would have a CV² of %.3f on average)\n", (experts - top_k) / (T * top_k));
    printf("%-34s  loss    auxiliary reads   CV² of layer 0, 1   without work   largest logit\n", "");
}

static void run(const char *name, Setting s) {
    toy_train(&outcome, &s);
    printf("%-34s %6.3f   %8.3f          %.3f   %.3f         %zu   %zu         %.1f\n", name, outcome.loss, outcome.aux, outcome.cv2[0],
           outcome.cv2[1], outcome.dead[0], outcome.dead[1], outcome.largest_logit);
}

static void shares(size_t experts) {
    for (size_t l = 0; l < LAYERS; l++) {
        printf("    layer %zu:", l);
        for (size_t e = 0; e < experts; e++) printf("  %3.0f%%", 100 * late_share(l, e));
        printf("\n");
    }
}

int main(void) {
    threads_set(1); /* too little work to share */
    printf("Lesson 11: why routers collapse, and what stops it\n");
    by_hand();
    scalings_on_paper();

    show_step("Collapse: two layers of 4 experts, Switch (K = 1), %d steps of %d tokens, nothing done about balance", STEPS, T);
    const AtWork common = collapse(false), centred = collapse(true);

    show_step("Switch with each remedy; CV² is 0 when even and 3 when one of 4 experts has all");
    header(4, 1);
    run("nothing", (Setting){SWITCH});
    run("z-loss 0.1", (Setting){SWITCH, .z = 0.1});
    run("auxiliary loss 0.01", (Setting){SWITCH, .aux = 0.01});
    run("auxiliary loss 0.1", (Setting){SWITCH, .aux = 0.1});
    run("auxiliary loss 1", (Setting){SWITCH, .aux = 1});
    shares(4);
    run("auxiliary loss 1, pooled", (Setting){SWITCH, .aux = 1, .pooled = true});
    shares(4);
    const bool fooled = fabs(outcome.aux - 1) < 0.05 && outcome.cv2[0] > 0.5 && outcome.cv2[1] > 0.5;

    show_step("Three scalings with one weight, 0.1: 8 experts, K = 2, weights renormalised (as Mixtral)");
    header(8, 2);
    run("nothing", (Setting){MIXTRAL});
    run("GShard: 0.1 / 64", (Setting){MIXTRAL, .aux = 0.1 / 64});
    run("Switch: 0.1", (Setting){MIXTRAL, .aux = 0.1});
    run("Hugging Face: twice 0.1", (Setting){MIXTRAL, .aux = 0.2});

    show_step("Noise, importance and load (Shazeer 2017): 8 experts, K = 2");
    header(8, 2);
    run("noise alone", (Setting){NOISY});
    run("noise, importance loss 0.1", (Setting){NOISY, .importance = 0.1});
    run("noise, load loss 0.1", (Setting){NOISY, .load = 0.1});
    run("noise and both", (Setting){NOISY, .importance = 0.1, .load = 0.1});

    show_step("No loss at all: a bias that moves by a fixed rate after each step (DeepSeek-V3): 8 experts, K = 2");
    header(8, 2);
    run("bias stays 0", (Setting){BIASED});
    const double without_bias = outcome.loss;
    run("bias rate 0.001", (Setting){BIASED, .bias_rate = 0.001});
    const bool free_of_charge = fabs(outcome.loss - without_bias) < 0.01;
    run("bias rate 0.01", (Setting){BIASED, .bias_rate = 0.01});
    run("bias rate 0.1", (Setting){BIASED, .bias_rate = 0.1});

    show_step("Predictions, and what came");
    show_prediction("nothing done: experts of four at work", "1 or 2", show_text("%zu or %zu", common.fewest, common.most));
    show_prediction("nothing common: experts of four at work", "4",
                    show_text(centred.fewest == centred.most ? "%zu" : "%zu to %zu", centred.fewest, centred.most));
    show_prediction("pooled: reads even, while neither layer is", "yes", fooled ? "yes" : "no");
    show_prediction("bias at 0.001: costs the task less than 0.01", "yes", free_of_charge ? "yes" : "no");
    return 0;
}
