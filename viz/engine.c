/* engine.c: a live model in a thread of its own, or a saved trace, behind source.h.
 *
 * Enters: a model file and prompts. Leaves: whole traces. The thread loads the weights, then runs one prompt at a time; the latest prompt
 * wins, and a trace is handed over only when it is complete. One mutex guards the mailbox; nothing is shared but what lies in it.
 * Does not draw and does not know SDL. */
#include "viz/source.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#include "model/model.h"

enum { PROMPT_TOKENS_MAX = 512, SAMPLE_SECONDS = 8 }; /* what the window is made to show; how long a model is kept from prompts */

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
    Status outcome; /* of the answer: a flag's value that the model refuses is wrong usage */
    bool samples_wanted, samples_done;
    Samples samples; /* the thread's until samples_done, then everyone's to read */
};

/* The bytes must be characters: what the window shows and what a file keeps is UTF-8. */
static Status check_utf8(const char *prompt, Fault *f) {
    const size_t bytes = strlen(prompt);
    for (size_t i = 0; i < bytes;) {
        utf8proc_int32_t point;
        const utf8proc_ssize_t taken = utf8proc_iterate((const utf8proc_uint8_t *)prompt + i, (utf8proc_ssize_t)(bytes - i), &point);
        if (taken <= 0)
            return fault(f, STATUS_FAIL, "the prompt is not UTF-8: byte %zu of %zu is 0x%02X, which begins no character", i + 1, bytes,
                         (unsigned char)prompt[i]);
        i += (size_t)taken;
    }
    return STATUS_OK;
}

/* As long as the model was trained for, and as the window can show. */
static Status check_length(const Loaded *loaded, size_t count, Fault *f) {
    const size_t context = loaded->model.config.context;
    if (count == 0) return fault(f, STATUS_FAIL, "the prompt is empty: type a sentence");
    if (context > 0 && count > context)
        return fault(f, STATUS_FAIL, "the prompt is too long: it has %zu tokens, and this model reads %zu", count, context);
    if (count > PROMPT_TOKENS_MAX)
        return fault(f, STATUS_FAIL, "the prompt is too long: it has %zu tokens, and the window shows %d", count, PROMPT_TOKENS_MAX);
    return STATUS_OK;
}

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
    if (status == STATUS_OK) status = check_length(loaded, count, f);
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

typedef enum { JOB_END, JOB_PROMPT, JOB_SAMPLES } Job;

/* Waits for something to do. JOB_PROMPT leaves with the prompt copied and `running` set. */
static Job next_job(Source *s, char *prompt) {
    pthread_mutex_lock(&s->mutex);
    while (!s->wanted && !s->closing && !(s->samples_wanted && !s->samples_done)) pthread_cond_wait(&s->changed, &s->mutex);
    const Job job = s->closing ? JOB_END : s->wanted ? JOB_PROMPT : JOB_SAMPLES;
    if (job == JOB_PROMPT) {
        memcpy(prompt, s->prompt, sizeof s->prompt);
        s->wanted = false;
        s->running = true;
    }
    pthread_mutex_unlock(&s->mutex);
    return job;
}

static bool someone_waits(Source *s) {
    pthread_mutex_lock(&s->mutex);
    const bool waits = s->wanted || s->closing;
    pthread_mutex_unlock(&s->mutex);
    return waits;
}

/* One document more, cut to what the model reads. A failure leaves it out. */
static void run_document(Samples *samples, const Loaded *loaded, const char *text) {
    int32_t *ids = NULL;
    size_t count = 0;
    Fault f;
    if (tokenizer_encode(&loaded->tokenizer, text, strlen(text), &ids, &count, &f) == STATUS_OK && count > 0) {
        const size_t context = loaded->model.config.context, tokens = context > 0 && count > context ? context : count;
        if (model_trace(&samples->traces[samples->count], loaded, ids, tokens, text, TRACE_ROUTING, &f) == STATUS_OK) {
            samples->count++;
            samples->tokens += tokens;
        }
    }
    free(ids);
}

