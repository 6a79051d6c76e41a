/* check_02.c: does dense_rows_forward compute the rows that it is asked for, and no others? Ranges of one small batch; expected in double. */
#include "check.h"

#include "moe/moe.h"

#include <math.h>

enum { T = 8, D = 3, F = 4 };

/* Where people begin, end, read and write instead; what they make of a row instead. */
typedef enum {
    RIGHT,
    FROM_IGNORED,
    FROM_ZERO,
    FROM_LEFT_OUT,
    TO_IS_A_COUNT,
    TO_INCLUDED,
    LAST_LEFT_OUT,
    ONE_ROW,
    WHOLE_BATCH,
    MOVED_TWICE,
    PACKED_X,
    PACKED_Y,
    PACKED_HIDDEN,
    PACKED_OUT,
    HIDDEN_BY_D,
    CLEARED_BEFORE,
    UP_TRANSPOSED,
    DOWN_TRANSPOSED,
    SILU_ON_UP,
    GATE_IGNORED
} Twist;

typedef struct {
    const real *x; /* (T,D) */
    FfnWeights w;
    size_t from, to;
} Problem;
typedef struct {
    real *y, *gate, *up, *hidden; /* (T,D), (T,F) three times; never written outside the range */
} Outputs;
static Problem problem;
static Outputs got, expected;

static Outputs outputs(void) {
    return (Outputs){check_room("y", T * D), check_room("hidden_gate", T * F), check_room("hidden_up", T * F), check_room("hidden", T * F)};
}

static double silu(double z) { return z / (1 + exp(-z)); }

/* Row `in` of x to the F values from `mid` on of the hidden arrays and row `out` of y. */
static void one_row(Outputs *o, const Problem *p, Twist twist, size_t in, size_t mid, size_t out) {
    const bool gated = p->w.act == ACT_SWIGLU;
    for (size_t f = 0; f < F; f++) {
        double up = 0, gate = 0;
        for (size_t d = 0; d < D; d++) {
            const size_t at = twist == UP_TRANSPOSED ? d * F + f : f * D + d;
            up += (double)p->w.up[at] * (double)p->x[in * D + d];
            if (gated) gate += (double)p->w.gate[at] * (double)p->x[in * D + d];
        }
        o->up[mid + f] = (real)up;
        if (gated) o->gate[mid + f] = (real)gate;
        double hidden = up < 0 ? 0 : up;
        if (gated) hidden = twist == GATE_IGNORED ? silu(up) : twist == SILU_ON_UP ? gate * silu(up) : silu(gate) * up;
        o->hidden[mid + f] = (real)hidden;
    }
    for (size_t d = 0; d < D; d++) {
        double sum = 0;
        for (size_t f = 0; f < F; f++) sum += (double)p->w.down[twist == DOWN_TRANSPOSED ? f * D + d : d * F + f] * (double)o->hidden[mid + f];
        o->y[out * D + d] = (real)sum;
    }
}

static void rows(Outputs *o, const Problem *p, Twist twist) {
    size_t first = p->from, last = p->to;
    if (twist == FROM_IGNORED || twist == FROM_ZERO || twist == WHOLE_BATCH) first = 0;
    if (twist == FROM_LEFT_OUT) first = p->from + 1;
    if (twist == FROM_IGNORED) last = p->to - p->from;
    if (twist == TO_IS_A_COUNT) last = p->from + p->to;
    if (twist == TO_INCLUDED || twist == FROM_LEFT_OUT) last = p->to + 1;
    if (twist == LAST_LEFT_OUT && last > 0) last = p->to - 1;
    if (twist == ONE_ROW) last = p->from + 1;
    if (twist == MOVED_TWICE) first += p->from, last += p->from;
    if (twist == WHOLE_BATCH || last > T) last = T;
    for (size_t i = 0; twist == CLEARED_BEFORE && i < p->from * F; i++) o->up[i] = o->hidden[i] = 0;
    for (size_t i = 0; twist == CLEARED_BEFORE && i < p->from * D; i++) o->y[i] = 0;
    for (size_t t = first; t < last; t++) {
        const size_t packed = t - p->from;
        size_t mid = t * F;
        if (twist == PACKED_HIDDEN || twist == PACKED_OUT) mid = packed * F;
        if (twist == HIDDEN_BY_D) mid = p->from * D + packed * F;
        one_row(o, p, twist, twist == PACKED_X ? packed : t, mid, twist == PACKED_Y || twist == PACKED_OUT ? packed : t);
    }
}

/* N(0,1) everywhere: products of D, then of F terms stay below 32. */
static double bound(void) { return check_bound(D + F, 32); }

