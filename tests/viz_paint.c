/* viz_paint.c: the draw list becomes the picture. Golden pictures within a tolerance, since fonts and rasterizers differ between
 * versions; the same picture twice is the same bytes; PNG, SVG and PDF are files of their kind; the layout also holds with the real font. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/compare_rig.h"
#include "tests/training_rig.h"
#include "viz/paint.h"
#include "viz/still.h"

#include <cairo.h>
#include <unistd.h>

enum { WIDTH = 1280, HEIGHT = 720, SHRINK = 4, SMALL_W = WIDTH / SHRINK, SMALL_H = HEIGHT / SHRINK };

static uint32_t *paint(const Trace *t, const View *v, int w, int h) {
    DrawList list;
    draw_init(&list, paint_measure());
    scene_build(&list, t, v, w, h);
    uint32_t *pixels = malloc((size_t)w * (size_t)h * 4);
    assert_non_null(pixels);
    memset(pixels, 0x5a, (size_t)w * (size_t)h * 4);
    Fault f = {""};
    if (paint_pixels((unsigned char *)pixels, w, h, w * 4, &list, &f) != STATUS_OK) fail_msg("%s", f.text);
    draw_free(&list);
    return pixels;
}

/* Means over SHRINK × SHRINK pixels, three bytes each: letters become grey, colours and places stay. */
static void shrink(unsigned char *small, const uint32_t *pixels) {
    for (int y = 0; y < SMALL_H; y++) {
        for (int x = 0; x < SMALL_W; x++) {
            for (int c = 0; c < 3; c++) {
                unsigned sum = 0;
                for (int i = 0; i < SHRINK * SHRINK; i++)
                    sum += pixels[(y * SHRINK + i / SHRINK) * WIDTH + x * SHRINK + i % SHRINK] >> (8 * c) & 0xff;
                small[(y * SMALL_W + x) * 3 + c] = (unsigned char)(sum / (SHRINK * SHRINK));
            }
        }
    }
}

static void write_golden(const char *path, const unsigned char *small) {
    cairo_surface_t *s = cairo_image_surface_create(CAIRO_FORMAT_RGB24, SMALL_W, SMALL_H);
    for (int y = 0; y < SMALL_H; y++) {
        uint32_t *row = (uint32_t *)(void *)(cairo_image_surface_get_data(s) + y * cairo_image_surface_get_stride(s));
        for (int x = 0; x < SMALL_W; x++) {
            const unsigned char *p = small + (y * SMALL_W + x) * 3;
            row[x] = (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16;
        }
    }
    cairo_surface_mark_dirty(s);
    assert_int_equal(cairo_surface_write_to_png(s, path), CAIRO_STATUS_SUCCESS);
    cairo_surface_destroy(s);
}

/* A letter drawn otherwise moves a mean by a few levels; a bar, card or colour that is missing moves whole regions by tens. */
static void compare_golden(const char *path, const unsigned char *small) {
    cairo_surface_t *s = cairo_image_surface_create_from_png(path);
    if (cairo_surface_status(s) != CAIRO_STATUS_SUCCESS) fail_msg("%s: %s", path, cairo_status_to_string(cairo_surface_status(s)));
    assert_int_equal(cairo_image_surface_get_width(s), SMALL_W);
    size_t far = 0;
    double sum = 0;
    for (int y = 0; y < SMALL_H; y++) {
        const uint32_t *row = (const uint32_t *)(void *)(cairo_image_surface_get_data(s) + y * cairo_image_surface_get_stride(s));
        for (int x = 0; x < SMALL_W; x++) {
            for (int c = 0; c < 3; c++) {
                const int off = abs((int)(row[x] >> (8 * c) & 0xff) - (int)small[(y * SMALL_W + x) * 3 + c]);
                sum += off;
                far += off > 40;
            }
        }
    }
    cairo_surface_destroy(s);
    const double mean = sum / (3.0 * SMALL_W * SMALL_H), far_share = (double)far / (3.0 * SMALL_W * SMALL_H);
    if (!(mean <= 1.0 && far_share <= 0.004))
        fail_msg("%s: mean difference %.3f of 255 (1.0 allowed), %.4f of the picture far off (0.004 allowed)", path, mean, far_share);
}

typedef struct {
    const char *path;
    SceneSize size;
    const char *at;
} Golden;
static const Golden goldens[] = {
    {"tests/golden/scene_8_send.png", {8, 2, 9, 4, 0, 1.25}, "2:4:4"},
    {"tests/golden/scene_8_residual.png", {8, 2, 9, 4, 0, 1.25}, "4:8:3"},
    {"tests/golden/scene_32_sum.png", {32, 4, 40, 12, 0, 1.25}, "5:7:7"},
    {"tests/golden/scene_128_load.png", {128, 8, 100, 48, 0, 1.25}, "31:5:50"},
};

/* MAKE_GOLDEN=1 writes them anew: look at them before committing. */
static void expect_golden(const char *path, const Trace *t, const View *v) {
    static unsigned char small[SMALL_W * SMALL_H * 3];
    uint32_t *pixels = paint(t, v, WIDTH, HEIGHT);
    shrink(small, pixels);
    if (getenv("MAKE_GOLDEN") != NULL) write_golden(path, small);
    compare_golden(path, small);
    free(pixels);
}

static void test_golden_pictures_of_the_other_views(void **state) {
    (void)state;
    Picture stack;
    picture_open(&stack, &scene_sizes[1]);
    stack.v.page = PAGE_STACK;
    view_end(&stack.v, &stack.t);
    expect_golden("tests/golden/scene_stack.png", &stack.t, &stack.v);
    picture_close(&stack);
    Training g;
    training_open(&g, 2, 16, 90, true);
    expect_golden("tests/golden/scene_train.png", &g.p.t, &g.p.v);
    training_close(&g);
    Race r;
    race_open(&r, &(SceneSize){8, 2, 12, 4, 0, 0}, LANE_TRAINED, true);
    view_end(&r.p.v, &r.p.t);
    expect_golden("tests/golden/scene_compare.png", &r.p.t, &r.p.v);
    picture_close(&r.p);
}

static void test_golden_pictures(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof goldens / sizeof *goldens; i++) {
        const Golden *g = &goldens[i];
        Trace t = scene_trace(&g->size, 2);
        View v;
        view_init(&v);
        Fault f = {""};
        if (view_at(&v, &t, g->at, &f) != STATUS_OK) fail_msg("%s", f.text);
        expect_golden(g->path, &t, &v);
        trace_free(&t);
    }
}

