/* lanes_run.c: two trainings in two threads. Enters: settings, then wishes. Leaves: records, through a ring a lane.
 *
 *   window's thread   lanes_ask → the wish, under the mutex          lanes_poll ← ring ← records
 *   a lane's thread   wish → one step of its Trainer → record → ring, or its own list while the ring is full
 *
 * The mutex guards the wish and the lanes' progress; nobody holds it during a step or while a record is copied, so neither side waits for the
 * other's work. One thread computes one lane: the bits of a lane depend on its settings and on the steps at which its weight changed, on nothing
 * else. */
#include "viz/lanes.h"

#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "data/corpus/corpus.h"
#include "viz/lanes_ring.h"

enum {
    RING_SLOTS = 256,
    FLUSH_MS = 20,
    POLL_MS = 20,
    AHEAD = 8
}; /* AHEAD: steps; a lane that waits for every one of the other waits most of the time */

typedef struct {
    LaneRun *run;
    size_t index;
    pthread_t thread;
    bool has_thread;
    TrainConfig config;
    Ring ring;
    unsigned char *record; /* (ring.slot_bytes): LaneStep, load (L,E), dropped (L) */
    /* the thread's own */
    unsigned char *spare; /* (spare_count) records that found the ring full, oldest first */
    size_t spare_count, spare_room;
    double started_s, step_s; /* clock at the first step's start, and at the last one's */
    double weight;
    /* under the mutex */
    size_t done, lost, parameters;
    bool ended; /* it stopped by itself */
    double asked; /* weight from the next step on; NAN: none was asked for */
    char trouble[512];
} Work;

struct LaneRun {
    Lanes lanes; /* of the window's thread */
    LaneChanges changes;
    char *text;
    unsigned char *fetched; /* (slot_bytes): the record that lanes_poll has in hand */
    Work work[LANE_COUNT];
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    LaneWish wish;
    bool closing;
};

/* ---- a lane's thread ---- */

/* Records that waited, as long as there is room. */
static void flush(Work *w) {
    size_t sent = 0;
    while (sent < w->spare_count && ring_push(&w->ring, w->spare + sent * w->ring.slot_bytes)) sent++;
    if (sent == 0) return;
    w->spare_count -= sent;
    memmove(w->spare, w->spare + sent * w->ring.slot_bytes, w->spare_count * w->ring.slot_bytes);
}

/* The record goes into the ring, or behind those that wait already. False: no memory to keep it. */
static bool hand_over(Work *w) {
    const size_t bytes = w->ring.slot_bytes;
    flush(w);
    if (w->spare_count == 0 && ring_push(&w->ring, w->record)) return true;
    if (w->spare_count == w->spare_room) {
        const size_t room = w->spare_room == 0 ? 64 : 2 * w->spare_room;
        unsigned char *larger = realloc(w->spare, room * bytes);
        if (larger == NULL) return false;
        w->spare = larger;
        w->spare_room = room;
    }
    memcpy(w->spare + w->spare_count++ * bytes, w->record, bytes);
    return true;
}

/* With the mutex held: at most `seconds`. */
static void wait_for_change(LaneRun *run, double seconds) {
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    const double whole = floor(seconds);
    until.tv_sec += (time_t)whole;
    until.tv_nsec += (long)(1e9 * (seconds - whole));
    if (until.tv_nsec >= 1000000000L) until.tv_sec++, until.tv_nsec -= 1000000000L;
    pthread_cond_timedwait(&run->changed, &run->mutex, &until);
}

/* While training, neither lane gets far ahead; while waiting, the one behind catches up, so that both end with the same steps. */
static bool may_step(const Work *w) {
    const LaneRun *run = w->run;
    const Work *other = &run->work[1 - w->index];
    if (w->done >= run->wish.until) return false;
    return run->wish.train ? other->ended || w->done <= other->done + AHEAD : w->done < other->done;
}

