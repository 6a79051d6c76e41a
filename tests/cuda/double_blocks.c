/* double_blocks.c: what stands around the layer on the GPU, against the reference in double: embedding, RMSNorm, sums, RoPE, the cache, attention. */
#include "model/model.h"
#include "tests/cuda/rig.h"

static const double u = 1.1920928955078125e-7 / 2; /* one rounding of a float */

/* Floats for the device, and the same numbers in double for the reference. */
typedef struct {
    float *f;
    real *d;
    size_t count;
} Numbers;
static Numbers numbers(Rng *rng, size_t count, double scale) {
    Numbers n = {some(count, sizeof *n.f), some(count, sizeof *n.d), count};
    for (size_t i = 0; i < count; i++) n.d[i] = n.f[i] = (float)(scale * rng_normal(rng));
    return n;
}
static void numbers_free(Numbers *n) { free(n->f), free(n->d); }

/* ---- rows: embedding, norm, sum ---- */

typedef struct {
    float *y;
    const float *a, *b;
    CudaMatrix matrix;
    const int32_t *ids;
    size_t rows, width;
} Rows;

static void embed(Cuda *cuda, void *context) {
    const Rows *r = context;
    cuda_embed(cuda, r->y, r->matrix, r->ids, r->rows, r->width);
}
static void norm(Cuda *cuda, void *context) {
    const Rows *r = context;
    cuda_rmsnorm_forward(cuda, r->y, r->a, r->b, r->rows, r->width, 1e-5);
}
static void add(Cuda *cuda, void *context) {
    const Rows *r = context;
    cuda_add(cuda, r->y, r->a, r->b, r->rows * r->width);
}

static const size_t row_shapes[][2] = {{0, 4}, {1, 1}, {7, 33}, {129, 20}, {3, 128}, {2, 1100}};
enum { ROW_SHAPES = sizeof row_shapes / sizeof row_shapes[0] };

static void test_embedding_copies_rows(void **state) {
    (void)state;
    Rng rng;
    rng_seed(&rng, 1);
    enum { VOCAB = 19 };
    for (size_t s = 0; s < 2 * ROW_SHAPES; s++) {
        const size_t tokens = row_shapes[s / 2][0], width = row_shapes[s / 2][1], count = tokens * width;
        Numbers table = numbers(&rng, VOCAB * width, 1);
        int32_t *ids = some(tokens, sizeof *ids);
        double *expected = some(count, sizeof *expected), *exactly = some(count, sizeof *exactly);
        for (size_t t = 0; t < tokens; t++) ids[t] = (int32_t)rng_below(&rng, VOCAB);
        Rows r = {rig_output(&rig, NULL, count), .ids = rig_ids(&rig, ids, tokens), .rows = tokens, .width = width};
        r.matrix = rig_matrix(&rig, s % 2 ? CUDA_BF16 : CUDA_F32, table.f, VOCAB * width);
        for (size_t i = 0; i < count; i++) expected[i] = (double)table.f[(size_t)ids[i / width] * width + i % width];
        rig_run(&rig, embed, &r);
        rig_compare("embedding", rig_result(&rig, r.y), expected, exactly, count);
        rig_clear(&rig);
        numbers_free(&table), free(ids), free(expected), free(exactly);
    }
}

/* The sum of D squares is off by at most (D+4)u of itself and its root by half of that; the mean, ε, the root, the quotient and two products round. */
static void test_rmsnorm(void **state) {
    (void)state;
    Rng rng;
    rng_seed(&rng, 2);
    for (size_t s = 0; s < ROW_SHAPES; s++) {
        const size_t tokens = row_shapes[s][0], width = row_shapes[s][1], count = tokens * width;
        Numbers x = numbers(&rng, count, 3), gain = numbers(&rng, width, 1);
        real *expected = some(count, sizeof *expected), *inverse = some(tokens, sizeof *inverse);
        double *allowed = some(count, sizeof *allowed);
        rmsnorm_forward(expected, inverse, x.d, gain.d, tokens, width, 1e-5);
        for (size_t i = 0; i < count; i++) allowed[i] = 1.01 * ((double)(width + 4) / 2 + 8) * u * fabs(expected[i]);
        Rows r = {rig_output(&rig, NULL, count), rig_input(&rig, x.f, count), rig_input(&rig, gain.f, width), .rows = tokens, .width = width};
        rig_run(&rig, norm, &r);
        rig_compare("RMSNorm", rig_result(&rig, r.y), expected, allowed, count);
        rig_clear(&rig);
        numbers_free(&x), numbers_free(&gain), free(expected), free(inverse), free(allowed);
    }
}

