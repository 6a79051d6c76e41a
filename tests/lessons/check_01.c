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
    SILU_ON_BOTH,
    SILU_OF_PRODUCT,
    GATE_ADDED,
    UP_LEFT_OUT,
    BARE_SIGMOID,
    GATE_IGNORED,
    ALWAYS_RELU,
    ALWAYS_SILU,
    EACH_PRODUCT,
    IN_PLACE,
    UP_TRANSPOSED,
    GATE_TRANSPOSED,
    DOWN_TRANSPOSED,
    ALL_TRANSPOSED,
    DOWN_OF_UP,
    Y_ACTIVATED,
    RESIDUAL,
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
    if ((act == ACT_RELU && twist != ALWAYS_SILU) || twist == ALWAYS_RELU) return z < 0 ? 0 : z;
    if (act == ACT_GELU && twist != ALWAYS_SILU) return 0.5 * z * (1 + erf(z * sqrt(0.5)));
    return twist == BARE_SIGMOID ? sigmoid(z) : z * sigmoid(z);
}

/* What `hidden` holds for one unit. */
static double unit(double gate, double up, Activation act, Twist twist) {
    if (act != ACT_SWIGLU || twist == GATE_IGNORED) return activation(up, act, twist);
    const double open = activation(gate, act, twist);
    switch (twist) {
    case SILU_ON_UP:
        return gate * activation(up, act, twist);
    case SILU_ON_BOTH:
        return open * activation(up, act, twist);
    case SILU_OF_PRODUCT:
        return activation(gate * up, act, twist);
    case GATE_ADDED:
        return open + up;
    case UP_LEFT_OUT:
        return open;
    default:
        return open * up;
    }
}

static void ffn(Outputs *o, const Problem *p, Twist twist) {
    const FfnWeights *w = &p->w;
    const bool with_gate = w->act == ACT_SWIGLU, all_turned = twist == ALL_TRANSPOSED, up_turned = twist == UP_TRANSPOSED || all_turned;
    const bool gate_turned = twist == GATE_TRANSPOSED || up_turned, down_turned = twist == DOWN_TRANSPOSED || all_turned;
    for (size_t t = 0; t < T; t++) {
        const real *x_t = p->x + (twist == FIRST_TOKEN ? 0 : t * D);
        for (size_t f = 0; f < F; f++) {
            double up = 0, gate = 0, bent = 0;
            for (size_t d = 0; d < D; d++) {
                const size_t right = f * D + d, turned = d * F + f;
                const double term = (double)w->up[up_turned ? turned : right] * (double)x_t[d];
                up += term;
                bent += activation(term, w->act, twist);
                if (with_gate) gate += (double)w->gate[gate_turned ? turned : right] * (double)x_t[d];
            }
            const double hidden = twist == EACH_PRODUCT && !with_gate ? bent : unit(gate, up, w->act, twist);
            o->hidden[t * F + f] = (real)hidden;
            o->up[t * F + f] = (real)(twist == IN_PLACE && !with_gate ? hidden : up);
            o->gate[t * F + f] = (real)(twist == IN_PLACE ? activation(gate, w->act, twist) : gate);
        }
        for (size_t d = 0; d < D; d++) {
            double sum = twist == RESIDUAL ? (double)p->x[t * D + d] : 0;
            for (size_t f = 0; f < F; f++) {
                const size_t at = down_turned ? f * D + d : d * F + f;
                sum += (double)w->down[at] * (double)(twist == DOWN_OF_UP ? o->up : o->hidden)[t * F + f];
            }
            o->y[t * D + d] = (real)(twist == Y_ACTIVATED ? activation(sum, w->act, twist) : sum);
        }
    }
}

/* Inputs and weights are N(0,1): products of D, then of F terms stay below 32 here, and the activations' slopes below 2. */
static double bound(void) { return check_bound(D + F, 32); }

/* What came out is what this twist gives. */
static bool gives(const Problem *p, Twist twist) {
    static real y[T * D], gate[T * F], up[T * F], hidden[T * F];
    Outputs wrong = {y, gate, up, hidden};
    ffn(&wrong, p, twist);
    return check_near(got.y, y, T * D, bound()) && check_near(got.hidden, hidden, T * F, bound()) && check_near(got.up, up, T * F, bound()) &&
           (p->w.act != ACT_SWIGLU || check_near(got.gate, gate, T * F, bound()));
}
/* A twist that leaves this case as it is explains nothing. */
static bool is(const void *p, Twist twist) { return gives(p, twist) && !gives(p, RIGHT); }
static bool gated(const void *p) { return ((const Problem *)p)->w.act == ACT_SWIGLU; }

static bool no_activation(const void *p) { return !gated(p) && is(p, NO_ACTIVATION); }
static bool no_silu(const void *p) { return gated(p) && is(p, NO_ACTIVATION); }
static bool silu_on_up(const void *p) { return is(p, SILU_ON_UP); }
static bool silu_on_both(const void *p) { return is(p, SILU_ON_BOTH); }
static bool silu_of_product(const void *p) { return is(p, SILU_OF_PRODUCT); }
static bool gate_added(const void *p) { return is(p, GATE_ADDED); }
static bool up_left_out(const void *p) { return is(p, UP_LEFT_OUT); }
static bool bare_sigmoid(const void *p) { return is(p, BARE_SIGMOID); }
static bool gate_ignored(const void *p) { return is(p, GATE_IGNORED); }
static bool always_relu(const void *p) { return is(p, ALWAYS_RELU); }
static bool always_silu(const void *p) { return is(p, ALWAYS_SILU); }
static bool each_product(const void *p) { return is(p, EACH_PRODUCT); }
static bool in_place(const void *p) { return is(p, IN_PLACE); }
static bool up_transposed(const void *p) { return is(p, UP_TRANSPOSED); }
static bool gate_transposed(const void *p) { return is(p, GATE_TRANSPOSED); }
static bool down_transposed(const void *p) { return is(p, DOWN_TRANSPOSED); }
static bool all_transposed(const void *p) { return is(p, ALL_TRANSPOSED); }
static bool down_of_up(const void *p) { return is(p, DOWN_OF_UP); }
static bool y_activated(const void *p) { return is(p, Y_ACTIVATED); }
static bool residual(const void *p) { return is(p, RESIDUAL); }
static bool first_token(const void *p) { return is(p, FIRST_TOKEN); }

