/* engine.c: a live model in a thread of its own, or a saved trace, behind source.h.
 *
 * Enters: a model file and prompts. Leaves: whole traces. The thread loads the weights, then runs one prompt at a time; the latest prompt
 * wins, and a trace is handed over only when it is complete. One mutex guards the mailbox; nothing is shared but what lies in it.
 * Does not draw and does not know SDL. */
#include "viz/source.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "model/model.h"

enum { PROMPT_TOKENS_MAX = 512 }; /* what the window is made to show */

struct Source {
    pthread_t thread;
    bool has_thread;
    char model_path[4096]; /* "" is the shipped model */
    size_t experts_used; /* 0: the file's own */
    bool noise; /* drawn from noise_seed; both are set before the first prompt */
    uint64_t noise_seed;
    /* the mailbox */
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    char prompt[sizeof((Trace *)0)->prompt];
    bool wanted, running, closing;
    bool answered; /* `answer` or `reason` waits to be fetched */
    Trace *answer; /* NULL: it failed, and `reason` says why */
    Fault reason;
};

/* One prompt from text to trace; on failure *out stays NULL. */
static Status run_prompt(Trace **out, const Source *s, const Loaded *loaded, const char *prompt, Fault *f) {
    *out = NULL;
    if (!loaded->has_tokenizer) {
        *f = loaded->tokenizer_fault;
        return STATUS_FAIL;
    }
    int32_t *ids = NULL;
    size_t count = 0;
    Status status = tokenizer_encode(&loaded->tokenizer, prompt, strlen(prompt), &ids, &count, f);
    if (status == STATUS_OK && count == 0) status = fault(f, STATUS_FAIL, "the prompt is empty: type a sentence");
    if (status == STATUS_OK && count > PROMPT_TOKENS_MAX) {
        status = fault(f, STATUS_FAIL, "the prompt has %zu tokens; the window shows at most %d", count, PROMPT_TOKENS_MAX);
    }
    Trace *trace = status == STATUS_OK ? calloc(1, sizeof *trace) : NULL;
    if (status == STATUS_OK && trace == NULL) status = fault(f, STATUS_FAIL, "out of memory for a trace");
    if (status == STATUS_OK)
        status = s->noise ? model_trace_noisy(trace, loaded, ids, count, prompt, TRACE_ROUTING, s->noise_seed, f)
                          : model_trace(trace, loaded, ids, count, prompt, TRACE_ROUTING, f);
    free(ids);
    if (status != STATUS_OK) {
        free(trace);
        return status;
    }
    *out = trace;
    return STATUS_OK;
}

static void trace_drop(Trace *trace) {
    if (trace == NULL) return;
    trace_free(trace);
    free(trace);
}

/* Waits for a prompt; false when the source closes. Leaves with the prompt copied and `running` set. */
static bool next_prompt(Source *s, char *prompt) {
    pthread_mutex_lock(&s->mutex);
    while (!s->wanted && !s->closing) pthread_cond_wait(&s->changed, &s->mutex);
    const bool go_on = !s->closing;
    if (go_on) {
        memcpy(prompt, s->prompt, sizeof s->prompt);
        s->wanted = false;
        s->running = true;
    }
    pthread_mutex_unlock(&s->mutex);
    return go_on;
}

/* Puts the result into the mailbox, unless a newer prompt has superseded it. */
static void hand_over(Source *s, Trace *trace, const Fault *reason) {
    pthread_mutex_lock(&s->mutex);
    s->running = false;
    Trace *dropped = trace;
    if (!s->wanted) {
        dropped = s->answered ? s->answer : NULL;
        s->answered = true;
        s->answer = trace;
        s->reason = *reason;
    }
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->mutex);
    trace_drop(dropped);
}

static void *engine_thread(void *argument) {
    Source *s = argument;
    Loaded loaded;
    Fault load_fault = {{0}};
    const bool opened = loaded_open(&loaded, s->model_path[0] == '\0' ? NULL : s->model_path, s->experts_used, &load_fault) == STATUS_OK;
    char prompt[sizeof s->prompt];
    while (next_prompt(s, prompt)) {
        Trace *trace = NULL;
        Fault reason = load_fault;
        if (opened) (void)run_prompt(&trace, s, &loaded, prompt, &reason);
        hand_over(s, trace, &reason);
    }
    if (opened) loaded_close(&loaded);
    return NULL;
}

