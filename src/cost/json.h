/* json.h: what families.c asks of a JSON document, so that one file knows cJSON. Numbers are believed only after a check. */
#ifndef MOE_COST_JSON_H
#define MOE_COST_JSON_H

#include "base/base.h"

typedef struct cJSON JsonValue;
/* One whole document that is an object; a Fault names the line where it stops being JSON. *root is freed with json_release. */
Status json_parse(JsonValue **root, const char *text, size_t bytes, const char *label, Fault *f);
bool json_is_read(void); /* false: built without cJSON */
void json_release(JsonValue *root);

/* The last of that name, as most readers have it, since a name given twice means its last value; NULL when absent or when `object` is no object. */
const JsonValue *json_value_find(const JsonValue *object, const char *name);
bool json_value_is_null(const JsonValue *v);
bool json_value_is_object(const JsonValue *v);
bool json_value_is_list(const JsonValue *v);
bool json_value_whole(const JsonValue *v, double *out); /* a number without a fraction, of either sign, below 2^53 */
bool json_value_number(const JsonValue *v, double *out);
bool json_value_flag(const JsonValue *v, bool *out);
const char *json_value_text(const JsonValue *v); /* NULL unless a string */
const JsonValue *json_value_first(const JsonValue *list); /* walk a list; NULL at its end */
const JsonValue *json_value_next(const JsonValue *item);
void json_value_say(const JsonValue *v, char *out, size_t out_bytes); /* for a message: 3.5, "text" (cut), null, a list, ... */

#endif
