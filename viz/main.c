/* main.c: the `moe-viz` program. Enters: argv. Leaves: a window, a picture, a film or a text dump, and an exit code. Only this file ends the
 * program. Everything but the window works without a display and never starts SDL. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fast/registry.h"
#include "viz/bench.h"
#include "viz/duel.h"
#include "viz/headless.h"
#include "viz/lanes_run.h"
#include "viz/options.h"
#include "viz/paint.h"
#include "viz/record.h"
#include "viz/scene_compare.h"
#include "viz/source.h"
#include "viz/still.h"
#include "viz/tour.h"
#include "viz/window.h"

static const char DEFAULT_PROMPT[] = "Little Ida has a red kite on the hill. Old Tom wants the red kite.";

/* ---- what is shown ---- */

enum { SECOND_TEXT_WORD = 13 }; /* another text: its words begin here */

static Status simulate(Trace *t, const size_t n[4], size_t first_word, Fault *f) {
    const Simulation s = {.tokens = n[3],
                          .experts = n[1],
                          .top_k = n[2],
                          .layers = n[0],
                          .model_dim = 1024,
                          .expert_dim = 2048,
                          .skew = 0.4,
                          .seed = 1,
                          .first_word = first_word};
    return simulate_trace(t, &s, f);
}

/* The prompt in memory of its own; the caller frees. */
static Status read_prompt(char **prompt, const char *text, Fault *f) {
    unsigned char *bytes = NULL;
    size_t count = 0;
    if (text == NULL || strcmp(text, "-") != 0) {
        *prompt = strdup(text == NULL ? DEFAULT_PROMPT : text);
        return *prompt == NULL ? fault(f, STATUS_FAIL, "out of memory") : STATUS_OK;
    }
    const Status status = file_read("-", &bytes, &count, f);
    if (status == STATUS_OK && memchr(bytes, '\0', count) != NULL) {
        free(bytes);
        return fault(f, STATUS_FAIL, "--text -: a prompt has no zero bytes");
    }
    *prompt = (char *)bytes;
    return status;
}

/* Opens the source; asks for the first prompt. `wait`: until the trace is there. */
static Status begin(Source **source, Trace **trace, const Settings *o, bool wait, Fault *f) {
    if (o->simulate != NULL) return simulate(*trace, o->simulation, 0, f);
    Status status = o->trace != NULL ? source_open_trace(source, o->trace, f) : source_open_model(source, o->model, o->experts_used, f);
    if (status != STATUS_OK) return status;
    if (o->trace == NULL && o->noise != SIZE_MAX) source_draw_noise(*source, o->noise);
    if (o->trace == NULL) {
        char *prompt = NULL;
        status = read_prompt(&prompt, o->text, f);
        if (status == STATUS_OK) status = source_ask(*source, prompt, f);
        free(prompt);
    }
    if (status != STATUS_OK || !(wait || o->trace != NULL)) return status;
    Trace *came = NULL;
    status = source_wait(*source, &came, f);
    if (status != STATUS_OK) return status;
    free(*trace);
    *trace = came;
    return STATUS_OK;
}

/* The second text's trace, if one was asked for; the first is there already. *versus stays NULL otherwise. */
static Status begin_versus(Trace **versus, Source *source, const Settings *o, Fault *f) {
    if (o->versus != NULL) {
        const Status status = source_ask(source, o->versus, f);
        return status == STATUS_OK ? source_wait(source, versus, f) : status;
    }
    if (o->versus_trace == NULL && o->versus_simulate == NULL) return STATUS_OK;
    Trace *t = calloc(1, sizeof *t);
    if (t == NULL) return fault(f, STATUS_FAIL, "out of memory");
    const Status status = o->versus_trace != NULL ? trace_load(t, o->versus_trace, f) : simulate(t, o->versus_simulation, SECOND_TEXT_WORD, f);
    if (status == STATUS_OK)
        *versus = t;
    else
        free(t);
    return status;
}

static bool has_versus(const Settings *o) { return o->versus != NULL || o->versus_trace != NULL || o->versus_simulate != NULL; }

static Status set_page(View *v, const char *name, Fault *f) {
    const size_t page = scene_page_find(name);
    if (page < scene_page_count) return v->page = page, STATUS_OK;
    return fault(f, STATUS_USAGE, "--view %s: expected route, stack, train or compare", name);
}

/* --tour, before anything is opened: a name that is wrong is said at once. */
static Status check_tour(const Settings *o, Fault *f) {
    if (o->tour == NULL || o->tour[0] == '\0' || tour_find(o->tour) != NULL) return STATUS_OK;
    return fault(f, STATUS_USAGE, "--tour %.40s: expected nothing, or a lesson from %s to %s", o->tour, tours[1].name, tours[tour_count - 1].name);
}