/* Waits until a step is wanted and due; false when the run closes. Leaves with the weight for this step. */
static bool next_step(Work *w) {
    LaneRun *run = w->run;
    pthread_mutex_lock(&run->mutex);
    while (!run->closing) {
        const double pace = run->wish.steps_per_s, rest_s = pace > 0 && w->done > 0 ? w->step_s + 1 / pace - time_now_s() : 0;
        const bool may = may_step(w);
        if (may && rest_s <= 0) break;
        if (may || w->spare_count > 0)
            wait_for_change(run, w->spare_count > 0 ? fmin(FLUSH_MS / 1000.0, fmax(rest_s, 0.001)) : rest_s);
        else
            pthread_cond_wait(&run->changed, &run->mutex);
        if (w->spare_count == 0) continue;
        pthread_mutex_unlock(&run->mutex);
        flush(w);
        pthread_mutex_lock(&run->mutex);
    }
    const bool go_on = !run->closing;
    for (size_t i = 0; i < run->changes.count; i++) {
        const LaneChange *c = &run->changes.list[i];
        if (c->lane == w->index && c->step == w->done) w->weight = c->weight;
    }
    if (!isnan(w->asked)) w->weight = w->asked;
    w->asked = (double)NAN;
    pthread_mutex_unlock(&run->mutex);
    return go_on;
}

static void fill_record(Work *w, const StepReport *r) {
    const size_t cells = r->layers * r->experts;
    const LaneStep step = {.step = r->step,
                           .loss = r->loss,
                           .balance_loss = r->balance_loss,
                           .weight = w->weight,
                           .lr = r->lr,
                           .grad_norm = r->grad_norm,
                           .seconds = time_now_s() - w->started_s};
    memcpy(w->record, &step, sizeof step);
    unsigned char *at = w->record + sizeof step;
    for (size_t i = 0; i < cells + r->layers; i++) {
        const uint32_t count = (uint32_t)(i < cells ? r->load[i] : r->dropped[i - cells]);
        memcpy(at + i * sizeof count, &count, sizeof count);
    }
}

static void end_lane(Work *w, const Fault *why) {
    pthread_mutex_lock(&w->run->mutex);
    w->ended = true;
    snprintf(w->trouble, sizeof w->trouble, "%s", why->text);
    pthread_cond_broadcast(&w->run->changed);
    pthread_mutex_unlock(&w->run->mutex);
}

static void count_step(Work *w, bool kept) {
    pthread_mutex_lock(&w->run->mutex);
    w->done++;
    w->lost += !kept;
    pthread_cond_broadcast(&w->run->changed);
    pthread_mutex_unlock(&w->run->mutex);
}

static Status train(Work *w, Trainer *t, Fault *f) {
    const TrainConfig *c = &w->config;
    Status status = STATUS_OK;
    while (status == STATUS_OK && next_step(w)) {
        StepReport report;
        w->step_s = time_now_s();
        if (w->started_s == 0) w->started_s = w->step_s;
        trainer_rebalance(t, lane_by_bias(c) ? c->model.moe.aux_alpha : w->weight, lane_by_bias(c) ? w->weight : c->bias_rate);
        status = trainer_step(t, &report, f);
        if (status != STATUS_OK) break;
        fill_record(w, &report);
        count_step(w, hand_over(w));
    }
    return status;
}

static void *lane_thread(void *argument) {
    Work *w = argument;
    Fault f = {{0}};
    Trainer *trainer = NULL;
    threads_set(1); /* a lane a core: two lanes keep two cores busy, and tiny matrices are not worth sharing */
    Status status = trainer_open(&trainer, &w->config, RESUME_NEVER, &f);
    if (status == STATUS_OK) {
        pthread_mutex_lock(&w->run->mutex);
        w->parameters = trainer_facts(trainer).parameters;
        pthread_mutex_unlock(&w->run->mutex);
        status = train(w, trainer, &f);
    }
    if (status != STATUS_OK) end_lane(w, &f);
    trainer_close(trainer);
    return NULL;
}

/* ---- the window's side ---- */

