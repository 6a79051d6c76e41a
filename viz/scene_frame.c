/* scene_frame.c: what frames every view: header (name, model, provenance, tabs) above, narration and transport below.
 * Enters: a stage and a box. Leaves: items and tags. */
#include "viz/scene_rules.h"
#include "viz/scene_train.h"
#include "viz/tour.h"

#include <math.h>
#include <string.h>

/* Three dots, one of them lit, in a ring: a token choosing an expert. */
static void mark(Stage *s, double x, double y) {
    stage_frame(s, (Box){x, y, 22, 22}, 7, INK_LINE, 1.2, -1);
    stage_dot(s, x + 6.5, y + 7, 2.2, INK_FAINT);
    stage_dot(s, x + 15.5, y + 7, 2.2, style_expert(1));
    stage_dot(s, x + 11, y + 15.5, 2.2, INK_WHITE);
    stage_line(s, x + 11, y + 15.5, x + 15.5, y + 7, style_alpha(style_expert(1), 0.9), 1.4);
}

static double pill(Stage *s, double x, double y, const char *text, Color dot) {
    const double w = stage_text_width(s, text, type_label) + 30;
    stage_frame(s, (Box){x, y, w, 22}, 11, INK_LINE, 1, -1);
    stage_dot(s, x + 12, y + 11, 3.2, dot);
    stage_text(s, text, x + 21, y + 15, type_label, ALIGN_LEFT, 0, -1);
    return w;
}

static double tabs(Stage *s, double right) {
    double x = right;
    for (size_t i = scene_page_count; i-- > 0;) {
        char label[64];
        snprintf(label, sizeof label, "%c  %s", scene_pages[i].key, scene_pages[i].name);
        const double w = stage_text_width(s, label, type_body) + 26;
        x -= w;
        DrawTag tag = tag_of(TAG_PAGE);
        tag.index = (int32_t)i;
        const Box b = {x, 9, w, 28};
        const int32_t at = stage_tag(s, b, tag);
        const bool here = i == s->v->page;
        if (here) stage_rect(s, b, 8, 0xff28344a, at);
        stage_text(s, label, x + w / 2, 28, type_in(type_body, here ? INK_TEXT : INK_SOFT), ALIGN_CENTER, 0, at);
        x -= 6;
    }
    return x;
}

/* 0: the same button by hand. */
static double tour_tab(Stage *s, double right) {
    const char *label = "0  Tour";
    const double w = stage_text_width(s, label, type_body) + 26;
    DrawTag tag = tag_of(TAG_TOUR);
    tag.index = TOUR_START;
    const Box b = {right - w, 9, w, 28};
    const int32_t at = stage_tag(s, b, tag);
    const bool here = s->v->tour != NULL;
    stage_frame(s, box_inset(b, 0.6), 8, here ? style_expert(1) : INK_LINE, 1.2, at);
    stage_text(s, label, b.x + w / 2, 28, type_in(type_body, here ? INK_TEXT : INK_SOFT), ALIGN_CENTER, 0, at);
    return b.x - 6;
}

/* Of a page that shows no trace: what it shows, and where that comes from. */
static void other_title(Stage *s, double x, double right, const char *source, Color dot) {
    char text[160];
    train_title(text, sizeof text, s->v);
    const int32_t tag = stage_tag(s, (Box){x, 4, fmax(0, right - x), 38}, tag_of(TAG_TITLE));
    const double pill_w = stage_text_width(s, source, type_label) + 30, room = right - x - pill_w - 14;
    const char *name = stage_text_width(s, text, type_body) <= room ? text : "two lanes";
    const double w = stage_text_width(s, name, type_body) <= room ? stage_text(s, name, x, 28, type_body, ALIGN_LEFT, room, tag) : 0;
    if (pill_w < right - x) pill(s, x + w + (w > 0 ? 14 : 0), 12, source, dot);
}