static Status set_view(View *v, const Settings *o, const Trace *t, const Trace *versus, Fault *f) {
    view_new_trace(v, t);
    Status status = view_set_versus(v, t, versus, f);
    if (versus != NULL) v->page = PAGE_STACK;
    if (status == STATUS_OK && o->tour != NULL && !tour_begin(v, t, o->tour[0] == '\0' ? &tours[0] : tour_find(o->tour), 0))
        status = fault(f, STATUS_FAIL, "--tour: %s", v->notice);
    if (status == STATUS_OK && o->view != NULL) status = set_page(v, o->view, f);
    if (status == STATUS_OK && o->state != NULL) status = view_from_line(v, t, o->state, f);
    if (status == STATUS_OK && o->at != NULL) status = view_at(v, t, o->at, f);
    return status;
}

static View make_view(const Settings *o) {
    View v;
    view_init(&v);
    v.speed = o->speed;
    v.scale = o->scale;
    v.reduced_motion = o->reduced_motion;
    if (o->no_narration) v.narration = false;
    return v;
}

/* ---- the Train view ---- */

/* The value of name= in a state line; false: it is not there. */
static bool state_value(char *out, size_t room, const char *state, const char *name) {
    const char *at = state == NULL ? NULL : strstr(state, name);
    if (at == NULL) return false;
    at += strlen(name);
    snprintf(out, room, "%.*s", (int)strcspn(at, " "), at);
    return true;
}

/* The steps that a state line speaks of. */
static Status read_steps(size_t *steps, const char *state, Fault *f) {
    char text[32];
    if (!state_value(text, sizeof text, state, " steps=")) return STATUS_OK;
    const size_t digits = strspn(text, "0123456789");
    *steps = digits > 0 && digits < 10 && text[digits] == '\0' ? (size_t)strtoul(text, NULL, 10) : SIZE_MAX;
    if (*steps <= LANE_STEPS_MAX) return STATUS_OK;
    return fault(f, STATUS_USAGE, "--state: steps=%s: expected a whole number from 0 to %d", text, LANE_STEPS_MAX);
}

/* Both lanes, set up and not yet training, whatever is shown: 3 may be pressed, and a flag of theirs that is wrong is said at once. A state line
 * knows how many steps there were, and where weights changed. */
static Status begin_lanes(LaneRun **run, Settings *o, View *v, Fault *f) {
    Status status = STATUS_OK;
    o->lanes.experts_used = viz_shows_training(o) ? o->experts_used : 0;
    if (viz_names_training(o->state)) {
        if (state_value(o->state_changes, sizeof o->state_changes, o->state, " aux-at=") && o->lanes.changes == NULL)
            o->lanes.changes = o->state_changes;
        status = read_steps(&o->state_steps, o->state, f);
    }
    if (status == STATUS_OK) status = lanes_new(run, &o->lanes, f);
    if (status == STATUS_OK) v->lanes = lanes_of(*run);
    return status;
}

/* For a picture, film or dump, or the moment that a state line names: all steps first. */
static Status train_lanes(LaneRun *run, const Settings *o, Fault *f) {
    LaneWish wish = lanes_wish(run);
    wish.train = true;
    wish.until = o->state_steps > o->train_steps ? o->state_steps : o->train_steps > 0 ? o->train_steps : STILL_STEPS;
    const Status status = lanes_ask(run, &wish, f);
    return status == STATUS_OK ? lanes_wait(run, stderr, f) : status;
}

/* ---- ends ---- */

/* Compare's three models, where the trace came from a model that runs. *d stays NULL otherwise. */
static Status begin_duel(Dueller **d, const Settings *o, Fault *f) {
    *d = NULL;
    if (o->trace != NULL || o->simulate != NULL) return STATUS_OK;
    const DuelSetup setup = {
        .sparse = o->model, .dense = {NULL, o->dense[LANE_ACTIVE], o->dense[LANE_TOTAL]}, .experts_used = o->experts_used, .measure = !o->no_measure};
    return duel_open(d, &setup, f);
}

/* A picture or film of Compare waits for its numbers. `duel` stays where it is for as long as the view. */
static Status finish_duel(Duel *duel, const Settings *o, const Trace *t, View *v, Fault *f) {
    Dueller *d = NULL;
    if (v->page != PAGE_COMPARE || v->duel != NULL) return STATUS_OK;
    const Status status = begin_duel(&d, o, f);
    if (d == NULL) return status;
    duel_ask(d, t);
    duel_wait(d, duel);
    duel_close(d);
    v->duel = duel;
    return duel->state == DUEL_FAILED ? fault(f, STATUS_FAIL, "%s", duel->reason) : STATUS_OK;
}