static void test_sum(void **state) {
    (void)state;
    Rng rng;
    rng_seed(&rng, 3);
    for (size_t s = 0; s < ROW_SHAPES; s++) {
        const size_t count = row_shapes[s][0] * row_shapes[s][1];
        Numbers a = numbers(&rng, count, 1), b = numbers(&rng, count, 1);
        double *expected = some(count, sizeof *expected), *allowed = some(count, sizeof *allowed);
        for (size_t i = 0; i < count; i++) expected[i] = a.d[i] + b.d[i], allowed[i] = u * fabs(expected[i]);
        Rows r = {rig_output(&rig, NULL, count), rig_input(&rig, a.f, count), rig_input(&rig, b.f, count), .rows = count, .width = 1};
        rig_run(&rig, add, &r);
        rig_compare("a + b", rig_result(&rig, r.y), expected, allowed, count);
        rig_clear(&rig);
        numbers_free(&a), numbers_free(&b), free(expected), free(allowed);
    }
}

/* ---- positions: RoPE, the cache, attention ---- */

typedef struct {
    size_t positions, past, context, heads, kv_heads, head_dim;
} Shape; /* N, past, context, H, G, h */
static const Shape shapes[] = {
    {0, 3, 8, 2, 1, 6},
    {1, 0, 1, 1, 1, 2},
    {7, 5, 12, 6, 6, 80},
    {7, 130, 140, 4, 2, 34},
    {1, 300, 301, 2, 2, 10},
    {129, 0, 129, 1, 1, 6},
    {3, 9, 12, 4, 1, 130},
    /* Rows that several blocks share, two processors being emulated: more tiles than parts, one tile, as many; parts that end with a tile and within. */
    {1, 700, 1000, 1, 1, 16},
    {1, 40, 1000, 1, 1, 6},
    {1, 511, 1024, 1, 1, 34},
    {1, 383, 600, 2, 1, 130},
    {2, 511, 640, 1, 1, 34},
    {3, 300, 512, 1, 1, 10},
    {4, 500, 512, 1, 1, 6},
};
enum { SHAPES = sizeof shapes / sizeof shapes[0] };

typedef struct {
    float *out, *scratch;
    const float *q, *k, *v;
    const int32_t *past;
    Shape s;
} Places;

static void rope(Cuda *cuda, void *context) {
    const Places *p = context;
    cuda_rope_forward(cuda, p->out, p->s.positions, p->s.heads, p->s.head_dim, p->past, 10000);
}
static void append(Cuda *cuda, void *context) {
    const Places *p = context;
    cuda_append_rows(cuda, p->out, p->q, p->s.positions, p->s.heads * p->s.head_dim, p->s.context, p->past);
}
static void attention(Cuda *cuda, void *context) {
    const Places *p = context;
    cuda_attention_forward(cuda, p->out, p->scratch, p->q, p->k, p->v, p->s.positions, p->past, p->s.context, p->s.heads, p->s.kv_heads,
                           p->s.head_dim);
}

static const int32_t *past_of(const Shape *s) {
    const int32_t past = (int32_t)s->past;
    return rig_ids(&rig, &past, 1);
}

