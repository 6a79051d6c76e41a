/* duel_rig.h: three tiny models in a folder of their own, a text through the sparse one, and the comparison of the three. */
#ifndef MOE_TESTS_DUEL_RIG_H
#define MOE_TESTS_DUEL_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/compare_rig.h"
#include "tests/folder.h"
#include "tests/tiny.h"

#include <sys/stat.h>
#include <unistd.h>

static inline ModelConfig dense_config(size_t hidden) {
    ModelConfig c = tiny_config(tiny_vocab());
    memset(c.is_moe, 0, sizeof c.is_moe);
    c.dense_hidden = hidden;
    c.moe = (MoeConfig){0};
    return c;
}

static inline void write_log(const char *name) {
    FILE *out = fopen(in_folder(name), "w");
    assert_non_null(out);
    fprintf(out, "step,loss,validation_loss,balance_loss\n1,5.5,,0.1\n2,5.25,4.75,0.1\n3,5.125,,0.1\n4,5,4.5,0.1\n5,4.9,,0.1\n");
    fclose(out);
}

static inline int make_models(void **state) {
    (void)state;
    Fault f = {""};
    if (!folder_make("compare")) return -1;
    const ModelConfig sparse = tiny_config(tiny_vocab()), active = dense_config(2 * 12), total = dense_config(5 * 12);
    Status status = tiny_save(&sparse, 3, GGUF_TENSOR_F32, in_folder("sparse.gguf"), &f);
    if (status == STATUS_OK) status = tiny_save(&active, 4, GGUF_TENSOR_F32, in_folder("dense_active.gguf"), &f);
    if (status == STATUS_OK) status = tiny_save(&total, 5, GGUF_TENSOR_F32, in_folder("dense_total.gguf"), &f);
    write_log("sparse.csv");
    mkdir(in_folder("alone"), 0700);
    if (status == STATUS_OK) status = tiny_save(&sparse, 3, GGUF_TENSOR_F32, in_folder("alone/sparse.gguf"), &f);
    ModelConfig choosing = sparse;
    choosing.moe.rule = routing_rule_find("expert-choice");
    choosing.moe.top_k = choosing.moe.experts, choosing.moe.take_factor = 2;
    if (status == STATUS_OK) status = tiny_save(&choosing, 3, GGUF_TENSOR_F32, in_folder("alone/choosing.gguf"), &f);
    if (status != STATUS_OK) fprintf(stderr, "%s\n", f.text);
    return status == STATUS_OK ? 0 : -1;
}

static inline int remove_models(void **state) {
    (void)state;
    static const char *const names[] = {"sparse.gguf", "dense_active.gguf", "dense_total.gguf",
                                        "sparse.csv",  "alone/sparse.gguf", "alone/choosing.gguf"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) unlink(in_folder(names[i]));
    rmdir(in_folder("alone"));
    return rmdir(folder);
}

/* A trace of `count` tokens, some of them twice, through the file. */
static inline Trace trace_of(const char *path, size_t experts_used, size_t count) {
    Loaded l;
    Trace t;
    Fault f = {""};
    int32_t ids[DUEL_TOKENS];
    if (loaded_open(&l, path, experts_used, &f) != STATUS_OK) fail_msg("%s", f.text);
    for (size_t i = 0; i < count; i++) ids[i] = (int32_t)(i * i * 7 % 23 + 40);
    if (model_trace(&t, &l, ids, count, "a text", TRACE_ROUTING, &f) != STATUS_OK) fail_msg("%s", f.text);
    loaded_close(&l);
    return t;
}

static inline Duel duel_of(const DuelSetup *setup, const Trace *t) {
    Dueller *d;
    Duel duel;
    Fault f = {""};
    if (duel_open(&d, setup, &f) != STATUS_OK) fail_msg("%s", f.text);
    duel_ask(d, t);
    duel_wait(d, &duel);
    duel_close(d);
    return duel;
}

static inline DuelSetup setup_of(const char *sparse) { return (DuelSetup){.sparse = sparse}; }

#endif