/* The moment that a picture shows by itself: something finished. The end of the second layer's routing, or of the only layer's; all of the
 * stack; the last step of a training; the first of the race's lanes through. */
static double telling_ms(const View *v, const Trace *t) {
    if (v->page == PAGE_STACK || v->page == PAGE_TRAIN) return view_length_ms(v, t);
    if (v->page == PAGE_COMPARE) return compare_telling_ms(v, t);
    return timeline_rest_ms(t, t->layers > 1 ? 1 : 0, BEAT_SUM);
}

static Status run_files(const Settings *o, const char *shot, const char *film, const Trace *t, View *v, int width_px, int height_px, Fault *f) {
    static Duel duel; /* large: not for the stack */
    Status status = finish_duel(&duel, o, t, v, f);
    if (status != STATUS_OK) return status;
    if (v->tour != NULL && v->stop_ms >= 0)
        view_seek(v, t, v->stop_ms); /* of a tour: its step at rest */
    else if (o->at == NULL && o->state == NULL && film == NULL)
        v->time_ms = telling_ms(v, t);
    if (shot != NULL || o->dump_scene) status = still_run(shot, o->dump_scene ? stdout : NULL, t, v, width_px, height_px, f);
    if (status == STATUS_OK && film != NULL) status = film_whole(film, t, v, width_px, height_px, f);
    return status;
}

/* All that is to be shown without a window. */
static Status begin_files(const Settings *o, LaneRun *lanes, Source **source, Trace **trace, Trace **versus, View *v, Fault *f) {
    Status status = viz_shows_training(o) ? train_lanes(lanes, o, f) : begin(source, trace, o, true, f);
    if (status == STATUS_OK && !viz_shows_training(o)) status = begin_versus(versus, *source, o, f);
    return status == STATUS_OK ? set_view(v, o, *trace, *versus, f) : status;
}

static Status run_fallback(const Settings *o, LaneRun *lanes, Source **source, Trace **trace, Trace **versus, View *v, int width_px, int height_px,
                           Fault *f) {
    char picture[4096], film[4096];
    snprintf(picture, sizeof picture, "%s.png", o->fallback);
    snprintf(film, sizeof film, "%s.mp4", o->fallback);
    Status status = begin_files(o, lanes, source, trace, versus, v, f);
    if (status == STATUS_OK) status = run_files(o, picture, NULL, *trace, v, width_px, height_px, f);
    if (status != STATUS_OK) return status;
    fprintf(stderr, "wrote %s\n", picture);
    const bool has_ffmpeg = system("command -v ffmpeg >/dev/null 2>&1") == 0;
    if (!has_ffmpeg) {
        fprintf(stderr, "no film: ffmpeg is not installed\n");
        return STATUS_OK;
    }
    status = run_files(o, NULL, film, *trace, v, width_px, height_px, f);
    if (status == STATUS_OK) fprintf(stderr, "wrote %s\n", film);
    return status;
}

static void print_state(const View *v, const Trace *t) {
    char line[1024];
    view_to_line(line, sizeof line, v, t);
    printf("%s\n", line);
}

static Status run_window(const Settings *o, LaneRun *lanes, Script *script, Source **source, Trace **trace, Trace **versus, View *v, int width_px,
                         int height_px, Fault *f) {
    Fault why = {{0}};
    if (!window_possible(&why)) {
        if (o->fallback == NULL) {
            *f = why;
            return STATUS_FAIL;
        }
        fprintf(stderr, "moe-viz: no window: no display was found; writing %s.png and a film instead\n", o->fallback);
        return run_fallback(o, lanes, source, trace, versus, v, width_px, height_px, f);
    }
    const bool placed = o->at != NULL || o->state != NULL || script != NULL || o->tour != NULL || has_versus(o);
    Status status = begin(source, trace, o, placed, f);
    if (status == STATUS_OK) status = begin_versus(versus, *source, o, f);
    if (status == STATUS_OK && viz_names_training(o->state)) status = train_lanes(lanes, o, f);
    if (status == STATUS_OK && (placed || (*trace)->tokens > 0)) status = set_view(v, o, *trace, *versus, f);
    if (status == STATUS_OK && o->view != NULL) status = set_page(v, o->view, f);
    if (status == STATUS_OK && (*trace)->tokens > 0 && o->at == NULL && o->state == NULL && v->tour == NULL)
        v->playing = !o->paused && script == NULL; /* a script's clock is its own */
    Dueller *dueller = NULL;
    if (status == STATUS_OK) status = begin_duel(&dueller, o, f);
    if (v->page == PAGE_TRAIN && o->state == NULL) v->playing = !o->paused && script == NULL;
    Window window = {*source,
                     trace,
                     versus,
                     v,
                     dueller,
                     width_px,
                     height_px,
                     !o->paused && script == NULL,
                     script,
                     lanes,
                     o->train_steps > 0 ? o->train_steps : LANE_STEPS_MAX};
    if (status == STATUS_OK) status = window_run(&window, f);
    if (status == STATUS_OK && o->print_state) print_state(v, *trace);
    if (status == STATUS_OK && o->print_scene) {
        printf("window %d x %d\n", window.width_px, window.height_px);
        status = still_run(NULL, stdout, *trace, v, window.width_px, window.height_px, f);
    }
    duel_close(dueller); /* the scene borrows what it measured */
    return status;
}