/* The model on the built-in documents, until someone waits or time is up. */
static void run_samples(Source *s, const Loaded *loaded) {
    const double start_s = time_now_s();
    Samples *samples = &s->samples;
    samples->traces = loaded != NULL && loaded->has_tokenizer ? calloc(sample_document_count, sizeof *samples->traces) : NULL;
    for (size_t i = 0; samples->traces != NULL && i < sample_document_count; i++) {
        if (i > 0 && (someone_waits(s) || time_now_s() - start_s > SAMPLE_SECONDS)) break;
        run_document(samples, loaded, sample_documents[i]);
    }
    pthread_mutex_lock(&s->mutex);
    s->samples_done = true;
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->mutex);
}

/* Puts the result into the mailbox, unless a newer prompt has superseded it. */
static void hand_over(Source *s, Trace *trace, Status outcome, const Fault *reason) {
    pthread_mutex_lock(&s->mutex);
    s->running = false;
    Trace *dropped = trace;
    if (!s->wanted) {
        dropped = s->answered ? s->answer : NULL;
        s->answered = true;
        s->answer = trace;
        s->reason = *reason;
        s->outcome = outcome;
    }
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->mutex);
    trace_drop(dropped);
}

static void *engine_thread(void *argument) {
    Source *s = argument;
    Loaded loaded;
    Fault load_fault = {{0}};
    const Status opening = loaded_open(&loaded, s->model_path[0] == '\0' ? NULL : s->model_path, s->experts_used, &load_fault);
    const bool opened = opening == STATUS_OK;
    char prompt[sizeof s->prompt];
    for (Job job; (job = next_job(s, prompt)) != JOB_END;) {
        if (job == JOB_SAMPLES) {
            run_samples(s, opened ? &loaded : NULL);
            continue;
        }
        Trace *trace = NULL;
        Fault reason = load_fault;
        const Status status = opened ? run_prompt(&trace, s, &loaded, prompt, &reason) : opening;
        hand_over(s, trace, status, &reason);
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
    for (size_t i = 0; i < s->samples.count; i++) trace_free(&s->samples.traces[i]);
    free(s->samples.traces);
    pthread_cond_destroy(&s->changed);
    pthread_mutex_destroy(&s->mutex);
    free(s);
}

Status source_ask(Source *s, const char *prompt, Fault *f) {
    if (!s->has_thread) return fault(f, STATUS_FAIL, "a saved trace runs no prompts: start without --trace to type one");
    if (strlen(prompt) >= sizeof s->prompt)
        return fault(f, STATUS_FAIL, "the prompt is too long: it has %zu bytes, and the window takes %zu", strlen(prompt), sizeof s->prompt - 1);
    if (check_utf8(prompt, f) != STATUS_OK) return STATUS_FAIL;
    pthread_mutex_lock(&s->mutex);
    snprintf(s->prompt, sizeof s->prompt, "%s", prompt);
    s->wanted = true;
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->mutex);
    return STATUS_OK;
}

void source_ask_samples(Source *s) {
    pthread_mutex_lock(&s->mutex);
    s->samples_wanted = s->has_thread;
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->mutex);
}

bool source_samples_done(Source *s) {
    pthread_mutex_lock(&s->mutex);
    const bool done = s->samples_done || !s->has_thread;
    pthread_mutex_unlock(&s->mutex);
    return done;
}

const Samples *source_samples(Source *s) {
    pthread_mutex_lock(&s->mutex);
    const bool there = s->samples_done && s->samples.count > 0;
    pthread_mutex_unlock(&s->mutex);
    return there ? &s->samples : NULL;
}

const Samples *source_wait_samples(Source *s) {
    source_ask_samples(s);
    pthread_mutex_lock(&s->mutex);
    while (s->has_thread && !s->samples_done) pthread_cond_wait(&s->changed, &s->mutex);
    pthread_mutex_unlock(&s->mutex);
    return source_samples(s);
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
    const Status outcome = s->outcome;
    if (came) take_answer(s, trace, f);
    pthread_mutex_unlock(&s->mutex);
    return came ? outcome : fault(f, STATUS_FAIL, "no prompt was asked for");
}