/* Cosine and sine are rounded to float, then two products and their sum: three roundings of each term. */
static void test_rope(void **state) {
    (void)state;
    Rng rng;
    rng_seed(&rng, 4);
    for (size_t i = 0; i < SHAPES; i++) {
        const Shape *s = &shapes[i];
        const size_t count = s->positions * s->heads * s->head_dim;
        Numbers x = numbers(&rng, count, 1);
        double *allowed = some(count, sizeof *allowed);
        for (size_t j = 0; j < count; j++) allowed[j] = 1.01 * 3 * u * (fabs(x.d[j]) + fabs(x.d[j ^ 1]));
        Places p = {.out = rig_output(&rig, x.f, count), .past = past_of(s), .s = *s};
        rope_forward(x.d, 1, s->positions, s->heads, s->head_dim, s->past, 10000);
        rig_run(&rig, rope, &p);
        rig_compare("RoPE", rig_result(&rig, p.out), x.d, allowed, count);
        rig_clear(&rig);
        numbers_free(&x), free(allowed);
    }
}

/* Every other row of the cache keeps its bytes; rows that the cache has no place for are not written. */
static void test_cache(void **state) {
    (void)state;
    Rng rng;
    rng_seed(&rng, 5);
    for (size_t i = 0; i < SHAPES; i++) {
        Shape s = shapes[i];
        const bool too_many = i == 3;
        if (too_many) s.past = s.context - 2;
        const size_t width = s.heads * s.head_dim, count = s.positions * width;
        Numbers rows = numbers(&rng, count, 1), cache = numbers(&rng, s.context * width, 1);
        Places p = {.out = rig_output(&rig, cache.f, cache.count), .q = rig_input(&rig, rows.f, count), .past = past_of(&s), .s = s};
        for (size_t n = 0; n < s.positions && s.past + n < s.context; n++)
            memcpy(cache.f + (s.past + n) * width, rows.f + n * width, width * sizeof *cache.f);
        rig_run(&rig, append, &p);
        assert_memory_equal(rig_result(&rig, p.out), cache.f, cache.count * sizeof *cache.f);
        rig_clear(&rig);
        numbers_free(&rows), numbers_free(&cache);
    }
}

/* How far rounding may take one query's output. With δ the error of a score, a power e^x of x = score − largest is off by 2δ + (3|x| + 8)u of itself;
 * scaling the sums down between tiles costs as much again, 10u a tile, and once more where parts are added; the sums of `seen` powers and products and the quotient add 2(seen + 2 tiles + 8)u. */
static void allow(double *allowed, const real *q, const real *k, const real *v, size_t seen, size_t step, size_t head_dim) {
    double *score = some(seen, sizeof *score), most = -INFINITY, least = INFINITY, error = 0, total = 0;
    for (size_t j = 0; j < seen; j++) {
        double sum = 0, magnitude = 0;
        for (size_t d = 0; d < head_dim; d++) sum += q[d] * k[j * step + d], magnitude += fabs(q[d] * k[j * step + d]);
        score[j] = sum / sqrt((double)head_dim);
        error = fmax(error, rig_sum_bound(head_dim, magnitude) / sqrt((double)head_dim));
        most = fmax(most, score[j]), least = fmin(least, score[j]);
    }
    const double tiles = (double)(seen / 128 + 2);
    const double of_power = 2 * (2 * error + (3 * (most - least) + 8) * u) + 10 * tiles * u;
    const double relative = 1.01 * (2 * of_power + 2 * ((double)seen + 2 * tiles + 8) * u);
    for (size_t j = 0; j < seen; j++) total += exp(score[j] - most);
    for (size_t d = 0; d < head_dim; d++) {
        double magnitude = 0;
        for (size_t j = 0; j < seen; j++) magnitude += exp(score[j] - most) / total * fabs(v[j * step + d]);
        allowed[d] = relative * magnitude;
    }
    free(score);
}