static void title(Stage *s, double x, double right) {
    const Trace *t = s->t;
    if (s->v->page == PAGE_TRAIN) {
        other_title(s, x, right, "real: training", INK_GOOD);
        return;
    }
    const bool simulated = strcmp(t->source, "real") != 0;
    const char *source = t->layers == 0 ? "no trace" : t->source;
    const double room = right - x - stage_text_width(s, source, type_label) - 30 - 16;
    const int32_t tag = stage_tag(s, (Box){x, 4, fmax(0, right - x), 38}, tag_of(TAG_TITLE));
    char shape[200];
    char rule[64];
    rule_short(rule, sizeof rule, t);
    if (t->experts > 0)
        snprintf(shape, sizeof shape, "%zu layer%s × %zu expert%s, %s, %zu token%s", t->layers, t->layers == 1 ? "" : "s", t->experts,
                 t->experts == 1 ? "" : "s", rule, t->tokens, t->tokens == 1 ? "" : "s");
    else
        snprintf(shape, sizeof shape, "%zu dense layer%s, no experts, %zu token%s", t->layers, t->layers == 1 ? "" : "s", t->tokens,
                 t->tokens == 1 ? "" : "s");
    const double model_w = stage_text(s,
                                      t->model[0] != '\0' ? t->model
                                      : t->layers > 0     ? "unnamed model"
                                                          : "no model",
                                      x, 28, type_body, ALIGN_LEFT, fmax(40, room * 0.45), tag);
    const double at = x + model_w + 14;
    const double w = t->layers > 0 ? stage_text(s, shape, at, 28, type_label, ALIGN_LEFT, fmax(1, room - model_w - 14), tag) : 0;
    pill(s, at + w + 14, 12, source, t->layers == 0 ? INK_FAINT : simulated ? INK_NOTE : INK_GOOD);
}

void scene_header(Stage *s, Box b) {
    stage_rect(s, b, 0, 0xff12161d, -1);
    stage_line(s, b.x, b.h, b.x + b.w, b.h, INK_LINE, 1);
    mark(s, 16, 12);
    const double name = stage_text(s, "moe.c", 46, 28.5, (Type){16, FONT_BOLD, INK_TEXT}, ALIGN_LEFT, 0, -1);
    const Box help = {b.w - 16 - 28, 9, 28, 28};
    const int32_t tag = stage_tag(s, help, tag_of(TAG_HELP));
    stage_frame(s, box_inset(help, 2), 12, s->v->help ? INK_TEXT : INK_LINE, 1.2, tag);
    stage_text(s, "?", help.x + 14, 28, type_in(type_head, INK_SOFT), ALIGN_CENTER, 0, tag);
    const double right = tour_tab(s, tabs(s, help.x - 12));
    title(s, 46 + name + 24, right - 12);
}

/* ---- transport ---- */

static void play_button(Stage *s, double x, double y) {
    const Box b = {x - 16, y - 16, 32, 32};
    const int32_t tag = stage_tag(s, b, tag_of(TAG_PLAY));
    stage_rect(s, b, 16, 0xff28344a, tag);
    if (s->v->playing && s->v->stop_ms < 0) {
        stage_rect(s, (Box){x - 5.5, y - 6.5, 4, 13}, 1, INK_TEXT, tag);
        stage_rect(s, (Box){x + 1.5, y - 6.5, 4, 13}, 1, INK_TEXT, tag);
        return;
    }
    const double k = s->u;
    const DrawPoint triangle[3] = {
        {(float)((x - 4.5) * k), (float)((y - 7) * k)}, {(float)((x + 7.5) * k), (float)(y * k)}, {(float)((x - 4.5) * k), (float)((y + 7) * k)}};
    draw_path(s->list, (DrawItem){.path = PATH_LINES, .closed = true, .fill = INK_TEXT, .tag = tag}, triangle, 3);
}

