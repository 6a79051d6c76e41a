/* check_01.c: is dense_forward the FFN? Small random networks with each activation; expected from the formula in double. */
#include "check.h"

#include "moe/moe.h"

#include <math.h>

enum { T = 3, D = 3, F = 5 };

/* What people write instead; RIGHT is the formula itself. */
typedef enum {
    RIGHT,
    NO_ACTIVATION,
    SILU_ON_UP,
    BARE_SIGMOID,
    GATE_IGNORED,
    ALWAYS_RELU,
    UP_TRANSPOSED,
    DOWN_TRANSPOSED,
    DOWN_OF_UP,
    FIRST_TOKEN
} Twist;

typedef struct {
    const real *x; /* (T,D) */
    FfnWeights w;
} Problem;
typedef struct {
    real *y, *gate, *up, *hidden; /* (T,D), (T,F) three times */
} Outputs;
static Problem problem;
static Outputs got;

static double sigmoid(double z) { return 1 / (1 + exp(-z)); }

static double activation(double z, Activation act, Twist twist) {
    if (twist == NO_ACTIVATION) return z;
    if (act == ACT_RELU || twist == ALWAYS_RELU) return z < 0 ? 0 : z;
    if (act == ACT_GELU) return 0.5 * z * (1 + erf(z * sqrt(0.5)));
    return twist == BARE_SIGMOID ? sigmoid(z) : z * sigmoid(z);
}

/* What `hidden` holds for one unit. */
static double unit(double gate, double up, Activation act, Twist twist) {
    if (act != ACT_SWIGLU || twist == GATE_IGNORED) return activation(up, act, twist);
    return twist == SILU_ON_UP ? gate * activation(up, act, twist) : activation(gate, act, twist) * up;
}

static void ffn(Outputs *o, const Problem *p, Twist twist) {
    const FfnWeights *w = &p->w;
    const bool gated = w->act == ACT_SWIGLU;
    for (size_t t = 0; t < T; t++) {
        const real *x_t = p->x + (twist == FIRST_TOKEN ? 0 : t * D);
        for (size_t f = 0; f < F; f++) {
            double up = 0, gate = 0;
            for (size_t d = 0; d < D; d++) {
                const size_t at = twist == UP_TRANSPOSED ? d * F + f : f * D + d;
                up += (double)w->up[at] * (double)x_t[d];
                if (gated) gate += (double)w->gate[at] * (double)x_t[d];
            }
            o->up[t * F + f] = (real)up;
            o->gate[t * F + f] = (real)gate;
            o->hidden[t * F + f] = (real)unit(gate, up, w->act, twist);
        }
        for (size_t d = 0; d < D; d++) {
            double sum = 0;
            for (size_t f = 0; f < F; f++) {
                const size_t at = twist == DOWN_TRANSPOSED ? f * D + d : d * F + f;
                sum += (double)w->down[at] * (double)(twist == DOWN_OF_UP ? o->up : o->hidden)[t * F + f];
            }
            o->y[t * D + d] = (real)sum;
        }
    }
}

/* Inputs and weights are N(0,1): products of D, then of F terms stay below 32 here, and the activations' slopes below 2. */
static double bound(void) { return check_bound(D + F, 32); }

/* hidden and y are what this twist gives. */
static bool is(const void *p, Twist twist) {
    static real y[T * D], gate[T * F], up[T * F], hidden[T * F];
    Outputs wrong = {y, gate, up, hidden};
    ffn(&wrong, p, twist);
    return check_near(got.hidden, hidden, T * F, bound()) && check_near(got.y, y, T * D, bound());
}
static bool no_activation(const void *p) { return is(p, NO_ACTIVATION); }
static bool silu_on_up(const void *p) { return is(p, SILU_ON_UP); }
static bool bare_sigmoid(const void *p) { return is(p, BARE_SIGMOID); }
static bool gate_ignored(const void *p) { return is(p, GATE_IGNORED); }
static bool always_relu(const void *p) { return is(p, ALWAYS_RELU); }
static bool up_transposed(const void *p) { return is(p, UP_TRANSPOSED); }
static bool down_transposed(const void *p) { return is(p, DOWN_TRANSPOSED); }
static bool down_of_up(const void *p) { return is(p, DOWN_OF_UP); }
static bool first_token(const void *p) { return is(p, FIRST_TOKEN); }
static bool not_cleared(const void *p) {
    (void)p;
    return isnan(got.y[0]) && !check_unwritten(got.y, 1);
}
static bool one_token(const void *p) {
    (void)p;
    return !check_unwritten(got.y, D) && check_unwritten(got.y + D, (T - 1) * D);
}
static bool nothing(const void *p) {
    (void)p;
    for (size_t i = 0; i < T * D; i++) {
        if (got.y[i] != 0) return false;
    }
    return true;
}

static const Idea ideas[] = {
    {"y is all zeros: is the exercise still as it came?", nothing},
    {"There is no activation between the two matrices: without one, down·(up·x) is a single linear map, and the hidden width buys nothing.",
     no_activation},
    {"The activation is on the wrong side: SwiGLU applies silu to gate·x and leaves up·x as it is.", silu_on_up},
    {"Your gate is the bare sigmoid; silu(z) is z times sigmoid(z).", bare_sigmoid},
    {"You do not use the gate: SwiGLU multiplies silu(gate·x) with up·x, element by element.", gate_ignored},
    {"You apply relu whatever w->act says.", always_relu},
    {"You read the weights with rows and columns exchanged: row f of up is unit f, so its weight for feature d is up[f*D + d].", up_transposed},
    {"You read down with rows and columns exchanged: it is (D,F), so feature d takes down[d*F + f] of unit f.", down_transposed},
    {"down was given up·x, the values before the activation; it takes `hidden`.", down_of_up},
    {"Every token got the first token's numbers: token t begins at x + t*D.", first_token},
    {"Only the first token was computed: there are T of them.", one_token},
    {"You add to y without setting it first: it does not start at 0.", not_cleared},
    {NULL, NULL},
};

static void one_activation(Activation act) {
    const bool gated = act == ACT_SWIGLU;
    static real x[T * D], gate_w[F * D], up_w[F * D], down_w[D * F], y[T * D], gate[T * F], up[T * F], hidden[T * F];
    check_fill(x, T * D, 3, 1);
    check_fill(gate_w, F * D, 21, 1);
    check_fill(up_w, F * D, 20, 1);
    check_fill(down_w, D * F, 22, 1);
    problem = (Problem){check_copy("x", x, T * D), {act, D, F, gated ? gate_w : NULL, up_w, down_w}};
    got = (Outputs){check_room("y", T * D), check_room("hidden_gate", T * F), check_room("hidden_up", T * F), check_room("hidden", T * F)};
    Outputs expected = {y, gate, up, hidden};
    ffn(&expected, &problem, RIGHT);

    check_case(ideas, &problem, "%s, %d tokens, D = %d, F = %d", activation_name(act), T, D, F);
    dense_forward(got.y, gated ? got.gate : NULL, got.up, got.hidden, problem.x, &problem.w, T);
    if (gated) check_reals("hidden_gate", got.gate, gate, bound(), "token", T, "unit", F);
    check_reals("hidden_up", got.up, up, bound(), "token", T, "unit", F);
    check_reals("hidden", got.hidden, hidden, bound(), "token", T, "unit", F);
    check_reals("y", got.y, y, bound(), "token", T, "feature", D);
    check_untouched("x", problem.x, x, T * D);
}

void check(void) {
    one_activation(ACT_RELU);
    one_activation(ACT_SWIGLU);
    one_activation(ACT_SILU);
    one_activation(ACT_GELU);
}