static void test_every_pixel_is_painted_and_twice_the_same(void **state) {
    (void)state;
    static const int sizes[][2] = {{1280, 720}, {1366, 768}, {1001, 777}, {641, 1023}};
    Trace t = scene_trace(&(SceneSize){8, 2, 9, 4, 0, 1.25}, 2);
    View v;
    view_init(&v);
    v.pointer_x = 100;
    v.pointer_y = 80;
    for (size_t i = 0; i < 4; i++) {
        const int w = sizes[i][0], h = sizes[i][1];
        v.time_ms = 3111.0 * (double)(i + 1);
        uint32_t *a = paint(&t, &v, w, h), *b = paint(&t, &v, w, h);
        for (size_t p = 0; p < (size_t)w * (size_t)h; p++) assert_true(a[p] >> 24 == 0xff && a[p] != 0x5a5a5a5a);
        assert_memory_equal(a, b, (size_t)w * (size_t)h * 4);
        free(a);
        free(b);
    }
    trace_free(&t);
}

static void test_scrubbed_pixels_equal_played_pixels(void **state) {
    (void)state;
    Trace t = scene_trace(&(SceneSize){8, 2, 9, 4, 0, 1.25}, 2);
    View played, scrubbed;
    view_init(&played);
    view_init(&scrubbed);
    view_toggle_play(&played, &t);
    for (int i = 0; i < 3; i++) {
        for (int frame = 0; frame < 200; frame++) view_advance(&played, &t, 16);
        view_seek(&scrubbed, &t, played.time_ms);
        scrubbed.playing = played.playing;
        uint32_t *a = paint(&t, &played, WIDTH, HEIGHT), *b = paint(&t, &scrubbed, WIDTH, HEIGHT);
        assert_memory_equal(a, b, WIDTH * HEIGHT * 4);
        free(a);
        free(b);
    }
    trace_free(&t);
}

static void test_files_are_of_their_kind(void **state) {
    (void)state;
    Trace t = scene_trace(&(SceneSize){128, 8, 30, 6, 3, 1.25}, 2);
    View v;
    view_init(&v);
    v.time_ms = 9000;
    static const struct { const char *ending, *begins; } kinds[] = {{"png", "\x89PNG\r\n\x1a\n"}, {"svg", "<?xml"}, {"pdf", "%PDF-"}};
    char folder[] = "/tmp/moe-paint-XXXXXX", path[128];
    assert_non_null(mkdtemp(folder));
    Fault f = {""};
    for (size_t i = 0; i < 3; i++) {
        snprintf(path, sizeof path, "%s/shot.%s", folder, kinds[i].ending);
        if (still_run(path, NULL, &t, &v, 1280, 720, &f) != STATUS_OK) fail_msg("%s", f.text);
        unsigned char *bytes;
        size_t count;
        assert_int_equal(file_read(path, &bytes, &count, &f), STATUS_OK);
        assert_true(count > 5000 && memcmp(bytes, kinds[i].begins, strlen(kinds[i].begins)) == 0);
        free(bytes);
        unlink(path);
    }
    snprintf(path, sizeof path, "%s/shot.gif", folder);
    assert_int_equal(still_run(path, NULL, &t, &v, 1280, 720, &f), STATUS_USAGE);
    assert_non_null(strstr(f.text, ".png, .svg or .pdf"));
    assert_int_equal(still_run("/nowhere/at/all.png", NULL, &t, &v, 1280, 720, &f), STATUS_FAIL);
    assert_int_equal(rmdir(folder), 0); /* nothing was left behind */
    int w, h;
    assert_int_equal(still_size(&w, &h, "1920x1080", &f), STATUS_OK);
    assert_true(w == 1920 && h == 1080);
    static const char *const refused[] = {"", "x", "1920", "1920x", "10x10", "99999x100", "1920x1080x3", "-640x480", "1920X1080 "};
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) assert_int_equal(still_size(&w, &h, refused[i], &f), STATUS_USAGE);
    trace_free(&t);
}

