/* cost_checks.h: what the tests of costs share: the model that is being counted, and how it is opened. Include cmocka.h before it. */
#ifndef MOE_TESTS_COST_CHECKS_H
#define MOE_TESTS_COST_CHECKS_H

#include "cost/cost.h"

#include <string.h>

static CostModel model; /* large: shapes of a thousand layers */

static inline void open_or_fail(const char *what) {
    Fault f = {""};
    if (cost_open(&model, what, &f) != STATUS_OK) fail_msg("%s", f.text);
}
static inline void parse_or_fail(const char *json) {
    Fault f = {""};
    if (cost_from_config(&model, json, strlen(json), "config.json", &f) != STATUS_OK) fail_msg("%s\nof %s", f.text, json);
}
static inline void without_json_skip(void) {
    if (cost_reads_config()) return;
    print_message("SKIP: built without cJSON\n");
    skip();
}

#endif