static Status make_text(LaneRun *run, const LaneSettings *s, Fault *f) {
    Lanes *lanes = &run->lanes;
    if (s->text_path != NULL) {
        const char *slash = strrchr(s->text_path, '/');
        snprintf(lanes->text_name, sizeof lanes->text_name, "%.60s", slash != NULL ? slash + 1 : s->text_path);
        unsigned char *bytes = NULL;
        const Status status = text_read(&bytes, &lanes->text_bytes, s->text_path, run->work[0].config.vocab == VOCAB_BYTES, f);
        run->text = (char *)bytes;
        return status;
    }
    Doc *doc = malloc(sizeof *doc);
    run->text = malloc(CORPUS_BYTES);
    if (doc != NULL && run->text != NULL) lanes->text_bytes = corpus_fill(run->text, CORPUS_BYTES, 1, doc);
    snprintf(lanes->text_name, sizeof lanes->text_name, "the shipped corpus");
    free(doc);
    return lanes->text_bytes > 0 ? STATUS_OK : fault(f, STATUS_FAIL, "out of memory for %d bytes of text", CORPUS_BYTES);
}

static Status prepare(LaneRun *run, const LaneSettings *s, Fault *f) {
    TrainConfig config[LANE_COUNT];
    Status status = lanes_settings(config, &run->changes, s, f);
    if (status == STATUS_OK) status = lanes_init(&run->lanes, config, f);
    for (size_t l = 0; l < LANE_COUNT; l++) run->work[l].config = config[l];
    if (status == STATUS_OK) status = make_text(run, s, f);
    const size_t bytes = sizeof(LaneStep) + (run->lanes.layers * run->lanes.experts + run->lanes.layers) * sizeof(uint32_t);
    for (size_t l = 0; status == STATUS_OK && l < LANE_COUNT; l++) {
        Work *w = &run->work[l];
        w->run = run;
        w->index = l;
        w->config.text = run->text;
        w->config.text_bytes = run->lanes.text_bytes;
        w->config.text_path = run->lanes.text_name;
        run->lanes.lane[l].config = w->config;
        w->weight = lane_weight_of(&w->config);
        w->asked = run->wish.weight[l] = (double)NAN;
        status = ring_init(&w->ring, RING_SLOTS, bytes, f);
        w->record = malloc(bytes);
        if (w->record == NULL) status = fault(f, STATUS_FAIL, "out of memory for a record of %zu bytes", bytes);
    }
    run->fetched = malloc(bytes);
    if (run->fetched == NULL) status = fault(f, STATUS_FAIL, "out of memory for a record of %zu bytes", bytes);
    return status;
}

Status lanes_new(LaneRun **out, const LaneSettings *settings, Fault *f) {
    *out = NULL;
    LaneRun *run = calloc(1, sizeof *run);
    if (run == NULL) return fault(f, STATUS_FAIL, "out of memory");
    pthread_mutex_init(&run->mutex, NULL);
    pthread_condattr_t steady; /* a clock that nobody sets */
    pthread_condattr_init(&steady);
    pthread_condattr_setclock(&steady, CLOCK_MONOTONIC);
    pthread_cond_init(&run->changed, &steady);
    pthread_condattr_destroy(&steady);
    const Status status = prepare(run, settings, f);
    if (status != STATUS_OK) {
        lanes_free(run);
        return status;
    }
    *out = run;
    return STATUS_OK;
}

const Lanes *lanes_of(const LaneRun *run) { return &run->lanes; }

LaneWish lanes_wish(const LaneRun *run) { return run->wish; } /* only the window's thread writes it */

Status lanes_ask(LaneRun *run, const LaneWish *wish, Fault *f) {
    pthread_mutex_lock(&run->mutex);
    run->wish = *wish;
    for (size_t l = 0; l < LANE_COUNT; l++) {
        if (!isnan(wish->weight[l])) run->work[l].asked = wish->weight[l];
        run->wish.weight[l] = (double)NAN;
    }
    if (run->wish.until > LANE_STEPS_MAX) run->wish.until = LANE_STEPS_MAX;
    pthread_cond_broadcast(&run->changed);
    pthread_mutex_unlock(&run->mutex);
    for (size_t l = 0; wish->train && l < LANE_COUNT; l++) {
        Work *w = &run->work[l];
        if (w->has_thread) continue;
        w->has_thread = pthread_create(&w->thread, NULL, lane_thread, w) == 0;
        if (!w->has_thread) return fault(f, STATUS_FAIL, "the system gives no thread to train in");
    }
    return STATUS_OK;
}