static bool same(const Problem *p, const Outputs *o) {
    return check_near(got.y, o->y, T * D, bound()) && check_near(got.hidden, o->hidden, T * F, bound()) &&
           check_near(got.up, o->up, T * F, bound()) && (p->w.act != ACT_SWIGLU || check_near(got.gate, o->gate, T * F, bound()));
}
/* What came out is what this twist gives, and not what was asked for. */
static bool is(const void *p, Twist twist) {
    Outputs wrong = outputs();
    rows(&wrong, p, twist);
    return same(p, &wrong) && !same(p, &expected);
}
static bool from_ignored(const void *p) { return is(p, FROM_IGNORED); }
static bool from_zero(const void *p) { return is(p, FROM_ZERO); }
static bool from_left_out(const void *p) { return is(p, FROM_LEFT_OUT); }
static bool to_is_a_count(const void *p) { return is(p, TO_IS_A_COUNT); }
static bool to_included(const void *p) { return is(p, TO_INCLUDED); }
static bool last_left_out(const void *p) { return is(p, LAST_LEFT_OUT); }
static bool one_row_only(const void *p) { return is(p, ONE_ROW); }
static bool whole_batch(const void *p) { return is(p, WHOLE_BATCH); }
static bool moved_twice(const void *p) { return is(p, MOVED_TWICE); }
static bool packed_x(const void *p) { return is(p, PACKED_X); }
static bool packed_y(const void *p) { return is(p, PACKED_Y); }
static bool packed_hidden(const void *p) { return is(p, PACKED_HIDDEN); }
static bool packed_out(const void *p) { return is(p, PACKED_OUT); }
static bool hidden_by_d(const void *p) { return is(p, HIDDEN_BY_D); }
static bool cleared_before(const void *p) { return is(p, CLEARED_BEFORE); }
static bool up_transposed(const void *p) { return is(p, UP_TRANSPOSED); }
static bool down_transposed(const void *p) { return is(p, DOWN_TRANSPOSED); }
static bool silu_on_up(const void *p) { return is(p, SILU_ON_UP); }
static bool gate_ignored(const void *p) { return is(p, GATE_IGNORED); }

/* The first row that was asked for holds something that was added to "never written". */
static bool adds_to(const Problem *p, const real *values, size_t width) {
    const real *first = values + p->from * width;
    return p->from < p->to && isnan(*first) && !check_unwritten(first, 1);
}
static bool adds_to_gate(const void *p) { return adds_to(p, got.gate, F); }
static bool adds_to_up(const void *p) { return adds_to(p, got.up, F); }
static bool adds_to_y(const void *p) { return adds_to(p, got.y, D) && !isnan(got.hidden[((const Problem *)p)->from * F]); }
static bool not_empty(const void *p) {
    const Problem *q = p;
    return q->from == q->to && !(check_unwritten(got.y, T * D) && check_unwritten(got.up, T * F) && check_unwritten(got.hidden, T * F));
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
    {"Here from = to: there is nothing to do, and no row may be written.", not_empty},
    {"You computed the first to - from rows of the batch; the range begins at token `from`.", from_ignored},
    {"You began at token 0: the tokens before `from` are somebody else's work.", from_zero},
    {"You clear rows before `from`. They are somebody else's work: clear only your own rows, from .. to-1.", cleared_before},
    {"Your range is one row late: it begins with token `from`, and token `to` itself is not in it.", from_left_out},
    {"You took `to` for a number of rows; it is where the range ends, so there are to - from.", to_is_a_count},
    {"You went one row too far: token `to` itself is not in the range.", to_included},
    {"The last row is missing: token to - 1 is in the range, `to` is the first that is not.", last_left_out},
    {"Only the first row of the range was computed: there are to - from.", one_row_only},
    {"You computed the whole batch, whatever the range.", whole_batch},
    {"You skipped `from` rows twice: either the pointers are moved by `from` rows, or the loop begins at `from`, not both.", moved_twice},
    {"You read x from row 0 on: x is the whole batch's, so token t is at x + t*D.", packed_x},
    {"Your rows of y begin at row 0: y is the whole batch's, so token t goes to y + t*D.", packed_y},
    {"Your hidden rows begin at row 0: hidden, hidden_up and hidden_gate are the whole batch's, so token t has row t.", packed_hidden},
    {"You write from row 0 on: all arrays are the whole batch's, so token t has row t of y and of the hidden arrays too.", packed_out},
    {"Your hidden rows begin at from*D: they are F wide, so the row of token t begins at t*F.", hidden_by_d},
    {"You read up and gate with rows and columns exchanged: unit f takes up[f*D + d] of feature d.", up_transposed},
    {"You read down with rows and columns exchanged: it is (D,F), so feature d takes down[d*F + f] of unit f.", down_transposed},
    {"The activation is on the wrong side: SwiGLU applies silu to gate·x and leaves up·x as it is.", silu_on_up},
    {"You do not use the gate: SwiGLU multiplies silu(gate·x) with up·x, element by element.", gate_ignored},
    {"You add to hidden_gate without setting it first: it does not start at 0.", adds_to_gate},
    {"You add to hidden_up without setting it first: it does not start at 0.", adds_to_up},
    {"You add to y without setting it first: it does not start at 0.", adds_to_y},
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
    expected = outputs();
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
    const size_t ranges[][2] = {{2, 5}, {0, T}, {4, 4}, {T - 1, T}, {0, 1}, {T, T}};
    for (size_t a = 0; a < 2; a++) {
        for (size_t r = 0; r < sizeof ranges / sizeof *ranges; r++) one_range(acts[a], ranges[r][0], ranges[r][1]);
    }
}