static Source *source_new(Fault *f) {
    Source *s = calloc(1, sizeof *s);
    if (s == NULL) {
        fault(f, STATUS_FAIL, "out of memory for the engine's thread");
        return NULL;
    }
    pthread_mutex_init(&s->mutex, NULL);
    pthread_cond_init(&s->changed, NULL);
    return s;
}

Status source_open_model(Source **source, const char *model_path, size_t experts_used, Fault *f) {
    *source = NULL;
    if (model_path != NULL && strlen(model_path) >= sizeof((Source *)0)->model_path) return fault(f, STATUS_USAGE, "--model: the path is too long");
    Source *s = source_new(f);
    if (s == NULL) return STATUS_FAIL;
    if (model_path != NULL) snprintf(s->model_path, sizeof s->model_path, "%s", model_path);
    s->experts_used = experts_used;
    s->has_thread = pthread_create(&s->thread, NULL, engine_thread, s) == 0;
    if (!s->has_thread) {
        source_close(s);
        return fault(f, STATUS_FAIL, "the system gives no thread for the engine");
    }
    *source = s;
    return STATUS_OK;
}

void source_draw_noise(Source *s, uint64_t seed) {
    s->noise = true;
    s->noise_seed = seed;
}

Status source_open_trace(Source **source, const char *trace_path, Fault *f) {
    *source = NULL;
    Source *s = source_new(f);
    if (s == NULL) return STATUS_FAIL;
    s->answer = calloc(1, sizeof *s->answer);
    Status status = s->answer == NULL ? fault(f, STATUS_FAIL, "out of memory for a trace") : trace_load(s->answer, trace_path, f);
    if (status != STATUS_OK) {
        free(s->answer);
        s->answer = NULL;
        source_close(s);
        return status;
    }
    s->answered = true;
    *source = s;
    return STATUS_OK;
}

void source_close(Source *s) {
    if (s == NULL) return;
    if (s->has_thread) {
        pthread_mutex_lock(&s->mutex);
        s->closing = true;
        pthread_cond_broadcast(&s->changed);
        pthread_mutex_unlock(&s->mutex);
        pthread_join(s->thread, NULL);
    }
    trace_drop(s->answer);
    pthread_cond_destroy(&s->changed);
    pthread_mutex_destroy(&s->mutex);
    free(s);
}

Status source_ask(Source *s, const char *prompt, Fault *f) {
    if (!s->has_thread) return fault(f, STATUS_FAIL, "a saved trace runs no prompts: start without --trace to type one");
    if (strlen(prompt) >= sizeof s->prompt)
        return fault(f, STATUS_FAIL, "the prompt has %zu bytes; at most %zu", strlen(prompt), sizeof s->prompt - 1);
    pthread_mutex_lock(&s->mutex);
    snprintf(s->prompt, sizeof s->prompt, "%s", prompt);
    s->wanted = true;
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->mutex);
    return STATUS_OK;
}

SourceState source_state(Source *s) {
    pthread_mutex_lock(&s->mutex);
    const SourceState state = s->wanted || s->running ? SOURCE_RUNNING : SOURCE_IDLE;
    pthread_mutex_unlock(&s->mutex);
    return state;
}

/* With the mutex held. */
static void take_answer(Source *s, Trace **trace, Fault *f) {
    *trace = s->answer;
    if (f != NULL) *f = s->reason;
    s->answer = NULL;
    s->answered = false;
}

bool source_poll(Source *s, Trace **trace, Fault *f) {
    *trace = NULL;
    pthread_mutex_lock(&s->mutex);
    const bool came = s->answered;
    if (came) take_answer(s, trace, f);
    pthread_mutex_unlock(&s->mutex);
    return came;
}

Status source_wait(Source *s, Trace **trace, Fault *f) {
    *trace = NULL;
    pthread_mutex_lock(&s->mutex);
    while (!s->answered && (s->wanted || s->running)) pthread_cond_wait(&s->changed, &s->mutex);
    const bool came = s->answered;
    if (came) take_answer(s, trace, f);
    pthread_mutex_unlock(&s->mutex);
    if (!came) return fault(f, STATUS_FAIL, "no prompt was asked for");
    return *trace == NULL ? STATUS_FAIL : STATUS_OK;
}