static void fetch_lane(LaneRun *run, size_t l, bool *any) {
    Work *w = &run->work[l];
    Lane *lane = &run->lanes.lane[l];
    const size_t cells = run->lanes.layers * run->lanes.experts;
    while (ring_pop(&w->ring, run->fetched)) {
        LaneStep step;
        memcpy(&step, run->fetched, sizeof step);
        const uint32_t *load = (const uint32_t *)(const void *)(run->fetched + sizeof step); /* malloc'ed, and LaneStep is doubles: aligned */
        lane_add(lane, &run->lanes, &step, load, load + cells);
        *any = true;
    }
}

bool lanes_poll(LaneRun *run) {
    bool any = false;
    for (size_t l = 0; l < LANE_COUNT; l++) fetch_lane(run, l, &any);
    pthread_mutex_lock(&run->mutex);
    for (size_t l = 0; l < LANE_COUNT; l++) {
        Lane *lane = &run->lanes.lane[l];
        any = any || lane->parameters != run->work[l].parameters || strcmp(lane->trouble, run->work[l].trouble) != 0;
        lane->parameters = run->work[l].parameters;
        memcpy(lane->trouble, run->work[l].trouble, sizeof lane->trouble);
    }
    pthread_mutex_unlock(&run->mutex);
    return any;
}

bool lanes_idle(LaneRun *run) {
    bool idle = true;
    pthread_mutex_lock(&run->mutex);
    for (size_t l = 0; l < LANE_COUNT; l++) {
        const Work *w = &run->work[l];
        const Lane *lane = &run->lanes.lane[l];
        const bool other_ended = run->work[1 - l].ended && w->done > run->work[1 - l].done; /* it may go on alone, but need not be waited for */
        idle = idle && (w->ended || other_ended || w->done >= run->wish.until) && lane->count + lane->thinned + w->lost >= w->done;
    }
    pthread_mutex_unlock(&run->mutex);
    return idle;
}

Status lanes_wait(LaneRun *run, FILE *progress, Fault *f) {
    double said_s = time_now_s();
    for (;;) {
        lanes_poll(run);
        const bool idle = lanes_idle(run);
        const size_t steps = lanes_steps(&run->lanes);
        const double now_s = time_now_s();
        if (progress != NULL && (idle || now_s - said_s >= 2)) {
            said_s = now_s;
            fprintf(progress, "training: step %zu of %zu", steps, run->wish.until);
            if (steps > 0)
                fprintf(progress, ", loss %.3f and %.3f", run->lanes.lane[0].steps[steps - 1].loss, run->lanes.lane[1].steps[steps - 1].loss);
            fputc('\n', progress);
        }
        if (idle) break;
        nanosleep(&(struct timespec){.tv_nsec = POLL_MS * 1000000L}, NULL);
    }
    lanes_poll(run);
    for (size_t l = 0; l < LANE_COUNT; l++) {
        if (run->lanes.lane[l].trouble[0] != '\0') return fault(f, STATUS_FAIL, "lane %zu: %s", l + 1, run->lanes.lane[l].trouble);
    }
    return STATUS_OK;
}

void lanes_free(LaneRun *run) {
    if (run == NULL) return;
    pthread_mutex_lock(&run->mutex);
    run->closing = true;
    pthread_cond_broadcast(&run->changed);
    pthread_mutex_unlock(&run->mutex);
    for (size_t l = 0; l < LANE_COUNT; l++) {
        Work *w = &run->work[l];
        if (w->has_thread) pthread_join(w->thread, NULL);
        ring_free(&w->ring);
        free(w->record);
        free(w->spare);
    }
    lanes_clear(&run->lanes);
    pthread_cond_destroy(&run->changed);
    pthread_mutex_destroy(&run->mutex);
    free(run->fetched);
    free(run->text);
    free(run);
}
