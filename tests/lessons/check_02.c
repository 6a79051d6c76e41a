/* check_02.c: does dense_rows_forward compute the rows that it is asked for, and no others? Ranges of one small batch; expected in double. */
#include "check.h"

#include "moe/moe.h"

#include <math.h>

enum { T = 8, D = 3, F = 4 };

/* Where people begin, end and write instead. */
typedef enum { RIGHT, FROM_IGNORED, FROM_ZERO, TO_IS_A_COUNT, TO_INCLUDED, PACKED_Y, PACKED_X, PACKED_HIDDEN, WHOLE_BATCH } Twist;

typedef struct {
    const real *x; /* (T,D) */
    FfnWeights w;
    size_t from, to;
} Problem;
typedef struct {
    real *y, *gate, *up, *hidden; /* (T,D), (T,F) three times; never written outside the range */
} Outputs;
static Problem problem;
static Outputs got;

static Outputs outputs(void) {
    return (Outputs){check_room("y", T * D), check_room("hidden_gate", T * F), check_room("hidden_up", T * F), check_room("hidden", T * F)};
}

/* Row `in` of x to row `mid` of the hidden arrays and row `out` of y. */
static void one_row(Outputs *o, const Problem *p, size_t in, size_t mid, size_t out) {
    const bool gated = p->w.act == ACT_SWIGLU;
    for (size_t f = 0; f < F; f++) {
        double up = 0, gate = 0;
        for (size_t d = 0; d < D; d++) {
            up += (double)p->w.up[f * D + d] * (double)p->x[in * D + d];
            if (gated) gate += (double)p->w.gate[f * D + d] * (double)p->x[in * D + d];
        }
        o->up[mid * F + f] = (real)up;
        if (gated) o->gate[mid * F + f] = (real)gate;
        o->hidden[mid * F + f] = (real)(gated ? gate / (1 + exp(-gate)) * up : up < 0 ? 0 : up);
    }
    for (size_t d = 0; d < D; d++) {
        double sum = 0;
        for (size_t f = 0; f < F; f++) sum += (double)p->w.down[d * F + f] * (double)o->hidden[mid * F + f];
        o->y[out * D + d] = (real)sum;
    }
}

static void rows(Outputs *o, const Problem *p, Twist twist) {
    const bool early = twist == FROM_IGNORED || twist == FROM_ZERO || twist == WHOLE_BATCH;
    const size_t first = early ? 0 : p->from;
    size_t last = p->to;
    if (twist == FROM_IGNORED) last = p->to - p->from;
    if (twist == TO_IS_A_COUNT) last = p->from + p->to;
    if (twist == TO_INCLUDED) last = p->to + 1;
    if (twist == WHOLE_BATCH || last > T) last = T;
    for (size_t t = first; t < last; t++) {
        const size_t packed = t - p->from;
        one_row(o, p, twist == PACKED_X ? packed : t, twist == PACKED_HIDDEN ? packed : t, twist == PACKED_Y ? packed : t);
    }
}

/* N(0,1) everywhere: products of D, then of F terms stay below 32. */
static double bound(void) { return check_bound(D + F, 32); }

static bool is(const void *p, Twist twist) {
    Outputs wrong = outputs();
    rows(&wrong, p, twist);
    return check_near(got.y, wrong.y, T * D, bound()) && check_near(got.hidden, wrong.hidden, T * F, bound());
}
static bool from_ignored(const void *p) { return is(p, FROM_IGNORED); }
static bool from_zero(const void *p) { return is(p, FROM_ZERO); }
static bool to_is_a_count(const void *p) { return is(p, TO_IS_A_COUNT); }
static bool to_included(const void *p) { return is(p, TO_INCLUDED); }
static bool packed_y(const void *p) { return is(p, PACKED_Y); }
static bool packed_x(const void *p) { return is(p, PACKED_X); }
static bool packed_hidden(const void *p) { return is(p, PACKED_HIDDEN); }
static bool whole_batch(const void *p) { return is(p, WHOLE_BATCH); }
static bool not_cleared(const void *p) {
    const Problem *q = p;
    return q->from < q->to && isnan(got.y[q->from * D]) && !check_unwritten(got.y + q->from * D, 1);
}
static bool nothing(const void *p) {
    const Problem *q = p;
    for (size_t i = q->from * D; i < q->to * D; i++) {
        if (got.y[i] != 0) return false;
    }
    return q->from < q->to;
}

static const Idea ideas[] = {
    {"The rows that were asked for are all zeros: is the exercise still as it came?", nothing},
    {"You computed the first to - from rows of the batch; the range begins at token `from`.", from_ignored},
    {"You began at token 0: the tokens before `from` are somebody else's work.", from_zero},
    {"You took `to` for a number of rows; it is where the range ends, so there are to - from.", to_is_a_count},
    {"You went one row too far: token `to` itself is not in the range.", to_included},
    {"Your rows of y begin at row 0: y is the whole batch's, so token t goes to y + t*D.", packed_y},
    {"You read x from row 0 on: x is the whole batch's, so token t is at x + t*D.", packed_x},
    {"Your hidden rows begin at row 0: hidden, hidden_up and hidden_gate are the whole batch's, so token t has row t.", packed_hidden},
    {"You computed the whole batch, whatever the range.", whole_batch},
    {"You add to y without setting it first: it does not start at 0.", not_cleared},
    {NULL, NULL},
};

static void one_range(Activation act, size_t from, size_t to) {
    const bool gated = act == ACT_SWIGLU;
    static real x[T * D], gate_w[F * D], up_w[F * D], down_w[D * F];
    check_fill(x, T * D, 3, 1);
    check_fill(gate_w, F * D, 21, 1);
    check_fill(up_w, F * D, 20, 1);
    check_fill(down_w, D * F, 22, 1);
    problem = (Problem){check_copy("x", x, T * D), {act, D, F, gated ? gate_w : NULL, up_w, down_w}, from, to};
    got = outputs();
    Outputs expected = outputs();
    rows(&expected, &problem, RIGHT);

    check_case(ideas, &problem, "%s, %d tokens, D = %d, F = %d, from = %zu, to = %zu", activation_name(act), T, D, F, from, to);
    dense_rows_forward(got.y, gated ? got.gate : NULL, got.up, got.hidden, problem.x, &problem.w, from, to);
    if (gated) check_reals("hidden_gate", got.gate, expected.gate, bound(), "token", T, "unit", F);
    check_reals("hidden_up", got.up, expected.up, bound(), "token", T, "unit", F);
    check_reals("hidden", got.hidden, expected.hidden, bound(), "token", T, "unit", F);
    check_reals("y", got.y, expected.y, bound(), "token", T, "feature", D);
    check_untouched("x", problem.x, x, T * D);
}

void check(void) {
    const Activation acts[] = {ACT_RELU, ACT_SWIGLU};
    const size_t ranges[][2] = {{3, 5}, {0, T}, {4, 4}, {T - 1, T}, {0, 1}, {T, T}};
    for (size_t a = 0; a < 2; a++) {
        for (size_t r = 0; r < sizeof ranges / sizeof *ranges; r++) one_range(acts[a], ranges[r][0], ranges[r][1]);
    }
}