static void test_layout_holds_with_the_real_font(void **state) {
    (void)state;
    DrawList list;
    draw_init(&list, paint_measure());
    for (size_t z = 0; z < SCENE_SIZES; z++) {
        Trace t = scene_trace(&scene_sizes[z], 4);
        View v;
        view_init(&v);
        for (int b = 1; b <= BEATS; b++) {
            v.token = t.tokens * (size_t)b / (BEATS + 1);
            v.time_ms = timeline_rest_ms(&t, t.layers * (size_t)b / (BEATS + 1), (Beat)b);
            scene_build(&list, &t, &v, b % 2 ? 1280 : 1920, b % 2 ? 720 : 1080);
            const int faults = text_faults(&list);
            if (faults > 0) fail_msg("%d experts, %d tokens, beat %d: %d", (int)t.experts, (int)t.tokens, b, faults);
        }
        trace_free(&t);
    }
    draw_free(&list);
}

static int close_fonts(void **state) {
    (void)state;
    paint_close();
    return 0;
}

/* ---- characters that the scene's font lacks ---- */

static size_t ink_of(uint32_t pixels[200 * 40], const char *text) {
    DrawList list;
    Fault f = {""};
    draw_init(&list, paint_measure());
    draw_reset(&list, 200, 40);
    draw_item(&list, (DrawItem){.kind = DRAW_RECT, .w = 200, .h = 40, .fill = 0xff000000, .tag = -1});
    draw_text(&list, text, 4, 30, 20, FONT_REGULAR, ALIGN_LEFT, 0xffffffff, 0, -1);
    if (paint_pixels((unsigned char *)pixels, 200, 40, 800, &list, &f) != STATUS_OK) fail_msg("%s", f.text);
    draw_free(&list);
    size_t lit = 0;
    for (size_t i = 0; i < 200 * 40; i++) lit += (pixels[i] & 0xff) > 0x40;
    return lit;
}

/* Two Chinese characters: another font's glyphs, which differ, or their numbers as text, which are long; never a box twice. */
static void test_missing_glyphs_come_from_another_font_or_as_numbers(void **state) {
    (void)state;
    static uint32_t one[200 * 40], other[200 * 40], number[200 * 40];
    const TextMeasure m = paint_measure();
    assert_true(paint_has_font());
    assert_true(ink_of(one, "\xe4\xbd\xa0") > 0 && ink_of(other, "\xe5\xa5\xbd") > 0);
    assert_true(memcmp(one, other, sizeof one) != 0);
    /* no font has a character of a private plane: its number stands there, as wide as it is painted */
    static const char private_use[] = "\xf4\x80\x80\x81", as_text[] = "\\u{100001}";
    assert_true(fabs(m.width(m.context, private_use, 4, 20, FONT_REGULAR) - m.width(m.context, as_text, strlen(as_text), 20, FONT_REGULAR)) < 1e-9);
    (void)ink_of(one, private_use);
    (void)ink_of(number, as_text);
    assert_memory_equal(one, number, sizeof one);
    /* a text of both kinds is as wide as its parts */
    const double whole = m.width(m.context,
                                 "ab\xe4\xbd\xa0"
                                 "c",
                                 6, 20, FONT_BOLD);
    const double parts =
        m.width(m.context, "ab", 2, 20, FONT_BOLD) + m.width(m.context, "\xe4\xbd\xa0", 3, 20, FONT_BOLD) + m.width(m.context, "c", 1, 20, FONT_BOLD);
    assert_true(fabs(whole - parts) < 1e-9);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_missing_glyphs_come_from_another_font_or_as_numbers),
        cmocka_unit_test(test_golden_pictures),
        cmocka_unit_test(test_golden_pictures_of_the_other_views),
        cmocka_unit_test(test_every_pixel_is_painted_and_twice_the_same),
        cmocka_unit_test(test_scrubbed_pixels_equal_played_pixels),
        cmocka_unit_test(test_files_are_of_their_kind),
        cmocka_unit_test(test_layout_holds_with_the_real_font),
    };
    return cmocka_run_group_tests(tests, NULL, close_fonts);
}
