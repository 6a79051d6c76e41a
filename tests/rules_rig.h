/* rules_rig.h: every routing rule, small and large, run and recorded by the engine on small random models, and a picture of it. */
#ifndef MOE_TESTS_RULES_RIG_H
#define MOE_TESTS_RULES_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/scene_checks.h"
#include "tests/tiny.h"
#include "viz/scene_parts.h"

typedef struct {
    const char *rule;
    size_t experts, top_k, tokens, groups, groups_used, shared;
    double capacity, scale;
    bool noise;
} Rule;

static const Rule rules[] = {
    {"softmax-topk-renorm", 8, 2, 9, 0, 0, 1, 0, 1, false},
    {"topk-softmax", 8, 2, 9, 0, 0, 0, 0, 1, false},
    {"softmax-topk", 8, 3, 9, 0, 0, 2, 1.25, 1, false},
    {"switch", 8, 1, 9, 0, 0, 0, 1, 1, false},
    {"noisy-topk", 8, 2, 9, 0, 0, 0, 0, 1, true},
    {"noisy-topk", 8, 2, 9, 0, 0, 0, 0, 1, false},
    {"dense-mixture", 8, 8, 9, 0, 0, 0, 0, 1, false},
    {"sigmoid-bias", 8, 3, 9, 4, 2, 1, 0, 2.5, false},
    {"expert-choice", 8, 8, 9, 0, 0, 0, 0, 1, false},
    {"soft", 8, 8, 9, 0, 0, 0, 0, 1, false},
    {"hash", 8, 1, 9, 0, 0, 1, 0, 1, false},
};
enum { RULES = sizeof rules / sizeof *rules };

/* Scales: each rule at more experts and tokens. */
static const Rule scales[] = {
    {"sigmoid-bias", 32, 6, 24, 8, 3, 2, 0, 2.5, false},
    {"sigmoid-bias", 128, 8, 25, 8, 4, 1, 1.25, 1, false},
    {"sigmoid-bias", 256, 8, 512, 8, 4, 1, 0, 2.5, false},
    {"sigmoid-bias", 256, 8, 1, 8, 4, 12, 0, 2.5, false},
    {"sigmoid-bias", 24, 4, 12, 3, 2, 0, 0, 1, false},
    {"noisy-topk", 32, 4, 25, 0, 0, 0, 0, 1, true},
    {"noisy-topk", 256, 8, 24, 0, 0, 0, 0, 1, true},
    {"noisy-topk", 8, 2, 1, 0, 0, 4, 0, 1, true},
    {"expert-choice", 32, 32, 24, 0, 0, 1, 0, 1, false},
    {"expert-choice", 128, 128, 512, 0, 0, 0, 0, 1, false},
    {"expert-choice", 256, 256, 25, 0, 0, 0, 0, 1, false},
    {"expert-choice", 8, 8, 1, 0, 0, 0, 0, 1, false},
    {"expert-choice", 8, 8, 24, 0, 0, 2, 0, 1, false},
    {"soft", 32, 32, 24, 0, 0, 0, 0, 1, false},
    {"soft", 128, 128, 25, 0, 0, 2, 0, 1, false},
    {"soft", 256, 256, 512, 0, 0, 0, 0, 1, false},
    {"soft", 8, 8, 1, 0, 0, 0, 0, 1, false},
    {"soft", 8, 8, 512, 0, 0, 0, 0, 1, false},
    {"hash", 32, 1, 24, 0, 0, 0, 0, 1, false},
    {"hash", 128, 1, 25, 0, 0, 3, 0, 1, false},
    {"hash", 256, 1, 512, 0, 0, 1, 0, 1, false},
    {"dense-mixture", 32, 32, 24, 0, 0, 0, 0, 1, false},
    {"dense-mixture", 256, 256, 25, 0, 0, 1, 0, 1, false},
    {"switch", 128, 1, 512, 0, 0, 2, 1, 1, false},
};
enum { SCALES = sizeof scales / sizeof *scales };

static inline Trace rule_trace(const Rule *z) {
    static const char *const words[] = {"Tom",     " has", " three", " red",   " kites", ".",   " Ida",
                                        " counts", "\n",   " and",   " gives", " one",   " to", " Emil"};
    ModelConfig c = tiny_config(300);
    c.layers = 2;
    c.context = 1024;
    c.moe.rule = routing_rule_find(z->rule);
    c.moe.experts = z->experts;
    c.moe.top_k = z->top_k;
    c.moe.groups = z->groups;
    c.moe.groups_used = z->groups_used;
    c.moe.shared_experts = z->shared;
    c.moe.capacity_factor = z->capacity;
    c.moe.routed_scale = z->scale;
    Loaded l = {0};
    Trace t;
    Fault f = {""};
    int32_t ids[512];
    for (size_t i = 0; i < z->tokens; i++) ids[i] = (int32_t)((i * 7 + i / 5) % 14);
    Status status = moe_config_check(&c.moe, &f);
    if (status == STATUS_OK) status = tiny_model(&l.model, &c, 5, &f);
    if (status == STATUS_OK)
        status = z->noise ? model_trace_noisy(&t, &l, ids, z->tokens, "made up", TRACE_ROUTING, 3, &f)
                          : model_trace(&t, &l, ids, z->tokens, "made up", TRACE_ROUTING, &f);
    for (size_t i = 0; status == STATUS_OK && i < z->tokens; i++) status = trace_set_token(&t, i, ids[i], words[ids[i]], strlen(words[ids[i]]), &f);
    if (status != STATUS_OK) fail_msg("%s: %s", z->rule, f.text);
    model_free(&l.model);
    return t;
}

static inline void rule_open(Picture *p, const Rule *z) {
    *p = (Picture){.t = rule_trace(z)};
    view_init(&p->v);
    draw_init(&p->list, made_up);
}

static inline void stand_at(Picture *p, size_t layer, Beat beat) { p->v.time_ms = timeline_rest_ms(&p->t, layer, beat); }

static inline const RoutingRule *row(const Trace *t) { return routing_rule_find(t->rule); }

static inline void open_rule(Picture *p, const char *name) {
    size_t i = 0;
    while (strcmp(rules[i].rule, name) != 0) i++;
    rule_open(p, &rules[i]);
}

static inline void narrated(char *line, size_t room, Picture *p, Beat beat) {
    stand_at(p, 1, beat);
    scene_narrate(line, room, &p->t, &p->v);
}

#endif