/* Something was added to "never written"; what it was made of is in order. */
static bool adds_to(const real *values) { return isnan(values[0]) && !check_unwritten(values, 1); }
static bool adds_to_gate(const void *p) { return gated(p) && adds_to(got.gate); }
static bool adds_to_up(const void *p) { return adds_to(got.up) && !(gated(p) && isnan(got.gate[0])); }
static bool adds_to_hidden(const void *p) { return adds_to(got.hidden) && !isnan(got.up[0]) && !(gated(p) && isnan(got.gate[0])); }
static bool adds_to_y(const void *p) {
    (void)p;
    return adds_to(got.y) && !isnan(got.hidden[0]);
}
static bool only_y(const void *p) {
    const bool all = !check_unwritten(got.up, T * F) && !check_unwritten(got.hidden, T * F) && !(gated(p) && check_unwritten(got.gate, T * F));
    return !check_unwritten(got.y, T * D) && !all;
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
    {"silu is missing: SwiGLU multiplies silu(gate·x), not gate·x itself, with up·x.", no_silu},
    {"The activation is on the wrong side: SwiGLU applies silu to gate·x and leaves up·x as it is.", silu_on_up},
    {"You apply silu to both sides: only gate·x goes through silu, up·x stays as it is.", silu_on_both},
    {"You take silu of the product: silu belongs on gate·x alone, before it is multiplied with up·x.", silu_of_product},
    {"You add silu(gate·x) and up·x: SwiGLU multiplies them, element by element.", gate_added},
    {"You left up·x out of `hidden`: SwiGLU multiplies silu(gate·x) with it, element by element.", up_left_out},
    {"Your gate is the bare sigmoid; silu(z) is z times sigmoid(z).", bare_sigmoid},
    {"You do not use the gate: SwiGLU multiplies silu(gate·x) with up·x, element by element.", gate_ignored},
    {"You apply relu whatever w->act says.", always_relu},
    {"You apply silu whatever w->act says.", always_silu},
    {"You bend each product before you add: the activation takes the finished sum up·x.", each_product},
    {"hidden_up and hidden_gate must keep up·x and gate·x as they were before the activation: what comes after it goes into `hidden` alone.",
     in_place},
    {"You read the weights with rows and columns exchanged: row f of up is unit f, so its weight for feature d is up[f*D + d].", up_transposed},
    {"You read the gate with rows and columns exchanged: it is stored as up is, so unit f takes gate[f*D + d] of feature d.", gate_transposed},
    {"You read down with rows and columns exchanged: it is (D,F), so feature d takes down[d*F + f] of unit f.", down_transposed},
    {"You read all matrices with rows and columns exchanged: unit f takes up[f*D + d] of feature d, and feature d of y takes down[d*F + f] of unit "
     "f.",
     all_transposed},
    {"down was given up·x, the values before the activation; it takes `hidden`.", down_of_up},
    {"You apply the activation to y too: it stands between the matrices, and y is down·hidden as it is.", y_activated},
    {"Your y holds x as well: the residual connection goes around the FFN, and whoever calls it adds x.", residual},
    {"Every token got the first token's numbers: token t begins at x + t*D.", first_token},
    {"Only the first token was computed: there are T of them, T is `tokens`.", one_token},
    {"You add to hidden_gate without setting it first: it does not start at 0.", adds_to_gate},
    {"You add to hidden_up without setting it first: it does not start at 0.", adds_to_up},
    {"You add to hidden without setting it first: it does not start at 0.", adds_to_hidden},
    {"You add to y without setting it first: it does not start at 0.", adds_to_y},
    {"The caller reads hidden_up, hidden, and with SwiGLU hidden_gate too: numbers that you keep to yourself must be written there.", only_y},
    {NULL, NULL},
};

static void one_activation(Activation act) {
    const bool with_gate = act == ACT_SWIGLU;
    static real x[T * D], gate_w[F * D], up_w[F * D], down_w[D * F], y[T * D], gate[T * F], up[T * F], hidden[T * F];
    check_fill(x, T * D, 3, 1);
    check_fill(gate_w, F * D, 21, 1);
    check_fill(up_w, F * D, 20, 1);
    check_fill(down_w, D * F, 24, 1);
    problem = (Problem){check_copy("x", x, T * D), {act, D, F, with_gate ? gate_w : NULL, up_w, down_w}};
    got = (Outputs){check_room("y", T * D), check_room("hidden_gate", T * F), check_room("hidden_up", T * F), check_room("hidden", T * F)};
    Outputs expected = {y, gate, up, hidden};
    ffn(&expected, &problem, RIGHT);

    check_case(ideas, &problem, "%s, %d tokens, D = %d, F = %d", activation_name(act), T, D, F);
    dense_forward(got.y, with_gate ? got.gate : NULL, got.up, got.hidden, problem.x, &problem.w, T);
    if (with_gate) check_reals("hidden_gate", got.gate, gate, bound(), "token", T, "unit", F);
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