/* What a page shows beyond the trace, once it is looked at: Compare's three models, for another text again. */
static Status complete_page(void *context, View *v, const Trace *t, Fault *f) {
    static Duel duel;
    if (v->page == PAGE_COMPARE && v->duel != NULL && (v->measure || compare_duel(t, v) == NULL)) v->duel = NULL;
    v->measure = false;
    return finish_duel(&duel, context, t, v, f);
}

/* A script without a window; what it ends at is what --shot, --dump-scene and --print-state show. */
static Status run_script(Settings *o, LaneRun *lanes, Script *script, Source *source, Trace **trace, Trace **versus, View *v, int width_px,
                         int height_px, Fault *f) {
    const Headless headless = {source, trace, versus, v, width_px, height_px, o->record, lanes, o, complete_page};
    Status status = headless_run(&headless, script, f);
    if (status == STATUS_OK && (o->shot != NULL || o->dump_scene))
        status = still_run(o->shot, o->dump_scene ? stdout : NULL, *trace, v, width_px, height_px, f);
    if (status == STATUS_OK && o->print_state) print_state(v, *trace);
    return status;
}

static Status run(Settings *o, Fault *f) {
    int width_px = 0, height_px = 0;
    Status status = still_size(&width_px, &height_px, o->size, f);
    if (status != STATUS_OK) return status;
    status = check_tour(o, f);
    if (status != STATUS_OK) return status;
    if (o->bench_frames > 0) return bench_run(stdout, (int)o->bench_frames, f);
    if (!paint_has_font())
        fprintf(stderr, "moe-viz: no font was found: text is drawn in plain ASCII letters; install one (Debian: apt install fonts-dejavu-core)\n");
    Source *source = NULL;
    Trace *trace = calloc(1, sizeof *trace), *versus = NULL;
    if (trace == NULL) return fault(f, STATUS_FAIL, "out of memory");
    View view = make_view(o);
    Script *script = NULL;
    if (o->script_path != NULL) status = script_read(&script, o->script_path, f);
    const bool windowed = o->script_path != NULL ? o->in_window : o->shot == NULL && o->record == NULL && !o->dump_scene;
    LaneRun *lanes = NULL;
    if (status == STATUS_OK) status = begin_lanes(&lanes, o, &view, f);
    if (status == STATUS_OK && windowed) {
        status = run_window(o, lanes, script, &source, &trace, &versus, &view, width_px, height_px, f);
    } else if (status == STATUS_OK) {
        status = begin_files(o, lanes, &source, &trace, &versus, &view, f);
        if (status == STATUS_OK && script != NULL) status = run_script(o, lanes, script, source, &trace, &versus, &view, width_px, height_px, f);
        if (status == STATUS_OK && view.open_expert >= 0 && source != NULL) view.samples = source_wait_samples(source);
        if (status == STATUS_OK && script == NULL) status = run_files(o, o->shot, o->record, trace, &view, width_px, height_px, f);
    }
    script_free(script);
    source_close(source);
    trace_drop(versus);
    trace_drop(trace);
    lanes_free(lanes);
    paint_close();
    return status;
}

int main(int argc, char **argv) {
    outfile_mind_signals(); /* ffmpeg inherits what is ignored */
    (void)fast_use(isa_best(), NULL); /* as moe does: speeds that are shown are those that one gets */
    Settings o;
    Fault f = {{0}};
    bool done = false;
    Status status = viz_options(&o, argc, argv, &done, &f);
    if (status == STATUS_OK && !done) status = run(&o, &f);
    if ((fflush(stdout) != 0 || ferror(stdout) != 0) && status == STATUS_OK) /* a full disk behind a redirection */
        status = fault(&f, STATUS_FAIL, "cannot write standard output: %s", strerror(errno));
    if (status != STATUS_OK) fprintf(stderr, "moe-viz: %s%s\n", f.text, status == STATUS_USAGE ? " (see: moe-viz --help)" : "");
    return (int)status;
}