/* Every layer's stretch: a hairline at its start, its number where there is room, an amber dot where choices were dropped. */
static void ticks(Stage *s, Box track, double length_ms) {
    const Trace *t = s->t;
    const double mean_w = track.w / (double)t->layers;
    const size_t step = mean_w >= 34 ? 1 : (size_t)ceil(34 / mean_w); /* every so many layers carry their number, and the one shown */
    for (size_t l = 0; l < t->layers; l++) {
        const double x0 = track.x + track.w * timeline_start_ms(t, l, BEAT_LIFT) / length_ms;
        const double x1 = track.x + track.w * (timeline_rest_ms(t, l, BEAT_RESIDUAL) + 1) / length_ms;
        DrawTag tag = tag_of(TAG_TICK);
        tag.layer = (int32_t)l;
        stage_tag(s, (Box){x0, track.y - 10, x1 - x0, 30}, tag);
        const bool here = l == s->m.layer;
        stage_line(s, x0, track.y - 7, x0, track.y + 11, here ? INK_SOFT : INK_LINE, 1);
        if (layer_is_moe(t, l) && layer_dropped(&t->layer[l]) > 0) stage_dot(s, (x0 + x1) / 2, track.y - 8, 1.8, INK_WARN);
        char label[48];
        snprintf(label, sizeof label, layer_is_moe(t, l) ? "L%zu" : "L%zu dense", l + 1);
        double w = stage_text_width(s, label, type_small);
        if (w + 8 > x1 - x0) snprintf(label, sizeof label, "L%zu", l + 1), w = stage_text_width(s, label, type_small);
        const double middle = (x0 + x1) / 2;
        const bool beside = step > 1 && !here && fabs((double)l - (double)s->m.layer) * mean_w < 34;
        if (!here && (l % step != 0 || beside)) continue;
        stage_text(s, label, middle, track.y + 24, type_in(type_small, here ? INK_TEXT : INK_FAINT), ALIGN_CENTER, 0, -1);
    }
    if (t->layers > 0 && track.w / (double)t->layers > 8 * 7) { /* room for the beats of the layer that is shown */
        for (int b = 2; b <= BEATS && layer_is_moe(t, s->m.layer); b++) {
            const double x = track.x + track.w * timeline_start_ms(t, s->m.layer, (Beat)b) / length_ms;
            stage_line(s, x, track.y - 3, x, track.y + 7, style_alpha(INK_SOFT, 0.5), 1);
        }
    }
}

static void track(Stage *s, Box b) {
    const double length_ms = view_length_ms(s->v, s->t);
    stage_tag(s, (Box){b.x, b.y - 12, b.w, 34}, tag_of(TAG_TIMELINE));
    stage_rect(s, b, b.h / 2, INK_LINE, -1);
    if (length_ms <= 0) return;
    const SceneClock *clock = scene_pages[s->v->page].clock;
    if (clock == NULL)
        ticks(s, b, length_ms);
    else
        clock->ticks(s, b.x, b.y, b.w);
    const double at = b.w * fmin(1, s->v->time_ms / length_ms);
    stage_rect(s, (Box){b.x, b.y, at, b.h}, b.h / 2, style_expert(1), -1);
    stage_dot(s, b.x + at, b.y + b.h / 2, 8, style_alpha(INK_WHITE, 0.16));
    stage_dot(s, b.x + at, b.y + b.h / 2, 5.5, INK_WHITE);
}

static void clock_and_speed(Stage *s, double right, double y) {
    char text[64];
    const SceneClock *clock = scene_pages[s->v->page].clock;
    snprintf(text, sizeof text, "%g×%s", s->v->speed, s->v->loop && clock != &train_clock ? "  loop" : "");
    const double w = fmax(52, stage_text_width(s, text, type_body) + 22);
    const Box speed = {right - w, y - 13, w, 26};
    const int32_t tag = stage_tag(s, speed, tag_of(TAG_SPEED));
    stage_frame(s, speed, 13, INK_LINE, 1, tag);
    stage_text(s, text, speed.x + w / 2, y + 4.5, type_body, ALIGN_CENTER, 0, tag);
    const int now_s = (int)(s->v->time_ms / 1000), all_s = (int)(view_length_ms(s->v, s->t) / 1000 + 0.5);
    snprintf(text, sizeof text, "%d:%02d / %d:%02d", now_s / 60, now_s % 60, all_s / 60, all_s % 60);
    if (clock != NULL && clock->words != NULL) clock->words(text, sizeof text, s->t, s->v);
    stage_text(s, text, speed.x - 12, y + 4, type_label, ALIGN_RIGHT, 0, -1);
}

void scene_transport(Stage *s, Box b) {
    stage_rect(s, b, 0, 0xff12161d, -1);
    stage_line(s, b.x, b.y, b.x + b.w, b.y, INK_LINE, 1);
    char line[512];
    if ((s->layer != NULL || scene_pages[s->v->page].without_trace) && s->v->narration && s->v->tour == NULL) { /* a tour speaks for itself */
        scene_narrate(line, sizeof line, s->t, s->v);
        const int32_t tag = stage_tag(s, (Box){16, b.y + 8, b.w - 32, 24}, tag_of(TAG_NARRATION));
        stage_text(s, line, b.x + b.w / 2, b.y + 26, (Type){14.5, FONT_REGULAR, INK_TEXT}, ALIGN_CENTER, b.w - 48, tag);
    }
    const double y = b.y + 56;
    play_button(s, 34, y);
    clock_and_speed(s, b.w - 16, y);
    track(s, (Box){70, y - 2, b.w - 70 - 216, 4});
}