static void test_attention(void **state) {
    (void)state;
    Rng rng;
    rng_seed(&rng, 6);
    for (size_t i = 0; i < SHAPES; i++) {
        const Shape *s = &shapes[i];
        const size_t h = s->head_dim, count = s->positions * s->heads * h, step = s->kv_heads * h, seen = s->past + s->positions;
        Numbers q = numbers(&rng, count, 1.5), k = numbers(&rng, s->context * step, 1.5), v = numbers(&rng, s->context * step, 1);
        for (size_t j = seen * step; j < k.count; j++) k.f[j] = v.f[j] = NAN; /* rows that nobody has written yet */
        real *expected = some(count, sizeof *expected), *scratch = some(attention_scratch(1, s->context, s->kv_heads, h), sizeof *scratch);
        double *allowed = some(count, sizeof *allowed);
        attention_forward(expected, NULL, scratch, q.d, k.d, v.d, 1, s->positions, s->past, s->context, s->heads, s->kv_heads, h);
        for (size_t n = 0; n < s->positions; n++)
            for (size_t head = 0; head < s->heads; head++) {
                const size_t at = (n * s->heads + head) * h, kv_at = head / (s->heads / s->kv_heads) * h;
                allow(allowed + at, q.d + at, k.d + kv_at, v.d + kv_at, s->past + n + 1, step, h);
            }
        Places p = {.out = rig_output(&rig, NULL, count), .scratch = rig_output(&rig, NULL, cuda_attention_scratch(rig.cuda, s->context, h))};
        p.q = rig_input(&rig, q.f, count), p.k = rig_input(&rig, k.f, k.count), p.v = rig_input(&rig, v.f, v.count), p.past = past_of(s), p.s = *s;
        rig_run(&rig, attention, &p);
        rig_compare("attention", rig_result(&rig, p.out), expected, allowed, count);
        rig_clear(&rig);
        numbers_free(&q), numbers_free(&k), numbers_free(&v), free(expected), free(scratch), free(allowed);
    }
}

/* A graph that was captured when few keys had been seen gives, replayed when there are many, what the calls give then. */
static void test_a_graph_sees_new_keys(void **state) {
    (void)state;
    enum { CONTEXT = 1000, HEAD_DIM = 12, LATER = 600 };
    Rng rng;
    rng_seed(&rng, 7);
    Numbers q = numbers(&rng, HEAD_DIM, 1.5), k = numbers(&rng, CONTEXT * HEAD_DIM, 1.5);
    const int32_t now = 3, later = LATER;
    float at_once[HEAD_DIM], replayed[HEAD_DIM];
    Places p = {.out = rig_output(&rig, NULL, HEAD_DIM), .scratch = rig_output(&rig, NULL, cuda_attention_scratch(rig.cuda, CONTEXT, HEAD_DIM))};
    int32_t *past = (int32_t *)rig_ids(&rig, &now, 1);
    p.q = rig_input(&rig, q.f, q.count), p.k = p.v = rig_input(&rig, k.f, k.count), p.past = past;
    p.s = (Shape){1, 0, CONTEXT, 1, 1, HEAD_DIM};
    cuda_capture_begin(rig.cuda);
    attention(rig.cuda, &p);
    CudaGraph *graph = cuda_capture_end(rig.cuda);
    cuda_graph_run(rig.cuda, graph);
    cuda_upload(rig.cuda, past, &later, sizeof later);
    cuda_graph_run(rig.cuda, graph);
    cuda_download(rig.cuda, replayed, p.out, sizeof replayed);
    attention(rig.cuda, &p);
    cuda_download(rig.cuda, at_once, p.out, sizeof at_once);
    rig_sync(&rig);
    for (size_t d = 0; d < HEAD_DIM; d++) assert_true(isfinite(at_once[d]));
    assert_memory_equal(replayed, at_once, sizeof at_once);
    cuda_graph_free(graph);
    rig_clear(&rig);
    numbers_free(&q), numbers_free(&k);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_embedding_copies_rows),
                                       cmocka_unit_test(test_rmsnorm),
                                       cmocka_unit_test(test_sum),
                                       cmocka_unit_test(test_rope),
                                       cmocka_unit_test(test_cache),
                                       cmocka_unit_test(test_attention),
                                       cmocka_unit_test(test_a_graph_sees_new_keys)};
    return cmocka_run_group_tests(tests, open_rig, close_rig);
}
